# SPDX-License-Identifier: BSD-2-Clause
"""Path managers that behave badly, or go away while they are in use: the kernel bears it, and says nothing."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from building import REFUSED, bad_path_managers, compiled
from lab import IPV4, wait_for
from netlink import Address, Flag

import rawbpf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab import Lab

    from rawbpf.kernel.links import Registration

ALARMS = re.compile(r"WARNING:|BUG:|Oops|lockup|stall|refcount_t|possible|suspicious")
SIZE = 1 << 20
REFUSALS = {
    1: ("sleeps in get_local_id", "EINVAL"),
    2: ("walks subflows without their lock", "bpf_iter_mptcp_subflow_new is not allowed"),
    3: ("connects where it may not sleep", "bpf_mptcp_pm_connect"),
    4: ("sleeps while RCU protects what it has", "bpf_mptcp_pm_connect is not allowed in RCU"),
    5: ("takes the kernel's name", "EEXIST"),
    6: ("schedules", "mptcp_subflow_set_scheduled is not allowed"),
    7: ("closes while it walks", "bpf_mptcp_pm_close is not allowed in RCU"),
    8: ("walks and closes without RCU", "bpf_iter_mptcp_subflow_new requires RCU critical section protection"),
    9: ("writes to the socket", "only read is supported"),
}
"""By number: what it does, and words of the refusal."""


@pytest.fixture
def quiet_kernel(test_kernel: None) -> Iterator[None]:
    """Fails the test if the kernel's log shows an alarm after it."""
    before = kernel_log().count("\n")
    yield
    alarms = [line for line in kernel_log().splitlines()[before:] if ALARMS.search(line)]
    assert alarms == []


def kernel_log() -> str:
    return subprocess.run(["dmesg"], stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.fixture
def bad(root: None, quiet_kernel: None) -> Iterator[rawbpf.Object]:
    with rawbpf.load(bad_path_managers()) as obj:
        yield obj


def use(lab: Lab, obj: rawbpf.Object, name: str) -> rawbpf.Link | Registration:
    link = obj.struct_ops[name].attach()
    lab.sysctl("path_manager", f"bad_{name}")
    return link


def exchange(lab: Lab, during: Callable[[], object] = lambda: None) -> int:
    """A connection with data, in spite of the path manager. Returns how many subflows it had."""
    with lab.connection() as connection:
        during()
        connection.send(SIZE)
        return len(connection.established())


def test_refuses_everything(lab: Lab, bad: rawbpf.Object) -> None:
    lab.endpoints(Address(IPV4[1], flags=Flag.SUBFLOW))
    with use(lab, bad, "no"):
        assert exchange(lab, lambda: time.sleep(0.2)) == 1


def test_answers_wildly(lab: Lab, bad: rawbpf.Object) -> None:
    """The client would have a subflow to the announced address, but its local address gets no id."""
    lab.endpoints(Address(IPV4[3], 100, Flag.SIGNAL))
    with use(lab, bad, "wild"):
        assert exchange(lab, lambda: time.sleep(0.2)) == 1


def test_is_greedy(lab: Lab, bad: rawbpf.Object) -> None:
    with use(lab, bad, "greedy"):
        assert exchange(lab, lambda: time.sleep(0.5)) >= 1
        assert bad.variables["connects"].value > 0
        assert bad.variables["announcements"].value > 0


def test_closes_all(lab: Lab, bad: rawbpf.Object) -> None:
    with (
        use(lab, bad, "cutting"),
        pytest.raises((ConnectionError, TimeoutError, OSError), match=r"connected|reset|ended|timed out"),
    ):
        exchange(lab, lambda: time.sleep(1))
    assert exchange(lab) == 1


def test_takes_long(lab: Lab, bad: rawbpf.Object) -> None:
    with use(lab, bad, "slow"):
        exchange(lab)
        wait_for(lambda: bad.variables["rounds"].value >= 8 << 20, "it ends")


def test_never_rests(lab: Lab, bad: rawbpf.Object) -> None:
    with use(lab, bad, "restless"):
        exchange(lab)
        assert bad.variables["wakes"].value > 1


@pytest.mark.parametrize("name", ["greedy", "restless"])
def test_is_unregistered_while_in_use(lab: Lab, bad: rawbpf.Object, name: str) -> None:
    link = use(lab, bad, name)
    with lab.connection() as connection:
        link.close()
        assert f"bad_{name}" not in lab.sysctl("available_path_managers").split()
        bad.close()
        connection.send(SIZE)
    # The namespace still names it, and the in-kernel one serves
    lab.endpoints(Address(IPV4[1], flags=Flag.SUBFLOW))
    with lab.connection() as connection:
        connection.wait_locals(*IPV4[:2])


def test_comes_and_goes_under_load(lab: Lab, bad: rawbpf.Object) -> None:
    lab.endpoints(*(Address(address, flags=Flag.SUBFLOW) for address in IPV4[1:]))
    for _ in range(5):
        with use(lab, bad, "greedy"), lab.connection() as first:
            first.send(1000)
        assert exchange(lab) >= 1


@pytest.mark.parametrize("number", REFUSED, ids=[REFUSALS[number][0] for number in REFUSED])
def test_is_refused(number: int, root: None, quiet_kernel: None) -> None:
    with pytest.raises(rawbpf.RawbpfError) as caught, rawbpf.load(bad_path_managers(number)) as obj:
        obj.attach()
    assert REFUSALS[number][1] in caught.value.report()


def test_is_for_another_kernel(root: None, quiet_kernel: None, no_leaks: None) -> None:
    schedulers = Path("/proc/sys/net/mptcp/available_schedulers")
    before = schedulers.read_text()
    with pytest.raises(rawbpf.RawbpfError) as caught:
        rawbpf.load(compiled("scheduler_of_6_12"))
    report = caught.value.report()
    assert "get_subflow" in report
    assert "get_send" in report, "the members of both are side by side"
    assert schedulers.read_text() == before
