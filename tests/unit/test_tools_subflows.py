# SPDX-License-Identifier: BSD-2-Clause
"""What is read of subflows, by kernels of three ages: the getsockopt calls are replaced by what those answer."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest

from tools.lab import subflows
from tools.lab.subflows import MPTCP_FULL_INFO, MPTCP_SUBFLOW_ADDRS, MPTCP_TCPINFO, Subflow
from tools.lib.report import ToolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Row = tuple[str, str, int, int]
"""Of a subflow: local, remote, bytes sent, state."""
CLOSING = 8
ROWS: list[Row] = [("10.0.1.1", "10.0.1.2", 500, subflows.TCP_ESTABLISHED), ("10.0.2.1", "10.0.2.2", 7, CLOSING)]


def address(text: str, port: int) -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(text)


class OldKernel:
    """Has MPTCP_TCPINFO and MPTCP_SUBFLOW_ADDRS, or nothing; each call sees the next of the connection's `views`."""

    def __init__(self, views: Sequence[list[Row]], has: tuple[int, ...]) -> None:
        self._views = iter(views)
        self._last: list[Row] = []
        self._has = has
        self.calls: list[int] = []

    def getsockopt(self, sock: socket.socket, option: int, buffer: Any) -> None:
        self.calls.append(option)
        if option not in self._has:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        self._last = rows = next(self._views, self._last)
        assert buffer.head.size_subflow_data == 16
        assert buffer.head.num_subflows == buffer.head.size_kernel == 0  # or it is EINVAL
        assert buffer.head.size_user == ctypes.sizeof(buffer.all[0])
        buffer.head.num_subflows = len(rows)
        for element, (local, remote, sent, state) in zip(buffer.all, rows, strict=False):
            if option == MPTCP_TCPINFO:
                element.state, element.bytes_sent = state, sent
            else:
                for place, raw in ((element.local, address(local, 1000)), (element.remote, address(remote, 80))):
                    ctypes.memmove(place, raw, len(raw))


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as made:
        yield made


def use(monkeypatch: pytest.MonkeyPatch, *views: list[Row], has: tuple[int, ...]) -> OldKernel:
    kernel = OldKernel(views, has)
    monkeypatch.setattr(subflows, "_getsockopt", kernel.getsockopt)
    return kernel


def test_linux_5_16_to_6_4(sock: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = use(monkeypatch, ROWS, has=(MPTCP_TCPINFO, MPTCP_SUBFLOW_ADDRS))
    assert subflows.read(sock) == [
        Subflow(1, "10.0.1.1", "10.0.1.2", 500, True, 1000, 80),
        Subflow(2, "10.0.2.1", "10.0.2.2", 7, False, 1000, 80),
    ]
    assert kernel.calls == [MPTCP_FULL_INFO, MPTCP_SUBFLOW_ADDRS, MPTCP_TCPINFO, MPTCP_SUBFLOW_ADDRS]


def test_a_subflow_that_goes_meanwhile_is_not_taken_for_another(
    sock: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = use(monkeypatch, ROWS, ROWS[1:], has=(MPTCP_TCPINFO, MPTCP_SUBFLOW_ADDRS))
    assert [(each.local, each.bytes_sent) for each in subflows.read(sock)] == [("10.0.2.1", 7)]
    assert kernel.calls.count(MPTCP_TCPINFO) == 2


def test_more_subflows_than_there_is_room_for(sock: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ROWS * 9, has=(MPTCP_TCPINFO, MPTCP_SUBFLOW_ADDRS))
    assert [each.id for each in subflows.read(sock)] == list(range(1, subflows.MAX_SUBFLOWS + 1))


def test_before_linux_5_16(sock: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, has=())
    with pytest.raises(ToolError, match="no MPTCP subflows to tell of: Operation not supported") as caught:
        subflows.read(sock)
    assert "older than Linux 5.16" in caught.value.hint


def test_a_socket_that_is_not_mptcp(sock: socket.socket) -> None:
    with pytest.raises(ToolError, match="the connection has no MPTCP subflows to tell of"):
        subflows.read(sock)
