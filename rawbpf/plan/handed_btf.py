# SPDX-License-Identifier: BSD-2-Clause
"""The object's BTF as the kernel gets it: what the compiler could not know is filled in, what is extern made local."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.errors import BtfError, where
from rawbpf.objfile.elf import STB_GLOBAL, STB_WEAK, STT_OBJECT, STV_HIDDEN, STV_INTERNAL, Symbol
from rawbpf.objfile.externs import KCONFIG, KSYMS, kconfig_layout
from rawbpf.uapi import BtfKind

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf
    from rawbpf.objfile.spec import ObjectSpec

DUMMY = "dummy_ksym"
_KSYM_SIZE = 4


def handed_btf(spec: ObjectSpec) -> Builder:
    """The blob for ``BPF_BTF_LOAD``, to be written or added to; ids of types stay what they are in the file.

    The kernel wants each DATASEC to have its size, its variables their offsets, in order, and no externs: clang
    leaves the first to the linker, and the second are for loaders. What is written instead is libbpf's choice.

    Raises:
        BtfError: BTF and symbol table contradict each other.
    """
    btf = spec.btf
    assert btf is not None
    builder = Builder.from_btf(btf)
    dummy = _add_dummy(btf, builder)
    symbols = {
        symbol.name: symbol
        for symbol in reversed(spec.elf.symbols)
        if symbol.type == STT_OBJECT and symbol.bind in (STB_GLOBAL, STB_WEAK)
    }
    for type_id in btf.ids():
        if btf.kind(type_id) == BtfKind.DATASEC:
            datasec = btf.type(type_id)
            assert isinstance(datasec, t.Datasec)
            with where(section=datasec.name):
                if datasec.name == KSYMS:
                    fixed = _ksyms(btf, builder, datasec, dummy)
                elif datasec.name == KCONFIG:
                    fixed = _kconfig(spec, btf, builder, datasec)
                else:
                    fixed = _data(spec, builder, datasec, symbols)
                fixed = t.Datasec(fixed.name, fixed.size, sorted(fixed.vars, key=lambda var: var.offset))
                if fixed != datasec:
                    builder.replace(type_id, fixed)
    _hide_functions(spec, btf, builder)
    return builder


def _add_dummy(btf: Btf, builder: Builder) -> int:
    # .ksyms may hold no functions in the kernel's eyes: all of them become this one variable
    type_id = btf.find(KSYMS, BtfKind.DATASEC)
    datasec = btf.type(type_id) if type_id else None
    if isinstance(datasec, t.Datasec) and any(btf.kind(var.type_id) == BtfKind.FUNC for var in datasec.vars):
        return builder.add(t.Var(DUMMY, _int32(btf), t.Var.GLOBAL))
    return 0


def _int32(btf: Btf) -> int:
    for type_id in btf.ids():
        if btf.kind(type_id) == BtfKind.INT:
            kind = btf.type(type_id)
            if isinstance(kind, t.Int) and kind.bits == 32:
                return type_id
    return 0


def _ksyms(btf: Btf, builder: Builder, datasec: t.Datasec, dummy: int) -> t.Datasec:
    fixed = []
    for number, var in enumerate(datasec.vars):
        kind = btf.type(var.type_id)
        type_id = var.type_id
        if isinstance(kind, t.Func):
            type_id = dummy
            builder.replace(var.type_id, t.Func(kind.name, kind.type_id, t.Func.GLOBAL))
            _name_params(btf, builder, kind.type_id)
        else:
            builder.replace(var.type_id, t.Var(kind.name, _int32(btf), t.Var.GLOBAL))
        fixed.append(t.SecVar(type_id, number * _KSYM_SIZE, _KSYM_SIZE))
    return t.Datasec(datasec.name, len(fixed) * _KSYM_SIZE, fixed)


def _name_params(btf: Btf, builder: Builder, type_id: int) -> None:
    # the kernel wants names for the parameters of a global function
    proto = btf.type(type_id)
    if isinstance(proto, t.FuncProto) and any(param.type_id and not param.name for param in proto.params):
        params = [t.Param(param.name or (DUMMY if param.type_id else ""), param.type_id) for param in proto.params]
        builder.replace(type_id, t.FuncProto(proto.return_type_id, params))


def _kconfig(spec: ObjectSpec, btf: Btf, builder: Builder, datasec: t.Datasec) -> t.Datasec:
    offsets, size = kconfig_layout([extern for extern in spec.externs.values() if extern.kind == "kconfig"])
    fixed = []
    for var in datasec.vars:
        variable = btf.type(var.type_id)
        if not isinstance(variable, t.Var) or variable.name not in offsets:
            raise BtfError(f"variable {variable.name!r} is in BTF and no symbol of the object")
        builder.replace(var.type_id, t.Var(variable.name, variable.type_id, t.Var.GLOBAL))
        fixed.append(t.SecVar(var.type_id, offsets[variable.name], var.size))
    return t.Datasec(datasec.name, size, fixed)


def _data(spec: ObjectSpec, builder: Builder, datasec: t.Datasec, symbols: dict[str, Symbol]) -> t.Datasec:
    size, fixed = datasec.size, []
    if not datasec.size:
        section = spec.elf.find(datasec.name)
        if section is None or not section.size:
            raise BtfError("BTF describes a section that the ELF file does not have")
        size = section.size
    for var in datasec.vars:
        variable = builder.type(var.type_id)
        if not isinstance(variable, t.Var):
            raise BtfError(f"the section holds {variable.kind.name} {variable.name!r}, which is no variable")
        offset = var.offset
        if variable.linkage == t.Var.GLOBAL:
            symbol = symbols.get(variable.name)
            if symbol is None:
                raise BtfError(f"variable {variable.name!r} is in BTF and no symbol of the object")
            if not datasec.size:
                offset = symbol.value
            if symbol.visibility in (STV_HIDDEN, STV_INTERNAL):
                builder.replace(var.type_id, t.Var(variable.name, variable.type_id, t.Var.STATIC))
        fixed.append(t.SecVar(var.type_id, offset, var.size))
    return t.Datasec(datasec.name, size, fixed)


def _hide_functions(spec: ObjectSpec, btf: Btf, builder: Builder) -> None:
    # a hidden subprogram is verified like a static one: with what its callers know
    hidden = {function.name for function in spec.functions.values() if function.hidden}
    for name in sorted(hidden):
        for type_id in btf.find_all(name):
            kind = btf.type(type_id)
            if isinstance(kind, t.Func) and kind.linkage == t.Func.GLOBAL:
                builder.replace(type_id, t.Func(name, kind.type_id, t.Func.STATIC))
