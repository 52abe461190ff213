# SPDX-License-Identifier: BSD-2-Clause
"""A type as a C declaration: one line, for messages and as the bricks of a header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.btf import types as t
from rawbpf.btf.cnames import identifier
from rawbpf.errors import BtfError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawbpf.btf.parse import Btf

_MAX_PARTS = 10_000


def type_name(btf: Btf, type_id: int) -> str:
    """The type as C names it, such as ``struct sock *`` or ``u32[4]``."""
    return type_decl(btf, type_id)


def type_decl(
    btf: Btf, type_id: int, name: str = "", *, specifier: Callable[[int], str] | None = None, header: bool = False
) -> str:
    """The declaration of `name` with that type, such as ``int (*names[4])(struct sock *, u32)``.

    A function or variable brings its own name: ``int bpf_foo(struct sock *sk, u32 len)``.

    Args:
        btf: where the type is.
        type_id: the type; 0 is ``void``.
        name: what is declared; empty for the bare type.
        specifier: how to write a struct, union, enum, typedef, int or float; by default its name.
        header: write it for a header: type tags as attributes, and ``[0]`` for arrays of no known length, which clang
            takes anywhere in a struct.
    """
    return _Declaration(btf, specifier, header).declare(type_id, name, (), 0)


class _Declaration:
    def __init__(self, btf: Btf, specifier: Callable[[int], str] | None, header: bool) -> None:
        self.btf = btf
        self.specifier = specifier or self._name
        self.header = header
        self._parts = 0

    def declare(self, type_id: int, inner: str, qualifiers: tuple[str, ...], depth: int) -> str:
        # C reads inside out: `inner` is the declarator so far, which pointers, arrays and functions wrap.
        self._parts += 1
        if depth > t.MAX_DEPTH or self._parts > _MAX_PARTS:
            raise BtfError(f"type {type_id} is nested too deeply for a declaration")
        type_id, qualifiers = self._strip(type_id, qualifiers)
        type = self.btf.type(type_id)
        match type:
            case t.Ptr():
                star = "*" + " ".join((*qualifiers, inner) if inner else qualifiers)
                if isinstance(self.btf.type(self._strip(type.type_id, ())[0]), t.Array | t.FuncProto):
                    star = f"({star})"
                return self.declare(type.type_id, star, (), depth + 1)
            case t.Array():
                # a qualified array is an array of qualified elements
                length = type.nelems if type.nelems or self.header else ""
                return self.declare(type.type_id, f"{inner}[{length}]", qualifiers, depth + 1)
            case t.FuncProto():
                return self.declare(type.return_type_id, f"{inner}({self._params(type, depth)})", (), depth + 1)
            case t.Func() | t.Var():
                return self.declare(type.type_id, inner or type.name, qualifiers, depth + 1)
        base = " ".join((*qualifiers, self.specifier(type_id)))
        return base + inner if inner.startswith("[") or not inner else f"{base} {inner}"

    def _params(self, proto: t.FuncProto, depth: int) -> str:
        params = [
            "..." if param == ("", 0) else self.declare(param.type_id, self._identifier(param.name), (), depth + 1)
            for param in proto.params
        ]
        return ", ".join(params) or "void"

    def _strip(self, type_id: int, qualifiers: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
        # The type behind qualifiers and tags, and these as text, after those that came before.
        for _ in range(t.MAX_DEPTH):
            type = self.btf.type(type_id)
            if isinstance(type, t.TypeTag):
                word = self._tag(type)
            elif isinstance(type, t.Const | t.Volatile | t.Restrict):
                word = type.kind.name.lower()
            else:
                return type_id, qualifiers
            if word and word not in qualifiers:
                qualifiers += (word,)
            type_id = type.type_id
        raise BtfError(f"type {type_id} is a chain of more than {t.MAX_DEPTH} qualifiers")

    def _identifier(self, name: str) -> str:
        return identifier(name) if self.header else name

    def _tag(self, type: t.TypeTag) -> str:
        if not self.header:
            return ""
        if type.attribute:
            return f"__attribute__(({type.name}))"
        text = type.name.replace("\\", r"\\").replace('"', r"\"")
        return f'__attribute__((btf_type_tag("{text}")))'

    def _name(self, type_id: int) -> str:
        type = self.btf.type(type_id)
        match type:
            case t.Void():
                return "void"
            case t.Struct() | t.Union():
                return f"{type.kind.name.lower()} {type.name or '{...}'}"
            case t.Enum():
                return f"enum {type.name or '{...}'}"
            case t.Fwd():
                return f"{'union' if type.union else 'struct'} {type.name}"
        return type.name or type.kind.name.lower()
