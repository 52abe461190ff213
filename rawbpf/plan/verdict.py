# SPDX-License-Identifier: BSD-2-Clause
"""A refused program in words: the verifier's log and the plan's notes together tell which line of C, and what of it."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, NamedTuple

from rawbpf.plan.relocate import POISON_CORE, POISON_KFUNC, POISON_MAP

if TYPE_CHECKING:
    from rawbpf.errors import SourceLine
    from rawbpf.plan.plan import Note, Plan
    from rawbpf.plan.steps import LoadProgram

_INSN = re.compile(r"^(\d+): \([0-9a-f]{2}\)", re.MULTILINE)
_UNKNOWN = re.compile(r"invalid func unknown#(\d+)")
_POISON_RANGE = 1000000


class Verdict(NamedTuple):
    """What is known of a refusal.

    Attributes:
        insn: the slot that the verifier stopped at, or None.
        source: its line of C.
        message: what it means, where that can be said better than by the verifier; else empty.
        hint: the way out; else empty.
    """

    insn: int | None = None
    source: SourceLine | None = None
    message: str = ""
    hint: str = ""


def judge(plan: Plan, step: LoadProgram, log: str) -> Verdict:
    """Read a verifier's log by the light of the plan.

    Args:
        plan: the plan. step: the program of it that was refused.
        log: the whole log, of log level 1 or higher.
    """
    slots = [int(found[1]) for found in _INSN.finditer(log)]
    if not slots:
        return Verdict()
    slot = slots[-1]
    note = next((note for note in plan.notes.get(step.handle, ()) if note.insn == slot), None)
    unknown = _UNKNOWN.search(log)
    message, hint = _poisoned(int(unknown[1]), note) if unknown else ("", "")
    source = (note.source if note else None) or _source(plan, step, slot)
    return Verdict(slot, source, message, hint)


def _poisoned(number: int, note: Note | None) -> tuple[str, str]:
    what = note.text.removeprefix("poisoned: ") if note else ""
    if number == POISON_CORE:
        return (
            f"it reaches something that this kernel does not have: {what or 'an unresolved CO-RE relocation'}",
            "guard it with bpf_core_field_exists(), bpf_core_type_exists() or bpf_core_enum_value_exists()",
        )
    if POISON_MAP <= number < POISON_MAP + _POISON_RANGE:
        way_out = "create the map (autocreate), or keep the program from reaching it by a constant in .rodata"
        if "the kernel has no " in what:
            way_out = "leave the program out (autoload), or use elements of a map instead of variables"
        return f"it uses a map that is not created: {what or f'map number {number - POISON_MAP}'}", way_out
    if POISON_KFUNC <= number < POISON_KFUNC + _POISON_RANGE:
        return (
            f"it calls a kernel function that this kernel does not have: {what or f'extern {number - POISON_KFUNC}'}",
            "guard the call with bpf_ksym_exists()",
        )
    return "", ""


def _source(plan: Plan, step: LoadProgram, slot: int) -> SourceLine | None:
    # the last line_info at or before the slot
    data = plan.btf
    if data is None or not step.line_info:
        return None
    from rawbpf.btf.ext import LineInfo
    from rawbpf.btf.parse import Btf

    found = None
    pad = step.line_info_rec_size - 16
    for record in struct.iter_unpack(f"{'<' if plan.little else '>'}4I{pad}x", step.line_info):
        if record[0] > slot:
            break
        found = LineInfo._make(record)
    return found.source(Btf(data)) if found else None
