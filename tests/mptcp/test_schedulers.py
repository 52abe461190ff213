# SPDX-License-Identifier: BSD-2-Clause
"""Packet schedulers: over which subflows the data goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lab import IPV4, assert_ran
from netlink import Address, Flag

if TYPE_CHECKING:
    from lab import Lab, Load

FIRST, SECOND, THIRD, _ = IPV4
ENDPOINT = Address(SECOND, flags=Flag.SUBFLOW)
BACKUP = Flag.SUBFLOW | Flag.BACKUP


def shares(lab: Lab, *endpoints: Address, source: str = FIRST) -> tuple[float, float]:
    """Send 10 MiB over two subflows; returns the parts of it that went over the first, from `source`, and to SECOND."""
    lab.endpoints(*(endpoints or [ENDPOINT]))
    with lab.connection(source=source) as connection:
        connection.wait_locals(source, SECOND)
        connection.send()
        sent = connection.sent_to()
    total = sum(sent.values())
    return sent[source] / total, sent[SECOND] / total


def decided_shares(lab: Lab, load: Load, name: str, *endpoints: Address, source: str = FIRST) -> tuple[float, float]:
    """As `shares`, as the BPF scheduler of that name decides."""
    obj = load(f"mptcp_bpf_{name}")
    lab.sysctl("scheduler", f"bpf_{name}")
    found = shares(lab, *endpoints, source=source)
    assert_ran(obj, f"{name}_get_send")
    return found


def test_default(lab: Lab) -> None:
    first, second = shares(lab)
    assert first > 0.001
    assert second > 0.001


def test_first(lab: Lab, load: Load, test_kernel: None) -> None:
    assert decided_shares(lab, load, "first")[1] == 0


def test_first_that_is_a_backup(lab: Lab, load: Load, test_kernel: None) -> None:
    assert decided_shares(lab, load, "first", Address(THIRD, flags=BACKUP), ENDPOINT, source=THIRD)[1] == 0


def test_bkup(lab: Lab, load: Load, test_kernel: None) -> None:
    assert decided_shares(lab, load, "bkup", Address(SECOND, flags=BACKUP))[1] == 0


def test_bkup_that_came_first(lab: Lab, load: Load, test_kernel: None) -> None:
    """The subflow that opened the connection serves only until there is another one."""
    first, _ = decided_shares(lab, load, "bkup", Address(THIRD, flags=BACKUP), ENDPOINT, source=THIRD)
    assert first < 0.001


def test_rr(lab: Lab, load: Load, test_kernel: None) -> None:
    assert decided_shares(lab, load, "rr") == pytest.approx((0.5, 0.5), abs=0.02)


def test_red(lab: Lab, load: Load, test_kernel: None) -> None:
    first, second = decided_shares(lab, load, "red")
    assert first > 0.3
    assert second > 0.3


def test_burst(lab: Lab, load: Load, test_kernel: None) -> None:
    first, second = decided_shares(lab, load, "burst")
    assert first > 0.001
    assert second > 0.001


def test_rr_retransmits(lab: Lab, load: Load, test_kernel: None) -> None:
    send_without_second(lab, load, "rr")


def test_burst_retransmits(lab: Lab, load: Load, test_kernel: None) -> None:
    send_without_second(lab, load, "burst")


def send_without_second(lab: Lab, load: Load, name: str) -> None:
    """All arrives, and what a subflow took that is cut off goes over the other one, as the scheduler decides."""
    obj = load(f"mptcp_bpf_{name}")
    lab.sysctl("scheduler", f"bpf_{name}")
    lab.endpoints(ENDPOINT)
    with lab.connection() as connection:
        connection.wait_locals(FIRST, SECOND)
        lab.cut(2)
        before = connection.sent_to()[SECOND]
        connection.send(1 << 20)
        assert connection.sent_to()[SECOND] > before
    assert_ran(obj, f"{name}_get_retrans")


@pytest.mark.parametrize(("stale", "other"), [(SECOND, FIRST), (FIRST, SECOND)], ids=["second", "first"])
def test_stale(lab: Lab, load: Load, test_kernel: None, stale: str, other: str) -> None:
    obj = load("mptcp_bpf_stale")
    lab.sysctl("scheduler", "bpf_stale")
    lab.endpoints(ENDPOINT)
    with lab.connection() as connection:
        connection.wait_locals(FIRST, SECOND)
        (number,) = (subflow.id for subflow in connection.established(connection.server) if subflow.remote == stale)
        obj.maps["stale_subflows"][connection.server.fileno()] = {"count": 1, "ids": [number] + [0] * 7}
        before = connection.sent_to()
        connection.send()
        after = connection.sent_to()
    assert after[stale] == before[stale]
    assert after[other] > before[other]
    assert_ran(obj, "stale_get_send")
