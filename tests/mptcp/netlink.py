# SPDX-License-Identifier: BSD-2-Clause
"""The kernel's MPTCP path managers over generic netlink, family ``mptcp_pm``: all commands, whatever pyroute2 knows."""

from __future__ import annotations

import socket
from enum import IntEnum, IntFlag
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple

from pyroute2.netlink import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, genlmsg, nla
from pyroute2.netlink.generic import GenericNetlinkSocket

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tools.lab.netns import Namespace

FAMILY = "mptcp_pm"
EVENTS = "mptcp_pm_events"
NESTED = 0x8000


class Command(IntEnum):
    """C: MPTCP_PM_CMD_* of linux/mptcp_pm.h."""

    ADD_ADDR = 1
    DEL_ADDR = 2
    GET_ADDR = 3
    FLUSH_ADDRS = 4
    SET_LIMITS = 5
    GET_LIMITS = 6
    SET_FLAGS = 7
    ANNOUNCE = 8
    REMOVE = 9
    SUBFLOW_CREATE = 10
    SUBFLOW_DESTROY = 11


class Flag(IntFlag):
    """C: MPTCP_PM_ADDR_FLAG_* of linux/mptcp.h."""

    SIGNAL = 1
    SUBFLOW = 2
    BACKUP = 4
    FULLMESH = 8
    IMPLICIT = 16


class Address(NamedTuple):
    """An address as path managers have it: an endpoint, or one that belongs to a connection."""

    address: str
    id: int = 0
    flags: Flag = Flag(0)
    port: int = 0


class _Attributes:
    nla_map = (
        ("MPTCP_PM_ADDR_ATTR_UNSPEC", "none"),
        ("MPTCP_PM_ADDR_ATTR_FAMILY", "uint16"),
        ("MPTCP_PM_ADDR_ATTR_ID", "uint8"),
        ("MPTCP_PM_ADDR_ATTR_ADDR4", "ip4addr"),
        ("MPTCP_PM_ADDR_ATTR_ADDR6", "ip6addr"),
        ("MPTCP_PM_ADDR_ATTR_PORT", "uint16"),
        ("MPTCP_PM_ADDR_ATTR_FLAGS", "uint32"),
        ("MPTCP_PM_ADDR_ATTR_IF_IDX", "int32"),
    )


class _Message(genlmsg):  # type: ignore[misc]  # pyroute2 has no types
    prefix = "MPTCP_PM_ATTR_"
    nla_map = (
        ("MPTCP_PM_ATTR_UNSPEC", "none"),
        ("MPTCP_PM_ATTR_ADDR", "pm_addr"),
        ("MPTCP_PM_ATTR_RCV_ADD_ADDRS", "uint32"),
        ("MPTCP_PM_ATTR_SUBFLOWS", "uint32"),
        ("MPTCP_PM_ATTR_TOKEN", "uint32"),
        ("MPTCP_PM_ATTR_LOC_ID", "uint8"),
        ("MPTCP_PM_ATTR_ADDR_REMOTE", "pm_addr"),
    )

    class pm_addr(_Attributes, nla):  # type: ignore[misc]  # named by nla_map
        prefix = "MPTCP_PM_ADDR_ATTR_"


class PathManagers:
    """A netlink socket in a namespace. A refusal of the kernel raises pyroute2's NetlinkError, with its errno."""

    def __init__(self, namespace: Namespace) -> None:
        with namespace.entered():
            self._socket = GenericNetlinkSocket()
            self._socket.bind(FAMILY, _Message)

    def listen(self) -> None:
        """To the events: while nobody does, the kernel takes it that there is no userspace path manager."""
        self._socket.add_membership(EVENTS)

    def close(self) -> None:
        self._socket.close()

    # The in-kernel path manager's

    def set_limits(self, subflows: int, accepted: int) -> None:
        limits = [("MPTCP_PM_ATTR_SUBFLOWS", subflows), ("MPTCP_PM_ATTR_RCV_ADD_ADDRS", accepted)]
        self._request(Command.SET_LIMITS, limits)

    def limits(self) -> tuple[int, int]:
        """Of additional subflows, and of addresses accepted from the peer."""
        (answer,) = self._request(Command.GET_LIMITS, [], acknowledged=False)
        return answer.get_attr("MPTCP_PM_ATTR_SUBFLOWS"), answer.get_attr("MPTCP_PM_ATTR_RCV_ADD_ADDRS")

    def add(self, endpoint: Address) -> None:
        self._request(Command.ADD_ADDR, [_encoded(endpoint)])

    def delete(self, number: int, address: str = "") -> None:
        """An endpoint by its id; 0, with an address, is that of the first subflows from there."""
        self._request(Command.DEL_ADDR, [_encoded(Address(address, number))])

    def flush(self) -> None:
        self._request(Command.FLUSH_ADDRS, [])

    def endpoint(self, number: int) -> Address:
        (answer,) = self._request(Command.GET_ADDR, [_encoded(Address("", number))], acknowledged=False)
        return _decoded(answer)

    def endpoints(self) -> list[Address]:
        return sorted(map(_decoded, self._request(Command.GET_ADDR, [], dump=True)), key=lambda entry: entry.id)

    def set_flags(self, endpoint: Address) -> None:
        self._request(Command.SET_FLAGS, [_encoded(endpoint)])

    # The userspace path manager's, each for the connection with that token

    def create(self, token: int, local: Address, remote: Address) -> None:
        self._request(Command.SUBFLOW_CREATE, [*_of(token), _encoded(local), _encoded(remote, "ADDR_REMOTE")])

    def destroy(self, token: int, local: Address, remote: Address) -> None:
        self._request(Command.SUBFLOW_DESTROY, [*_of(token), _encoded(local), _encoded(remote, "ADDR_REMOTE")])

    def announce(self, token: int, local: Address) -> None:
        self._request(Command.ANNOUNCE, [*_of(token), _encoded(local)])

    def remove(self, token: int, number: int) -> None:
        self._request(Command.REMOVE, [*_of(token), ("MPTCP_PM_ATTR_LOC_ID", number)])

    def set_subflow_flags(self, token: int, local: Address, remote: Address) -> None:
        self._request(Command.SET_FLAGS, [*_of(token), _encoded(local), _encoded(remote, "ADDR_REMOTE")])

    def address(self, token: int, number: int) -> Address:
        attributes = [*_of(token), _encoded(Address("", number))]
        (answer,) = self._request(Command.GET_ADDR, attributes, acknowledged=False)
        return _decoded(answer)

    def addresses(self, token: int) -> list[Address]:
        found = self._request(Command.GET_ADDR, _of(token), dump=True)
        return sorted(map(_decoded, found), key=lambda entry: entry.id)

    def _request(
        self, command: Command, attributes: Iterable[Any], *, acknowledged: bool = True, dump: bool = False
    ) -> list[Any]:
        message = _Message()
        message["cmd"] = command
        message["version"] = 1
        message["attrs"] = list(attributes)
        flags = NLM_F_REQUEST | (NLM_F_DUMP if dump else NLM_F_ACK if acknowledged else 0)
        return list(self._socket.nlm_request(message, msg_type=self._socket.prid, msg_flags=flags))


def _of(token: int) -> list[tuple[str, int]]:
    return [("MPTCP_PM_ATTR_TOKEN", token)]


def _encoded(entry: Address, name: str = "ADDR") -> tuple[str, dict[str, Any], int]:
    attributes: list[tuple[str, Any]] = []
    if entry.address:
        version = ip_address(entry.address).version
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        attributes = [("FAMILY", int(family)), (f"ADDR{version}", entry.address)]
    attributes.append(("ID", entry.id))
    if entry.flags or name == "ADDR":
        attributes.append(("FLAGS", int(entry.flags)))
    if entry.port:
        attributes.append(("PORT", entry.port))
    named = [(f"MPTCP_PM_ADDR_ATTR_{key}", value) for key, value in attributes]
    return (f"MPTCP_PM_ATTR_{name}", {"attrs": named}, NESTED)


def _decoded(answer: Any) -> Address:
    entry = answer.get_attr("MPTCP_PM_ATTR_ADDR")

    def attribute(name: str) -> Any:
        return entry.get_attr(f"MPTCP_PM_ADDR_ATTR_{name}")

    address = attribute("ADDR4") or attribute("ADDR6")
    return Address(address, attribute("ID"), Flag(attribute("FLAGS") or 0), attribute("PORT") or 0)
