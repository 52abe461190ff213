# SPDX-License-Identifier: BSD-2-Clause
"""Send bytes over MPTCP connections between two namespaces, and watch their subflows meanwhile."""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import ExitStack
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from tools.lab import subflows
from tools.lib.report import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.lab.netns import Namespace
    from tools.lab.subflows import Subflow

    Watch = Callable[[float, list[Subflow]], None]
    Pair = tuple[socket.socket, socket.socket]
    """Of a connection: the one that sends, or is the client's, comes first."""

IPPROTO_MPTCP = 262
CHUNK = bytes(1 << 18)
CONNECT_SECONDS = 30.0
SETTLE_SECONDS = 2.0
TRANSFER_SECONDS = 300.0
STALL_SECONDS = 10.0
"""Without a byte that arrives, after which there is nothing to wait for."""
SAMPLE_SECONDS = 0.04


class Stalled(Exception):
    """Nothing has arrived for STALL_SECONDS."""


class Direction(Enum):
    """Who sends."""

    UP = "up"  # the client
    DOWN = "down"  # the server
    BOTH = "both"


class Ends(NamedTuple):
    """Of the connections."""

    client: Namespace
    server: Namespace
    address: str
    """Of the server, to connect to."""


class Traffic(NamedTuple):
    """What is sent."""

    size: int
    """Bytes, over all streams; to each side, if both send."""
    streams: int = 1
    """Connections at a time."""
    direction: Direction = Direction.UP


class Sample(NamedTuple):
    """What the subflows had sent at a moment."""

    seconds: float
    subflows: list[Subflow]


class Transfer(NamedTuple):
    """What became of it."""

    scheduler: str
    seconds: float
    """From the first byte to the last one received."""
    received: int
    """Bytes, by the applications."""
    subflows: list[Subflow]
    """In the end; those of several streams over the same path are counted as one."""
    samples: list[Sample]


def run(ends: Ends, scheduler: str, traffic: Traffic, count: int | None, watch: Watch) -> Transfer:
    """Send what `traffic` says, each connection over `count` subflows, all of which are up before the first byte.

    With a count of None, over those that come up in SETTLE_SECONDS. `watch` is called with seconds and subflows, while
    data flows and at the end. The scheduler is the one that has been chosen. Raises Stalled, ToolError and OSError.
    """
    with ExitStack() as stack:
        ways = _ways(_connect(ends, traffic.streams, stack), traffic.direction)
        senders = [sender for sender, _ in ways]
        if count is None:
            time.sleep(SETTLE_SECONDS)
        else:
            for sender in senders:
                wait_for_subflows(sender, count)
        samples = [Sample(0.0, _read(senders))]

        def look(seconds: float) -> None:
            samples.append(Sample(seconds, _read(senders)))
            watch(*samples[-1])

        seconds = _send_and_watch(ways, _shares(traffic), look)
        look(seconds)
    return Transfer(scheduler, seconds, sum(_shares(traffic)), samples[-1].subflows, samples)


def merge(found: list[Subflow]) -> list[Subflow]:
    """Subflows over the same path, which are of several connections, as one: with all that they sent."""
    merged: dict[tuple[str, str], Subflow] = {}
    for subflow in found:
        path = subflow.local, subflow.remote
        before = merged.get(path)
        merged[path] = before._replace(bytes_sent=before.bytes_sent + subflow.bytes_sent) if before else subflow
    return list(merged.values())


def _read(senders: list[socket.socket]) -> list[Subflow]:
    return merge([subflow for sender in senders for subflow in subflows.read(sender)])


def listener(server: Namespace) -> socket.socket:
    """On all addresses, for subflows come to each."""
    with server.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    sock.bind(("", 0))
    sock.listen()
    sock.settimeout(CONNECT_SECONDS)
    return sock


def connected(client: Namespace, address: tuple[str, int]) -> socket.socket:
    """An MPTCP connection from the namespace, with the time limit of a transfer. Raises OSError."""
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


def wait_for_subflows(sock: socket.socket, count: int) -> None:
    """Return when so many are up. Raises ToolError if they do not come."""
    deadline = time.monotonic() + CONNECT_SECONDS
    while (found := sum(subflow.established for subflow in subflows.read(sock))) < count:
        if time.monotonic() > deadline:
            raise ToolError(f"{found} of {count} subflows came up in {CONNECT_SECONDS:g} s")
        time.sleep(0.01)


def _connect(ends: Ends, streams: int, stack: ExitStack) -> list[Pair]:
    """Connections from client to server, over which a byte went each way: now they are MPTCP at both ends."""
    listening = stack.enter_context(listener(ends.server))
    pairs = []
    for _ in range(streams):
        near = stack.enter_context(connected(ends.client, (ends.address, listening.getsockname()[1])))
        far = stack.enter_context(listening.accept()[0])
        far.settimeout(TRANSFER_SECONDS)
        for sender, receiver in ((near, far), (far, near)):
            sender.sendall(b"!")
            _receive(receiver, 1)
        pairs.append((near, far))
    return pairs


def _ways(pairs: list[Pair], direction: Direction) -> list[Pair]:
    """Sender and receiver, for each that sends."""
    up = pairs if direction is not Direction.DOWN else []
    down = [(far, near) for near, far in pairs] if direction is not Direction.UP else []
    return up + down


def _shares(traffic: Traffic) -> list[int]:
    """How much each stream carries, each way."""
    least, more = divmod(traffic.size, traffic.streams)
    shares = [least + (number < more) for number in range(traffic.streams)]
    return shares * 2 if traffic.direction is Direction.BOTH else shares


def _send(sock: socket.socket, size: int) -> None:
    for start in range(0, size, len(CHUNK)):
        sock.sendall(memoryview(CHUNK)[: size - start])


def _receive(sock: socket.socket, size: int) -> None:
    buffer = bytearray(min(size, len(CHUNK)))
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    while size:
        if not poll.poll(1000 * STALL_SECONDS):
            raise Stalled
        count = sock.recv_into(buffer, min(size, len(buffer)))
        if not count:
            raise ConnectionAbortedError("the sender closed the connection")
        size -= count


def _send_and_watch(ways: list[Pair], sizes: list[int], look: Callable[[float], None]) -> float:
    """Returns the seconds that it took."""
    failures: list[OSError | Stalled] = []

    def work(move: Callable[[socket.socket, int], None], sock: socket.socket, size: int) -> None:
        try:
            move(sock, size)
        except (OSError, Stalled) as error:
            failures.append(error)

    workers = []
    for (sender, receiver), size in zip(ways, sizes, strict=True):
        for move, sock in ((_send, sender), (_receive, receiver)):
            workers.append(threading.Thread(target=work, args=(move, sock, size), daemon=True))
    begun = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        while worker.is_alive() and not failures:
            worker.join(SAMPLE_SECONDS)
            if worker.is_alive():
                look(time.monotonic() - begun)
    if failures:
        raise failures[0]
    return time.monotonic() - begun
