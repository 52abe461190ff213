# SPDX-License-Identifier: BSD-2-Clause
"""Packet schedulers: over which subflows the data goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lab import IPV4
from netlink import Address, Flag

if TYPE_CHECKING:
    from lab import Lab, Load

FIRST, SECOND = IPV4[:2]
ENDPOINT = Address(SECOND, flags=Flag.SUBFLOW)


def shares(lab: Lab, endpoint: Address = ENDPOINT) -> tuple[float, float]:
    """Send 10 MiB over two subflows; returns the parts of it that went over each, to FIRST and to SECOND."""
    lab.endpoints(endpoint)
    with lab.connection() as connection:
        connection.wait_locals(FIRST, SECOND)
        connection.send()
        sent = connection.sent_to()
    total = sum(sent.values())
    return sent[FIRST] / total, sent[SECOND] / total


def test_default(lab: Lab) -> None:
    first, second = shares(lab)
    assert first > 0.001
    assert second > 0.001


def test_first(lab: Lab, load: Load, test_kernel: None) -> None:
    load("mptcp_bpf_first")
    lab.sysctl("scheduler", "bpf_first")
    assert shares(lab)[1] == 0


def test_bkup(lab: Lab, load: Load, test_kernel: None) -> None:
    load("mptcp_bpf_bkup")
    lab.sysctl("scheduler", "bpf_bkup")
    assert shares(lab, Address(SECOND, flags=Flag.SUBFLOW | Flag.BACKUP))[1] == 0


def test_rr(lab: Lab, load: Load, test_kernel: None) -> None:
    load("mptcp_bpf_rr")
    lab.sysctl("scheduler", "bpf_rr")
    assert shares(lab) == pytest.approx((0.5, 0.5), abs=0.02)


def test_red(lab: Lab, load: Load, test_kernel: None) -> None:
    load("mptcp_bpf_red")
    lab.sysctl("scheduler", "bpf_red")
    first, second = shares(lab)
    assert first > 0.3
    assert second > 0.3


def test_burst(lab: Lab, load: Load, test_kernel: None) -> None:
    load("mptcp_bpf_burst")
    lab.sysctl("scheduler", "bpf_burst")
    first, second = shares(lab)
    assert first > 0.001
    assert second > 0.001


def test_stale(lab: Lab, load: Load, test_kernel: None) -> None:
    obj = load("mptcp_bpf_stale")
    lab.sysctl("scheduler", "bpf_stale")
    lab.endpoints(ENDPOINT)
    with lab.connection() as connection:
        connection.wait_locals(FIRST, SECOND)
        (stale,) = (subflow.id for subflow in connection.established(connection.server) if subflow.remote == SECOND)
        ids = [stale] + [0] * 7
        obj.maps["stale_subflows"][connection.server.fileno()] = {"count": 1, "ids": ids}
        before = connection.sent_to()[SECOND]
        connection.send()
        assert connection.sent_to()[SECOND] == before
