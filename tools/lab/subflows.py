# SPDX-License-Identifier: BSD-2-Clause
"""What each subflow of an MPTCP connection is and did, as the kernel tells it of the application's socket.

One getsockopt(SOL_MPTCP, MPTCP_FULL_INFO) gives number, addresses and struct tcp_info of all, at one moment, since
Linux 6.5 (commit "mptcp: add MPTCP_FULL_INFO getsockopt"). Before, MPTCP_TCPINFO and MPTCP_SUBFLOW_ADDRS give one or
the other; they require Linux 5.16 (commits "mptcp: add MPTCP_TCPINFO getsockopt support" and "mptcp: add
MPTCP_SUBFLOW_ADDRS getsockopt support").
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from typing import NamedTuple

from tools.lib.report import ToolError

SOL_MPTCP = 284
MPTCP_TCPINFO, MPTCP_SUBFLOW_ADDRS, MPTCP_FULL_INFO = 2, 3, 4
MAX_SUBFLOWS = 16

TCP_ESTABLISHED = 1

_libc = ctypes.CDLL(None, use_errno=True)


class Subflow(NamedTuple):
    """One TCP connection among those that make up an MPTCP connection."""

    id: int
    """As the kernel numbers them, from 1; before Linux 6.5, by their place among those that are there."""
    local: str
    remote: str
    bytes_sent: int
    """By TCP, retransmissions included."""
    established: bool
    local_port: int = 0
    remote_port: int = 0


class _TcpInfo(ctypes.Structure):
    """C: struct tcp_info of linux/tcp.h, up to the field that is wanted."""

    _fields_ = (
        ("state", ctypes.c_uint8),
        ("_bytes", ctypes.c_uint8 * 7),  # ca_state to flags
        ("_words", ctypes.c_uint32 * 24),  # rto to total_retrans
        ("_rates", ctypes.c_uint64 * 4),  # pacing_rate to bytes_received
        ("_segments", ctypes.c_uint32 * 6),  # segs_out to data_segs_out
        ("_times", ctypes.c_uint64 * 4),  # delivery_rate to sndbuf_limited
        ("_delivered", ctypes.c_uint32 * 2),  # delivered, delivered_ce
        ("bytes_sent", ctypes.c_uint64),
    )


class _Addresses(ctypes.Structure):
    """C: struct mptcp_subflow_addrs of linux/mptcp.h."""

    _fields_ = (("local", ctypes.c_uint8 * 128), ("remote", ctypes.c_uint8 * 128))  # struct sockaddr_storage


class _SubflowInfo(ctypes.Structure):
    """C: struct mptcp_subflow_info of linux/mptcp.h."""

    _fields_ = (("id", ctypes.c_uint32), ("_padding", ctypes.c_uint32), ("addresses", _Addresses))


class _FullInfo(ctypes.Structure):
    """C: struct mptcp_full_info of linux/mptcp.h; struct mptcp_info, which ends it, may grow."""

    _fields_ = (
        ("size_tcpinfo_kernel", ctypes.c_uint32),
        ("size_tcpinfo_user", ctypes.c_uint32),
        ("size_sfinfo_kernel", ctypes.c_uint32),
        ("size_sfinfo_user", ctypes.c_uint32),
        ("num_subflows", ctypes.c_uint32),
        ("size_arrays_user", ctypes.c_uint32),
        ("subflow_info", ctypes.c_uint64),
        ("tcp_info", ctypes.c_uint64),
        ("mptcp_info", ctypes.c_uint8 * 256),
    )


class _SubflowData(ctypes.Structure):
    """C: struct mptcp_subflow_data of linux/mptcp.h, which comes before an array with an element for each subflow."""

    _fields_ = (
        ("size_subflow_data", ctypes.c_uint32),
        ("num_subflows", ctypes.c_uint32),
        ("size_kernel", ctypes.c_uint32),
        ("size_user", ctypes.c_uint32),
    )


class _TcpInfos(ctypes.Structure):
    _fields_ = (("head", _SubflowData), ("all", _TcpInfo * MAX_SUBFLOWS))


class _AllAddresses(ctypes.Structure):
    _fields_ = (("head", _SubflowData), ("all", _Addresses * MAX_SUBFLOWS))


def read(sock: socket.socket) -> list[Subflow]:
    """The subflows of a connected MPTCP socket, in the order of their numbers. Requires Linux 5.16.

    Raises ToolError if the connection is none of MPTCP, any more.
    """
    try:
        try:
            return read_at_once(sock)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            return read_one_by_one(sock)
    except OSError as error:
        raise ToolError(
            f"the connection has no MPTCP subflows to tell of: {error.strerror}",
            hint="it is TCP by now, or the kernel is older than Linux 5.16, which is the first to tell",
        ) from None


def read_at_once(sock: socket.socket) -> list[Subflow]:
    """With MPTCP_FULL_INFO. Raises OSError; EOPNOTSUPP before Linux 6.5."""
    infos = (_SubflowInfo * MAX_SUBFLOWS)()
    tcp_infos = (_TcpInfo * MAX_SUBFLOWS)()
    full = _FullInfo(
        size_tcpinfo_user=ctypes.sizeof(_TcpInfo),
        size_sfinfo_user=ctypes.sizeof(_SubflowInfo),
        size_arrays_user=MAX_SUBFLOWS,
        subflow_info=ctypes.addressof(infos),
        tcp_info=ctypes.addressof(tcp_infos),
    )
    _getsockopt(sock, MPTCP_FULL_INFO, full)
    count = min(full.num_subflows, MAX_SUBFLOWS)
    return sorted(_subflow(infos[place].id, infos[place].addresses, tcp_infos[place]) for place in range(count))


def read_one_by_one(sock: socket.socket) -> list[Subflow]:
    """With MPTCP_TCPINFO and MPTCP_SUBFLOW_ADDRS. Raises OSError; EOPNOTSUPP before Linux 5.16.

    The kernel goes through the same list for both. They tell of the same subflows if addresses are the same before and
    after; else subflows came or went meanwhile, and both are read once more.
    """
    before, addresses = None, _all_addresses(sock)
    while before != bytes(addresses):
        before = bytes(addresses)
        tcp_infos = _TcpInfos(_head(_TcpInfo))
        _getsockopt(sock, MPTCP_TCPINFO, tcp_infos)
        addresses = _all_addresses(sock)
    count = min(addresses.head.num_subflows, MAX_SUBFLOWS)
    return [_subflow(place + 1, addresses.all[place], tcp_infos.all[place]) for place in range(count)]


def _all_addresses(sock: socket.socket) -> _AllAddresses:
    found = _AllAddresses(_head(_Addresses))
    _getsockopt(sock, MPTCP_SUBFLOW_ADDRS, found)
    return found


def _head(element: type[ctypes.Structure]) -> _SubflowData:
    return _SubflowData(size_subflow_data=ctypes.sizeof(_SubflowData), size_user=ctypes.sizeof(element))


def _getsockopt(sock: socket.socket, option: int, buffer: ctypes.Structure) -> None:
    """Fill a structure, parts of which the kernel reads first: socket.getsockopt has no way for that."""
    size = ctypes.c_uint32(ctypes.sizeof(buffer))
    if _libc.getsockopt(sock.fileno(), SOL_MPTCP, option, ctypes.byref(buffer), ctypes.byref(size)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _subflow(number: int, addresses: _Addresses, tcp_info: _TcpInfo) -> Subflow:
    local, remote = bytes(addresses.local), bytes(addresses.remote)
    return Subflow(
        id=number,
        local=_address(local),
        remote=_address(remote),
        bytes_sent=tcp_info.bytes_sent,
        established=tcp_info.state == TCP_ESTABLISHED,
        local_port=_port(local),
        remote_port=_port(remote),
    )


def _port(raw: bytes) -> int:
    """The port in a struct sockaddr_storage, which is at the same place in both families."""
    (port,) = struct.unpack_from("!H", raw, 2)
    return int(port)


def _address(raw: bytes) -> str:
    """The address in a struct sockaddr_storage, without its port."""
    (family,) = struct.unpack_from("=H", raw)
    start, size = (4, 4) if family == socket.AF_INET else (8, 16)
    return socket.inet_ntop(family, raw[start : start + size])
