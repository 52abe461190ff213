# SPDX-License-Identifier: BSD-2-Clause
"""Lightweight tunnels: programs that see the packets of a route, over netlink."""

from __future__ import annotations

from errno import EEXIST, ENOENT, EOPNOTSUPP, ESRCH
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING, Any

from rawbpf.errors import KernelError, SpecError, where
from rawbpf.kernel import info, net
from rawbpf.kernel.attach.holding import OnDevice
from rawbpf.kernel.attach.refusal import need_type
from rawbpf.kernel.devices import device
from rawbpf.kernel.netns import open_netns
from rawbpf.uapi import ProgType

if TYPE_CHECKING:
    from rawbpf.kernel.attach.attachment import Attachment
    from rawbpf.kernel.devices import Device
    from rawbpf.kernel.netns import NetNs
    from rawbpf.kernel.programs import Program

_HOOKS = {
    ProgType.LWT_IN: "LWT_BPF_IN",
    ProgType.LWT_OUT: "LWT_BPF_OUT",
    ProgType.LWT_XMIT: "LWT_BPF_XMIT",
    ProgType.LWT_SEG6LOCAL: "SEG6_LOCAL_BPF",
}
# linux/lwtunnel.h, linux/rtnetlink.h
_ENCAP_BPF, _ENCAP_SEG6_LOCAL = 6, 7
_MAIN, _STATIC, _UNIVERSE, _LINK, _UNICAST = 254, 4, 0, 253, 1


def lwt(
    program: Program,
    destination: str,
    dev: Device,
    *,
    via: str = "",
    table: int = _MAIN,
    headroom: int = 0,
    netns: NetNs | None = None,
) -> Attachment:
    """Make a route whose packets a program sees. Detaching removes the route. There is no link for it.

    An LWT_IN program sees what the route lets in, LWT_OUT what it sends, LWT_XMIT what leaves, and LWT_SEG6LOCAL (Linux
    4.18) what comes for a segment (the action End.BPF). Wants pyroute2.

    Args:
        destination: the route's, such as ``10.1.0.0/16`` or ``fd00::/64``.
        dev: the name or the index of the device that it leads to.
        via: the gateway's address.
        table: the routing table, by default the main one.
        headroom: for LWT_XMIT: bytes of room that the program wants before a packet.
        netns: the network namespace: name, path, process id, or an open file; by default this thread's own.

    Raises:
        KernelError: ENODEV: no such device; EEXIST: there is such a route; EOPNOTSUPP: CONFIG_LWTUNNEL_BPF is missing.
        SpecError: the program is of another type, or an address is none.
        NotSupportedError: pyroute2 is missing.
    """
    kind = need_type(program, "lwt", *_HOOKS)
    try:
        network = ip_network(destination)
        gateway = str(ip_address(via)) if via else ""
    except ValueError as failure:
        raise SpecError(f"no network address: {failure}", symbol=program.name, hint="10.1.0.0/16, fd00::/64") from None
    with where(symbol=program.name), open_netns(netns) as home, device(dev, home) as found:
        detail = {"destination": str(network), "via": gateway, "table": table, "hook": kind.name, "headroom": headroom}
        return LwtAttachment(program, program.name, found, network, kind, **detail).begin()


class LwtAttachment(OnDevice):
    """A route with a program: until it is removed, with its device at the latest."""

    def __init__(
        self, program: Program, name: str, place: Any, network: IPv4Network | IPv6Network, kind: ProgType, **detail: Any
    ) -> None:
        self._network = network
        self._kind = kind
        super().__init__(program, name, place, **detail)

    def _attach_here(self) -> None:
        self._put(self.program.fileno(), net.EXCL)

    def _detach_here(self) -> None:
        try:
            net.ask(net.DELROUTE, self._route())
        except KernelError as failure:
            if failure.errno == ESRCH:
                failure.errno = ENOENT
            raise

    def _replace(self, new: int, old: int | None) -> None:
        if old is not None:
            super()._replace(new, old)
        self._there(lambda: self._put(new, net.REPLACE))

    def _put(self, fd: int, flags: int) -> None:
        # the kernel tells programs of routes by their names alone (bpf_encap_cmp), and keeps one for the other
        name = f"{self.name}:{info.prog_info(fd).id}"
        inner = {"attrs": [("LWT_BPF_PROG_FD", fd), ("LWT_BPF_PROG_NAME", name)]}
        attributes: list[tuple[str, Any]] = [(_HOOKS[self._kind], inner)]
        if self._kind == ProgType.LWT_SEG6LOCAL:
            attributes.insert(0, ("SEG6_LOCAL_ACTION", {"value": "End.BPF"}))
        elif self.detail["headroom"]:
            attributes.append(("LWT_BPF_XMIT_HEADROOM", self.detail["headroom"]))
        encap = _ENCAP_SEG6_LOCAL if self._kind == ProgType.LWT_SEG6LOCAL else _ENCAP_BPF
        request = self._route()
        request["attrs"] += [("RTA_ENCAP_TYPE", encap), ("RTA_ENCAP", {"attrs": attributes})]
        try:
            net.ask(net.NEWROUTE, request, net.CREATE | flags)
        except KernelError as failure:
            if failure.errno == EOPNOTSUPP:
                failure.hint = "the kernel is built without CONFIG_LWTUNNEL_BPF (or CONFIG_IPV6_SEG6_BPF)"
            elif failure.errno == EEXIST:
                failure.hint = "there is a route to this destination already: remove it, or choose another table"
            raise

    def _route(self) -> Any:
        network, gateway = self._network, self.detail["via"]
        request = net.message("route")
        request["family"] = AF_INET if network.version == 4 else AF_INET6
        request["dst_len"] = network.prefixlen
        request["table"] = min(self.detail["table"], 255)
        request["proto"] = _STATIC
        request["scope"] = _UNIVERSE if gateway or network.version == 6 else _LINK
        request["type"] = _UNICAST
        request["attrs"] = [
            ("RTA_TABLE", self.detail["table"]),
            ("RTA_DST", str(network.network_address)),
            ("RTA_OIF", self.index),
        ]
        if gateway:
            request["attrs"].append(("RTA_GATEWAY", gateway))
        return request
