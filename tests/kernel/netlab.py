# SPDX-License-Identifier: BSD-2-Clause
"""Two network namespaces with two pairs of devices between them, and packets that really go from one to the other."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tools.lab import links
from tools.lab.netns import Namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

DEVICE, OTHER_DEVICE = "path1", "path2"
LEFT, RIGHT = "10.0.1.1", "10.0.1.2"
BEHIND = "10.9.0.1"
"""An address that the left side reaches through the right one, where no route leads on."""
NETKIT, NETKIT_PEER = "front", "nk0"
SEGMENT = "fc00::1"
PATIENCE = 2.0
ETH_P_ALL, ETH_P_IPV6 = 3, 0x86DD


class Lab:
    """The namespaces `left` and `right`; programs are attached in the right one."""

    def __init__(self, left: Namespace, right: Namespace) -> None:
        self.left = left
        self.right = right
        for side in (left, right):  # nothing but what a test sends
            side.sysctl("net.ipv6.conf.default.accept_dad", "0")
            side.sysctl("net.ipv6.conf.default.router_solicitations", "0")
            side.sysctl("net.ipv6.conf.default.addr_gen_mode", "1")
        links.join(left, right, [None, None])
        right.sysctl("net.ipv4.ip_forward", "1")
        with left.entered(), links.IPRoute() as netlink:
            netlink.route("add", dst="10.9.0.0/16", gateway=RIGHT)

    def exchange(self) -> bool:
        """Send a datagram from the left to the right and one back; whether both have come."""
        with self.udp(self.right, RIGHT) as server, self.udp(self.left, LEFT) as client:
            try:
                client.sendto(b"there", server.getsockname())
                said, where = server.recvfrom(16)
                server.sendto(b"back", where)
                return (said, client.recv(16)) == (b"there", b"back")
            except TimeoutError:
                return False

    def send(self, address: str, port: int = 9) -> None:
        """Send a datagram from the left, to wherever."""
        with self.udp(self.left, LEFT) as client:
            client.sendto(b"there", (address, port))

    @contextmanager
    def udp(self, side: Namespace, address: str) -> Iterator[socket.socket]:
        """A socket in a namespace, whose operations do not last for ever."""
        with side.entered():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            sock.settimeout(0.2)
            sock.bind((address, 0))
            yield sock

    def knock(self) -> None:
        """Try a connection from the left to a port on the right where nobody listens."""
        with self.left.entered():
            sock = socket.socket()
        with sock:
            sock.settimeout(PATIENCE)
            assert sock.connect_ex((RIGHT, 7)) != 0

    @contextmanager
    def connection(self) -> Iterator[tuple[socket.socket, socket.socket]]:
        """A TCP connection within the right namespace."""
        with self.right.entered():
            listener, client = socket.create_server((RIGHT, 0)), socket.socket()
        with listener, client:
            client.connect(listener.getsockname())
            server, _ = listener.accept()
            with server:
                server.settimeout(PATIENCE)
                yield client, server

    def raw(self, side: Namespace, frame: bytes, device: str = DEVICE) -> None:
        """Send an Ethernet frame from a side's device (or a packet, from one without Ethernet)."""
        with side.entered():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            with sock:
                sock.bind((device, 0))
                sock.send(frame)

    def segment(self) -> None:
        """Send an IPv6 packet with a segment routing header from the left to the right."""
        with self.right.entered(), links.IPRoute() as netlink:
            (index,) = netlink.link_lookup(ifname=DEVICE)
            (device,) = netlink.get_links(index)
            mac = bytes.fromhex(device.get_attr("IFLA_ADDRESS").replace(":", ""))
        segments = [socket.inet_pton(socket.AF_INET6, address) for address in ("fc00::2", SEGMENT)]
        header = struct.pack("!BBBBBBH", 59, 4, 4, 1, 1, 0, 0) + b"".join(segments)
        addresses = socket.inet_pton(socket.AF_INET6, "fc00::9") + segments[1]
        packet = struct.pack("!IHBB", 6 << 28, len(header), 43, 64) + addresses + header
        self.raw(self.left, mac + bytes(6) + ETH_P_IPV6.to_bytes(2, "big") + packet)
        time.sleep(0.02)

    def netkit(self) -> None:
        """Make a netkit pair on the right, unless there is one: NETKIT and its peer, which the kernel names."""
        with self.right.entered(), links.IPRoute() as netlink:
            if not netlink.link_lookup(ifname=NETKIT):
                netlink.link("add", ifname=NETKIT, kind="netkit")
                for name in (NETKIT, NETKIT_PEER):
                    (index,) = netlink.link_lookup(ifname=name)
                    netlink.link("set", index=index, state="up")


@contextmanager
def lab() -> Iterator[Lab]:
    """A laboratory that is gone at the end."""
    with Namespace() as left, Namespace() as right:
        yield Lab(left, right)
