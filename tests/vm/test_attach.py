# SPDX-License-Identifier: BSD-2-Clause
"""tests/attach in the test kernel, where programs may be attached to everything."""

from __future__ import annotations

import pytest
from in_guest import run_tests

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("built")]


@pytest.mark.timeout(1800)
def test_every_kind() -> None:
    # One processor: thousands of times the kernel rewrites its own code, which QEMU's emulation sometimes does not show
    # to the other processors in time ("Oops: int3")
    run_tests("tests/attach", options=("--cpus", "1"))
