# SPDX-License-Identifier: BSD-2-Clause
"""A refused program in words, from the verifier's log and the plan's notes."""

from __future__ import annotations

import pytest
from elfwriter import EXIT, R_BPF_64_32, ObjectWriter, call
from kernelkit import kernel
from typekit import INT, make_btf
from typekit import struct as struct_type

from rawbpf.errors import SourceLine
from rawbpf.objfile.insn import Insn
from rawbpf.plan.plan import Note, Plan
from rawbpf.plan.planner import make_plan
from rawbpf.plan.relocate import POISON_CORE, POISON_KFUNC, POISON_MAP
from rawbpf.plan.verdict import Verdict, judge

LOG = """\
func#0 @0
0: R1=ctx() R10=fp0
; int f(void *ctx) @ f.c:1
0: (b7) r0 = 0                        ; R0_w=0
{slot}: ({code}) {text}
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""


def log(slot: int, text: str, code: str = "85") -> str:
    return LOG.format(slot=slot, text=text, code=code)


def planned(*, little: bool = True) -> Plan:
    out = ObjectWriter(little=little)
    assert out.btf is not None
    local = out.btf.add(struct_type("sock", ("gone", INT, 4)))
    sub = out.function(".text", "sub", [Insn(0x61, off=4), Insn(0xB7), EXIT], lines=(0, 1))
    out.function("xdp", "f", [call(), EXIT])
    out.relocate("xdp", 0, sub, R_BPF_64_32)
    out.core_relo(".text", 0, local, "0:0", 0)
    return make_plan(out.to_spec(), kernel(make_btf(struct_type("sock"), little=little)))


def test_poisoned_access() -> None:
    plan = planned()
    text = f"call unknown#{POISON_CORE}\ninvalid func unknown#{POISON_CORE}"
    verdict = judge(plan, plan.programs[0], log(2, text))
    assert verdict.insn == 2
    assert verdict.message == (
        "it reaches something that this kernel does not have: "
        "CO-RE byte_off struct sock.gone: no such thing in the kernel"
    )
    assert "bpf_core_field_exists" in verdict.hint
    assert verdict.source is not None
    assert str(verdict.source) == "sub.c:1"


@pytest.mark.parametrize("little", [True, False], ids=["little", "big"])
def test_line_of_any_instruction(little: bool) -> None:
    plan = planned(little=little)
    [step] = plan.programs
    verdict = judge(plan, step, log(3, "r0 = 0", "b7"))
    assert (verdict.insn, verdict.message, verdict.hint) == (3, "", "")
    assert verdict.source == SourceLine("sub.c", 2, 2, "line 1 of sub")
    wide = step._replace(line_info=b"".join(step.line_info[at : at + 16] + bytes(8) for at in range(0, 48, 16)),
                         line_info_rec_size=24)  # fmt: skip
    assert judge(plan, wide, log(4, "exit", "95")).source == verdict.source
    assert judge(plan, step._replace(line_info=b""), log(3, "r0 = 0", "b7")) == Verdict(3)


def test_log_that_names_no_instruction() -> None:
    plan = planned()
    assert judge(plan, plan.programs[0], "") == Verdict()
    assert judge(plan, plan.programs[0], "unreachable insn 3\n") == Verdict()


NOTE = Note(7, "poisoned: map m is not created")
OLD_KERNEL = Note(7, "poisoned: map .bss is not created: the kernel has no global variables (Linux 5.2)")

UNKNOWN = [
    (POISON_CORE, (), "an unresolved CO-RE relocation", "bpf_core_type_exists"),
    (POISON_MAP + 3, (), "map number 3", "autocreate"),
    (POISON_MAP + 3, (NOTE,), "it uses a map that is not created: map m is not created", "autocreate"),
    (POISON_MAP + 3, (OLD_KERNEL,), "no global variables (Linux 5.2)", "instead of variables"),
    (POISON_KFUNC + 5, (), "extern 5", "bpf_ksym_exists"),
    (4711, (), "", ""),
]


@pytest.mark.parametrize(("number", "notes", "message", "hint"), UNKNOWN)
def test_poisons(number: int, notes: tuple[Note, ...], message: str, hint: str) -> None:
    plan = planned()._replace(notes={"prog:f": notes})
    verdict = judge(plan, plan.programs[0], log(7, f"call unknown#{number}\ninvalid func unknown#{number}"))
    assert message in verdict.message
    assert hint in verdict.hint
    assert bool(verdict.message) == bool(message)
