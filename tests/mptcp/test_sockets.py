# SPDX-License-Identifier: BSD-2-Clause
"""Programs at sockets: what they see of MPTCP connections, and what they make of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from lab import FAMILIES, IPPROTO_MPTCP, IPV4, TCP_IS_MPTCP, assert_ran, info
from netlink import Address, Flag

if TYPE_CHECKING:
    from pathlib import Path

    from lab import Connection, Lab, Load

SO_MARK = 36


def with_endpoints(lab: Lab, count: int) -> tuple[str, ...]:
    """Endpoints, so that a connection gets that many subflows besides its first. Returns all addresses."""
    lab.endpoints(*(Address(address, flags=Flag.SUBFLOW) for address in IPV4[1 : count + 1]))
    return IPV4[: count + 1]


def ask(connection: Connection) -> int:
    """TCP_IS_MPTCP, at which the programs of objs/ look at the socket."""
    return connection.client.getsockopt(socket.IPPROTO_TCP, TCP_IS_MPTCP)


def default_congestion_control(lab: Lab) -> str:
    return lab.namespace.sysctl("net.ipv4.tcp_congestion_control")


@pytest.mark.parametrize("family", FAMILIES)
def test_base(lab: Lab, cgroup: Path, load: Load, family: str) -> None:
    address = FAMILIES[family][0]
    obj = load("mptcp_sock", cgroup)
    with lab.connection(address, socket.IPPROTO_TCP) as plain:
        seen = obj.maps["connections"][plain.client.fileno()]
        assert (seen["invoked"], seen["is_mptcp"]) == (1, 0)
    with lab.connection(address) as connection:
        seen = obj.maps["connections"][connection.client.fileno()]
        assert (seen["invoked"], seen["is_mptcp"]) == (1, 1)
        assert seen["first"] == seen["sk"]
        assert seen["token"] == connection.token
        assert seen["ca_name"] == default_congestion_control(lab)


@pytest.mark.parametrize("family", FAMILIES)
def test_base_is_as_the_kernel_began_it(lab: Lab, cgroup: Path, load: Load, test_kernel: None, family: str) -> None:
    connections = load("mptcp_sock", cgroup).maps["connections"]
    created = load("mptcp_created").maps["created"]
    with lab.connection(FAMILIES[family][0]) as connection:
        seen = connections[connection.client.fileno()]
        began = created[seen["sk"]]
        assert (began["token"], began["server_side"]) == (connection.token, 0)
        assert began["ca_name"] == seen["ca_name"]


def protocol_of(sock: socket.socket) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scope", ["pid", "cgroup"])
def test_mptcpify(lab: Lab, cgroup: Path, load: Load, test_kernel: None, scope: str, family: str) -> None:
    whose = {"pid": os.getpid()} if scope == "pid" else {"cgroup_id": cgroup.stat().st_ino}
    obj = load("mptcpify", **whose)
    with lab.connection(FAMILIES[family][0], socket.IPPROTO_TCP) as connection:
        for sock in (connection.client, connection.server):
            assert protocol_of(sock) == IPPROTO_MPTCP
            assert not info(sock).fallback
            assert info(sock).remote_key
    assert obj.variables["sockets"].value == 2


MAKE_SOCKET = "import socket; print(socket.socket().getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL))"


def test_mptcpify_leaves_others_alone(cgroup: Path, load: Load, test_kernel: None) -> None:
    load("mptcpify", pid=os.getpid())
    with socket.socket() as mine:
        assert protocol_of(mine) == IPPROTO_MPTCP
    other = subprocess.run([sys.executable, "-c", MAKE_SOCKET], stdout=subprocess.PIPE, text=True, check=True)
    assert int(other.stdout) == socket.IPPROTO_TCP


def test_mptcpify_of_a_cgroup_leaves_others_alone(cgroup: Path, load: Load, test_kernel: None) -> None:
    load("mptcpify", cgroup_id=cgroup.stat().st_ino)
    inside = subprocess.run([sys.executable, "-c", MAKE_SOCKET], stdout=subprocess.PIPE, text=True, check=True)
    assert int(inside.stdout) == IPPROTO_MPTCP
    (cgroup.parent / "cgroup.procs").write_text("0")
    with socket.socket() as mine:
        assert protocol_of(mine) == socket.IPPROTO_TCP


@pytest.mark.parametrize(
    ("family", "kind", "protocol"),
    [
        (socket.AF_INET, socket.SOCK_DGRAM, 0),
        (socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_UDP),
        (socket.AF_UNIX, socket.SOCK_STREAM, 0),
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP),
        (socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP),
    ],
    ids=["UDP", "UDP over IPv6", "AF_UNIX", "SCTP", "MPTCP"],
)
def test_mptcpify_leaves_other_protocols_alone(
    cgroup: Path, load: Load, test_kernel: None, family: int, kind: int, protocol: int
) -> None:
    before = protocol_made(family, kind, protocol)
    obj = load("mptcpify", pid=os.getpid())
    assert protocol_made(family, kind, protocol) == before
    assert_ran(obj, "on_socket")
    assert obj.variables["sockets"].value == 0


def protocol_made(family: int, kind: int, protocol: int) -> int:
    """What a socket that is asked for comes to be; a negative errno if it cannot be had."""
    try:
        with socket.socket(family, kind, protocol) as sock:
            return protocol_of(sock)
    except OSError as error:
        return -(error.errno or 0)


def test_subflow(lab: Lab, cgroup: Path, load: Load) -> None:
    obj = load("mptcp_subflow", cgroup)
    addresses = with_endpoints(lab, 1)
    with lab.connection() as connection:
        connection.wait_locals(*addresses)
        assert ask(connection) == 1
    found = {name: obj.variables[name].value for name in ("checked", "wrong_marks", "wrong_ca", "msk_mark")}
    assert found == {"checked": 2, "wrong_marks": 0, "wrong_ca": 0, "msk_mark": 0}
    assert obj.variables["msk_ca"].value == default_congestion_control(lab) != "reno"


def test_iters_subflow(lab: Lab, cgroup: Path, load: Load, test_kernel: None) -> None:
    obj = load("mptcp_bpf_iters", cgroup)
    addresses = with_endpoints(lab, 3)
    with lab.connection() as connection:
        connection.wait_locals(*addresses)
        ask(connection)
    assert (obj.variables["subflows"].value, obj.variables["subflow_ids"].value) == (4, 1 + 2 + 3 + 4)


def test_sockopt(lab: Lab, cgroup: Path, load: Load, test_kernel: None) -> None:
    obj = load("mptcp_bpf_sockopt", cgroup)
    addresses = with_endpoints(lab, 2)
    with lab.connection() as connection:
        connection.wait_locals(*addresses)
        connection.client.setsockopt(socket.SOL_SOCKET, SO_MARK, 1)
        connection.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
        connection.client.getsockopt(socket.SOL_SOCKET, SO_MARK)
    found = [obj.variables[name].value for name in ("last_error", "subflows", "marks", "with_reno")]
    assert found == [0, 3, 3, 3]
