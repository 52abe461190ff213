# SPDX-License-Identifier: BSD-2-Clause
"""Paths between two namespaces: pairs of virtual Ethernet devices, each with rate, delay and loss, over rtnetlink."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

from pyroute2 import IPRoute
from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST
from pyroute2.netlink.rtnl import RTM_NEWQDISC, TC_H_ROOT
from pyroute2.netlink.rtnl.tcmsg import tcmsg
from pyroute2.netlink.rtnl.tcmsg.common import time2tick

from tools.lab.shapes import UNSHAPED
from tools.lib.report import ToolError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.lab.netns import Namespace
    from tools.lab.shapes import Shape

PREFIX_LENGTH = 24
FIRST_TABLE = 100
QUEUE_PACKETS = 1000
NLMSG_HEADER_SIZE = 16

MAX_LOSS = 0xFFFFFFFF
"""What netem takes for 100 %."""


class Link(NamedTuple):
    """A path that is up: the addresses at its ends."""

    left: str
    right: str


def join(left: Namespace, right: Namespace, shapes: Sequence[Shape | None]) -> list[Link]:
    """Join two namespaces by a path for each shape (None: as it comes); path N has the network 10.0.N.0/24."""
    links = [Link(f"10.0.{number}.1", f"10.0.{number}.2") for number in range(1, len(shapes) + 1)]
    with left.entered(), IPRoute() as netlink:
        for number in range(1, len(shapes) + 1):
            peer = {"ifname": _name(number), "net_ns_fd": right.descriptor}
            netlink.link("add", ifname=_name(number), kind="veth", peer=peer)
    for namespace, ends in ((left, [link.left for link in links]), (right, [link.right for link in links])):
        with namespace.entered(), IPRoute() as netlink:
            _up(netlink, "lo")
            for number, (address, shape) in enumerate(zip(ends, shapes, strict=True), 1):
                index = _up(netlink, _name(number))
                netlink.addr("add", index=index, address=address, prefixlen=PREFIX_LENGTH)
                if shape:
                    _shape(index, shape)
    return links


def route_by_source(left: Namespace, links: Sequence[Link]) -> None:
    """Let what the left end sends from an address take the path of that address, wherever it goes."""
    with left.entered(), IPRoute() as netlink:
        for number, link in enumerate(links, 1):
            (index,) = netlink.link_lookup(ifname=_name(number))
            table = FIRST_TABLE + number
            netlink.route("add", dst="default", gateway=link.right, oif=index, table=table)
            netlink.rule("add", src=link.left, src_len=32, table=table)


def _name(number: int) -> str:
    return f"path{number}"


def _up(netlink: IPRoute, name: str) -> int:
    (index,) = netlink.link_lookup(ifname=name)
    netlink.link("set", index=index, state="up")
    return int(index)


def _shape(index: int, shape: Shape) -> None:
    """Put a netem queue on a device of the namespace that this thread is in."""
    rate = {"rate": round(shape.rate * 1e6 / 8), "packet_overhead": 0, "cell_size": 0, "cell_overhead": 0}
    options = {
        "delay": time2tick(shape.delay * 1000),
        "limit": QUEUE_PACKETS,
        "loss": round(shape.loss / 100 * MAX_LOSS),
        **dict.fromkeys(("gap", "duplicate", "jitter"), 0),
        "attrs": [("TCA_NETEM_RATE", rate)],
    }
    message = tcmsg()
    message["index"] = index
    message["parent"] = TC_H_ROOT
    message["handle"] = 0x10000  # 1:
    message["attrs"] = [("TCA_KIND", "netem"), ("TCA_OPTIONS", options)]
    _request(message, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL)


def _request(message: tcmsg, kind: int, flags: int) -> None:
    """Send a message, and wait for the answer. Raises OSError.

    IPRoute.tc() is of no use here: it would send `rate` a second time, as TCA_RATE, in a form that Linux 7 refuses.
    """
    message["header"]["type"] = kind
    message["header"]["flags"] = NLM_F_REQUEST | NLM_F_ACK | flags
    message["header"]["sequence_number"] = 1
    message.encode()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.send(message.data)
        (error,) = struct.unpack_from("=i", sock.recv(65536), NLMSG_HEADER_SIZE)
    if -error == errno.ENOENT:
        raise ToolError(
            "this kernel has no netem to give a path rate, delay or loss (CONFIG_NET_SCH_NETEM)",
            hint=f"leave the paths as they come: --rate {UNSHAPED}, or --path {UNSHAPED} for each",
        )
    if error:
        raise OSError(-error, f"setting up netem: {os.strerror(-error)}")
