# SPDX-License-Identifier: BSD-2-Clause
"""Externs against a kernel: kernel symbols with a type or without, and kernel functions (kfuncs)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rawbpf.btf import types as t
from rawbpf.btf.match import types_compatible
from rawbpf.errors import ExternError, where
from rawbpf.plan.target import NOT_HERE
from rawbpf.uapi import BtfKind

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf
    from rawbpf.objfile.spec import ExternSpec, ObjectSpec
    from rawbpf.plan.target import Module, Target


_MODULES = {
    "bpf_ct_set_nat_info": "nf_nat",
    "bpf_ct_": "nf_conntrack",
    "bpf_skb_ct_": "nf_conntrack",
    "bpf_xdp_ct_": "nf_conntrack",
    "bpf_xdp_flow_lookup": "nf_flow_table",
    "bpf_skb_set_fou_encap": "fou",
    "bpf_skb_get_fou_encap": "fou",
    "bpf_skb_set_xfrm_info": "xfrm_interface",
    "bpf_skb_get_xfrm_info": "xfrm_interface",
    "cubictcp_": "tcp_cubic",
    "dctcp_": "tcp_dctcp",
    "bbr_": "tcp_bbr",
}
"""The modules that mainline's kernel functions are in, by what the names of these begin with; the first one counts."""


class Resolved(NamedTuple):
    """What an extern came to.

    Attributes:
        extern: which one. number: its place among all (it is told in poisoned calls).
        found: whether the kernel has it; False only for weak ones.
        btf_id: its VAR or FUNC in the kernel's BTF.
        module: the module that has it, or None for vmlinux.
        address: of a typeless symbol.
        note: how it was found, for explanations.
    """

    extern: ExternSpec
    number: int
    found: bool = False
    btf_id: int = 0
    module: Module | None = None
    address: int = 0
    note: str = ""


def resolve_externs(spec: ObjectSpec, target: Target) -> dict[str, Resolved]:
    """All externs but the kconfig ones, by name.

    Raises:
        ExternError: the kernel has no such symbol or function, or one of another type, and the extern is not weak.
    """
    wanted = {e.name for e in spec.externs.values() if e.kind == "ksym" and not e.type_id}
    addresses = target.ksyms(wanted) if wanted else {}
    resolved = {}
    for number, extern in enumerate(spec.externs.values()):
        if extern.kind == "kconfig":
            continue
        with where(symbol=extern.name):
            if extern.kind == "kfunc":
                resolved[extern.name] = _kfunc(spec, target, extern, number)
            elif extern.type_id:
                resolved[extern.name] = _typed(spec, target, extern, number)
            else:
                resolved[extern.name] = _typeless(target, extern, number, addresses.get(extern.name, []))
    return resolved


def _typeless(target: Target, extern: ExternSpec, number: int, found: list[int]) -> Resolved:
    different = sorted(set(found))
    if len(different) > 1:
        raise ExternError(
            f"{extern.name!r} is there {len(different)} times in the symbols of {target.name}",
            hint="a typed extern names a single one",
        )
    if not different:
        if extern.weak:
            return Resolved(extern, number, note=f"weak, and not in {target.name}: 0")
        raise ExternError(
            f"{target.name} has no symbol {extern.name!r}",
            hint="/proc/kallsyms lists them, those of a module while it is loaded; declare it __weak if the program can"
            " do without",
        )
    return Resolved(extern, number, True, address=different[0], note=f"at {different[0]:#x}")


def _typed(spec: ObjectSpec, target: Target, extern: ExternSpec, number: int) -> Resolved:
    found = target.find(extern.name, BtfKind.VAR)
    if found is None:
        if extern.weak:
            return Resolved(extern, number, note=f"weak, and not in the BTF of {target.name}: 0")
        raise ExternError(
            f"the BTF of {target.name} has no variable {extern.name!r}",
            hint="BTF holds only per-CPU variables, of a module while it is loaded; use a typeless extern"
            " (`extern const void …`) for others",
        )
    btf, type_id, module = found
    variable = btf.type(type_id)
    assert isinstance(variable, t.Var)
    assert spec.btf is not None
    if not types_compatible(spec.btf, extern.type_id, btf, variable.type_id):
        raise _incompatible(f"variable {extern.name!r}", (spec.btf, extern.var_id), (btf, type_id), target.name)
    place = module.name if module else target.name
    return Resolved(extern, number, True, type_id, module, note=f"{place} [{type_id}]")


def _kfunc(spec: ObjectSpec, target: Target, extern: ExternSpec, number: int) -> Resolved:
    found = target.find(extern.essential_name, BtfKind.FUNC)
    if found is None:
        if extern.weak:
            return Resolved(extern, number, note=f"weak, and not in {target.name}")
        raise ExternError(
            f"{target.name} has no kernel function {extern.essential_name!r} that BPF could call",
            hint=f"{_where_it_may_be(extern.essential_name)}; declare it __weak and test it to do without",
        )
    btf, type_id, module = found
    func, mine = btf.type(type_id), spec.btf.type(extern.type_id) if spec.btf else None
    assert isinstance(func, t.Func)
    assert isinstance(mine, t.Func)
    assert spec.btf is not None
    if not types_compatible(spec.btf, mine.type_id, btf, func.type_id):
        if extern.weak:
            return Resolved(extern, number, note=f"weak, and of another prototype in {target.name}")
        what = f"kernel function {extern.essential_name!r}"
        raise _incompatible(what, (spec.btf, extern.var_id), (btf, type_id), target.name)
    place = module.name if module else target.name
    return Resolved(extern, number, True, type_id, module, note=f"{place} [{type_id}]")


def _where_it_may_be(function: str) -> str:
    module = next((module for prefix, module in _MODULES.items() if function.startswith(prefix)), None)
    return f"it is in the module {module}: modprobe {module}" if module else NOT_HERE


class _Mismatch(ExternError):
    # shows both declarations, one below the other

    def __init__(self, message: str, mine: str, theirs: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.mine = mine
        self.theirs = theirs

    def details(self) -> list[str]:
        return [f"    object: {self.mine}", f"    kernel: {self.theirs}"]


def _incompatible(what: str, mine: tuple[Btf, int], theirs: tuple[Btf, int], kernel: str) -> ExternError:
    # the VAR or FUNC of both sides
    from rawbpf.btf.decl import type_decl

    one, other = type_decl(*mine), type_decl(*theirs)
    forward = _only_declared(*mine, *theirs)
    return _Mismatch(
        f"{what} has another type in {kernel}: object `{one}`, kernel `{other}`",
        one,
        other,
        f"the object declares {forward} and does not define it: `{forward} {{}};` is enough"
        if forward
        else "change the declaration; a flavor (NAME___v2) declares a second one beside it",
    )


def _only_declared(local: Btf, mine: int, target: Btf, theirs: int) -> str:
    # the first struct of a prototype that the kernel has and the object has only a forward declaration of
    for one, other in zip(_pointed(local, mine), _pointed(target, theirs), strict=False):
        if isinstance(one, t.Fwd) and isinstance(other, t.Struct | t.Union):
            return f"{other.kind.name.lower()} {one.name}"
    return ""


def _pointed(btf: Btf, type_id: int) -> list[t.Type]:
    # what a variable, or the result and the parameters of a function, are or point to
    whole = btf.type(type_id)
    proto = btf.type(whole.type_id) if isinstance(whole, t.Func | t.Var) else whole
    ids = (
        [proto.return_type_id, *(param.type_id for param in proto.params)]
        if isinstance(proto, t.FuncProto)
        else [type_id]
    )
    found = []
    for inner in ids:
        kind = btf.type(btf.resolve(inner))
        found.append(btf.type(btf.resolve(kind.type_id)) if isinstance(kind, t.Ptr) else kind)
    return found
