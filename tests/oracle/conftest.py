# SPDX-License-Identifier: BSD-2-Clause
"""What the comparison with libbpf needs, asked for once: without it the tests skip, or fail if RAWBPF_REQUIRE=1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from skips import unavailable

from tools.lib.oracle import debian, recorder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def shim(root: None) -> Path:
    """The recorder, built, on a machine whose kernel takes bpf(2) from us."""
    try:
        return recorder.shim()
    except recorder.OracleUnavailable as error:
        unavailable(str(error))


@pytest.fixture(scope="session")
def libbpf_library(shim: Path) -> Path:
    """The newest libbpf of Debian's suites."""
    try:
        return debian.libbpf()
    except recorder.OracleUnavailable as error:
        unavailable(str(error))
