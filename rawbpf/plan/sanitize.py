# SPDX-License-Identifier: BSD-2-Clause
"""BTF for kernels that do not know all of its kinds: each unknown one becomes one that is known and as large.

Type ids and sizes of types stay, since maps, func_info and other types refer to them; what is lost is only what the
kernel would not have understood. The substitutes are those of libbpf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.btf.parse import Btf
from rawbpf.uapi import BtfKind

if TYPE_CHECKING:
    from rawbpf.plan.target import Features

PLACEHOLDER = "enum64_placeholder"


def sanitize_btf(data: bytes, features: Features) -> bytes:
    """The blob without the kinds that a kernel lacks; the same blob if it lacks none of those in it."""
    btf = Btf(data)
    kinds = {btf.kind(type_id) for type_id in btf.ids()}
    missing = {name for name, wanted in _NEEDED_BY.items() if kinds & wanted and not features.has(name)}
    if not missing:
        return data
    builder = Builder.from_btf(btf)
    placeholder = 0
    if "btf_enum64" in missing and BtfKind.ENUM64 in kinds:
        placeholder = builder.add(t.Int(PLACEHOLDER, 1))
    for type_id in btf.ids():
        substitute = _substitute(btf, btf.type(type_id), missing, placeholder)
        if substitute is not None:
            builder.replace(type_id, substitute)
    return builder.to_bytes()


# what is asked of the kernel only if the object has such kinds
_NEEDED_BY = {
    "btf_func": {BtfKind.FUNC, BtfKind.FUNC_PROTO},
    "btf_func_global": {BtfKind.FUNC},
    "btf_datasec": {BtfKind.VAR, BtfKind.DATASEC},
    "btf_qmark_datasec": {BtfKind.DATASEC},
    "btf_float": {BtfKind.FLOAT},
    "btf_decl_tag": {BtfKind.DECL_TAG},
    "btf_type_tag": {BtfKind.TYPE_TAG},
    "btf_enum64": {BtfKind.ENUM, BtfKind.ENUM64},
}


def _substitute(btf: Btf, kind: t.Type, missing: set[str], placeholder: int) -> t.Type | None:
    match kind:
        case t.Var() if "btf_datasec" in missing:
            return t.Int(kind.name, 1)  # larger ones might not fit where the variable is
        case t.DeclTag() if "btf_decl_tag" in missing:
            return t.Int(kind.name, 1)
        case t.Datasec() if "btf_datasec" in missing:
            members = [t.Member(btf.name_of(var.type_id), var.type_id, 8 * var.offset) for var in kind.vars]
            return t.Struct(_identifier(kind.name), kind.size, members)
        case t.Datasec() if "btf_qmark_datasec" in missing and kind.name.startswith("?"):
            return t.Datasec("_" + kind.name[1:], kind.size, kind.vars)
        case t.FuncProto() if "btf_func" in missing:
            return t.Enum("", 4, [t.Enumerator(param.name, param.type_id) for param in kind.params])
        case t.Func() if "btf_func" in missing:
            return t.Typedef(kind.type_id, kind.name)
        case t.Func() if "btf_func_global" in missing and kind.linkage != t.Func.STATIC:
            return t.Func(kind.name, kind.type_id, t.Func.STATIC)
        case t.Float() if "btf_float" in missing:
            return t.Struct("", kind.size, [])
        case t.TypeTag() if "btf_type_tag" in missing:
            return t.Const(kind.type_id)
        case t.Enum64() if "btf_enum64" in missing:
            return t.Union(kind.name, kind.size, [t.Member(value.name, placeholder, 0) for value in kind.values])
        case t.Enum() if "btf_enum64" in missing and kind.signed:
            return t.Enum(kind.name, kind.size, [t.Enumerator(v.name, v.value & 0xFFFFFFFF) for v in kind.values])
    return None


def _identifier(name: str) -> str:
    return name.replace(".", "_").replace("?", "_")
