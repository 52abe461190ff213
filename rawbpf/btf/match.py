# SPDX-License-Identifier: BSD-2-Clause
"""When a type of the object and a type of the kernel count as the same, for CO-RE.

Three questions, three answers: may a *field* of the one type stand for a field of the other (`fields_compatible`); are
two *types* compatible, looking through pointers but not into structs (``bpf_core_type_exists``: `types_compatible`);
do they *match*, members and all (``bpf_core_type_matches``: `types_match`). Names are compared without flavors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.btf import types as t
from rawbpf.errors import BtfError
from rawbpf.uapi import BtfKind

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf

MAX_LEVEL = 32
"""How deep types may nest, as the kernel and libbpf have it (BPF_CORE_SPEC's limits)."""

_ENUMS = (BtfKind.ENUM, BtfKind.ENUM64)


def essential_name(name: str) -> str:
    """A name without its CO-RE flavor: what is before the last ``___`` that has other characters on both sides."""
    at = len(name)
    while (at := name.rfind("___", 0, at)) > 0:
        before, after = name[at - 1], name[at + 3 : at + 4]
        if before != "_" and after and after != "_":
            return name[:at]
        at += 2
    return name


def same_kind(one: int, other: int) -> bool:
    """Whether two kinds can stand for each other: the same, or both enums (of 32 and 64 bits)."""
    return one == other or (one in _ENUMS and other in _ENUMS)


def _bitfield_int(kind: t.Type) -> bool:
    # integers that carry a bit offset of their own are BTF's old way to say bitfield
    return isinstance(kind, t.Int) and kind.bit_offset != 0


def fields_compatible(local: Btf, local_id: int, target: Btf, target_id: int) -> bool:
    """Whether a field of type `local_id` may be read where the kernel has a field of type `target_id`."""
    for _ in range(MAX_LEVEL):
        one = local.type(local.resolve(local_id))
        other = target.type(target.resolve(target_id))
        if isinstance(one, t.Struct | t.Union) and isinstance(other, t.Struct | t.Union):
            return True
        if not same_kind(one.kind, other.kind):
            return False
        if isinstance(one, t.Ptr | t.Float):
            return True
        if isinstance(one, t.Fwd | t.Enum):
            names = essential_name(one.name), essential_name(other.name)
            return "" in names or names[0] == names[1]
        if isinstance(one, t.Int):
            return not _bitfield_int(one) and not _bitfield_int(other)
        if not isinstance(one, t.Array) or not isinstance(other, t.Array):
            return False
        local_id, target_id = one.type_id, other.type_id
    raise BtfError(f"array types nest more than {MAX_LEVEL} deep")


def types_compatible(local: Btf, local_id: int, target: Btf, target_id: int) -> bool:
    """Whether two types are compatible: kinds agree, through pointers, arrays and prototypes."""
    return _Comparison(local, target).compatible(local_id, target_id, MAX_LEVEL)


def types_match(local: Btf, local_id: int, target: Btf, target_id: int) -> bool:
    """Whether the kernel's type has all that the object's type has: every member, enumerator and parameter."""
    return _Comparison(local, target).match(local_id, target_id, False, MAX_LEVEL)


def _names_match(one: str, other: str) -> bool:
    return essential_name(one) == essential_name(other)


class _Comparison:
    # of two types and what they are made of; pairs that are met again are not compared again

    def __init__(self, local: Btf, target: Btf) -> None:
        self._local = local
        self._target = target
        self._compatible: dict[tuple[int, int], bool] = {}
        self._matching: dict[tuple[int, int, bool], bool] = {}

    def compatible(self, local_id: int, target_id: int, level: int) -> bool:
        pair = local_id, target_id
        if pair not in self._compatible:
            self._compatible[pair] = self._compare(local_id, target_id, level)
        return self._compatible[pair]

    def _compare(self, local_id: int, target_id: int, level: int) -> bool:
        local, target = self._local, self._target
        for _ in range(level):
            one, other = local.type(local.resolve(local_id)), target.type(target.resolve(target_id))
            if not same_kind(one.kind, other.kind):
                return False
            if isinstance(one, t.Int):
                return not _bitfield_int(one) and not _bitfield_int(other)
            if isinstance(one, t.Ptr | t.Array) and isinstance(other, t.Ptr | t.Array):
                local_id, target_id = one.type_id, other.type_id
            elif isinstance(one, t.FuncProto) and isinstance(other, t.FuncProto):
                if len(one.params) != len(other.params):
                    return False
                pairs = zip(one.params, other.params, strict=True)
                if not all(self.compatible(mine.type_id, theirs.type_id, level - 1) for mine, theirs in pairs):
                    return False
                local_id, target_id = one.return_type_id, other.return_type_id
            else:
                return isinstance(one, t.Void | t.Struct | t.Union | t.Enum | t.Fwd)
        raise _too_deep()

    def match(self, local_id: int, target_id: int, behind_ptr: bool, level: int) -> bool:
        if level <= 0:
            raise _too_deep()
        pair = local_id, target_id, behind_ptr
        if pair not in self._matching:
            self._matching[pair] = self._match(local_id, target_id, behind_ptr, level)
        return self._matching[pair]

    def _match(self, local_id: int, target_id: int, behind_ptr: bool, level: int) -> bool:
        local, target = self._local, self._target
        for _ in range(MAX_LEVEL):
            one, other = local.type(local.resolve(local_id)), target.type(target.resolve(target_id))
            if not _names_match(one.name, other.name):
                return False
            if isinstance(one, t.Ptr) and isinstance(other, t.Ptr):
                behind_ptr = True
                local_id, target_id = one.type_id, other.type_id
            elif isinstance(one, t.Array) and isinstance(other, t.Array):
                if one.nelems != other.nelems:
                    return False
                local_id, target_id = one.type_id, other.type_id
            elif isinstance(one, t.FuncProto) and isinstance(other, t.FuncProto):
                if len(one.params) != len(other.params):
                    return False
                pairs = zip(one.params, other.params, strict=True)
                if not all(self.match(mine.type_id, theirs.type_id, behind_ptr, level - 1) for mine, theirs in pairs):
                    return False
                local_id, target_id = one.return_type_id, other.return_type_id
            else:
                return self._leaves_match(one, other, behind_ptr, level)
        raise _too_deep()

    def _leaves_match(self, one: t.Type, other: t.Type, behind_ptr: bool, level: int) -> bool:
        match one:
            case t.Void():
                return isinstance(other, t.Void)
            case t.Int():
                return isinstance(other, t.Int) and one.size == other.size and one.signed == other.signed
            case t.Enum():
                return isinstance(other, t.Enum) and _enums_match(one, other)
            case t.Fwd():
                if isinstance(other, t.Fwd):
                    return one.union == other.union
                return behind_ptr and isinstance(other, t.Union if one.union else t.Struct)
            case t.Struct() | t.Union():
                if behind_ptr and isinstance(other, t.Fwd):
                    return other.union == isinstance(one, t.Union)
                if one.kind != other.kind or not isinstance(other, t.Struct | t.Union):
                    return False
                return behind_ptr or self._members_match(one, other, level)
        return False

    def _members_match(self, one: t.Struct | t.Union, other: t.Struct | t.Union, level: int) -> bool:
        if len(one.members) > len(other.members):
            return False
        by_name: dict[str, list[t.Member]] = {}
        for theirs in other.members:
            by_name.setdefault(essential_name(theirs.name), []).append(theirs)
        return all(
            any(
                self.match(mine.type_id, theirs.type_id, False, level - 1)
                for theirs in by_name.get(essential_name(mine.name), ())
            )
            for mine in one.members
        )


def _enums_match(one: t.Enum, other: t.Enum) -> bool:
    names = {essential_name(value.name) for value in other.values}
    return (
        one.size == other.size
        and len(one.values) <= len(other.values)
        and all(essential_name(value.name) in names for value in one.values)
    )


def _too_deep() -> BtfError:
    return BtfError(f"types nest more than {MAX_LEVEL} deep")
