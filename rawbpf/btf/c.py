# SPDX-License-Identifier: BSD-2-Clause
"""BTF → a C header (a ``vmlinux.h``), of all types or of some with what they need.

C wants a type before it is used: whole where it is a member, at least declared where it is pointed to. So a type is
written when it is first needed, behind what it needs itself, and pointers get by with ``struct name;``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.btf import types as t
from rawbpf.btf.cnames import Names, identifier
from rawbpf.btf.decl import type_decl
from rawbpf.btf.layout import Layout, Layouts, bit_range
from rawbpf.errors import BtfError
from rawbpf.uapi import BtfKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rawbpf.btf.parse import Btf

_MAX_DEPTH = 200
_DEFINITIONS = frozenset({BtfKind.STRUCT, BtfKind.UNION, BtfKind.ENUM, BtfKind.ENUM64, BtfKind.TYPEDEF})
_MAX_LINES = 100_000
_MAX_PADDING = 8 * 512

_HEAD = """\
#ifndef __VMLINUX_H__
#define __VMLINUX_H__
"""
_TAIL = "#endif /* __VMLINUX_H__ */"
_RECORDS_HEAD = """\
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif
"""
_RECORDS_TAIL = """\
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif
"""
_KFUNCS_HEAD = """\
#ifndef BPF_NO_KFUNC_PROTOTYPES
#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif
#ifndef __weak
#define __weak __attribute__((weak))
#endif
"""
_KFUNCS_TAIL = """
#endif /* BPF_NO_KFUNC_PROTOTYPES */
"""


def emit_c(btf: Btf, roots: Iterable[int] | None = None, *, kfuncs: bool = False) -> Iterator[str]:
    """The header, in pieces that are each to be followed by a newline.

    It is made for ``clang -target bpf``, and asks for CO-RE relocations of all accesses to its structs.
    Layouts are those of the BTF, told by padding and ``packed``. Of several types with one name, all but
    the first get a suffix such as ``___2``, which CO-RE ignores.

    Args:
        btf: the BTF; of split BTF only its own types are roots, and those of the base that they need come along.
        roots: ids of the types to write (functions too), together with all that they need; by default all types.
        kfuncs: declare the kernel's kfuncs too, as the kernel marks them since Linux 6.10 (with pahole 1.26).

    Raises:
        BtfError: a type contains itself, or is nested too deeply.
    """
    if roots is None:
        wanted = [type_id for type_id in btf.ids() if btf.kind(type_id) in _DEFINITIONS]
    else:
        wanted = list(dict.fromkeys(roots))
    functions = [type_id for type_id in wanted if btf.kind(type_id) == BtfKind.FUNC]
    if kfuncs:
        functions = list(dict.fromkeys(functions + kfunc_ids(btf)))
    emitter = _Emitter(btf)
    yield _HEAD
    yield from emitter.types(wanted, functions)
    if functions:
        yield from emitter.functions(functions)
    yield from emitter.end()
    yield _TAIL


def kfunc_ids(btf: Btf) -> list[int]:
    """The functions that the BTF itself (not its base) marks as kfuncs, ``btf_decl_tag("bpf_kfunc")``, in order."""
    found = (type_id for type_id in btf.find_all("bpf_kfunc") if type_id in btf.ids())
    tags = (btf.type(type_id) for type_id in found)
    return sorted({tag.type_id for tag in tags if isinstance(tag, t.DeclTag) and tag.component < 0})


class _Emitter:
    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.names = Names(btf)
        self.layouts = Layouts(btf)
        self.out: list[str] = []
        self._complete: set[int] = set()  # types that can be used by value
        self._declared: set[int] = set()  # types that can be pointed to
        self._open: set[int] = set()  # structs and unions that are about to be written
        self._body_of = 0  # the named one among these whose body is being looked at
        self._aliases: dict[int, str] = {}  # anonymous types that have been written, by name of their typedef
        self._parts: dict[int, tuple[str, str]] = {}
        self._inlined: set[int] = set()
        self._indent = 0
        self._lines = 0  # of the definition that is being written
        self._bodies = 0
        self._arrays = 0

    # -- what to write, in which order

    def types(self, wanted: list[int], functions: list[int]) -> Iterator[str]:
        """Write the types, and what they need. The functions are only given their names, which cannot be others."""
        for type_id in functions + wanted:
            self.names.reserve(type_id)
        for type_id in wanted:
            if self.btf.name_of(type_id):
                self.complete(type_id, 0)
                yield from self._drain()
        for type_id in wanted:
            if self.btf.kind(type_id) in (BtfKind.ENUM, BtfKind.ENUM64) and type_id not in self._inlined:
                # constants: an anonymous enum that nothing refers to
                self.out.append(f"{self._enum(type_id)};\n")
        yield from self._drain()

    def functions(self, wanted: list[int]) -> Iterator[str]:
        """Declare kernel functions."""
        for type_id in wanted:
            self.declare(type_id, 0)
        yield from self._drain()
        yield _KFUNCS_HEAD
        for type_id in wanted:
            type = self.btf.type(type_id)
            assert isinstance(type, t.Func)
            yield f"extern {self._decl(type.type_id, self.names.ordinary(type_id))} __weak __ksym;"
        yield _KFUNCS_TAIL

    def end(self) -> Iterator[str]:
        """What has to follow the last type."""
        if self._bodies:
            yield _RECORDS_TAIL

    def _drain(self) -> Iterator[str]:
        yield from self.out
        self.out.clear()

    def complete(self, type_id: int, depth: int) -> None:
        """Write what it takes to use the type by value."""
        if type_id in self._complete:
            return
        self._check(type_id, depth)
        type = self.btf.type(type_id)
        match type:
            case t.Struct() | t.Union():
                self._record_needs(type_id, type, depth)
                if type.name:
                    self._declared.add(type_id)
                    self.out.append(f"{self._record(type_id, type, type.name)};\n")
            case t.Array():
                self.complete(type.type_id, depth + 1)
            case t.Typedef() | t.Const() | t.Volatile() | t.Restrict() | t.TypeTag():
                self.declare(type_id, depth + 1)
                self.complete(type.type_id, depth + 1)
            case t.Ptr() | t.FuncProto() | t.Enum() | t.Fwd() | t.Func() | t.Var():
                self.declare(type_id, depth + 1)
        self._complete.add(type_id)

    def declare(self, type_id: int, depth: int) -> bool:
        """Write what it takes to point to the type. False: it is declared only for the body that is being looked at."""
        if type_id in self._declared:
            return True
        self._check(type_id, depth)
        type = self.btf.type(type_id)
        everywhere = True
        match type:
            case t.Struct() | t.Union() | t.Fwd():
                if not type.name:
                    self.complete(type_id, depth + 1)
                elif type_id == self._body_of:
                    return False
                else:
                    self.out.append(f"{self.names.tag(type_id)};\n")
            case t.Enum():
                if type.name:
                    self.out.append(f"{self._enum(type_id)};\n")
            case t.Array():
                self.complete(type_id, depth + 1)
            case t.Typedef():
                self._declare_typedef(type_id, type, depth)
            case _:
                everywhere = all([self.declare(ref, depth + 1) for ref in type.refs()])
        if everywhere:
            self._declared.add(type_id)
        return everywhere

    def _check(self, type_id: int, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise BtfError(f"type {type_id} is nested more than {_MAX_DEPTH} deep")

    def _record_needs(self, type_id: int, type: t.Struct | t.Union, depth: int) -> None:
        if type_id in self._open:
            raise BtfError(f"type {type_id} ({type.kind.name.lower()} {type.name}) contains itself")
        self._open.add(type_id)
        outer = self._body_of
        if type.name:
            self._body_of = type_id
        for member in type.members:
            self.complete(member.type_id, depth + 1)
        self._body_of = outer
        self._open.discard(type_id)

    def _declare_typedef(self, type_id: int, type: t.Typedef, depth: int) -> None:
        outer, self._body_of = self._body_of, 0
        self.declare(type.type_id, depth + 1)
        self._body_of = outer
        name = self.names.ordinary(type_id)
        self.out.append(f"typedef {self._decl(type.type_id, name)};\n")
        if not self.btf.name_of(type.type_id):
            self._aliases.setdefault(type.type_id, name)

    # -- how to write it

    def _decl(self, type_id: int, name: str) -> str:
        # Declarations by type, but for those with a body within: a large struct needs few different ones.
        known = self._parts.get(type_id)
        if known is None:
            bodies = len(self._inlined), self._bodies
            before, _, after = type_decl(self.btf, type_id, "\0", specifier=self._specifier, header=True).partition(
                "\0"
            )
            known = before, after
            if bodies == (len(self._inlined), self._bodies):
                self._parts[type_id] = known
        before, after = known
        return f"{before}{name}{after}" if name else f"{before.rstrip()}{after}"

    def _specifier(self, type_id: int) -> str:
        type = self.btf.type(type_id)
        match type:
            case t.Int():
                return _int_name(type)
            case t.Float():
                return _FLOATS.get((type.name, type.size)) or _int_name(t.Int("", type.size))
            case t.Typedef():
                return self.names.ordinary(type_id)
            case t.Struct() | t.Union():
                if type.name:
                    return self.names.tag(type_id)
                return self._aliases.get(type_id) or self._record(type_id, type, "")
            case t.Enum():
                if type.name:
                    return self.names.tag(type_id)
                if type_id in self._inlined:
                    return self._aliases.get(type_id) or _int_name(t.Int("", type.size, int(type.signed)))
                return self._enum(type_id)
            case t.Fwd():
                return self.names.tag(type_id)
        return "void"

    def _record(self, type_id: int, type: t.Struct | t.Union, name: str) -> str:
        layout = self.layouts.layout(type_id)
        head = self.names.tag(type_id) if name else type.kind.name.lower()
        self._lines = self._lines if self._indent else 0
        if not self._bodies:
            self.out.append(_RECORDS_HEAD)  # clang warns of a region without a struct
        self._bodies += 1
        self._indent += 1
        if self._indent > t.MAX_DEPTH:
            raise BtfError(f"type {type_id} is nested more than {t.MAX_DEPTH} deep")
        lines = self._body(type, layout)
        self._indent -= 1
        self._lines += len(lines) + 1
        if self._lines > _MAX_LINES:
            raise BtfError(f"type {type_id} takes more than {_MAX_LINES} lines of C")
        attributes = " __attribute__((packed))" if layout.packed else ""
        if not lines:
            return f"{head} {{}}{attributes}"
        return f"{head} {{\n" + "\n".join(lines) + f"\n{self._tabs()}}}{attributes}"

    def _tabs(self) -> str:
        return "\t" * self._indent

    def _body(self, type: t.Struct | t.Union, layout: Layout) -> list[str]:
        # The lines between the braces.
        tabs = self._tabs()
        members, pads, lines = type.members, layout.pads, []
        if layout.opaque:
            members, pads = (), (8 * type.size,)
            lines.append(f"{tabs}/* no C declaration has these members where they are */")
        if isinstance(type, t.Union):
            lines += [f"{tabs}{self._member(member)};" for member in members]
            return lines + self._padding_in_union(tabs, pads[-1])
        for member, pad in zip(members, pads, strict=False):
            lines += self._padding(tabs, bit_range(self.btf, member)[0] - pad, pad)
            lines.append(f"{tabs}{self._member(member)};")
        return lines + self._padding(tabs, 8 * type.size - pads[-1], pads[-1])

    def _padding(self, tabs: str, start: int, bits: int) -> list[str]:
        # Unnamed bit-fields: they occupy bits, and neither align anything nor add a member. Where it would take too
        # many, an array of bytes from the first whole byte on.
        end = start + bits
        if bits <= _MAX_PADDING:
            return _bit_padding(tabs, start, end)
        first = -(-start // 8)
        self._arrays += 1
        array = f"{tabs}unsigned char __padding_{self._arrays}[{end // 8 - first}];"
        return [*_bit_padding(tabs, start, 8 * first), array, *_bit_padding(tabs, end // 8 * 8, end)]

    def _padding_in_union(self, tabs: str, bits: int) -> list[str]:
        return [f"{tabs}struct {{", *self._padding(f"{tabs}\t", 0, bits), f"{tabs}}};"] if bits else []

    def _member(self, member: t.Member) -> str:
        _, width = bit_range(self.btf, member)
        name = identifier(member.name)
        if not name and not width:
            # an anonymous member: its type may have a tag or a typedef all the same (-fms-extensions)
            inner = self.btf.resolve(member.type_id)
            type = self.btf.type(inner)
            if isinstance(type, t.Struct | t.Union):
                return self._record(inner, type, "")
        return f"{self._decl(member.type_id, name)}{f' : {width}' if width else ''}"

    def _enum(self, type_id: int) -> str:
        type = self.btf.type(type_id)
        assert isinstance(type, t.Enum)
        self._inlined.add(type_id)
        head = self.names.tag(type_id) if type.name else "enum"
        if not type.values:
            return head
        if not _is_natural(type):
            head += f" : {_int_name(t.Int('', type.size, int(type.signed)))}"
        tabs = self._tabs()
        lines = [
            f"{tabs}\t{self.names.enumerator(type_id, index)} = {_constant(value)},"
            for index, (_, value) in enumerate(type.values)
        ]
        return f"{head} {{\n" + "\n".join(lines) + f"\n{tabs}}}"


_INTS = {
    1: ("signed char", "unsigned char"),
    2: ("short", "unsigned short"),
    4: ("int", "unsigned int"),
    8: ("long long", "unsigned long long"),
    16: ("__int128", "unsigned __int128"),
}
_FLOATS = {("float", 4): "float", ("double", 8): "double"}
_WIDTHS = {"char": 1, "short": 2, "int": 4, "long": 8, "__int128": 16, "_Bool": 1}


def _int_name(type: t.Int) -> str:
    # The name as it is, if C knows it with that size on BPF, else one that C does.
    words = type.name.split()
    if words and all(word in _WIDTHS or word in ("signed", "unsigned") for word in words):
        widths = [_WIDTHS[word] for word in words if word in _WIDTHS and word != "int"] or [4]
        if widths[0] == type.size:
            return type.name
    if type.size == 1 and type.bool:
        return "_Bool"
    signed, unsigned = _INTS.get(type.size, _INTS[4])
    return signed if type.signed else unsigned


def _is_natural(type: t.Enum) -> bool:
    # Whether the compiler would give the enum its size and sign anyhow.
    values = [value for _, value in type.values]
    signed = min(values) < 0
    bits = max(value.bit_length() for value in values) + signed
    return (type.size, type.signed) == (4 if bits <= 32 else 8, signed)


def _constant(value: int) -> str:
    if value == -(1 << 63):
        return "-9223372036854775807LL - 1"
    if -(1 << 31) <= value < 1 << 31:
        return str(value)
    return f"{value}{'U' * (value > 0)}{'LL' * (value.bit_length() > 32 or value < 0)}"


def _bit_padding(tabs: str, start: int, end: int) -> list[str]:
    pads = []
    while start < end:
        width = min(64 - start % 64, end - start)
        pads.append(f"long : {width};")
        start += width
    return [tabs + " ".join(pads[i : i + 8]) for i in range(0, len(pads), 8)]
