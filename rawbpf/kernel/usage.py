# SPDX-License-Identifier: BSD-2-Clause
"""What a registered struct_ops is good for: whether its subsystem lists it, and the command that puts it to use."""

from __future__ import annotations

from typing import NamedTuple


class Usage(NamedTuple):
    """How to use a registered struct_ops.

    Attributes:
        type_name: the struct, such as ``mptcp_sched_ops``. name: what the subsystem calls this one.
        listed_in: the sysctl that lists what is registered. available: whether it lists this one.
        command: what to type next.
    """

    type_name: str
    name: str
    listed_in: str
    available: bool
    command: str


# struct → (sysctl that lists, sysctl that chooses)
_SYSCTLS = {
    "mptcp_sched_ops": ("net.mptcp.available_schedulers", "net.mptcp.scheduler"),
    "mptcp_pm_ops": ("net.mptcp.available_path_managers", "net.mptcp.path_manager"),
    "tcp_congestion_ops": ("net.ipv4.tcp_available_congestion_control", "net.ipv4.tcp_congestion_control"),
}


def sysctl(name: str) -> str | None:
    """The value of a sysctl in this network namespace, or None where there is none."""
    try:
        with open("/proc/sys/" + name.replace(".", "/"), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return None


def still_chosen() -> list[tuple[str, str, list[str]]]:
    """The sysctls that choose a struct_ops which is not registered any more: name, value, and what there is instead.

    Connections go on using it, and its programs stay, until another one is chosen.
    """
    found = []
    for listing, choice in _SYSCTLS.values():
        value, there = sysctl(choice), (sysctl(listing) or "").split()
        if value and there and value not in there:
            found.append((choice, value, there))
    return found


def usage(type_name: str, name: str) -> Usage | None:
    """How to use the struct_ops `name` of a type; None for types that rawbpf knows nothing of."""
    known = _SYSCTLS.get(type_name)
    if known is None or not name:
        return None
    listing, choice = known
    available = name in (sysctl(listing) or "").split()
    return Usage(type_name, name, listing, available, f"sysctl -w {choice}={name}")
