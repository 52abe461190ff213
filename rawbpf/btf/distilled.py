# SPDX-License-Identifier: BSD-2-Clause
"""BTF of a module that was built apart from the kernel: put upon the BTF of the kernel that it is loaded into.

Split BTF refers to types of its base by their ids, which another build of the kernel numbers anew. So such a module
brings, in a section .BTF.base, a base of its own: the types of vmlinux that it refers to, by name, kind and size alone
(Linux 6.11 and newer look them up when they load it: kernel/bpf/btf_relocate.c). `relocate` looks each of them up in a
vmlinux, and returns the module's types split from that.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.btf.parse import Btf
from rawbpf.errors import BtfError

if TYPE_CHECKING:
    from collections.abc import Callable

_Sized = t.Int | t.Float | t.Enum | t.Struct | t.Union


def relocate(split: Btf, base: Btf) -> Btf:
    """The same types, split from `base` in place of the distilled base that they are split from now.

    Raises:
        BtfError: `base` lacks one of the types, or has several that it may be; the base is no distilled one.
    """
    distilled = split.base
    assert distilled is not None
    embedded = _embedded(split)
    found = {0: 0}
    for type_id in distilled.ids():
        found[type_id] = _counterpart(distilled.type(type_id), base, type_id in embedded)

    def moved(type_id: int) -> int:
        return found[type_id] if type_id in found else type_id - distilled.end_id + base.end_id

    builder = Builder(little=split.little, base=base)
    for type_id in split.ids():
        builder.add(_with_ids(split.type(type_id), moved))
    return Btf(builder.to_bytes(), base=base, name=split.name)


def _embedded(split: Btf) -> set[int]:
    # structs of the base that structs of the module hold by value: these must have the same size
    inside: set[int] = set()
    for type_id in split.ids():
        composite = split.type(type_id)
        for member in composite.members if isinstance(composite, t.Struct | t.Union) else ():
            inner = split.resolve(member.type_id)
            for _ in range(t.MAX_DEPTH):
                array = split.type(inner)
                if not isinstance(array, t.Array):
                    break
                inner = split.resolve(array.type_id)
            inside.add(inner)
    return inside


def _counterpart(wanted: t.Type, base: Btf, embedded: bool) -> int:
    if not wanted.name or not isinstance(wanted, t.Fwd | _Sized):
        raise BtfError(f"a distilled base has named types alone, this one {wanted!r}")
    alike = [type_id for type_id in base.find_all(wanted.name) if _alike(wanted, base.type(type_id))]
    if len(alike) > 1 or embedded or isinstance(wanted, t.Int | t.Float | t.Enum):
        alike = [type_id for type_id in alike if _size(base.type(type_id)) == _size(wanted)]
    if len(alike) == 1:
        return alike[0]
    size = f" of {_size(wanted)} bytes" if _size(wanted) else ""
    raise BtfError(
        f"the module needs one {wanted.kind.name.lower()} {wanted.name}{size}:"
        f" {base.name or 'the base'} has {len(alike) or 'none'}",
        hint=None if alike else "the module is meant for another kernel",
    )


def _alike(wanted: t.Type, candidate: t.Type) -> bool:
    if isinstance(wanted, t.Fwd):
        if isinstance(candidate, t.Fwd):
            return candidate.union == wanted.union
        return isinstance(candidate, t.Union if wanted.union else t.Struct)
    if isinstance(wanted, t.Int):
        return isinstance(candidate, t.Int) and candidate.encoding == wanted.encoding
    if isinstance(wanted, t.Enum):
        return isinstance(candidate, t.Enum)  # of 64 bits too: a distilled one is told by its size
    return candidate.kind == wanted.kind


def _size(of: t.Type) -> int:
    return of.size if isinstance(of, _Sized) else 0


def _with_ids(type: t.Type, moved: Callable[[int], int]) -> t.Type:
    # a copy whose references are translated
    copied = copy.copy(type)
    match copied:
        case t.Struct() | t.Union():
            copied.members = tuple(member._replace(type_id=moved(member.type_id)) for member in copied.members)
        case t.FuncProto():
            copied.return_type_id = moved(copied.return_type_id)
            copied.params = tuple(param._replace(type_id=moved(param.type_id)) for param in copied.params)
        case t.Datasec():
            copied.vars = tuple(var._replace(type_id=moved(var.type_id)) for var in copied.vars)
        case t.Array():
            copied.type_id, copied.index_type_id = moved(copied.type_id), moved(copied.index_type_id)
        case (
            t.Ptr()
            | t.Typedef()
            | t.Volatile()
            | t.Const()
            | t.Restrict()
            | t.TypeTag()
            | t.Func()
            | t.Var()
            | t.DeclTag()
        ):
            copied.type_id = moved(copied.type_id)
    return copied
