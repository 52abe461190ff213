# SPDX-License-Identifier: BSD-2-Clause
"""A process in a control group that does everything that programs for control groups can see. Argument: the group."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path


def main(group: str) -> None:
    Path(group, "cgroup.procs").write_text(str(os.getpid()))
    Path("/proc/sys/kernel/ostype").read_text()
    Path("/dev/null").write_bytes(b"x")
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        datagrams(family, address)
        connection(family, address)
    unix()


def datagrams(family: int, address: str) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as receiver, socket.socket(family, socket.SOCK_DGRAM) as sender:
        receiver.bind((address, 0))
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        receiver.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        sender.sendto(b"x", receiver.getsockname())
        receiver.recvfrom(1)


def connection(family: int, address: str) -> None:
    with socket.socket(family) as listener, socket.socket(family) as client:
        listener.bind((address, 0))
        listener.listen()
        client.connect(listener.getsockname())
        client.getpeername()


def unix() -> None:
    names = [f"\0rawbpf-{os.getpid()}-{number}" for number in range(2)]
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(names[0])
        sender.bind(names[1])
        sender.sendto(b"x", names[0])
        receiver.recvfrom(1)
        sender.connect(names[0])
        sender.getpeername()
        sender.getsockname()


if __name__ == "__main__":
    main(sys.argv[1])
