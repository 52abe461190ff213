# SPDX-License-Identifier: BSD-2-Clause
"""CO-RE: a relocation of the object and the kernel's BTF give a `CoreFix`, the value that belongs into an instruction.

"Compile once, run everywhere": clang records which field, type or enumerator an instruction depends on
(Documentation/bpf/llvm_reloc.rst, "CO-RE Relocations"); the same thing is found in the running kernel's BTF, and the
value computed anew. Nothing is patched here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rawbpf.btf import types as t
from rawbpf.btf.access import (
    ENUM_KINDS,
    FIELD_KINDS,
    Access,
    describe_type,
    match_access,
    read_access,
)
from rawbpf.btf.ext import core_kind_name
from rawbpf.btf.match import essential_name, same_kind
from rawbpf.errors import CoreRelocationError, RawbpfError
from rawbpf.uapi import CoreReloKind as Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rawbpf.btf.ext import CoreRelo
    from rawbpf.btf.parse import Btf

MAX_LOAD_BYTES = 8


class CoreFix(NamedTuple):
    """What a relocation came to.

    Attributes:
        kind: the relocation's kind, `rawbpf.uapi.CoreReloKind`.
        access: what the source names, such as ``struct sock.sk_mark``.
        target: what was found, with the BTF that has it (``vmlinux [812] struct sock.sk_mark``); empty if nothing.
        old: the value for the object's own types, which the instruction holds now.
        new: the value for the target's types.
        poison: there is no value: the instruction must fail if it is ever reached.
        validate: whether the instruction must hold `old` (for some kinds the compiler may see it differently).
        old_size, new_size: bytes that a load or store of the field has, 0 where that means nothing.
        resizable: whether a load or store may change its size from old to new.
        candidates: the types that were looked at, with the outcome.
    """

    kind: int
    access: str
    target: str
    old: int
    new: int
    poison: bool
    validate: bool
    old_size: int = 0
    new_size: int = 0
    resizable: bool = True
    candidates: tuple[str, ...] = ()

    @property
    def kind_name(self) -> str:
        """The kind in words, such as ``byte_off``."""
        return core_kind_name(self.kind)


class _Value(NamedTuple):
    # one side of a fix; size and type_id tell about the load or store that it may be for
    value: int
    validate: bool = True
    size: int = 0
    type_id: int = 0


class _Missing(Exception):
    # no value: poison
    pass


class Candidate(NamedTuple):
    """A type of a target BTF that has the name and the kind of a root type."""

    btf: Btf
    type_id: int


class CoreResolver:
    """Computes the fixes of one object against one kernel.

    The candidates of a root type are shared by all relocations of that type, and those that an earlier relocation
    ruled out stay ruled out, as in libbpf: so the order of calls matters, and is that of the file.

    Args:
        local: the object's BTF.
        target: the kernel's BTF (None: there is none, and only local type ids can be resolved).
        modules: gives the BTF of the kernel's modules; called only when the kernel itself has no candidate.
    """

    def __init__(self, local: Btf, target: Btf | None, modules: Callable[[], Iterable[Btf]] = tuple) -> None:
        self.local = local
        self.target = target
        self._modules = modules
        self._candidates: dict[int, list[Candidate]] = {}
        self._fixes: dict[tuple[int, str, int], CoreFix] = {}

    def resolve(self, relo: CoreRelo) -> CoreFix:
        """The fix for a relocation. Raises `CoreRelocationError` when it is malformed or its candidates disagree."""
        key = (relo.type_id, relo.access, relo.kind)
        known = self._fixes.get(key)
        if known is None:
            known = self._fixes[key] = self._resolve(relo)
        return known

    def _resolve(self, relo: CoreRelo) -> CoreFix:
        access = ""
        try:
            local = read_access(self.local, relo)
            access = str(local)
            if relo.kind == Kind.TYPE_ID_LOCAL:
                text = describe_type(self.local, relo.type_id)
                return CoreFix(relo.kind, text, "", relo.type_id, relo.type_id, False, False)
            if not self.local.name_of(relo.type_id):
                raise CoreRelocationError(
                    f"{describe_type(self.local, relo.type_id)} has no name by which the kernel's could be found",
                    hint="give the struct, union or enum a name, or a typedef and use that",
                )
            found, log = self._match(relo, local)
            return _make_fix(relo.kind, local, found, log)
        except CoreRelocationError as error:
            if not error.kind:
                error.kind = core_kind_name(relo.kind)
            raise
        except RawbpfError as error:
            raise CoreRelocationError(error.message, kind=core_kind_name(relo.kind), access=access) from error

    def _match(self, relo: CoreRelo, local: Access) -> tuple[Access | None, tuple[str, ...]]:
        candidates = self.candidates(relo.type_id)
        matched: list[tuple[Candidate, Access]] = []
        log = []
        for candidate in candidates:
            path = match_access(local, relo.kind, candidate.btf, candidate.type_id)
            log.append(f"{_label(candidate)}: {'found' if path else 'not there, or of another type'}")
            if path is not None:
                matched.append((candidate, path))
        if not matched:
            return None, tuple(log)
        first = matched[0][1]
        want = _answer(relo.kind, first)
        for candidate, path in matched[1:]:
            if _answer(relo.kind, path) != want:
                raise CoreRelocationError(
                    f"{local}: {_label(matched[0][0])} and {_label(candidate)} give different answers",
                    access=str(local),
                    candidates=tuple(log),
                    hint="the kernel has two types of that name; name a member that tells them apart (a flavor)",
                )
        self._candidates[relo.type_id] = [candidate for candidate, _path in matched]
        return first, tuple(log)

    def candidates(self, type_id: int) -> list[Candidate]:
        """The types of the target that may be meant by a root type: vmlinux's, or where it has none, the modules'."""
        known = self._candidates.get(type_id)
        if known is None:
            known = list(self._search(type_id, [self.target] if self.target else []))
            if not known:
                known = list(self._search(type_id, self._modules()))
            self._candidates[type_id] = known
        return known

    def _search(self, type_id: int, btfs: Iterable[Btf]) -> Iterator[Candidate]:
        kind, name = self.local.kind(type_id), essential_name(self.local.name_of(type_id))
        for btf in btfs:
            ids = {found for found in btf.find_all(name) if found >= btf.start_id}
            ids.update(found for found in btf.find_prefix(name + "___") if essential_name(btf.name_of(found)) == name)
            for found in sorted(ids):
                if same_kind(btf.kind(found), kind):
                    yield Candidate(btf, found)


def _label(candidate: Candidate) -> str:
    return f"{candidate.btf.name} [{candidate.type_id}] {describe_type(candidate.btf, candidate.type_id)}"


def _make_fix(kind: int, local: Access, found: Access | None, log: tuple[str, ...]) -> CoreFix:
    old = _value(kind, local)
    new = _side(kind, found)
    target = f"{found.btf.name} [{found.root_id}] {found}" if found else ""
    return CoreFix(
        kind,
        str(local),
        target,
        old.value,
        new.value if new else 0,
        new is None,
        old.validate,
        old.size,
        new.size if new else 0,
        found is None or new is None or _resizable(local.btf, old, found.btf, new),
        log,
    )


def _answer(kind: int, path: Access) -> tuple[int, int | None]:
    # what candidates have to agree on; the field's type is not part of it
    side = _side(kind, path)
    return path.bit_offset, side.value if side else None


def _side(kind: int, path: Access | None) -> _Value | None:
    try:
        return _value(kind, path)
    except _Missing:
        return None


def _value(kind: int, path: Access | None) -> _Value:
    if kind in FIELD_KINDS:
        return _field_value(kind, path)
    if kind in ENUM_KINDS:
        return _enum_value(kind, path)
    return _type_value(kind, path)


def _type_value(kind: int, path: Access | None) -> _Value:
    # a missing type is an answer, 0, and no reason to poison
    if path is None:
        return _Value(0)
    if kind == Kind.TYPE_ID_TARGET:
        return _Value(path.root_id, validate=False)
    if kind == Kind.TYPE_SIZE:
        return _Value(path.btf.size_of(path.root_id))
    return _Value(1)


def _enum_value(kind: int, path: Access | None) -> _Value:
    if kind == Kind.ENUMVAL_EXISTS:
        return _Value(int(path is not None))
    if path is None:
        raise _Missing
    step = path.steps[0]
    enum = path.btf.type(step.type_id)
    assert isinstance(enum, t.Enum)
    value = enum.values[step.idx].value
    if not isinstance(enum, t.Enum64):
        # libbpf sign-extends 32-bit enumerators even of unsigned enums, and programs are used to it
        value = (value & 0xFFFFFFFF) - ((value & 0x80000000) << 1)
    return _Value(value & 0xFFFFFFFFFFFFFFFF)


def _field_value(kind: int, path: Access | None) -> _Value:
    if kind == Kind.FIELD_EXISTS:
        return _Value(int(path is not None))
    if path is None:
        raise _Missing
    btf, last = path.btf, path.steps[-1]
    if last.name is None:
        return _element_value(kind, path, last.type_id)
    owner = btf.type(last.type_id)
    assert isinstance(owner, t.Struct | t.Union)
    member = owner.members[last.idx]
    type_id = btf.resolve(member.type_id)
    bits = member.bitfield_size
    if bits:
        size, offset = _bitfield_load(btf.size_of(type_id), path.bit_offset, bits)
    else:
        size, offset = btf.size_of(type_id), path.bit_offset // 8
    bitfield = bool(bits)
    bits = bits or size * 8
    if kind == Kind.FIELD_BYTE_OFFSET:
        if bitfield:
            return _Value(offset, validate=False)
        return _Value(offset, True, _element_size(btf, type_id), type_id)
    if kind == Kind.FIELD_BYTE_SIZE:
        return _Value(size, validate=not bitfield)
    if kind == Kind.FIELD_SIGNED:
        field = btf.type(type_id)
        return _Value(int(isinstance(field, t.Int | t.Enum) and field.signed))
    if kind == Kind.FIELD_RSHIFT_U64:
        return _Value(64 - bits)
    begin = path.bit_offset - offset * 8
    shift = 64 - (begin + bits) if btf.little else (8 - size) * 8 + begin
    return _Value(shift, validate=not bitfield)


def _element_value(kind: int, path: Access, type_id: int) -> _Value:
    if kind == Kind.FIELD_BYTE_OFFSET:
        return _Value(path.bit_offset // 8, True, _element_size(path.btf, type_id), type_id)
    if kind == Kind.FIELD_BYTE_SIZE:
        return _Value(path.btf.size_of(type_id))
    raise CoreRelocationError("this kind of relocation cannot be asked of an array element", access=str(path))


def _element_size(btf: Btf, type_id: int) -> int:
    # of an array one element is loaded at a time
    for _ in range(t.MAX_DEPTH):
        kind = btf.type(btf.resolve(type_id))
        if not isinstance(kind, t.Array):
            break
        type_id = kind.type_id
    return btf.size_of(type_id)


def _bitfield_load(size: int, bit_offset: int, bits: int) -> tuple[int, int]:
    # size and offset in bytes of the smallest aligned load that has all the bits
    offset = bit_offset // 8 // size * size
    while bit_offset + bits - offset * 8 > size * 8:
        if size >= MAX_LOAD_BYTES:
            raise CoreRelocationError("no load of 8 bytes or less has all bits of the bitfield")
        size *= 2
        offset = bit_offset // 8 // size * size
    return size, offset


def _resizable(local: Btf, old: _Value, target: Btf, new: _Value) -> bool:
    # only pointers and unsigned integers keep their meaning when they are loaded with another size and zero-extended
    if old.size == new.size or not old.type_id:
        return True
    one = local.type(local.resolve(old.type_id))
    other = target.type(target.resolve(new.type_id))
    if isinstance(one, t.Ptr) and isinstance(other, t.Ptr):
        return True
    return isinstance(one, t.Int) and isinstance(other, t.Int) and not one.signed and not other.signed
