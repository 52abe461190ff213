# SPDX-License-Identifier: BSD-2-Clause
"""What each subflow of an MPTCP connection is and did, as the kernel tells it of the application's socket.

One getsockopt(SOL_MPTCP, MPTCP_FULL_INFO) gives number, addresses and struct tcp_info of all, at one moment. Requires
Linux 6.5 (commit "mptcp: add MPTCP_FULL_INFO getsockopt").
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from typing import NamedTuple

from tools.lib.report import ToolError

SOL_MPTCP = 284
MPTCP_FULL_INFO = 4
MAX_SUBFLOWS = 16

TCP_ESTABLISHED = 1

_libc = ctypes.CDLL(None, use_errno=True)


class Subflow(NamedTuple):
    """One TCP connection among those that make up an MPTCP connection."""

    id: int
    """As the kernel numbers them, from 1."""
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


class _SubflowInfo(ctypes.Structure):
    """C: struct mptcp_subflow_info of linux/mptcp.h."""

    _fields_ = (
        ("id", ctypes.c_uint32),
        ("_padding", ctypes.c_uint32),
        ("local", ctypes.c_uint8 * 128),  # struct sockaddr_storage
        ("remote", ctypes.c_uint8 * 128),
    )


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


def read(sock: socket.socket) -> list[Subflow]:
    """The subflows of a connected MPTCP socket, in the order of their numbers.

    Raises ToolError if the connection is none of MPTCP, any more.
    """
    infos = (_SubflowInfo * MAX_SUBFLOWS)()
    tcp_infos = (_TcpInfo * MAX_SUBFLOWS)()
    full = _FullInfo(
        size_tcpinfo_user=ctypes.sizeof(_TcpInfo),
        size_sfinfo_user=ctypes.sizeof(_SubflowInfo),
        size_arrays_user=MAX_SUBFLOWS,
        subflow_info=ctypes.addressof(infos),
        tcp_info=ctypes.addressof(tcp_infos),
    )
    size = ctypes.c_uint32(ctypes.sizeof(full))
    if _libc.getsockopt(sock.fileno(), SOL_MPTCP, MPTCP_FULL_INFO, ctypes.byref(full), ctypes.byref(size)) != 0:
        raise ToolError(f"the connection has no MPTCP subflows to tell of: {os.strerror(ctypes.get_errno())}")
    found = [
        Subflow(
            id=info.id,
            local=_address(bytes(info.local)),
            remote=_address(bytes(info.remote)),
            bytes_sent=tcp_info.bytes_sent,
            established=tcp_info.state == TCP_ESTABLISHED,
            local_port=_port(bytes(info.local)),
            remote_port=_port(bytes(info.remote)),
        )
        for info, tcp_info, _ in zip(infos, tcp_infos, range(full.num_subflows))  # noqa: B905  # the shortest counts
    ]
    return sorted(found)


def _port(raw: bytes) -> int:
    """The port in a struct sockaddr_storage, which is at the same place in both families."""
    (port,) = struct.unpack_from("!H", raw, 2)
    return int(port)


def _address(raw: bytes) -> str:
    """The address in a struct sockaddr_storage, without its port."""
    (family,) = struct.unpack_from("=H", raw)
    start, size = (4, 4) if family == socket.AF_INET else (8, 16)
    return socket.inet_ntop(family, raw[start : start + size])
