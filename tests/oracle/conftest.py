# SPDX-License-Identifier: BSD-2-Clause
"""What the comparison with libbpf needs, asked for once: without it the tests skip, or fail if RAWBPF_REQUIRE=1."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

import pytest

from tools.lib.oracle import debian, recorder

if TYPE_CHECKING:
    from pathlib import Path


def unavailable(reason: str) -> NoReturn:
    """Skips the test, or fails it where a skip is not accepted."""
    if os.environ.get("RAWBPF_REQUIRE") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shim() -> Path:
    """The recorder, built, on a machine whose kernel takes bpf(2) from us."""
    if os.geteuid():
        unavailable("loading BPF programs needs root")
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
