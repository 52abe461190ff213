# SPDX-License-Identifier: BSD-2-Clause
"""Attaching to what only the test kernel has: netkit, lirc, lsm_cgroup."""

from __future__ import annotations

import pytest
from in_guest import run_tests

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("built")]

FILES = ("tests/kernel/test_attach_net.py", "tests/kernel/test_attach_cgroup.py")
WHAT = "(until_it or its_place or each_attach_type or rounds or interrupted) and (netkit or lirc or lsm)"


def test_in_the_test_kernel() -> None:
    run_tests(*FILES, "-k", WHAT, timeout=500, RAWBPF_ROUNDS="100")
