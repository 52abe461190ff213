# SPDX-License-Identifier: BSD-2-Clause
"""Send a number of bytes over one MPTCP connection from one namespace to another, and watch its subflows meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from tools.lab import subflows
from tools.lib.report import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.lab.netns import Namespace
    from tools.lab.subflows import Subflow

    Watch = Callable[[float, list[Subflow]], None]

IPPROTO_MPTCP = 262
CHUNK = bytes(1 << 18)
CONNECT_SECONDS = 30.0
TRANSFER_SECONDS = 300.0
SAMPLE_SECONDS = 0.04


class Transfer(NamedTuple):
    """What became of it."""

    scheduler: str
    seconds: float
    """From the first byte to the receiver's word that it has the last."""
    subflows: list[Subflow]


def run(client: Namespace, server: Namespace, address: str, size: int, count: int, watch: Watch) -> Transfer:
    """Send `size` bytes from client to server over `count` subflows, all of which are up before the first byte.

    `watch` is called with seconds and subflows, while data flows and at the end. The scheduler is the one of the
    client's namespace. Raises ToolError and OSError.
    """
    scheduler = client.sysctl("net.mptcp.scheduler")
    with _listener(server) as listener:
        receiver = threading.Thread(target=_receive, args=(listener, size), daemon=True)
        receiver.start()
        with _connected(client, (address, listener.getsockname()[1])) as sock:
            _wait_for_subflows(sock, count)
            seconds = _send_and_watch(sock, size, watch)
            final = subflows.read(sock)
            if len(final) != count:
                raise ToolError(f"{len(final)} of {count} subflows are left at the end of the transfer")
            watch(seconds, final)
        receiver.join(CONNECT_SECONDS)
    return Transfer(scheduler, seconds, final)


def _listener(server: Namespace) -> socket.socket:
    """On all addresses, for subflows come to each."""
    with server.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    sock.bind(("", 0))
    sock.listen()
    sock.settimeout(CONNECT_SECONDS)
    return sock


def _connected(client: Namespace, address: tuple[str, int]) -> socket.socket:
    with client.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    sock.settimeout(CONNECT_SECONDS)
    try:
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    sock.settimeout(TRANSFER_SECONDS)
    return sock


def _receive(listener: socket.socket, size: int) -> None:
    """The server: take everything, say so, and wait for the client to go first, for its subflows are yet to be read."""
    try:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(TRANSFER_SECONDS)
            received = 0
            buffer = bytearray(len(CHUNK))
            while received < size:
                count = connection.recv_into(buffer)
                if count == 0:
                    return
                received += count
            connection.sendall(b"!")
            connection.recv(1)
    except OSError:
        return  # the client is the one to tell of it


def _wait_for_subflows(sock: socket.socket, count: int) -> None:
    deadline = time.monotonic() + CONNECT_SECONDS
    while sum(subflow.established for subflow in subflows.read(sock)) < count:
        if time.monotonic() > deadline:
            found = len(subflows.read(sock))
            raise ToolError(f"{found} of {count} subflows came up in {CONNECT_SECONDS:g} s")
        time.sleep(0.01)


def _send_and_watch(sock: socket.socket, size: int, watch: Watch) -> float:
    """Returns the seconds that it took."""
    failure: list[OSError] = []
    done = threading.Event()

    def send() -> None:
        try:
            for start in range(0, size, len(CHUNK)):
                sock.sendall(memoryview(CHUNK)[: size - start])
            if sock.recv(1) != b"!":
                raise ConnectionAbortedError("the receiver closed the connection")
        except OSError as error:
            failure.append(error)
        finally:
            done.set()

    begun = time.monotonic()
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    while not done.wait(SAMPLE_SECONDS):
        watch(time.monotonic() - begun, subflows.read(sock))
    seconds = time.monotonic() - begun
    sender.join()
    if failure:
        raise failure[0]
    return seconds
