# SPDX-License-Identifier: BSD-2-Clause
"""In the test kernel: let bad schedulers loose on real connections, and report what became of them and of the kernel.

Arguments: the object with the schedulers that load, then those that must not. Prints one JSON object.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rawbpf import cli
from tools.lab import links, mptcp, subflows, transfer
from tools.lab.netns import Namespace
from tools.lab.shapes import Shape

if TYPE_CHECKING:
    import socket

SIZE = 1 << 20
SLOW_SIZE = 1 << 16
PATIENCE = 60
"""Seconds, with what takes long."""
COUNT = 2
ALARMS = re.compile(r"WARNING:|BUG:|Oops|lockup|stall|refcount_t")


def rawbpf(command: str, *arguments: str) -> str:
    """What it had to say; its first word is the exit code. In this process, for starting Python takes seconds here."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.main([command, *arguments])
    return f"{code} {said.getvalue()}"


class Laboratory:
    """Two namespaces and two paths, and a server that takes whatever comes."""

    def __init__(self, client: Namespace, server: Namespace) -> None:
        self.client = client
        shapes = [Shape(100)] * COUNT
        self._ways = links.join(client, server, shapes)
        for namespace in (client, server):
            mptcp.set_limits(namespace, COUNT - 1)
        mptcp.add_endpoint(server, self._ways[1].right, mptcp.EndpointFlag.SIGNAL)
        self._listener = transfer.listener(server)
        self._listener.settimeout(None)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._drain, args=(connection,), daemon=True).start()

    def _drain(self, connection: socket.socket) -> None:
        with connection:
            while connection.recv(1 << 18):
                pass

    def connect(self, scheduler: str) -> socket.socket:
        self.client.sysctl(mptcp.SCHEDULER, scheduler)
        sock = transfer.connected(self.client, (self._ways[0].right, self._listener.getsockname()[1]))
        transfer.wait_for_subflows(sock, COUNT)
        return sock

    def sent_by(self, scheduler: str) -> int:
        """How much a new connection with this scheduler sends in a second or two."""
        with self.connect(scheduler) as sock:
            return send(sock)


def send(sock: socket.socket, size: int = SIZE, seconds: float = 1) -> int:
    """How much of that goes out in that time, and nearly as much again."""
    before = sent(sock)
    sock.settimeout(seconds)
    with contextlib.suppress(TimeoutError):  # of a scheduler that does not send
        sock.sendall(bytes(size))
    deadline = time.monotonic() + seconds
    while sent(sock) - before < size and time.monotonic() < deadline:
        time.sleep(0.02)
    return sent(sock) - before


def sent(sock: socket.socket) -> int:
    return sum(subflow.bytes_sent for subflow in subflows.read(sock))


class KernelLog:
    """The kernel's messages since this object was made."""

    def __init__(self) -> None:
        self._descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._descriptor, 0, os.SEEK_END)

    def messages(self) -> list[str]:
        messages = []
        with contextlib.suppress(BlockingIOError):
            while True:
                messages.append(os.read(self._descriptor, 8192).decode(errors="replace").partition(";")[2].strip())
        return messages


def counts(name: str) -> dict[str, int]:
    """The variables that the object counts in."""
    _, _, element = rawbpf("map", "dump", "--json", f"/sys/fs/bpf/rawbpf/{name}/maps/_bss").partition(" ")
    return dict(json.loads(element)["value"])


def released(name: str) -> dict[str, int]:
    """The counts when each scheduler that was given to a connection was also taken from it, or after some seconds."""
    deadline = time.monotonic() + PATIENCE
    while (found := counts(name))["releases"] < found["inits"] and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def main(loadable: str, *refused: str) -> None:
    log = KernelLog()
    name = Path(loadable).stem
    report: dict[str, Any] = {"refused": [rawbpf("load", path) for path in refused]}
    with Namespace() as client, Namespace() as server:
        laboratory = Laboratory(client, server)
        report["loaded"] = rawbpf("load", loadable)
        schedulers = ("bad_idle", "bad_failing", "bad_wild", "bad_odd")
        report["sent"] = {scheduler: laboratory.sent_by(scheduler) for scheduler in schedulers}
        with laboratory.connect("bad_slow") as sock:
            report["sent"]["bad_slow"] = send(sock, SLOW_SIZE, PATIENCE)
        report["counts"] = released(name)
        orphans = {scheduler: laboratory.connect(scheduler) for scheduler in schedulers}
        report["unloaded"] = rawbpf("unload", name)
        report["available"] = mptcp.available_schedulers(client)
        report["sent_by_orphans"] = {scheduler: send(sock) for scheduler, sock in orphans.items()}
        for sock in orphans.values():
            sock.close()
        report["default_sent"] = laboratory.sent_by("default")
    report["alarms"] = [message for message in log.messages() if ALARMS.search(message)]
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
