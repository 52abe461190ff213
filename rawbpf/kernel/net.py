# SPDX-License-Identifier: BSD-2-Clause
"""Routing netlink, with pyroute2's messages: devices, queueing disciplines, filters, routes.

The only importer of pyroute2, which is needed by nothing else.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any

from rawbpf.errors import KernelError, NotSupportedError, errno_name, errno_text

if TYPE_CHECKING:
    from collections.abc import Iterator

# linux/netlink.h
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_ERROR, _DONE = 2, 3
REQUEST, ACK, DUMP = 1, 4, 0x300
ECHO, REPLACE, EXCL, CREATE = 8, 0x100, 0x200, 0x400
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_CAPPED, _ACK_TLVS = 0x100, 0x200
_ATTR_MSG = 1
# linux/rtnetlink.h
GETLINK, SETLINK = 18, 19
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWQDISC, DELQDISC = 36, 37
NEWTFILTER, DELTFILTER, GETTFILTER = 44, 45, 46


def message(kind: str) -> Any:
    """An empty message of pyroute2: ``link``, ``tc`` or ``route``.

    Raises:
        NotSupportedError: pyroute2 is not installed.
    """
    try:
        if kind == "link":
            from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg as made
        elif kind == "tc":
            from pyroute2.netlink.rtnl.tcmsg import tcmsg as made
        else:
            from pyroute2.netlink.rtnl.rtmsg import rtmsg as made
    except ImportError as missing:
        raise NotSupportedError(
            "netlink",
            message="pyroute2 is not installed, which this needs to speak netlink",
            hint="pip install pyroute2, or: pip install 'rawbpf[net]'",
        ) from missing
    return made()


def ask(kind: int, request: Any, flags: int = 0) -> list[Any]:
    """Send a request in this thread's network namespace, and wait until the kernel has done it.

    What the kernel echoes (`ECHO`), as messages of the request's type.

    Raises:
        KernelError: the kernel refuses it; the message has its own words, where it says more than the errno.
    """
    return _exchange(kind, request, REQUEST | ACK | flags)


def get(kind: int, request: Any) -> list[Any]:
    """What is known of the one thing that the request names. Raises as `ask` does."""
    return _exchange(kind, request, REQUEST | ACK)


def dump(kind: int, request: Any) -> list[Any]:
    """All that the kernel has of a kind, as messages of the request's type. Raises as `ask` does."""
    return _exchange(kind, request, REQUEST | DUMP)


def attribute(answer: Any, fixed: int, *path: int) -> bytes:
    """An attribute that pyroute2 has no name for: by numbers, from the outside in; empty if it is not there.

    `fixed` are the bytes of the struct before the attributes, without the header of netlink.
    """
    data = bytes(answer.data)[_HEADER.size + fixed :]
    for wanted in path:
        data = next((value for type_, value in _attributes(data) if type_ == wanted), b"")
    return data


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        size, type_ = struct.unpack_from("=HH", data)
        yield type_ & 0x3FFF, data[4:size]
        data = data[max(4, (size + 3) & ~3) :]


def _exchange(kind: int, request: Any, flags: int) -> list[Any]:
    request["header"]["type"] = kind
    request["header"]["flags"] = flags
    request["header"]["sequence_number"] = 1
    request.encode()
    answers: list[Any] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as sock:
        for option in (_CAP_ACK, _EXT_ACK):
            sock.setsockopt(_SOL_NETLINK, option, 1)
        sock.send(request.data)
        while True:
            for type_, got, data in _split(sock.recv(1 << 17)):
                if type_ == _ERROR:
                    _check(got, data)
                if type_ in (_ERROR, _DONE):
                    return answers
                answer = type(request)(data)
                answer.decode()
                answers.append(answer)


def _split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    while len(data) >= _HEADER.size:
        size, type_, flags, _, _ = _HEADER.unpack_from(data)
        yield type_, flags, data[:size]
        data = data[max(_HEADER.size, (size + 3) & ~3) :]


def _check(flags: int, data: bytes) -> None:
    (negative,) = struct.unpack_from("=i", data, _HEADER.size)
    if not negative:
        return
    # behind the errno the header of the request; its body only where the answer is not capped
    at = _HEADER.size + 4
    (size,) = struct.unpack_from("=I", data, at)
    at += _HEADER.size if flags & _CAPPED else (size + 3) & ~3
    said = ""
    for type_, value in _attributes(data[at:]) if flags & _ACK_TLVS else ():
        if type_ == _ATTR_MSG:
            said = value.rstrip(b"\0").decode(errors="replace").rstrip(".")
    number = -negative
    text = f"{errno_text(number)} ({errno_name(number)})"
    raise KernelError(f"netlink: {said}: {text}" if said else f"netlink: {text}", errno=number, command="rtnetlink")
