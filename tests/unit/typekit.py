# SPDX-License-Identifier: BSD-2-Clause
"""Hand-built BTF for tests: a few basic types with fixed ids, and behind them the types of a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.btf import types as t
from rawbpf.btf.build import Builder

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf

INT, UINT, LONG, ULONG, CHAR, USHORT, VOIDP, FLOAT, BOOL = range(1, 10)
"""The ids of the basic types."""

FIRST = 10
"""The id of the first type behind them."""

BASICS: list[t.Type] = [
    t.Int("int", 4, t.Int.SIGNED),
    t.Int("unsigned int", 4),
    t.Int("long", 8, t.Int.SIGNED),
    t.Int("unsigned long", 8),
    t.Int("char", 1, t.Int.SIGNED),
    t.Int("unsigned short", 2),
    t.Ptr(0),
    t.Float("float", 4),
    t.Int("_Bool", 1, t.Int.BOOL),
]


def make_btf(*types: t.Type, little: bool = True, base: Btf | None = None, name: str = "vmlinux") -> Btf:
    """BTF with these types; the first has the id FIRST (or the one behind the base's last)."""
    builder = Builder(little=little, base=base)
    for type in (*types,) if base else (*BASICS, *types):
        builder.add(type)
    return builder.to_btf(name)


def struct(name: str, *members: tuple[str, int, int] | tuple[str, int, int, int], size: int = 0) -> t.Struct:
    """A struct with members ``(name, type id, byte offset)``; bit-fields are ``(name, type id, bit offset, bits)``."""
    return t.Struct(name, size or 64, _members(members))


def union(name: str, *members: tuple[str, int, int] | tuple[str, int, int, int], size: int = 0) -> t.Union:
    """A union, as `struct`."""
    return t.Union(name, size or 64, _members(members))


def _members(members: tuple[tuple[str, int, int] | tuple[str, int, int, int], ...]) -> list[t.Member]:
    return [t.Member(m[0], m[1], m[2], m[3]) if len(m) == 4 else t.Member(m[0], m[1], 8 * m[2]) for m in members]


def enum(name: str, *, signed: bool = False, size: int = 4, **values: int) -> t.Enum:
    """An enum of 32 bits."""
    return t.Enum(name, size, [t.Enumerator(*value) for value in values.items()], signed)


def enum64(name: str, *, signed: bool = False, **values: int) -> t.Enum64:
    """An enum of 64 bits."""
    return t.Enum64(name, 8, [t.Enumerator(*value) for value in values.items()], signed)
