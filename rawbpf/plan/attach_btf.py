# SPDX-License-Identifier: BSD-2-Clause
"""What a SEC() names, as a type of the kernel's BTF: the function, tracepoint, LSM hook or iterator."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rawbpf.errors import SpecError, TargetError
from rawbpf.objfile.sections import SecFlag
from rawbpf.uapi import AttachType, BtfKind, ProgType

if TYPE_CHECKING:
    from rawbpf.objfile.spec import ProgramSpec
    from rawbpf.plan.target import Module, Target

_PREFIXES: dict[int, tuple[str, BtfKind]] = {
    AttachType.TRACE_RAW_TP: ("btf_trace_", BtfKind.TYPEDEF),
    AttachType.LSM_MAC: ("bpf_lsm_", BtfKind.FUNC),
    AttachType.LSM_CGROUP: ("bpf_lsm_", BtfKind.FUNC),
    AttachType.TRACE_ITER: ("bpf_iter_", BtfKind.FUNC),
}


class AttachBtf(NamedTuple):
    """The type: its id, and the module whose BTF it is (None: vmlinux)."""

    type_id: int = 0
    module: Module | None = None


def find_attach_btf(program: ProgramSpec, target: Target) -> AttachBtf:
    """The type that the program's section asks for; id 0 where it asks for none.

    Raises:
        SpecError: the section names nothing.
        TargetError: the kernel does not have it.
    """
    definition = program.definition
    if definition is None or SecFlag.ATTACH_BTF not in definition.flags:
        return AttachBtf()
    if program.prog_type == ProgType.EXT:
        raise SpecError(
            f'SEC("{program.sec_name}") replaces a function of another program, and none was given',
            symbol=program.name,
        )
    if not program.target:
        raise SpecError(
            f'SEC("{program.sec_name}") does not say what to attach to',
            symbol=program.name,
            hint=f'SEC("{program.sec_name}/NAME")',
        )
    prefix, kind = _PREFIXES.get(program.attach_type, ("", BtfKind.FUNC))
    module_name, separator, name = program.target.rpartition(":")
    for btf, module in target.btfs():
        if separator and (module.name if module else "vmlinux") != module_name:
            continue
        for type_id in btf.find_all(prefix + name):
            if type_id >= btf.start_id and btf.kind(type_id) == kind:
                return AttachBtf(type_id, module)
    raise _not_found(program, target, prefix, name, kind)


def _not_found(program: ProgramSpec, target: Target, prefix: str, name: str, kind: BtfKind) -> TargetError:
    what = {"btf_trace_": "tracepoint", "bpf_lsm_": "LSM hook", "bpf_iter_": "iterator"}.get(prefix, "function")
    near: list[str] = []
    if target.btf is not None:
        from difflib import get_close_matches

        stem = prefix + name[: max(3, len(name) // 2)]
        names = {target.btf.name_of(i) for i in target.btf.find_prefix(stem) if target.btf.kind(i) == kind}
        near = [found.removeprefix(prefix) for found in get_close_matches(prefix + name, sorted(names), 3)]
    hint = (
        f"near names: {', '.join(near)}" if near else "static functions may be inlined or renamed (.isra, .constprop)"
    )
    return TargetError(f"{target.name} has no {what} {name!r} in its BTF", symbol=program.name, hint=hint)
