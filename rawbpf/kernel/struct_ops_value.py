# SPDX-License-Identifier: BSD-2-Clause
"""What can be wrong with a struct_ops value that the kernel calls invalid, and says no more about."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rawbpf.btf import types as t
from rawbpf.errors import RawbpfError
from rawbpf.uapi import BtfKind

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf
    from rawbpf.kernel.maps import Map

REQUIRED = {
    "mptcp_sched_ops": ("get_send",),
    "sched_ext_ops": ("name",),
    "tcp_congestion_ops": ("ssthresh", "undo_cwnd", "cong_avoid or cong_control"),
}
"""Members that must be set (mptcp_validate_scheduler, validate_ops, tcp_validate_congestion_control of the kernel)."""


def what_is_wrong(map_: Map, type_name: str, value: bytes) -> str:
    """The hint for EINVAL: what is wrong with the name, else which members are not set.

    Args:
        map_: the map of the value.
        type_name: the kernel's struct.
        value: of the map: ``struct bpf_struct_ops_TYPE``.
    """
    with suppress(RawbpfError), type(map_).by_id(map_.id) as typed:  # by the kernel's BTF
        btf = typed.btf
        struct = btf.type(btf.find(type_name, BtfKind.STRUCT) or 0) if btf else None
        if btf and isinstance(struct, t.Struct):
            values = typed.decode_value(value)["data"]._asdict()
            return _name_fault(btf, struct, values) or _unset(btf, struct, values)
    return f"{type_name} has members that must be set"


def _name_fault(btf: Btf, struct: t.Struct, values: dict[str, Any]) -> str:
    name = values.get("name")
    if not isinstance(name, str):
        return ""
    room = next(btf.size_of(member.type_id) for member in struct.members if member.name == "name") - 1
    if not name:
        return "its .name is empty"
    if len(name.encode(errors="surrogateescape")) > room:
        return f"its .name {name!r} is too long: {room} characters at most"
    odd = re.sub(r"[\w.]", "", name, flags=re.ASCII)
    return f"its .name {name!r} has {odd[0]!r}: letters, digits, _ and . may be there" if odd else ""


def _unset(btf: Btf, struct: t.Struct, values: dict[str, Any]) -> str:
    required = REQUIRED.get(struct.name, ())
    wanted = [names for names in required if not any(values.get(name) for name in names.split(" or "))]
    if wanted:
        return f"{struct.name} must have {', '.join(wanted)}"
    unset = [member.name for member in struct.members if _is_function(btf, member) and not values[member.name]]
    return f"not set: {', '.join(unset)}; {struct.name} may need some of them"


def _is_function(btf: Btf, member: t.Member) -> bool:
    pointer = btf.type(btf.resolve(member.type_id))
    return isinstance(pointer, t.Ptr) and isinstance(btf.type(btf.resolve(pointer.type_id)), t.FuncProto)
