# SPDX-License-Identifier: BSD-2-Clause
"""The step that loads a program: what it is to the kernel, what it attaches to, and its func_info and line_info."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from rawbpf.btf.ext import FUNC_INFO_SIZE, LINE_INFO_SIZE
from rawbpf.errors import SpecError, where
from rawbpf.objfile.insn import encode
from rawbpf.objfile.sections import SecFlag, near_names
from rawbpf.plan import steps as s
from rawbpf.plan.attach_btf import AttachBtf, find_attach_btf
from rawbpf.plan.map_steps import BTF
from rawbpf.uapi import AttachType, ProgType

if TYPE_CHECKING:
    from rawbpf.objfile.program_spec import ProgramSpec
    from rawbpf.objfile.spec import ObjectSpec
    from rawbpf.plan.relocate import Linked
    from rawbpf.plan.struct_ops import Prepared
    from rawbpf.plan.target import Target


class ProgramPlanner:
    """Plans the programs of one object for one kernel.

    Args:
        spec: the object.
        target: the kernel.
        struct_ops: the structs that are created, which say what struct_ops programs are.
        fd_array: the handles of modules, as kfunc calls number them.
    """

    def __init__(self, spec: ObjectSpec, target: Target, struct_ops: list[Prepared], fd_array: list[str]) -> None:
        self._spec = spec
        self._target = target
        self._struct_ops = struct_ops
        self._fd_array = tuple(fd_array)

    def step(self, program: ProgramSpec, linked: Linked, func_ids: dict[int, int]) -> s.LoadProgram:
        """``BPF_PROG_LOAD`` of a program; `func_ids` are FUNCs of the object in whose place it gets others."""
        with where(symbol=program.name, section=program.section):
            _check(program)
            if program.prog_type == ProgType.UNSPEC:
                near = near_names(program.sec_name)
                raise SpecError(
                    f'SEC("{program.sec_name}") is no known program section',
                    hint=f"near ones: {', '.join(near)}" if near else None,
                )
            if not linked.insns:
                raise SpecError("the program has no instructions")
            attach_type, attach_btf = self._attach_target(program)
            funcs, lines = self._infos(linked, func_ids)
            return s.LoadProgram(
                f"prog:{program.name}",
                program.name,
                program.sec_name if program.definition else "",
                int(program.prog_type),
                attach_type,
                encode(linked.insns, little=self._spec.little),
                tuple(linked.slots),
                self._spec.license,
                int(program.flags),
                self._spec.kern_version or self._target.version,
                attach_btf_id=attach_btf.type_id,
                attach_btf=attach_btf.handle,
                attach_btf_print=attach_btf.fingerprint,
                fd_array=self._fd_array,
                prog_ifindex=program.ifindex,
                signature=program.signature,
                keyring_id=program.keyring_id,
                log_level=program.log_level,
                auto_attach=_attach_word(program),
                target=program.target,
                reason=_program_reason(program, linked),
                btf=BTF if self._spec.btf is not None else "",
                func_info=funcs,
                func_info_rec_size=FUNC_INFO_SIZE if funcs else 0,
                line_info=lines,
                line_info_rec_size=LINE_INFO_SIZE if lines else 0,
            )

    def _attach_target(self, program: ProgramSpec) -> tuple[int, AttachBtf]:
        if program.prog_type != ProgType.STRUCT_OPS:
            return self._attach_type(program), find_attach_btf(program, self._target)
        uses = [ops for ops in self._struct_ops if program.name in ops.members]
        if not uses:
            raise SpecError(
                "the struct_ops program is in no struct",
                hint=f'SEC(".struct_ops.link") struct … NAME = {{ .member = (void *){program.name} }};',
            )
        first = uses[0]
        for other in uses[1:]:
            if (other.type_id, other.members[program.name]) != (first.type_id, first.members[program.name]):
                raise SpecError("the struct_ops program is used for two different members; it can serve only one")
        return first.members[program.name], AttachBtf(first.type_id, first.module.handle if first.module else "")

    def _attach_type(self, program: ProgramSpec) -> int:
        flags = program.definition.flags if program.definition else SecFlag(0)
        if SecFlag.USDT in flags and self._target.features.has("uprobe_multi_link"):
            return int(AttachType.TRACE_UPROBE_MULTI)
        if SecFlag.OPTIONAL_ATTACH in flags and not self._target.features.has("exp_attach_type"):
            return 0
        return int(program.attach_type)

    def _infos(self, linked: Linked, func_ids: dict[int, int]) -> tuple[bytes, bytes]:
        order = "<" if self._spec.little else ">"
        func_info = struct.Struct(order + "II").pack
        line_info = struct.Struct(order + "IIII").pack
        funcs, lines = b"", b""
        known = [function.func_info is not None for function, _base in linked.functions]
        if known[0]:
            if not all(known):
                missing = linked.functions[known.index(False)][0]
                raise SpecError(f"BTF has no func_info of the subprogram {missing.name!r}", hint="compile with -g")
            ids = [(base, f.func_info.type_id) for f, base in linked.functions if f.func_info]
            funcs = b"".join(func_info(base, func_ids.get(type_id, type_id)) for base, type_id in ids)
        known = [any(insn.line for insn in function.insns) for function, _base in linked.functions]
        if known[0]:
            if not all(known):
                missing = linked.functions[known.index(False)][0]
                raise SpecError(f"BTF has no line_info of the subprogram {missing.name!r}", hint="compile with -g")
            lines = b"".join(
                line_info(slot, *insn.line[1:]) for slot, insn in enumerate(linked.insns) if insn.line is not None
            )
        return funcs, lines


_U32, _S32 = range(1 << 32), range(-1 << 31, 1 << 31)
_NUMBERS = dict.fromkeys(("prog_type", "attach_type", "flags", "log_level", "ifindex"), _U32) | {"keyring_id": _S32}


def _check(program: ProgramSpec) -> None:
    # what a user wrote into the blueprint
    for name, numbers in _NUMBERS.items():
        value = getattr(program, name)
        if not isinstance(value, int) or value not in numbers:
            raise SpecError(f"{name} is {value!r}, which is no number of 32 bits")
    if not isinstance(program.signature, bytes):
        raise SpecError(f"signature is {program.signature!r:.40}, which is no bytes")
    if not isinstance(program.target, str):
        raise SpecError(f"target is {program.target!r:.40}, which is no name")


def _attach_word(program: ProgramSpec) -> str:
    definition = program.definition
    return (definition.attach or definition.manual) if definition and program.autoattach else ""


def _program_reason(program: ProgramSpec, linked: Linked) -> str:
    others = [function.name for function, _base in linked.functions[1:]]
    return f'SEC("{program.section}")' + (f", with subprograms {', '.join(others)}" if others else "")
