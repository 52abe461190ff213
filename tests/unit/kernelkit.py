# SPDX-License-Identifier: BSD-2-Clause
"""Kernels for tests, made by hand: with this BTF and those modules, or with all that an object asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typekit import BASICS

from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.btf.match import essential_name
from rawbpf.objfile.sections import SecFlag
from rawbpf.plan.target import Module, Target
from rawbpf.uapi import AttachType, BtfKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rawbpf.btf.parse import Btf
    from rawbpf.objfile.spec import ObjectSpec
    from rawbpf.plan.target import Features

KCONFIG = """\
CONFIG_BPF_SYSCALL=y
CONFIG_MPTCP=y
CONFIG_TCP_CONG_CUBIC=m
CONFIG_HZ=250
CONFIG_NR_CPUS=0x40
CONFIG_DEFAULT_TCP_CONG="cubic"
CONFIG_DEFAULT_HOSTNAME="(none)"
CONFIG_BPF_JIT=y
"""
VERSION = 0x60C00


def kernel(
    btf: Btf | None,
    modules: Mapping[str, Btf] | None = None,
    *,
    kconfig: str | None = KCONFIG,
    ksyms: Mapping[str, list[int]] | None = None,
    version: int = VERSION,
    features: Features | None = None,
) -> Target:
    """A kernel with this BTF and these modules."""
    loaded = [Module(name, lambda module=module: module) for name, module in (modules or {}).items()]  # type: ignore[misc]
    return Target(
        "the kernel",
        btf=lambda: btf,
        modules=lambda: loaded,
        kconfig=lambda: kconfig,
        ksyms=lambda names: {name: found for name, found in (ksyms or {}).items() if name in names},
        version=version,
        cpus=4,
        features=features,
    )


def kernel_for(spec: ObjectSpec) -> Target:
    """A kernel that has all that an object asks for, except what is named ``no_such``."""
    builder = Builder.from_btf(spec.btf) if spec.btf else Builder(little=spec.little)
    if spec.btf is None:
        for type in BASICS:
            builder.add(type)
    _add_functions(builder, spec)
    _add_struct_ops(builder, spec)
    _add_attach_targets(builder, spec)
    typeless = [e.name for e in spec.externs.values() if e.kind == "ksym" and not e.type_id and "no_such" not in e.name]
    ksyms = {name: [0xFFFFFFFF81000000 + 16 * number] for number, name in enumerate(typeless)}
    vmlinux = builder.to_btf("vmlinux")
    return kernel(vmlinux, _modules(vmlinux, spec), ksyms=ksyms)


def _add_functions(builder: Builder, spec: ObjectSpec) -> None:
    for extern in spec.externs.values():
        if extern.kind == "kfunc":
            func = builder.type(extern.type_id)
            assert isinstance(func, t.Func)
            builder.replace(extern.type_id, t.Func(f"declared_{extern.name}", func.type_id, func.linkage))
            if "no_such" not in extern.name and "of_another_type" not in extern.name:
                builder.add(t.Func(extern.essential_name, func.type_id, t.Func.STATIC))
        elif extern.kind == "ksym" and extern.type_id and "no_such" in extern.name:
            var = builder.type(extern.var_id)
            assert isinstance(var, t.Var)
            builder.replace(extern.var_id, t.Var(f"declared_{extern.name}", var.type_id, var.linkage))


def _add_struct_ops(builder: Builder, spec: ObjectSpec) -> None:
    members: dict[str, dict[str, t.Member]] = {}
    for ops in spec.struct_ops.values():
        struct = builder.type(ops.type_id)
        assert isinstance(struct, t.Struct)
        found = members.setdefault(essential_name(ops.type_name), {})
        for member in struct.members:
            found.setdefault(member.name, member)
    for name, found in members.items():
        placed, end = [], 0
        for member in found.values():
            placed.append(t.Member(member.name, member.type_id, 8 * end))
            assert spec.btf is not None
            end += -(-spec.btf.size_of(member.type_id) // 8) * 8
        data = builder.add(t.Struct(name, end, placed))
        builder.add(t.Struct(f"bpf_struct_ops_{name}", 64 + end, [t.Member("data", data, 8 * 64)]))


def _add_attach_targets(builder: Builder, spec: ObjectSpec) -> None:
    prefixes = {AttachType.LSM_MAC: "bpf_lsm_", AttachType.LSM_CGROUP: "bpf_lsm_", AttachType.TRACE_ITER: "bpf_iter_"}
    proto = builder.add(t.FuncProto(0, []))
    for program in spec.programs.values():
        if program.definition is None or SecFlag.ATTACH_BTF not in program.definition.flags or not program.target:
            continue
        if ":" in program.target:
            continue
        if program.attach_type == AttachType.TRACE_RAW_TP:
            builder.add(t.Typedef(builder.add(t.Ptr(proto)), f"btf_trace_{program.target}"))
        else:
            prefix = prefixes.get(AttachType(program.attach_type), "")
            builder.add(t.Func(prefix + program.target, proto))


def _modules(vmlinux: Btf, spec: ObjectSpec) -> dict[str, Btf]:
    # those that a SEC() names, with its function
    builders: dict[str, Builder] = {}
    for program in spec.programs.values():
        name, separator, function = program.target.partition(":")
        if separator and name != "vmlinux":
            module = builders.setdefault(name, Builder(little=vmlinux.little, base=vmlinux))
            module.add(t.Func(function, module.add(t.FuncProto(0, []))))
    return {name: builder.to_btf(name) for name, builder in builders.items()}


def ids_of(btf: Btf, kind: BtfKind) -> list[int]:
    """The ids of all types of a kind."""
    return [type_id for type_id in btf.ids() if btf.kind(type_id) == kind]
