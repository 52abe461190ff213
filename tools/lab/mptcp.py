# SPDX-License-Identifier: BSD-2-Clause
"""MPTCP as a namespace is set up for it: which addresses make subflows, how many, which scheduler picks among them."""

from __future__ import annotations

from enum import IntFlag
from typing import TYPE_CHECKING

from pyroute2 import MPTCP

if TYPE_CHECKING:
    from tools.lab.netns import Namespace

SCHEDULER = "net.mptcp.scheduler"
PATH_MANAGER = "net.mptcp.path_manager"
AVAILABLE_SCHEDULERS = "net.mptcp.available_schedulers"


class EndpointFlag(IntFlag):
    """C: MPTCP_PM_ADDR_FLAG_* of linux/mptcp.h."""

    SIGNAL = 1  # announced to the peer, which connects to it
    SUBFLOW = 2  # connected from
    BACKUP = 4


def set_limits(namespace: Namespace, additional: int) -> None:
    """Allow so many subflows besides the first, and as many announced addresses to connect to."""
    with namespace.entered(), MPTCP() as netlink:
        netlink.limits("set", subflows=additional, rcv_add_addrs=additional)


def add_endpoint(namespace: Namespace, address: str, flags: EndpointFlag) -> None:
    """Give an IPv4 address of the namespace a part in its MPTCP connections."""
    with namespace.entered(), MPTCP() as netlink:
        netlink.endpoint("add", addr=address, flags=int(flags))


def available_schedulers(namespace: Namespace) -> list[str]:
    return namespace.sysctl(AVAILABLE_SCHEDULERS).split()
