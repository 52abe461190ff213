# SPDX-License-Identifier: BSD-2-Clause
"""MPTCP as a namespace is set up for it: which addresses make subflows, how many, which scheduler picks among them."""

from __future__ import annotations

from enum import Enum, IntFlag
from typing import TYPE_CHECKING

from pyroute2 import MPTCP

if TYPE_CHECKING:
    from tools.lab.netns import Namespace

SCHEDULER = "net.mptcp.scheduler"
MAX_SUBFLOWS = 8
"""Of a connection, here: the kernel's limit is the first one, and 8 more."""
AVAILABLE_SCHEDULERS = "net.mptcp.available_schedulers"


class EndpointFlag(IntFlag):
    """C: MPTCP_PM_ADDR_FLAG_* of linux/mptcp.h."""

    SIGNAL = 1  # announced to the peer, which connects to it
    SUBFLOW = 2  # connected from
    BACKUP = 4
    FULLMESH = 8  # with SUBFLOW: connected from, to each address of the peer


class Endpoints(Enum):
    """Which end tells the kernel's path manager of its addresses, so that connections get further subflows."""

    SIGNAL = "signal"  # the server announces its addresses, and the client connects to them
    SUBFLOW = "subflow"  # the client connects from each of its addresses to the one that it knows
    FULLMESH = "fullmesh"  # the server announces its addresses, and the client connects from each of its own to each

    def subflows(self, paths: int) -> int:
        """Of a connection, in the end."""
        return min(paths**2, MAX_SUBFLOWS) if self is Endpoints.FULLMESH else paths


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
