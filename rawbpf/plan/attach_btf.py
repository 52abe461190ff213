# SPDX-License-Identifier: BSD-2-Clause
"""What a program attaches to, as a type in BTF: a function of the kernel or of another BPF program, a tracepoint, an
LSM hook, an iterator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rawbpf.errors import SpecError, TargetError
from rawbpf.objfile.sections import SecFlag
from rawbpf.plan.steps import BY_ID, PINNED
from rawbpf.plan.target import fingerprint
from rawbpf.uapi import AttachType, BtfKind, ProgType

if TYPE_CHECKING:
    from rawbpf.objfile.program_spec import ProgramSpec
    from rawbpf.plan.target import Target


class _Sort(NamedTuple):
    # what is attached to: in words, how its type's name begins, the type's kind, and why there may be none
    what: str
    prefix: str
    kind: BtfKind
    why_not: str


_FUNCTION = _Sort(
    "function",
    "",
    BtfKind.FUNC,
    "static functions may be inlined or renamed (.isra, .constprop), those of a module need it loaded",
)
_TRACEPOINT = _Sort(
    "tracepoint",
    "btf_trace_",
    BtfKind.TYPEDEF,
    "its name is the one in /sys/kernel/tracing/events, without the group; those of a module need it loaded",
)
_LSM_HOOK = _Sort(
    "LSM hook",
    "bpf_lsm_",
    BtfKind.FUNC,
    "the kernel needs CONFIG_BPF_LSM; hooks are named as in include/linux/lsm_hook_defs.h: file_open",
)
_ITERATOR = _Sort(
    "iterator",
    "bpf_iter_",
    BtfKind.FUNC,
    "the kernel may be too old for it, or lack the CONFIG_ or the module of what it goes through",
)
_SORTS: dict[int, _Sort] = {
    AttachType.TRACE_RAW_TP: _TRACEPOINT,
    AttachType.LSM_MAC: _LSM_HOOK,
    AttachType.LSM_CGROUP: _LSM_HOOK,
    AttachType.TRACE_ITER: _ITERATOR,
}
_WITHOUT_SEC = frozenset({ProgType.TRACING, ProgType.LSM, ProgType.EXT})  # types that always have such a target


class AttachBtf(NamedTuple):
    """The type: its id, and whose BTF it is: empty for vmlinux, the handle of a module or of a BPF program.

    `fingerprint` tells the program's BTF from others.
    """

    type_id: int = 0
    handle: str = ""
    fingerprint: str = ""


def find_attach_btf(program: ProgramSpec, target: Target) -> AttachBtf:
    """The type that the program attaches to; id 0 where its kind of program asks for none.

    Raises:
        SpecError: neither the section nor the user names anything.
        TargetError: the kernel, or the other program, does not have it.
    """
    if not _wants_attach_btf(program):
        return AttachBtf()
    if not program.target:
        raise SpecError(
            f'SEC("{program.sec_name}") does not say what to attach to',
            symbol=program.name,
            hint=f'SEC("{program.sec_name.rstrip("/")}/NAME"), or set `target` of the program',
        )
    if program.target_program is not None:
        return _in_program(program, target)
    if program.prog_type == ProgType.EXT:
        raise SpecError(
            f"it replaces the function {program.target!r} of another program, and which program is not said",
            symbol=program.name,
            hint=f"rawbpf load … --target {program.name}=ID, or =PIN; in Python: spec.programs[…].attach_to(…)",
        )
    return _in_kernel(program, target)


def _wants_attach_btf(program: ProgramSpec) -> bool:
    if program.definition is None:
        return program.prog_type in _WITHOUT_SEC
    return SecFlag.ATTACH_BTF in program.definition.flags


def _in_program(program: ProgramSpec, target: Target) -> AttachBtf:
    other = program.target_program
    handle = f"{BY_ID}{other}" if isinstance(other, int) else f"{PINNED}{other}"
    btf = target.program_btf(handle)
    type_id = btf.find(program.target, BtfKind.FUNC)
    if type_id:
        return AttachBtf(type_id, handle, fingerprint(btf.data))
    names = [btf.name_of(i) for i in btf.ids() if btf.kind(i) == BtfKind.FUNC]
    raise TargetError(
        f"the BPF program {handle} has no function {program.target!r}",
        symbol=program.name,
        hint=f"its functions: {', '.join(names[:8])}" if names else None,
    )


def _in_kernel(program: ProgramSpec, target: Target) -> AttachBtf:
    sort = _SORTS.get(program.attach_type, _FUNCTION)
    module_name, separator, name = program.target.rpartition(":")
    if separator and not (module_name and name):
        raise SpecError(
            f"{program.target!r} names no {'module' if name else sort.what}",
            symbol=program.name,
            hint=f"MODULE:NAME, or the name of the {sort.what} alone",
        )
    for btf, module in target.btfs():
        if separator and (module.name if module else "vmlinux") != module_name:
            continue
        for type_id in btf.find_all(sort.prefix + name):
            if type_id >= btf.start_id and btf.kind(type_id) == sort.kind:
                return AttachBtf(type_id, module.handle if module else "")
    if separator and module_name != "vmlinux" and module_name not in (module.name for module in target.modules):
        raise TargetError(
            f"{target.name} has no module {module_name} loaded, whose {name!r} is wanted",
            symbol=program.name,
            hint=f"modprobe {module_name}",
        )
    raise _not_found(program, target, sort, name)


def _not_found(program: ProgramSpec, target: Target, sort: _Sort, name: str) -> TargetError:
    near: list[str] = []
    if target.btf is not None:
        from difflib import get_close_matches

        stem = sort.prefix + name[: max(3, len(name) // 2)]
        names = {target.btf.name_of(i) for i in target.btf.find_prefix(stem) if target.btf.kind(i) == sort.kind}
        near = [found.removeprefix(sort.prefix) for found in get_close_matches(sort.prefix + name, sorted(names), 3)]
    hint = f"near names: {', '.join(near)}" if near else sort.why_not
    return TargetError(f"{target.name} has no {sort.what} {name!r} in its BTF", symbol=program.name, hint=hint)
