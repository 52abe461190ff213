# SPDX-License-Identifier: BSD-2-Clause
"""What the subtests run in: a network namespace with four addresses of each family, connections within it, a cgroup."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from netlink import Address, PathManagers
from pyroute2 import IPRoute

from tools.lab import subflows
from tools.lab.netns import Namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    import rawbpf
    from tools.lab.subflows import Subflow

    Load: TypeAlias = Callable[..., rawbpf.Object]
    """``load("mptcp_sock", cgroup=..., variable=value)`` loads an object of objs/, and attaches what attaches."""

ROOT = Path(__file__).resolve().parent.parent.parent
COUNT = 4
IPV4 = tuple(f"10.0.{number}.1" for number in range(1, COUNT + 1))
IPV6 = tuple(f"dead:beef:{number}::1" for number in range(1, COUNT + 1))
FAMILIES = {"ipv4": IPV4, "ipv6": IPV6}
IPPROTO_MPTCP = 262
SOL_MPTCP = 284
MPTCP_INFO = 1
TCP_IS_MPTCP = 43
SECONDS = 20.0
CHUNK = 1 << 18


class Info(NamedTuple):
    """What MPTCP_INFO tells of a connection."""

    subflows: int
    """Besides the first."""
    fallback: bool
    remote_key: bool
    token: int


def info(sock: socket.socket) -> Info:
    raw = sock.getsockopt(SOL_MPTCP, MPTCP_INFO, 16)
    flags, token = struct.unpack_from("=II", raw, 8)
    return Info(raw[0], bool(flags & 1), bool(flags & 2), token)


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Fail unless the condition becomes true within SECONDS."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {SECONDS:g} s: {what}"
        time.sleep(0.005)


def assert_ran(obj: rawbpf.Object, *programs: str) -> None:
    """Fail unless each of these programs of an object has run since `load`."""
    runs = {name: obj.programs[name].info.run_cnt for name in programs}
    assert all(runs.values()), runs


class Connection:
    """Both ends of a connection."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server

    def close(self) -> None:
        self.client.close()
        self.server.close()

    @property
    def token(self) -> int:
        """By which the client's kernel knows it."""
        return info(self.client).token

    def established(self, sock: socket.socket | None = None) -> list[Subflow]:
        return [subflow for subflow in subflows.read(sock or self.client) if subflow.established]

    def locals(self) -> list[str]:
        """The addresses that the client's subflows are from, sorted."""
        return sorted(subflow.local for subflow in self.established())

    def wait_locals(self, *addresses: str) -> None:
        expected = sorted(addresses)
        wait_for(lambda: self.locals() == expected, f"the client has subflows from {expected}, not {self.locals()}")
        wait_for(lambda: len(self.established(self.server)) == len(expected), "so many at the server")

    def send(self, size: int = 10 << 20) -> None:
        """From the server to the client, who counts."""

        def serve() -> None:
            left = size
            while left:
                left -= self.server.send(bytes(min(left, CHUNK)))

        sender = threading.Thread(target=serve, daemon=True)
        sender.start()
        received = 0
        while received < size:
            piece = self.client.recv(CHUNK)
            assert piece, f"the connection ended after {received} bytes"
            received += len(piece)
        sender.join(SECONDS)
        assert not sender.is_alive()

    def sent_to(self) -> dict[str, int]:
        """Bytes by the address of the client that they went to."""
        return {subflow.remote: subflow.bytes_sent for subflow in subflows.read(self.server)}


class Lab:
    """One namespace, where both ends of a connection are."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.namespace = self._stack.enter_context(Namespace())
        self._make_links()
        self.path_managers = PathManagers(self.namespace)
        self._stack.callback(self.path_managers.close)
        self.path_managers.set_limits(COUNT, COUNT)

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _make_links(self) -> None:
        with self.namespace.entered(), IPRoute() as netlink:
            self._up(netlink, "lo")
            for number in range(1, COUNT + 1):
                netlink.link("add", ifname=f"veth{number}", kind="veth", peer=f"peer{number}")
                self._up(netlink, f"peer{number}")
                index = self._up(netlink, f"veth{number}")
                netlink.addr("add", index=index, address=IPV4[number - 1], prefixlen=24)
                netlink.addr("add", index=index, address=IPV6[number - 1], prefixlen=64, flags=2)  # IFA_F_NODAD

    @staticmethod
    def _up(netlink: IPRoute, name: str) -> int:
        (index,) = netlink.link_lookup(ifname=name)
        netlink.link("set", index=index, state="up")
        return int(index)

    def sysctl(self, name: str, value: str | None = None) -> str:
        return str(self.namespace.sysctl(f"net.mptcp.{name}", value))

    def cut(self, number: int) -> None:
        """Take the IPv4 address of a link away, for good: what is sent to it or from it is lost."""
        with self.namespace.entered(), IPRoute() as netlink:
            (index,) = netlink.link_lookup(ifname=f"veth{number}")
            netlink.addr("delete", index=index, address=IPV4[number - 1], prefixlen=24)

    def counters(self) -> dict[str, int]:
        """The MPTCP counters of the namespace, in which both ends of a connection are. C: mptcp_snmp_list."""
        with self.namespace.entered():
            lines = Path("/proc/thread-self/net/netstat").read_text().splitlines()
        names, values = (line.split()[1:] for line in lines if line.startswith("MPTcpExt:"))
        return dict(zip(names, map(int, values), strict=True))

    @contextmanager
    def counted(self, **expected: int) -> Iterator[None]:
        """Fail unless these counters grow by so much: ``with lab.counted(MPPrioRx=1)``, the peer heard of a backup."""
        before = self.counters()
        yield

        def grown() -> dict[str, int]:
            now = self.counters()
            return {name: now[name] - before[name] for name in expected}

        wait_for(lambda: grown() == expected, f"the counters grow by {expected}")

    def endpoints(self, *endpoints: Address) -> None:
        for endpoint in endpoints:
            self.path_managers.add(endpoint)

    @contextmanager
    def connection(
        self, address: str = IPV4[0], protocol: int = IPPROTO_MPTCP, source: str = ""
    ) -> Iterator[Connection]:
        """A connection to that address, from `source`, or else from that address too, as the routes have it."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with ExitStack() as stack:
            with self.namespace.entered():
                listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM, protocol))
                client = stack.enter_context(socket.socket(family, socket.SOCK_STREAM, protocol))
            listener.bind(("", 0))
            listener.listen()
            listener.settimeout(SECONDS)
            client.settimeout(SECONDS)
            client.bind((source, 0))
            client.connect((address, listener.getsockname()[1]))
            server = stack.enter_context(listener.accept()[0])
            server.settimeout(SECONDS)
            # A byte each way: the connection is fully established at both ends
            client.sendall(b"?")
            assert server.recv(1) == b"?"
            server.sendall(b"!")
            assert client.recv(1) == b"!"
            yield Connection(client, server)


@contextmanager
def own_cgroup() -> Iterator[Path]:
    """A new cgroup that this process is in meanwhile."""
    top = next(
        path for path in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")) if (path / "cgroup.procs").exists()
    )
    before = top / Path("/proc/self/cgroup").read_text().splitlines()[-1].split("::")[1].lstrip("/")
    group = top / f"rawbpf-mptcp-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text("0")
        yield group
    finally:
        (before / "cgroup.procs").write_text("0")
        wait_for(lambda: _removed(group), f"{group} is empty")


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True
