# SPDX-License-Identifier: BSD-2-Clause
"""tests/mptcp in the test kernel: the subtests, and path managers that behave badly, in a kernel of their own."""

from __future__ import annotations

import pytest
from in_guest import run_tests

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("built")]

SUBTESTS = {
    *("base", "mptcpify", "subflow", "iters_subflow", "netlink_pm", "bpf_netlink_pm", "userspace_pm"),
    *("bpf_userspace_pm", "iters_netlink_address", "iters_userspace_address", "bpf_hashmap_pm", "sockopt"),
    *("default", "first", "bkup", "rr", "red", "burst", "stale"),
}


@pytest.mark.timeout(1200)
def test_subtests() -> None:
    lines = run_tests("tests/mptcp", "--ignore=tests/mptcp/test_misbehaviour.py")
    passed = [line for line in lines if "PASSED" in line]
    names = {line.split("::test_")[1].partition(" ")[0].partition("[")[0] for line in passed}
    assert names >= SUBTESTS


@pytest.mark.timeout(1200)
def test_misbehaviour() -> None:
    run_tests("tests/mptcp/test_misbehaviour.py")
