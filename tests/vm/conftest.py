# SPDX-License-Identifier: BSD-2-Clause
"""What tests in the test kernel need, asked for once: without it they skip, or fail if RAWBPF_REQUIRE=1."""

from __future__ import annotations

import pytest
from skips import unavailable

from tools.lib import kernel
from tools.lib.oracle import debian, recorder


@pytest.fixture(scope="session")
def built() -> kernel.Kernel:
    """The test kernel. Tests do not build it, which takes minutes."""
    return kernel.find() or unavailable("the test kernel is not built: tools/vm --build-only")


@pytest.fixture(scope="session")
def libbpf() -> None:
    """What the comparison with libbpf needs; the guest has no network, and writes to a copy of the cache."""
    try:
        debian.libbpf()
        recorder.shim()
    except recorder.OracleUnavailable as error:
        unavailable(str(error))
