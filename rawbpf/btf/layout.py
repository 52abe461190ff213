# SPDX-License-Identifier: BSD-2-Clause
"""How a C compiler would lay out a struct or union, and what it takes to make it do what the BTF says.

BTF records where members are, not why: neither ``packed`` nor ``aligned`` nor the padding. Explicit padding does what
``aligned`` did, except for alignments of the type itself that no member has, which are lost. The rules are those that
clang and GCC follow for BPF (and nearly all 64-bit ABIs): a member begins at a multiple of its alignment, a bit-field
does not cross a storage unit of its type, and ``packed`` makes every alignment 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rawbpf.btf import types as t
from rawbpf.errors import BtfError

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf


class Layout(NamedTuple):
    """What to write so that the members come to lie where they are.

    Attributes:
        align: the alignment of the type as written, in bytes.
        packed: whether it needs ``__attribute__((packed))``.
        pads: bits of explicit padding before each member, and behind the last; of a union, how many it takes to be as
            large as it is.
        opaque: no C declaration has these members there (they overlap, say); only its size can be told.
    """

    align: int
    packed: bool = False
    pads: tuple[int, ...] = ()
    opaque: bool = False


class Place(NamedTuple):
    """A member as the compiler sees it: its first bit, its type's bytes and alignment, its width as a bit-field."""

    bit: int
    size: int
    align: int
    width: int

    @property
    def end(self) -> int:
        return self.bit + (self.width or 8 * self.size)


class Layouts:
    """The layouts of the structs and unions of a BTF."""

    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._known: dict[int, Layout] = {}
        self._sizes: dict[int, tuple[int, int]] = {}

    def layout(self, type_id: int, depth: int = 0) -> Layout:
        """The layout of the struct or union with that id."""
        known = self._known.get(type_id)
        if known is None:
            type = self._btf.type(type_id)
            assert isinstance(type, t.Struct | t.Union)
            places = [self._place(member, depth + 1) for member in type.members]
            if any(place.width > 8 * place.size for place in places):
                known = Layout(1, opaque=True)
            else:
                known = (_union if isinstance(type, t.Union) else _struct)(places, type.size)
            self._known[type_id] = known
        return known

    def _place(self, member: t.Member, depth: int) -> Place:
        size, align = self._size(member.type_id, depth)
        bit, width = bit_range(self._btf, member)
        return Place(bit, size, align, width)

    def _size(self, type_id: int, depth: int) -> tuple[int, int]:
        # Bytes and alignment of a type as it is written.
        known = self._sizes.get(type_id)
        if known is None:
            if depth > t.MAX_DEPTH:
                raise BtfError(f"type {type_id} is nested more than {t.MAX_DEPTH} deep")
            known = self._sizes[type_id] = self._measure(type_id, depth)
        return known

    def _measure(self, type_id: int, depth: int) -> tuple[int, int]:
        type = self._btf.type(type_id)
        match type:
            case t.Ptr():
                return self._btf.ptr_size, self._btf.ptr_size
            case t.Int() | t.Enum() | t.Float():
                return type.size, max(1, type.size & -type.size)
            case t.Array():
                size, align = self._size(type.type_id, depth + 1)
                return size * type.nelems, align
            case t.Struct() | t.Union():
                return type.size, self.layout(type_id, depth).align
            case t.Typedef() | t.Const() | t.Volatile() | t.Restrict() | t.TypeTag():
                return self._size(type.type_id, depth + 1)
        return 0, 1  # void, functions, forward declarations: no members, as C goes


def bit_range(btf: Btf, member: t.Member) -> tuple[int, int]:
    """The first bit of a member, and its width if it is a bit-field, else 0."""
    if member.bitfield_size:
        return member.bit_offset, member.bitfield_size
    type = btf.type(btf.resolve(member.type_id))
    if isinstance(type, t.Int) and (type.bits != 8 * type.size or member.bit_offset % 8):
        # as it was before kind_flag: the integer type says how many bits
        return member.bit_offset + type.bit_offset, type.bits
    return member.bit_offset, 0


def _struct(places: list[Place], size: int) -> Layout:
    for packed in (False, True):
        pads = _pads(places, size, packed)
        if pads is not None:
            align = 1 if packed else max((place.align for place in places), default=1)
            return Layout(align, packed, pads)
    return Layout(1, opaque=True)


def _pads(places: list[Place], size: int, packed: bool) -> tuple[int, ...] | None:
    # The padding that brings each member to its place; None if none does.
    pads = []
    at, max_align = 0, 1
    for place in places:
        align = 1 if packed else place.align
        natural = _natural(at, place, align, packed)
        if place.bit != natural and (place.bit < at or _natural(place.bit, place, align, packed) != place.bit):
            return None
        pads.append(0 if place.bit == natural else place.bit - at)
        at = place.end
        max_align = max(max_align, align)
    if at > 8 * size or size % max_align:
        return None
    pads.append(0 if _round_up(at, 8 * max_align) == 8 * size else 8 * size - at)
    return tuple(pads)


def _natural(at: int, place: Place, align: int, packed: bool) -> int:
    # Where the compiler puts a member if bit `at` is the first that is free.
    if not place.width:
        return _round_up(at, 8 * align)
    unit = 8 * place.size
    crosses = not packed and at % unit + place.width > unit
    return _round_up(at, 8 * align) if crosses else at


def _union(places: list[Place], size: int) -> Layout:
    if any(place.bit for place in places):
        return Layout(1, opaque=True)
    align = max((place.align for place in places), default=1)
    used = max(((place.end + 7) // 8 for place in places), default=0)
    if used > size:
        return Layout(1, opaque=True)
    packed = size % align != 0
    align = 1 if packed else align
    return Layout(align, packed, (0 if _round_up(used, align) == size else 8 * size,))


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
