# SPDX-License-Identifier: BSD-2-Clause
"""Bytes → `Btf`: the header, an index of where each type is, and types decoded one by one when somebody asks.

All records of the format are made of 32-bit words, so the type section is one array of words in host order, whatever
the file's byte order. The index is one pass over it that looks at nothing but each record's info word.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import TYPE_CHECKING, NamedTuple

from rawbpf.btf import types as t
from rawbpf.btf.names import Names
from rawbpf.errors import BtfError
from rawbpf.uapi import BTF_MAGIC, BTF_VERSION, BtfKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEADER_LEN = 24
LAYOUT_HEADER_LEN = 32
_NATIVE_LITTLE = sys.byteorder == "little"
_LAST_KIND = max(BtfKind)
_LONGS = frozenset({"long", "long int", "unsigned long", "long unsigned int"})

# Words of a record: (fixed, for each of vlen), behind the three words of struct btf_type. The format's own table.
_RECORD_WORDS = {
    BtfKind.INT: (1, 0),
    BtfKind.ARRAY: (3, 0),
    BtfKind.STRUCT: (0, 3),
    BtfKind.UNION: (0, 3),
    BtfKind.ENUM: (0, 2),
    BtfKind.FUNC_PROTO: (0, 2),
    BtfKind.VAR: (1, 0),
    BtfKind.DATASEC: (0, 3),
    BtfKind.DECL_TAG: (1, 0),
    BtfKind.ENUM64: (0, 3),
}


class Header(NamedTuple):
    """``struct btf_header``: where the sections are, in bytes from the end of the header."""

    little: bool
    hdr_len: int
    type_off: int
    type_len: int
    str_off: int
    str_len: int
    layout_off: int = 0
    layout_len: int = 0


class Btf:
    """A BTF blob: types by id and by name. Nothing is decoded before it is asked for.

    Type ids of *split* BTF (a kernel module's) go on where those of `base` end, and so do string offsets.

    Attributes:
        data: the blob, as given.
        base: the BTF that this one is split from, or None.
        name: what it describes (``vmlinux``, a module, a file), for messages.
        little: whether the blob is little-endian.
        start_id: the first type id that is this blob's own (1 where there is no base).
    """

    def __init__(self, data: bytes, *, base: Btf | None = None, name: str = "") -> None:
        self.data = data
        self.base = base
        self.name = name
        header = _parse_header(data)
        self.little = header.little
        self._header = header
        body = memoryview(data)[header.hdr_len :]
        self.strings = bytes(body[header.str_off : header.str_off + header.str_len])
        if base is None and not self.strings.startswith(b"\0"):
            raise BtfError("BTF string section does not start with an empty string")
        if self.strings and not self.strings.endswith(b"\0"):
            raise BtfError("BTF string section is not terminated")
        self.words = _words(body[header.type_off : header.type_off + header.type_len], header.little)
        self.start_id = base.end_id if base else 1
        self._str_base = base.end_str if base else 0
        extra = _read_layout(body[header.layout_off : header.layout_off + header.layout_len], header.little)
        self._offsets = _index(self.words, extra)
        self._cache: dict[int, t.Type] = {}
        self._names: Names | None = None
        self._ptr_size = 0
        self._aligns: dict[int, int] = {}

    # -- types by id

    @property
    def header_len(self) -> int:
        """The bytes of the header: 24, or 32 where the tool that wrote the blob knows of layouts."""
        return self._header.hdr_len

    @property
    def end_id(self) -> int:
        """One more than the highest type id."""
        return self.start_id + len(self._offsets)

    @property
    def end_str(self) -> int:
        """The first string offset behind this blob's strings."""
        return self._str_base + len(self.strings)

    def __len__(self) -> int:
        """The number of types, those of the base and void included."""
        return self.end_id

    def ids(self) -> range:
        """The blob's own type ids (those of the base not among them)."""
        return range(self.start_id, self.end_id)

    def type(self, type_id: int) -> t.Type:
        """The type with that id (0: void). Raises `BtfError` for an id that is not there or a record that is broken."""
        known = self._cache.get(type_id)
        if known is not None:
            return known
        if type_id == 0:
            return t.VOID
        if type_id < self.start_id and self.base is not None:
            return self.base.type(type_id)
        decoded = self._decode(self._position(type_id))
        self._cache[type_id] = decoded
        return decoded

    def kind(self, type_id: int) -> int:
        """The kind of a type, without decoding it (`BtfKind`, or a bare number that the layout section explains)."""
        if type_id == 0:
            return 0
        if type_id < self.start_id and self.base is not None:
            return self.base.kind(type_id)
        return self.words[self._position(type_id) + 1] >> 24 & 0x7F

    def name_of(self, type_id: int) -> str:
        """The name of a type, without decoding it."""
        if type_id == 0:
            return ""
        if type_id < self.start_id and self.base is not None:
            return self.base.name_of(type_id)
        return self.string(self.words[self._position(type_id)])

    def record(self, type_id: int) -> array[int]:
        """The words of an own type's record, in host order: name, info, size or type, then what its kind adds."""
        start = self._position(type_id)
        following = type_id + 1 - self.start_id
        end = self._offsets[following] if following < len(self._offsets) else len(self.words)
        return self.words[start:end]

    def _position(self, type_id: int) -> int:
        index = type_id - self.start_id
        if not 0 <= index < len(self._offsets):
            raise BtfError(f"no type with id {type_id}{f' in BTF of {self.name}' if self.name else ''}")
        return self._offsets[index]

    def string(self, offset: int) -> str:
        """The string at an offset into the string section."""
        if offset < self._str_base and self.base is not None:
            return self.base.string(offset)
        start = offset - self._str_base
        end = self.strings.find(b"\0", start) if start >= 0 else -1
        if end < 0:
            if offset == 0:
                return ""
            raise BtfError(f"string offset {offset} is outside of the BTF string section")
        return self.strings[start:end].decode(errors="surrogateescape")

    # -- types by name

    def find_all(self, name: str) -> list[int]:
        """The ids of all types with that name, the base's first, in order."""
        found = self.base.find_all(name) if self.base else []
        return found + self._name_index().named(name)

    def _name_index(self) -> Names:
        if self._names is None:
            words = self.words
            offsets = [words[at] for at in self._offsets]
            self._names = Names(offsets, self.start_id, self.strings, self._str_base, self.string, self._string_offsets)
        return self._names

    def find(self, name: str, *kinds: int) -> int | None:
        """The id of the first type with that name, of one of these kinds if any are given; None if there is none."""
        for type_id in self.find_all(name):
            if not kinds or self.kind(type_id) in kinds:
                return type_id
        return None

    def find_prefix(self, prefix: str) -> list[int]:
        """The ids of this blob's own types (not the base's) whose names begin with `prefix` and go on."""
        return self._name_index().beginning(prefix)

    def _string_offsets(self, text: str, prefix: bool = False) -> Iterator[int]:
        # Where a string is, or one that begins so: a producer may share suffixes, and split BTF has names in its base
        if self.base is not None:
            yield from self.base._string_offsets(text, prefix)
        body = text.encode(errors="surrogateescape")
        needle = b"\0" + body if prefix else body + b"\0"
        if prefix and len(body) < self.strings.find(b"\0") and self.strings.startswith(body):
            yield self._str_base  # the strings of split BTF begin with one, not with NUL
        at = self.strings.find(needle) if body else -1
        while at >= 0:
            if not prefix:
                yield at + self._str_base
            elif self.strings[at + len(needle)]:
                yield at + 1 + self._str_base
            at = self.strings.find(needle, at + 1)

    # -- walking

    def resolve(self, type_id: int, *, typedefs: bool = True) -> int:
        """The id behind qualifiers, type tags and (unless told otherwise) typedefs."""
        for _ in range(t.MAX_DEPTH):
            kind = self.kind(type_id)
            if kind not in t.MODIFIERS and not (typedefs and kind == BtfKind.TYPEDEF):
                return type_id
            type_id = self._type_word(type_id)
        raise BtfError(f"type {type_id} is a chain of more than {t.MAX_DEPTH} qualifiers and typedefs")

    def _type_word(self, type_id: int) -> int:
        if type_id < self.start_id and self.base is not None:
            return self.base._type_word(type_id)
        return self.words[self._position(type_id) + 2]

    @property
    def ptr_size(self) -> int:
        """The size of a pointer in bytes: that of the first ``long``, signed or not, where the BTF has one, else 8."""
        if not self._ptr_size:
            self._ptr_size = self.base.ptr_size if self.base else 8
            for type_id in self.ids() if self.base is None else ():
                if self.kind(type_id) == BtfKind.INT and self.name_of(type_id) in _LONGS:
                    self._ptr_size = self.size_of(type_id)
                    break
        return self._ptr_size

    def size_of(self, type_id: int) -> int:
        """The size of a type in bytes. Raises `BtfError` for what has none (void, functions, forward declarations)."""
        count = 1
        for _ in range(t.MAX_DEPTH):
            kind = self.type(type_id)
            if isinstance(kind, t.Array):
                count *= kind.nelems
                type_id = kind.type_id
            elif isinstance(kind, t.Ptr):
                return count * self.ptr_size
            elif isinstance(kind, t.Int | t.Struct | t.Union | t.Enum | t.Float | t.Datasec):
                return count * kind.size
            elif isinstance(kind, t.Typedef | t.Const | t.Volatile | t.Restrict | t.TypeTag | t.Var):
                type_id = kind.type_id
            else:
                raise BtfError(f"type {type_id} ({kind.kind.name.lower()} {kind.name!r}) has no size")
        raise BtfError(f"type {type_id} is nested more than {t.MAX_DEPTH} deep")

    def align_of(self, type_id: int, depth: int = 0) -> int:
        """The natural alignment of a type in bytes (1 for a packed struct), as libbpf's ``btf__align_of`` counts it."""
        known = self._aligns.get(type_id)
        if known is None:
            if depth > t.MAX_DEPTH:
                raise BtfError(f"type {type_id} is nested more than {t.MAX_DEPTH} deep")
            known = self._aligns[type_id] = self._align(type_id, depth)
        return known

    def _align(self, type_id: int, depth: int) -> int:
        kind = self.type(type_id)
        if isinstance(kind, t.Ptr):
            return self.ptr_size
        if isinstance(kind, t.Int | t.Enum | t.Float):
            return max(1, min(self.ptr_size, kind.size))
        if isinstance(kind, t.Typedef | t.Const | t.Volatile | t.Restrict | t.TypeTag | t.Array | t.Var):
            return self.align_of(kind.type_id, depth + 1)
        if isinstance(kind, t.Struct | t.Union):
            aligns = [1]
            for member in kind.members:
                align = self.align_of(member.type_id, depth + 1)
                if not member.bitfield_size and member.bit_offset % (8 * align):
                    return 1
                aligns.append(align)
            return 1 if kind.size % max(aligns) else max(aligns)
        raise BtfError(f"type {type_id} ({kind.kind.name.lower()} {kind.name!r}) has no alignment")

    # -- decoding

    def _decode(self, at: int) -> t.Type:
        words = self.words
        info = words[at + 1]
        kind = info >> 24 & 0x7F
        decoder = _DECODERS.get(kind)
        if decoder is None:
            raise BtfError(f"BTF kind {kind} is not known to this version")
        return decoder(self, self.string(words[at]), info & 0xFFFFFF, bool(info >> 31), words[at + 2], at + 3)


def _parse_header(data: bytes) -> Header:
    if len(data) < HEADER_LEN:
        raise BtfError(f"BTF of {len(data)} bytes is shorter than its header")
    magic = data[:2]
    if magic == BTF_MAGIC.to_bytes(2, "little"):
        order = "<"
    elif magic == BTF_MAGIC.to_bytes(2, "big"):
        order = ">"
    else:
        raise BtfError(f"no BTF: magic number is {magic.hex()}")
    version, _flags, hdr_len, *rest = struct.unpack_from(order + "BBIIIII", data, 2)
    if version != BTF_VERSION:
        raise BtfError(f"BTF version {version} is not known (only {BTF_VERSION})")
    if hdr_len < HEADER_LEN or hdr_len > len(data):
        raise BtfError(f"BTF header length {hdr_len} is impossible")
    if hdr_len >= LAYOUT_HEADER_LEN:
        rest += struct.unpack_from(order + "II", data, HEADER_LEN)
    header = Header(order == "<", hdr_len, *rest)
    body = len(data) - hdr_len
    sections = (
        ("type", header.type_off, header.type_len),
        ("string", header.str_off, header.str_len),
        ("layout", header.layout_off, header.layout_len),
    )
    for what, off, length in sections:
        if off + length > body:
            raise BtfError(f"BTF {what} section ({off}+{length}) ends behind the data ({body} bytes)")
    if header.type_off % 4 or header.type_len % 4:
        raise BtfError("BTF type section is not aligned to 4 bytes")
    return header


def _words(section: memoryview, little: bool) -> array[int]:
    words = array("I")
    words.frombytes(section)
    if little != _NATIVE_LITTLE:
        words.byteswap()
    return words


def _read_layout(section: memoryview, little: bool) -> dict[int, tuple[int, int]]:
    # struct btf_layout of Linux 7.1: sizes of the records of each kind, so that unknown kinds can be skipped
    sizes = struct.iter_unpack("<BBH" if little else ">BBH", section[: len(section) // 4 * 4])
    return {kind: (info // 4, elem // 4) for kind, (info, elem, _flags) in enumerate(sizes) if kind > _LAST_KIND}


class _Steps(dict[int, int]):
    # info word → length of the record in words; there are few different info words, so this is nearly always a hit

    def __init__(self, extra: dict[int, tuple[int, int]]) -> None:
        super().__init__()
        self._extra = extra

    def __missing__(self, info: int) -> int:
        kind = info >> 24 & 0x7F
        if 0 < kind <= _LAST_KIND:
            fixed, each = _RECORD_WORDS.get(BtfKind(kind), (0, 0))
        elif kind in self._extra:
            fixed, each = self._extra[kind]
        else:
            raise BtfError(
                f"BTF kind {kind} is not known, and the BTF has no layout section that tells how to skip it",
                hint="the file is corrupted, or was made for a kernel newer than this loader",
            )
        step = self[info] = 3 + fixed + each * (info & 0xFFFFFF)
        return step


def _index(words: array[int], extra: dict[int, tuple[int, int]]) -> array[int]:
    offsets: list[int] = []
    append = offsets.append
    steps = _Steps(extra)
    infos = words[1:]
    at, end = 0, len(words)
    try:
        while True:  # until it is behind the last record
            append(at)
            at += steps[infos[at]]
    except IndexError:
        if at >= end:
            offsets.pop()
    if at != end:
        raise BtfError(f"BTF type {len(offsets)} ends behind the type section")
    return array("I", offsets)


def _signed(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word


def _int(btf: Btf, name: str, vlen: int, flag: bool, word: int, at: int) -> t.Type:
    data = btf.words[at]
    return t.Int(name, word, data >> 24 & 0xF, data & 0xFF, data >> 16 & 0xFF)


def _array(btf: Btf, name: str, vlen: int, flag: bool, word: int, at: int) -> t.Type:
    return t.Array(*btf.words[at : at + 3])


def _members(btf: Btf, vlen: int, flag: bool, at: int) -> list[t.Member]:
    string, words = btf.string, btf.words[at : at + 3 * vlen]
    if flag:
        return [
            t.Member(string(words[i]), words[i + 1], words[i + 2] & 0xFFFFFF, words[i + 2] >> 24)
            for i in range(0, 3 * vlen, 3)
        ]
    return [t.Member(string(words[i]), words[i + 1], words[i + 2]) for i in range(0, 3 * vlen, 3)]


def _struct(btf: Btf, name: str, vlen: int, flag: bool, word: int, at: int) -> t.Type:
    return t.Struct(name, word, _members(btf, vlen, flag, at))


def _union(btf: Btf, name: str, vlen: int, flag: bool, word: int, at: int) -> t.Type:
    return t.Union(name, word, _members(btf, vlen, flag, at))


def _enum(btf: Btf, name: str, vlen: int, flag: bool, word: int, at: int) -> t.Type:
    words = btf.words[at : at + 2 * vlen]
    values = [
        t.Enumerator(btf.string(words[i]), _signed(words[i + 1]) if flag else words[i + 1])
        for i in range(0, 2 * vlen, 2)
    ]
    return t.Enum(name, word, values, flag)


def _enum64(btf: Btf, name: str, vlen: int, flag: bool, word: int, at: int) -> t.Type:
    words = btf.words[at : at + 3 * vlen]
    values = []
    for i in range(0, 3 * vlen, 3):
        high = _signed(words[i + 2]) if flag else words[i + 2]
        values.append(t.Enumerator(btf.string(words[i]), high << 32 | words[i + 1]))
    return t.Enum64(name, word, values, flag)


def _fwd(btf: Btf, name: str, vlen: int, flag: bool, word: int, at: int) -> t.Type:
    return t.Fwd(name, flag)


def _func(btf: Btf, name: str, vlen: int, flag: bool, word: int, at: int) -> t.Type:
    return t.Func(name, word, vlen)


def _func_proto(btf: Btf, name: str, vlen: int, flag: bool, word: int, at: int) -> t.Type:
    words = btf.words[at : at + 2 * vlen]
    return t.FuncProto(word, [t.Param(btf.string(words[i]), words[i + 1]) for i in range(0, 2 * vlen, 2)])


def _var(btf: Btf, name: str, vlen: int, flag: bool, word: int, at: int) -> t.Type:
    return t.Var(name, word, btf.words[at])


def _datasec(btf: Btf, name: str, vlen: int, flag: bool, word: int, at: int) -> t.Type:
    words = btf.words[at : at + 3 * vlen]
    return t.Datasec(name, word, [t.SecVar(*words[i : i + 3]) for i in range(0, 3 * vlen, 3)])


def _decl_tag(btf: Btf, name: str, vlen: int, flag: bool, word: int, at: int) -> t.Type:
    return t.DeclTag(word, name, _signed(btf.words[at]), flag)


_DECODERS: dict[int, Callable[[Btf, str, int, bool, int, int], t.Type]] = {
    BtfKind.INT: _int,
    BtfKind.PTR: lambda btf, name, vlen, flag, word, at: t.Ptr(word, name),
    BtfKind.ARRAY: _array,
    BtfKind.STRUCT: _struct,
    BtfKind.UNION: _union,
    BtfKind.ENUM: _enum,
    BtfKind.FWD: _fwd,
    BtfKind.TYPEDEF: lambda btf, name, vlen, flag, word, at: t.Typedef(word, name),
    BtfKind.VOLATILE: lambda btf, name, vlen, flag, word, at: t.Volatile(word, name),
    BtfKind.CONST: lambda btf, name, vlen, flag, word, at: t.Const(word, name),
    BtfKind.RESTRICT: lambda btf, name, vlen, flag, word, at: t.Restrict(word, name),
    BtfKind.FUNC: _func,
    BtfKind.FUNC_PROTO: _func_proto,
    BtfKind.VAR: _var,
    BtfKind.DATASEC: _datasec,
    BtfKind.FLOAT: lambda btf, name, vlen, flag, word, at: t.Float(name, word),
    BtfKind.DECL_TAG: _decl_tag,
    BtfKind.TYPE_TAG: lambda btf, name, vlen, flag, word, at: t.TypeTag(word, name, flag),
    BtfKind.ENUM64: _enum64,
}
