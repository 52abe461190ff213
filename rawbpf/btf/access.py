# SPDX-License-Identifier: BSD-2-Clause
"""What a CO-RE relocation points at: a path from a root type to a field, or an enumerator, or the type itself.

The access string of clang, ``0:2:1``, is read against the object's BTF; the path found is then looked for, by the
names on it, in a candidate type of the kernel's BTF.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rawbpf.btf import types as t
from rawbpf.btf.match import essential_name, fields_compatible, types_compatible, types_match
from rawbpf.errors import CoreRelocationError
from rawbpf.uapi import CoreReloKind as Kind

if TYPE_CHECKING:
    from rawbpf.btf.ext import CoreRelo
    from rawbpf.btf.parse import Btf

MAX_ACCESS = 64
"""How many steps an access string may have (the kernel's BPF_CORE_SPEC_MAX_LEN)."""
_MAX_DIGITS = 10  # of an index: it is a u32

FIELD_KINDS = frozenset(
    {
        Kind.FIELD_BYTE_OFFSET,
        Kind.FIELD_BYTE_SIZE,
        Kind.FIELD_EXISTS,
        Kind.FIELD_SIGNED,
        Kind.FIELD_LSHIFT_U64,
        Kind.FIELD_RSHIFT_U64,
    }
)
TYPE_KINDS = frozenset({Kind.TYPE_ID_LOCAL, Kind.TYPE_ID_TARGET, Kind.TYPE_EXISTS, Kind.TYPE_MATCHES, Kind.TYPE_SIZE})
ENUM_KINDS = frozenset({Kind.ENUMVAL_EXISTS, Kind.ENUMVAL_VALUE})


class Accessor(NamedTuple):
    """A step: the named member (or enumerator) `idx` of `type_id`, or its array element where `name` is None."""

    type_id: int
    idx: int
    name: str | None


class Access:
    """A path in one BTF. `bit_offset` is that of the field, from the start of the root."""

    __slots__ = ("bit_offset", "btf", "root_id", "steps")

    def __init__(self, btf: Btf, root_id: int) -> None:
        self.btf = btf
        self.root_id = root_id
        self.steps: list[Accessor] = []
        self.bit_offset = 0

    def __str__(self) -> str:
        """``struct sock.sk_mark``, ``enum bpf_map_type::BPF_MAP_TYPE_ARRAY``, ``struct foo[2].bar``."""
        text = describe_type(self.btf, self.root_id)
        for number, step in enumerate(self.steps):
            if step.name is None:
                text += f"[{step.idx}]" if number or step.idx else ""
            elif isinstance(self.btf.type(step.type_id), t.Enum):
                text += f"::{step.name}"
            else:
                text += f".{step.name}"
        return text


def describe_type(btf: Btf, type_id: int) -> str:
    """``struct foo``, ``typedef bar``, ``int``."""
    kind = btf.type(type_id)
    word = {t.Struct: "struct ", t.Union: "union ", t.Enum: "enum ", t.Enum64: "enum ", t.Typedef: "typedef "}
    return f"{word.get(type(kind), '')}{kind.name or '(anonymous)'}"


def read_access(btf: Btf, relo: CoreRelo) -> Access:
    """The path of a relocation in the object's own BTF. Raises `CoreRelocationError` for a wrong access string."""
    path = Access(btf, relo.type_id)
    parts = relo.access.split(":")
    if not all(part.isascii() and part.isdigit() and len(part) <= _MAX_DIGITS for part in parts):
        raise CoreRelocationError(f"access string {relo.access[:80]!r} is not made of numbers")
    if len(parts) > MAX_ACCESS:
        raise CoreRelocationError(f"access string {relo.access[:80]!r} has more than {MAX_ACCESS} steps")
    indexes = [int(part) for part in parts]
    if relo.kind in TYPE_KINDS:
        if indexes != [0]:
            raise CoreRelocationError(f"access string {relo.access!r} of a type is not '0'")
        return path
    root = btf.resolve(relo.type_id)
    if relo.kind in ENUM_KINDS:
        enum = btf.type(root)
        if not isinstance(enum, t.Enum) or len(indexes) != 1 or indexes[0] >= len(enum.values):
            raise CoreRelocationError(
                f"access string {relo.access!r} names no enumerator of {describe_type(btf, root)}"
            )
        path.steps.append(Accessor(root, indexes[0], enum.values[indexes[0]].name))
        return path
    if relo.kind not in FIELD_KINDS:
        raise CoreRelocationError(f"relocation kind {relo.kind} is not known")
    _walk(path, root, indexes)
    return path


def _walk(path: Access, type_id: int, indexes: list[int]) -> None:
    btf = path.btf
    path.steps.append(Accessor(type_id, indexes[0], None))
    path.bit_offset = indexes[0] * btf.size_of(type_id) * 8
    for index in indexes[1:]:
        type_id = btf.resolve(type_id)
        kind = btf.type(type_id)
        if isinstance(kind, t.Struct | t.Union):
            if index >= len(kind.members):
                raise CoreRelocationError(f"{describe_type(btf, type_id)} has no member number {index}")
            member = kind.members[index]
            path.bit_offset += member.bit_offset
            if member.name:
                path.steps.append(Accessor(type_id, index, member.name))
            type_id = member.type_id
        elif isinstance(kind, t.Array):
            element = btf.resolve(kind.type_id)
            if index >= kind.nelems and not _is_flexible(btf, path.steps[-1], kind):
                raise CoreRelocationError(f"index {index} is outside of an array of {kind.nelems}")
            path.steps.append(Accessor(element, index, None))
            path.bit_offset += index * btf.size_of(element) * 8
            type_id = element
        else:
            raise CoreRelocationError(f"access string goes into {describe_type(btf, type_id)}, which has no parts")


def _is_flexible(btf: Btf, last: Accessor, array: t.Array) -> bool:
    # a flexible array is the last member of a struct, and has no length
    struct = btf.type(last.type_id)
    return (
        last.name is not None
        and not array.nelems
        and isinstance(struct, t.Struct | t.Union)
        and last.idx == len(struct.members) - 1
    )


def match_access(local: Access, kind: int, target: Btf, target_id: int) -> Access | None:
    """The same path from a candidate type of the target; None where the candidate does not have it."""
    if kind in TYPE_KINDS:
        same = types_match if kind == Kind.TYPE_MATCHES else types_compatible
        return Access(target, target_id) if same(local.btf, local.root_id, target, target_id) else None
    path = Access(target, target_id)
    type_id = target.resolve(target_id)
    if kind in ENUM_KINDS:
        enum = target.type(type_id)
        wanted = essential_name(local.steps[0].name or "")
        for index, value in enumerate(enum.values if isinstance(enum, t.Enum) else ()):
            if essential_name(value.name) == wanted:
                path.steps.append(Accessor(type_id, index, value.name))
                return path
        return None
    for number, step in enumerate(local.steps):
        type_id = target.resolve(type_id)
        found = (
            _match_member(local.btf, step, path, type_id)
            if step.name is not None
            else _match_element(step, path, type_id, first=not number)
        )
        if found is None:
            return None
        type_id = found
    return path


def _match_element(step: Accessor, path: Access, type_id: int, *, first: bool) -> int | None:
    # the first step treats the root itself as an array (of mostly one)
    target = path.btf
    if not first:
        array = target.type(type_id)
        if not isinstance(array, t.Array):
            return None
        if step.idx >= array.nelems and not _is_flexible(target, path.steps[-1], array):
            return None
        type_id = target.resolve(array.type_id)
    path.steps.append(Accessor(type_id, step.idx, None))
    path.bit_offset += step.idx * target.size_of(type_id) * 8
    return type_id


def _match_member(local: Btf, step: Accessor, path: Access, type_id: int) -> int | None:
    """The type of the member named by `step`, searched in anonymous members too, and the path extended; or None."""
    target = path.btf
    owner = local.type(step.type_id)
    assert isinstance(owner, t.Struct | t.Union)
    waiting, seen = [(type_id, path.bit_offset)], set()
    while waiting:
        type_id, begin = waiting.pop()
        type_id = target.resolve(type_id)
        kind = target.type(type_id)
        if type_id in seen or not isinstance(kind, t.Struct | t.Union):
            continue
        seen.add(type_id)
        anonymous = []
        for index, member in enumerate(kind.members):
            if not member.name:
                anonymous.append((member.type_id, begin + member.bit_offset))
            elif member.name == step.name:
                if not fields_compatible(local, owner.members[step.idx].type_id, target, member.type_id):
                    break
                path.steps.append(Accessor(type_id, index, member.name))
                path.bit_offset = begin + member.bit_offset
                return member.type_id
        waiting += reversed(anonymous)
    return None
