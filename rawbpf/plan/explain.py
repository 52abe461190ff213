# SPDX-License-Identifier: BSD-2-Clause
"""A plan in words: as a table of steps, and with the reason for each step and each patched instruction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.errors import RawbpfError, one_line
from rawbpf.plan import steps as s
from rawbpf.uapi import AttachType, MapFlag, MapType, ProgType, known

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf
    from rawbpf.plan.plan import Plan


def _word(value: object) -> str:
    return getattr(value, "name", str(value)).lower()


def describe(step: s.Step) -> tuple[str, str, str]:
    """A step as three columns: the command, what it is about, and its particulars."""
    match step:
        case s.CreateToken():
            return "TOKEN_CREATE", step.handle, step.path or "none"
        case s.LoadBtf():
            return "BTF_LOAD", step.handle, f"{len(step.data)} bytes"
        case s.CreateMap():
            return "MAP_CREATE", step.handle, _map(step)
        case s.UpdateMap():
            slots = ", ".join(slot.handle for slot in step.slots)
            return "MAP_UPDATE_ELEM", step.map, f"key {step.key.hex()}, {slots or f'{len(step.value)} bytes'}"
        case s.FillArena():
            return "mmap", step.map, f"{len(step.data)} bytes at {step.offset:#x}"
        case s.FreezeMap():
            return "MAP_FREEZE", step.map, ""
        case s.PinMap():
            return "OBJ_PIN", step.map, step.path
        case s.LoadProgram():
            return "PROG_LOAD", step.handle, _program(step)
        case s.BindMap():
            return "PROG_BIND_MAP", step.program, step.map
        case s.SetStructOps():
            slots = ", ".join(s.name_of(slot.handle) for slot in step.slots)
            return "MAP_UPDATE_ELEM", step.map, f"struct {step.type_name}: {slots}"
        case s.CreateLink():
            return "LINK_CREATE", step.handle, f"{step.source}, {_word(known(AttachType, step.attach_type))}"
        case s.Attach():
            arguments = [f"{name}={value}" for name, value in step.arguments.items()]
            return "attach", step.handle, ", ".join([step.source, step.kind, *arguments])
        case s.Pin():
            return "OBJ_PIN", step.handle, step.path
        case s.Close():
            return "close", step.handle, ""


def _map(step: s.CreateMap) -> str:
    words = [_word(known(MapType, step.map_type)), f"key {step.key_size}", f"value {step.value_size}"]
    words.append(f"max_entries {step.max_entries}")
    if step.map_flags:
        words.append("flags " + "|".join(_word(flag) for flag in MapFlag if step.map_flags & flag))
    if step.inner_map:
        words.append(f"of {step.inner_map}")
    if step.excl_prog_hash:
        words.append("for one program")
    if step.pin_path:
        words.append(f"pinned at {step.pin_path}")
    return ", ".join(words)


def _program(step: s.LoadProgram) -> str:
    words = [_word(known(ProgType, step.prog_type)), f"{len(step.insns) // 8} insns"]
    if step.slots:
        words.append(f"fds at {len(step.slots)}")
    if step.attach_btf_id:
        words.append(f"attach_btf_id {step.attach_btf_id}" + (f" of {step.attach_btf}" * bool(step.attach_btf)))
    return ", ".join(words)


def _variables(plan: Plan, step: s.UpdateMap) -> list[str]:
    # the variables of a data section, as far as they are not simply zero
    if plan.btf is None:
        return []
    from rawbpf.btf.parse import Btf

    btf, lines = Btf(plan.btf), []
    for variable in plan.variables:
        data = step.value[variable.offset : variable.offset + variable.size]
        if variable.map == step.map and variable.type_id and any(data):
            text = _value(btf, variable.type_id, data)
            lines.append(f"     {variable.name} = {text if len(text) <= 80 else text[:77] + '...'}")
    return lines


def _value(btf: Btf, type_id: int, data: bytes) -> str:
    from rawbpf.btf import value as typed

    try:
        return repr(typed.decode(btf, type_id, data))
    except RawbpfError:  # the type is broken, or larger than its variable
        return data.hex()


def table(plan: Plan) -> str:
    """The steps, one a line."""
    rows = [("#", "command", "what", "particulars")]
    rows += [(str(number), *describe(step)) for number, step in enumerate(plan.steps, 1)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"plan for {plan.name} on {plan.target}: {len(plan.steps)} steps"]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join((*cells, row[3])).rstrip())
    return "\n".join(map(one_line, lines + _skipped(plan)))


def _skipped(plan: Plan) -> list[str]:
    return [f"not attached: {name}: {reason}" for name, reason in plan.skipped.items()]


def explain(plan: Plan) -> str:
    """The steps with their reasons, and below each program its patched instructions."""
    lines = [f"plan for {plan.name} on {plan.target}: {len(plan.steps)} steps"]
    for number, step in enumerate(plan.steps, 1):
        command, what, particulars = describe(step)
        lines.append(f"{number:3}. {command} {what}" + (f": {particulars}" if particulars else ""))
        if step.reason:
            lines.append(f"     why: {step.reason}")
        if isinstance(step, s.UpdateMap) and not step.slots:
            lines += _variables(plan, step)
        for note in plan.notes.get(step.handle, ()) if isinstance(step, s.LoadProgram) else ():
            source = f"   [{note.source}]" if note.source else ""
            lines.append(f"     insn {note.insn:4}: {note.text}{source}")
    return "\n".join(map(one_line, lines + _skipped(plan)))
