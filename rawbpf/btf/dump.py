# SPDX-License-Identifier: BSD-2-Clause
"""BTF as text, a line for each type, and as JSON: words, order and keys are those of ``bpftool btf dump``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawbpf.btf import types as t
from rawbpf.uapi import BtfKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rawbpf.btf.parse import Btf

_ENCODINGS = {t.Int.SIGNED: "SIGNED", t.Int.CHAR: "CHAR", t.Int.BOOL: "BOOL"}
_LINKAGES = ("static", "global", "extern")
_ANONYMOUS = "(anon)"


def format_raw(btf: Btf, roots: Iterable[int] | None = None) -> Iterator[str]:
    """Lines such as ``[1] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED``, members indented by a tab.

    Args:
        btf: the BTF; of split BTF its own types.
        roots: ids of the types to show with what they are made of (see `closure`); by default all.
    """
    for type_id in btf.ids() if roots is None else closure(btf, roots):
        described = describe(btf, type_id)
        kind = described["kind"]
        elements = described.pop(_ELEMENTS.get(kind, ""), ())
        words = [f"{key}={value}" for key, value in described.items() if key not in ("id", "kind", "name")]
        yield f"[{type_id}] {kind} '{described['name']}' {(', ' if kind == 'VAR' else ' ').join(words)}"
        for element in elements:
            yield f"\t{_element(btf, described, element)}"


def _element(btf: Btf, type: dict[str, Any], element: dict[str, Any]) -> str:
    words = [f"'{value}'" if key == "name" else f"{key}={value}" for key, value in element.items()]
    text = " ".join(words)
    if type["kind"] == "ENUM64":
        return text + ("LL" if type["encoding"] == "SIGNED" else "ULL")
    if type["kind"] == "DATASEC":
        variable = element["type_id"]
        return f"{text} ({BtfKind(btf.kind(variable)).name} '{btf.name_of(variable)}')"
    return text


def to_json(btf: Btf, roots: Iterable[int] | None = None) -> dict[str, Any]:
    """``{"types": [...]}``, each type an object as `describe` gives it."""
    return {"types": [describe(btf, type_id) for type_id in (btf.ids() if roots is None else closure(btf, roots))]}


def closure(btf: Btf, roots: Iterable[int]) -> list[int]:
    """The ids of some types and of what they are made of: all they refer to, but no struct that they only point to."""
    found: set[int] = set()
    todo = list(roots)
    while todo:
        type_id = todo.pop()
        if type_id in found or not type_id:
            continue
        found.add(type_id)
        if btf.kind(type_id) not in _DESCRIBERS:
            continue
        type = btf.type(type_id)
        for ref in type.refs():
            if not (isinstance(type, t.Ptr) and _is_named_record(btf, ref)):
                todo.append(ref)
    return sorted(found)


def _is_named_record(btf: Btf, type_id: int) -> bool:
    inner = btf.resolve(type_id, typedefs=False)
    return btf.kind(inner) in (BtfKind.STRUCT, BtfKind.UNION) and bool(btf.name_of(inner))


def describe(btf: Btf, type_id: int) -> dict[str, Any]:
    """A type as plain data: ``id``, ``kind``, ``name``, and what its kind has.

    A kind that only the layout section explains is shown as the words of its record.
    """
    kind = btf.kind(type_id)
    described = {"id": type_id, "kind": f"KIND{kind}", "name": btf.name_of(type_id) or _ANONYMOUS}
    describer = _DESCRIBERS.get(kind)
    if describer is None:
        words = btf.record(type_id)
        return described | {"vlen": words[1] & 0xFFFFFF, "words": " ".join(f"{word:08x}" for word in words[2:])}
    described["kind"] = BtfKind(kind).name
    return described | describer(btf.type(type_id))


def _int(type: t.Int) -> dict[str, Any]:
    encoding = "|".join(name for bit, name in _ENCODINGS.items() if type.encoding & bit) or "(none)"
    return {"size": type.size, "bits_offset": type.bit_offset, "nr_bits": type.bits, "encoding": encoding}


def _record(type: t.Struct | t.Union) -> dict[str, Any]:
    members = []
    for name, type_id, bit_offset, bitfield_size in type.members:
        member = {"name": name or _ANONYMOUS, "type_id": type_id, "bits_offset": bit_offset}
        if bitfield_size:
            member["bitfield_size"] = bitfield_size
        members.append(member)
    return {"size": type.size, "vlen": len(members), "members": members}


def _enum(type: t.Enum) -> dict[str, Any]:
    values = [{"name": name, "val": value} for name, value in type.values]
    encoding = "SIGNED" if type.signed else "UNSIGNED"
    return {"encoding": encoding, "size": type.size, "vlen": len(values), "values": values}


def _array(type: t.Array) -> dict[str, Any]:
    return {"type_id": type.type_id, "index_type_id": type.index_type_id, "nr_elems": type.nelems}


def _func_proto(type: t.FuncProto) -> dict[str, Any]:
    params = [{"name": name or _ANONYMOUS, "type_id": type_id} for name, type_id in type.params]
    return {"ret_type_id": type.return_type_id, "vlen": len(params), "params": params}


def _linkage(type: t.Func | t.Var) -> dict[str, Any]:
    linkage = _LINKAGES[type.linkage] if type.linkage < len(_LINKAGES) else "(unknown)"
    return {"type_id": type.type_id, "linkage": linkage}


def _datasec(type: t.Datasec) -> dict[str, Any]:
    return {"size": type.size, "vlen": len(type.vars), "vars": [var._asdict() for var in type.vars]}


def _decl_tag(type: t.DeclTag) -> dict[str, Any]:
    return {"type_id": type.type_id, "component_idx": type.component}


def _reference(type: Any) -> dict[str, Any]:
    return {"type_id": type.type_id}


_ELEMENTS = {
    "STRUCT": "members",
    "UNION": "members",
    "ENUM": "values",
    "ENUM64": "values",
    "FUNC_PROTO": "params",
    "DATASEC": "vars",
}
_DESCRIBERS: dict[int, Callable[[Any], dict[str, Any]]] = {
    BtfKind.INT: _int,
    BtfKind.PTR: _reference,
    BtfKind.ARRAY: _array,
    BtfKind.STRUCT: _record,
    BtfKind.UNION: _record,
    BtfKind.ENUM: _enum,
    BtfKind.FWD: lambda type: {"fwd_kind": "union" if type.union else "struct"},
    BtfKind.TYPEDEF: _reference,
    BtfKind.VOLATILE: _reference,
    BtfKind.CONST: _reference,
    BtfKind.RESTRICT: _reference,
    BtfKind.FUNC: _linkage,
    BtfKind.FUNC_PROTO: _func_proto,
    BtfKind.VAR: _linkage,
    BtfKind.DATASEC: _datasec,
    BtfKind.FLOAT: lambda type: {"size": type.size},
    BtfKind.DECL_TAG: _decl_tag,
    BtfKind.TYPE_TAG: _reference,
    BtfKind.ENUM64: _enum,
}
