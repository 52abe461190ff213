# SPDX-License-Identifier: BSD-2-Clause
"""Members of a struct_ops variable, read and set by name: what `StructOpsSpec` is edited by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rawbpf.btf import types as t
from rawbpf.btf import value as typed
from rawbpf.btf.decl import type_decl
from rawbpf.errors import SpecError
from rawbpf.uapi import ProgType

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf
    from rawbpf.objfile.program_spec import ProgramSpec
    from rawbpf.objfile.spec import ObjectSpec, StructOpsSpec

NULL = "null"
"""How a command line says that a member is no function."""


class _Place(NamedTuple):
    member: t.Member
    offset: int  # in bytes, of the whole struct
    function: bool


def get_member(spec: ObjectSpec, ops: StructOpsSpec, name: str) -> Any:
    """The value of a member."""
    btf = _btf(spec)
    place = _find(btf, ops, name)
    if place.function:
        return ops.functions.get(place.offset)
    return typed.decode(btf, place.member.type_id, ops.data, offset=place.offset)


def set_member(spec: ObjectSpec, ops: StructOpsSpec, name: str, value: Any) -> None:
    """Set a member to a value of its type, or to a program."""
    btf = _btf(spec)
    place = _find(btf, ops, name)
    if place.function:
        _set_function(spec, ops, place, name, value)
    else:
        typed.encode_into(btf, place.member.type_id, ops.data, place.offset, value)


def set_member_text(spec: ObjectSpec, ops: StructOpsSpec, name: str, text: str) -> None:
    """Set a member from what a user typed."""
    btf = _btf(spec)
    place = _find(btf, ops, name)
    if place.function:
        _set_function(spec, ops, place, name, None if text == NULL else text)
    else:
        value = typed.parse_value(btf, place.member.type_id, text)
        typed.encode_into(btf, place.member.type_id, ops.data, place.offset, value)


def _btf(spec: ObjectSpec) -> Btf:
    assert spec.btf is not None  # there is no struct_ops without
    return spec.btf


def _find(btf: Btf, ops: StructOpsSpec, name: str) -> _Place:
    # "member", or "struct.member" for one of a struct inside
    type_id, base, member = ops.type_id, 0, None
    for word in name.split("."):
        struct = btf.type(btf.resolve(type_id))
        members = struct.members if isinstance(struct, t.Struct | t.Union) else ()
        member = next((m for m in members if m.name == word), None)
        if member is None:
            raise _no_such(btf, type_id, word, [m.name for m in members if m.name])
        if member.bitfield_size or member.bit_offset % 8:
            raise SpecError(f"member {name!r} is a bitfield, which struct_ops cannot set")
        type_id, base = member.type_id, base + member.bit_offset // 8
    assert member is not None
    pointer = btf.type(btf.resolve(type_id))
    if not isinstance(pointer, t.Ptr):
        return _Place(member, base, False)
    if not isinstance(btf.type(btf.resolve(pointer.type_id)), t.FuncProto):
        raise SpecError(
            f"member {name!r} is `{type_decl(btf, type_id, member.name)}`, a pointer to data",
            hint="the kernel takes numbers, text and functions; pointers to data stay NULL",
        )
    return _Place(member, base, True)


def _no_such(btf: Btf, type_id: int, name: str, known: list[str]) -> SpecError:
    from difflib import get_close_matches

    near = get_close_matches(name, known, 3)
    what = f"struct {btf.name_of(btf.resolve(type_id))}" if known else "what is no struct"
    hint = f"near names: {', '.join(near)}" if near else f"there are: {', '.join(known[:8])}" if known else None
    return SpecError(f"no member {name!r} in {what}", hint=hint)


def _set_function(
    spec: ObjectSpec, ops: StructOpsSpec, place: _Place, member: str, value: ProgramSpec | str | None
) -> None:
    if value is None:
        ops.functions.pop(place.offset, None)
        return
    name = value if isinstance(value, str) else getattr(value, "name", None)
    if name is None:
        raise SpecError(f"member {member!r} is a function: set it to a program or None, not to {value!r}")
    if name not in spec.programs:
        raise spec.no_such("program", name, list(spec.programs))
    program = spec.programs[name]
    if program.prog_type != ProgType.STRUCT_OPS:
        raise SpecError(
            f'member {member!r} is set to {name!r}, which is no struct_ops program but SEC("{program.sec_name}")',
            hint='give the function SEC("struct_ops")',
        )
    ops.functions[place.offset] = name
