# SPDX-License-Identifier: BSD-2-Clause
"""Path managers: the kernel's own and the same in BPF, which addresses they use, and what the peer hears of it."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

import pytest
from lab import FAMILIES, IPV4, SOL_MPTCP, TCP_IS_MPTCP, Connection, Lab, assert_ran, info, wait_for
from netlink import Address, Flag
from pyroute2 import NetlinkError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab import Load

    import rawbpf

WAKE = 0x7061


def refused(call: Callable[..., object], *arguments: object) -> int:
    with pytest.raises(NetlinkError) as caught:
        call(*arguments)
    return int(caught.value.code)


def subflow_from(connection: Connection, address: str) -> tuple[Address, Address]:
    """The ends of the client's subflow from that address."""
    (found,) = (subflow for subflow in connection.established() if subflow.local == address)
    return Address(found.local, port=found.local_port), Address(found.remote, port=found.remote_port)


def manage_endpoints(lab: Lab) -> None:
    """What the administrator does with endpoints, and what a connection makes of it."""
    managers = lab.path_managers
    managers.flush()
    assert managers.endpoints() == []
    managers.set_limits(1, 3)
    assert managers.limits() == (1, 3)
    managers.set_limits(4, 4)
    assert managers.limits() == (4, 4)

    lab.endpoints(
        Address(IPV4[1], flags=Flag.SUBFLOW),
        Address(IPV4[2], 7, Flag.SUBFLOW | Flag.BACKUP),
        Address(IPV4[3], 100, Flag.SIGNAL),
    )
    assert [(entry.address, entry.id) for entry in managers.endpoints()] == [(IPV4[1], 1), (IPV4[2], 7), (IPV4[3], 100)]
    assert managers.endpoint(7).flags == Flag.SUBFLOW | Flag.BACKUP
    assert refused(managers.endpoint, 8) == errno.EINVAL
    assert refused(managers.add, Address(IPV4[1], flags=Flag.SUBFLOW)) == errno.EEXIST
    managers.delete(100)

    with lab.connection() as connection:
        connection.wait_locals(*IPV4[:3])
        with lab.counted(MPPrioRx=1):
            managers.set_flags(Address(IPV4[2]))
        assert managers.endpoint(7).flags == Flag.SUBFLOW
        with lab.counted(MPPrioRx=1):
            managers.set_flags(Address(IPV4[2], flags=Flag.BACKUP))
        assert managers.endpoint(7).flags == Flag.SUBFLOW | Flag.BACKUP
        managers.delete(1)
        connection.wait_locals(IPV4[0], IPV4[2])
        managers.add(Address(IPV4[3], 9, Flag.SUBFLOW))
        connection.wait_locals(IPV4[0], IPV4[2], IPV4[3])
        managers.add(Address(IPV4[1], flags=Flag.SUBFLOW))
        connection.wait_locals(*IPV4)
        managers.flush()
        connection.wait_locals(IPV4[0])
        assert managers.endpoints() == []


def limited(lab: Lab) -> None:
    lab.path_managers.flush()
    lab.path_managers.set_limits(1, 0)
    lab.endpoints(*(Address(address, flags=Flag.SUBFLOW) for address in IPV4[1:]))
    with lab.connection() as connection:
        connection.wait_locals(*IPV4[:2])


def announced(lab: Lab) -> None:
    """The server announces an address: the client connects to it, and closes that subflow when the address goes."""
    lab.path_managers.flush()
    lab.path_managers.set_limits(4, 4)
    lab.endpoints(Address(IPV4[3], 100, Flag.SIGNAL))
    with lab.connection() as connection:
        wait_for(lambda: any(each.remote == IPV4[3] for each in connection.established()), "a subflow to the address")
        lab.path_managers.delete(100)
        wait_for(lambda: len(connection.established()) == 1, "it is closed")


def test_netlink_pm(lab: Lab, test_kernel: None) -> None:
    manage_endpoints(lab)
    limited(lab)
    announced(lab)


def test_bpf_netlink_pm(lab: Lab, load: Load, test_kernel: None) -> None:
    obj = load("mptcp_bpf_netlink_pm")
    assert "bpf_netlink" in lab.sysctl("available_path_managers").split()
    lab.sysctl("path_manager", "bpf_netlink")
    manage_endpoints(lab)
    limited(lab)
    announced(lab)
    assert_ran(obj, *obj.programs)


def manage_by_hand(lab: Lab, family: str) -> None:
    """What a daemon does for one connection."""
    first, second, third, fourth = FAMILIES[family]
    managers = lab.path_managers
    with lab.connection(first) as connection:
        token = connection.token
        port = connection.client.getpeername()[1]
        managers.create(token, Address(second, 100), Address(first, port=port))
        connection.wait_locals(first, second)
        entry = managers.address(token, 100)
        assert (entry.address, entry.id, entry.flags) == (second, 100, Flag.SUBFLOW)

        local, remote = subflow_from(connection, second)
        with lab.counted(MPPrioRx=1):
            managers.set_subflow_flags(token, local._replace(flags=Flag.BACKUP), remote)
        assert managers.address(token, 100).flags == Flag.SUBFLOW | Flag.BACKUP
        with lab.counted(MPPrioRx=1):
            managers.set_subflow_flags(token, local, remote)
        assert managers.address(token, 100).flags == Flag.SUBFLOW

        managers.destroy(token, local, remote)
        connection.wait_locals(first)
        assert managers.addresses(token) == []
        assert refused(managers.address, token, 100) == errno.EINVAL

        server = info(connection.server).token
        with lab.counted(AddAddr=1, EchoAdd=1):
            managers.announce(server, Address(third, 200, Flag.SIGNAL))
        assert [(entry.address, entry.id) for entry in managers.addresses(server)] == [(third, 200)]
        with lab.counted(RmAddr=1):
            managers.remove(server, 200)
        assert managers.addresses(server) == []
        managers.create(token, Address(second, 100), Address(first, port=port))
        connection.wait_locals(first, second)
        with lab.counted(RmAddr=1):
            managers.remove(token, 0)
        connection.wait_locals(second)

        # To an address that the server was not told of: it takes it, by the next id
        managers.create(token, Address(third, 101), Address(fourth, port=port))
        connection.wait_locals(second, third)
        assert [(entry.address, entry.id) for entry in managers.addresses(server)] == [(fourth, 1)]


@pytest.mark.parametrize("family", FAMILIES)
def test_userspace_pm(lab: Lab, test_kernel: None, family: str) -> None:
    lab.sysctl("pm_type", "1")
    lab.path_managers.listen()
    manage_by_hand(lab, family)


@pytest.mark.parametrize("family", FAMILIES)
def test_bpf_userspace_pm(lab: Lab, load: Load, test_kernel: None, family: str) -> None:
    obj = load("mptcp_bpf_userspace_pm")
    lab.sysctl("path_manager", "bpf_userspace")
    manage_by_hand(lab, family)
    assert_ran(obj, *(obj.programs.keys() - {"userspace_accept_new_address"}))


def test_iters_netlink_address(lab: Lab, cgroup: Path, load: Load, test_kernel: None) -> None:
    obj = load("mptcp_bpf_iters", cgroup)
    numbers = (10, 20, 30)
    lab.endpoints(*(Address(address, number, Flag.SUBFLOW) for address, number in zip(IPV4[1:], numbers, strict=True)))
    with lab.connection() as connection:
        connection.client.getsockopt(socket.IPPROTO_TCP, TCP_IS_MPTCP)
    assert (obj.variables["endpoints"].value, obj.variables["endpoint_ids"].value) == (3, sum(numbers))


def test_iters_userspace_address(lab: Lab, cgroup: Path, load: Load, test_kernel: None) -> None:
    obj = load("mptcp_bpf_iters", cgroup)
    lab.sysctl("pm_type", "1")
    lab.path_managers.listen()
    with lab.connection() as connection:
        remote = Address(IPV4[0], port=connection.client.getpeername()[1])
        for address, number in zip(IPV4[1:], (10, 20, 30), strict=True):
            lab.path_managers.create(connection.token, Address(address, number), remote)
        connection.wait_locals(*IPV4)
        connection.client.getsockopt(socket.IPPROTO_TCP, TCP_IS_MPTCP)
    found = (obj.variables["userspace_addresses"].value, obj.variables["userspace_ids"].value)
    assert found == (3, 10 + 20 + 30)


class HashMap:
    """The path manager's map, for one end of a connection."""

    def __init__(self, obj: rawbpf.Object, sock: socket.socket) -> None:
        self._map = obj.maps["addresses"]
        self._sock = sock
        self._token = info(sock).token

    def want(self, number: int, address: str, flags: Flag) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        raw = socket.inet_pton(family, address).ljust(16, b"\0")
        words = [int.from_bytes(raw[place : place + 4], "little") for place in range(0, 16, 4)]
        key = {"token": self._token, "id": number}
        present = self._map[key]["present"] if key in self._map else 0
        entry = {"family": int(family), "address": words, "wanted": int(flags), "present": present, "error": 0}
        self._map[key] = entry
        self._sock.setsockopt(SOL_MPTCP, WAKE, 1)

    def entry(self, number: int) -> Any:
        return self._map[{"token": self._token, "id": number}]

    def reached(self, number: int) -> bool:
        entry = self.entry(number)
        return bool(entry["present"] == entry["wanted"])


@pytest.mark.parametrize("family", FAMILIES)
def test_bpf_hashmap_pm(lab: Lab, cgroup: Path, load: Load, test_kernel: None, family: str) -> None:
    first, second, third, fourth = FAMILIES[family]
    obj = load("mptcp_bpf_hashmap_pm", cgroup)
    lab.sysctl("path_manager", "bpf_hashmap")
    with lab.connection(first) as connection:
        client, server = HashMap(obj, connection.client), HashMap(obj, connection.server)

        def reach(end: HashMap, number: int, address: str, flags: Flag) -> None:
            end.want(number, address, flags)
            wait_for(lambda: end.reached(number), f"{number} is {flags!r}, error {end.entry(number)['error']}")

        reach(client, 100, second, Flag.SUBFLOW)
        connection.wait_locals(first, second)
        with lab.counted(MPPrioRx=1):
            reach(client, 100, second, Flag.SUBFLOW | Flag.BACKUP)
        with lab.counted(MPPrioRx=1):
            reach(client, 100, second, Flag.SUBFLOW)
        reach(client, 100, second, Flag(0))
        connection.wait_locals(first)
        with lab.counted(AddAddr=1, EchoAdd=1):
            reach(server, 200, third, Flag.SIGNAL)
        join_only_known(lab, connection, third, fourth)
        with lab.counted(RmAddr=1):
            reach(server, 200, third, Flag(0))
        connection.wait_locals(first)
        reach(client, 100, second, Flag.SUBFLOW)
        connection.wait_locals(first, second)
        with lab.counted(AddAddr=1):
            reach(client, 0, first, Flag.SIGNAL)
        with lab.counted(RmAddr=1):
            reach(client, 0, first, Flag(0))
        connection.wait_locals(second)
    assert_ran(obj, *obj.programs)


def join_only_known(lab: Lab, connection: Connection, known: str, unknown: str) -> None:
    """The client joins at an address that the server's map has; at one that it has not it is refused."""
    before = connection.locals()
    port = connection.client.getpeername()[1]
    for remote in (unknown, known):
        lab.path_managers.create(connection.token, Address(known, 101), Address(remote, port=port))
    connection.wait_locals(*before, known)
    assert {subflow.remote for subflow in connection.established()} == {*before, known}
