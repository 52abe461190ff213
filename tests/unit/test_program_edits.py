# SPDX-License-Identifier: BSD-2-Clause
"""Programs edited before planning: instructions, type, flags, target, log level; helpers that the kernel lacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from elfwriter import EXIT, MOV_R0, ObjectWriter
from kernelkit import kernel, kernel_for
from typekit import FIRST, INT, make_btf

import rawbpf
from rawbpf.btf import types as t
from rawbpf.errors import SpecError, TargetError
from rawbpf.objfile.insn import CALL_IMM, Insn, decode
from rawbpf.plan.attach_btf import find_attach_btf
from rawbpf.plan.plan import Plan
from rawbpf.plan.planner import make_plan
from rawbpf.plan.target import Target, fingerprint
from rawbpf.uapi import HELPERS, AttachType, ProgFlag, ProgType

if TYPE_CHECKING:
    from rawbpf.objfile.program_spec import ProgramSpec

OBJS = Path(__file__).parent.parent / "objs"
RETURN_7 = decode(bytes.fromhex("b7000000070000009500000000000000"), little=True)


class Lacks:
    """A kernel that lacks one feature."""

    def __init__(self, missing: str) -> None:
        self.missing = missing
        self.asked: list[str] = []

    def has(self, name: str) -> bool:
        self.asked.append(name)
        return name != self.missing


def one(section: str, *insns: Any) -> rawbpf.ObjectSpec:
    out = ObjectWriter()
    out.function(section, "f", [*insns, MOV_R0, EXIT])
    return out.to_spec()


def planned(spec: rawbpf.ObjectSpec, target: Target | None = None) -> Plan:
    return make_plan(spec, target or kernel_for(spec))


# -- instructions


def test_other_instructions() -> None:
    spec = rawbpf.open(OBJS / "core_kernel.el.o")
    name = next(iter(spec.programs))
    spec.only([name])
    program = spec.programs[name]
    program.replace_insns(RETURN_7)
    target = kernel(make_btf())  # no CO-RE relocation is asked for: nothing in it would be found
    (step,) = planned(spec, target).programs
    assert step.insns.hex() == "b7000000070000009500000000000000"
    assert step.line_info == b""
    assert len(step.func_info) == 8


def test_instructions_before_the_file_s_own() -> None:
    spec = rawbpf.open(OBJS / "data.el.o")
    program = spec.programs["constants"]
    before = planned(spec)
    program.replace_insns([*decode(bytes.fromhex("b700000007000000"), little=True), *program.insns])
    (old,), (new,) = ([s for s in plan.programs if s.name == "constants"] for plan in (before, planned(spec)))
    assert new.insns == bytes.fromhex("b700000007000000") + old.insns
    assert [slot.offset for slot in new.slots] == [slot.offset + 8 for slot in old.slots]  # references come along
    assert new.line_info[:4] == bytes(4)  # a line where the function begins


def test_no_instructions() -> None:
    spec = one("xdp")
    spec.programs["f"].replace_insns([])
    with pytest.raises(SpecError, match="no instructions"):
        planned(spec)


# -- what it is


def test_another_type() -> None:
    spec = one("syscall")
    program = spec.programs["f"]
    assert program.flags == ProgFlag.SLEEPABLE
    program.set_type(ProgType.SOCKET_FILTER)
    (step,) = planned(spec).programs
    assert (step.prog_type, step.prog_flags, step.expected_attach_type) == (ProgType.SOCKET_FILTER, 0, 0)
    assert (step.section, step.auto_attach) == ("", "")


def test_another_type_is_attached_by_hand() -> None:
    spec = one("cgroup/bind4")
    spec.programs["f"].set_type(ProgType.SOCKET_FILTER)
    plan = make_plan(spec, kernel_for(spec), cgroup="/sys/fs/cgroup")
    assert [type(step).__name__ for step in plan.steps] == ["LoadBtf", "LoadProgram"]
    assert list(plan.skipped) == ["f"]


@pytest.mark.parametrize("field", ["prog_type", "attach_type", "flags", "log_level", "ifindex", "keyring_id"])
@pytest.mark.parametrize("value", ["x", None, 1.5, b"", 1 << 32, -1 << 32])
def test_numbers_that_are_none(field: str, value: Any) -> None:
    spec = one("xdp")
    setattr(spec.programs["f"], field, value)
    with pytest.raises(SpecError, match=f"{field} is .* no number of 32 bits") as caught:
        planned(spec)
    assert caught.value.symbol == "f"


@pytest.mark.parametrize(("field", "value"), [("signature", "x"), ("signature", None), ("target", 7), ("target", b"x")])
def test_values_of_another_type(field: str, value: Any) -> None:
    spec = one("xdp")
    setattr(spec.programs["f"], field, value)
    with pytest.raises(SpecError, match=f"{field} is ") as caught:
        planned(spec, kernel(make_btf()))
    assert caught.value.symbol == "f"


def test_a_keyring_of_the_process() -> None:
    spec = one("xdp")
    spec.programs["f"].keyring_id = -3  # KEY_SPEC_SESSION_KEYRING
    assert planned(spec).programs[0].keyring_id == -3


def test_the_same_type_changes_nothing() -> None:
    spec = one("syscall")
    spec.programs["f"].set_type(ProgType.SYSCALL)
    assert planned(spec).programs[0].prog_flags == ProgFlag.SLEEPABLE


def test_an_unknown_section_with_a_type() -> None:
    spec = one("no such section")
    with pytest.raises(SpecError, match="no known program section"):
        planned(spec)
    spec.programs["f"].set_type(ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_INET4_BIND)
    (step,) = planned(spec).programs
    assert (step.prog_type, step.expected_attach_type) == (ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_INET4_BIND)


def test_fields() -> None:
    spec = one("xdp")
    program = spec.programs["f"]
    program.flags |= ProgFlag.XDP_HAS_FRAGS
    program.attach_type = AttachType.XDP_CPUMAP
    program.log_level, program.ifindex = 2, 7
    (step,) = planned(spec).programs
    assert (step.prog_flags, step.expected_attach_type) == (ProgFlag.XDP_HAS_FRAGS, AttachType.XDP_CPUMAP)
    assert (step.log_level, step.prog_ifindex) == (2, 7)


VMLINUX = make_btf(t.FuncProto(INT, []), t.Func("do_exit", FIRST), t.Func("do_exec", FIRST))


def test_another_target() -> None:
    program = one("fentry/do_exit").programs["f"]
    program.target = "do_exec"
    assert find_attach_btf(program, kernel(VMLINUX)).type_id == FIRST + 2
    program = one("xdp").programs["f"]
    program.set_type(ProgType.TRACING, AttachType.TRACE_FEXIT)
    with pytest.raises(SpecError, match="does not say what to attach to"):
        find_attach_btf(program, kernel(VMLINUX))
    program.target = "do_exit"
    assert find_attach_btf(program, kernel(VMLINUX)).type_id == FIRST + 1


# -- functions of other BPF programs


OTHER = make_btf(t.FuncProto(INT, []), t.Func("verdict", FIRST, t.Func.GLOBAL), name="other")


class Live:
    """A live program."""

    id = 7


def with_programs() -> Target:
    target = kernel(VMLINUX)
    target._programs = {"progid:7": OTHER, "pin:/sys/fs/bpf/x": OTHER}.__getitem__
    return target


@pytest.mark.parametrize(
    ("program", "handle"),
    [
        (Live(), "progid:7"),
        (7, "progid:7"),
        ("/sys/fs/bpf/x", "pin:/sys/fs/bpf/x"),
        (Path("/sys/fs/bpf/x"), "pin:/sys/fs/bpf/x"),
    ],
)
@pytest.mark.parametrize("section", ["freplace/verdict", "fentry/verdict", "fexit", "freplace"])
def test_a_function_of_another_program(section: str, program: Any, handle: str) -> None:
    spec = one(section)
    spec.programs["f"].attach_to(program, "" if "/" in section else "verdict")
    plan = planned(spec, with_programs())
    (step,) = plan.programs
    assert (step.attach_btf_id, step.attach_btf) == (FIRST + 1, handle)
    assert step.attach_btf_print == fingerprint(OTHER.data)
    assert handle in plan.explain()
    assert Plan.from_json(plan.to_json()) == plan


def refused(program: ProgramSpec, target: Target, text: str) -> SpecError:
    with pytest.raises(SpecError, match=text) as caught:
        find_attach_btf(program, target)
    return caught.value


def test_refused_targets() -> None:
    program = one("freplace/verdikt").programs["f"]
    program.attach_to(7)
    error = refused(program, with_programs(), "the BPF program progid:7 has no function 'verdikt'")
    assert error.hint == "its functions: verdict"
    assert isinstance(refused(program, kernel(VMLINUX), "which BPF programs the kernel has is not known"), TargetError)
    with pytest.raises(SpecError, match="no function of the other program is named"):
        one("freplace").programs["f"].attach_to(7)
    with pytest.raises(SpecError, match="only freplace and tracing programs attach to other programs"):
        one("xdp").programs["f"].attach_to(7, "verdict")
    for number in (-1, 0, 1 << 32):
        with pytest.raises(SpecError, match=f"{number} is no id of a program"):
            one("freplace/verdict").programs["f"].attach_to(number)


# -- helpers


@pytest.mark.parametrize("suffix", ["", "_str"])
@pytest.mark.parametrize("memory", ["kernel", "user"])
def test_reads_of_older_kernels(memory: str, suffix: str) -> None:
    newer, older = HELPERS.index(f"bpf_probe_read_{memory}{suffix}"), HELPERS.index(f"bpf_probe_read{suffix}")
    spec = one("kprobe/x")
    spec.programs["f"].replace_insns([Insn(CALL_IMM, imm=newer), *RETURN_7])
    target = kernel(None)
    assert decode(planned(spec, target).programs[0].insns, little=True)[0].imm == newer
    target.features = Lacks("probe_read_kernel")
    plan = planned(spec, target)
    assert decode(plan.programs[0].insns, little=True)[0].imm == older
    assert f"{HELPERS[older]} for {HELPERS[newer]}" in plan.explain()
    assert spec.programs["f"].insns[0].imm == newer  # planning changes nothing


def test_who_reads_nothing_asks_nothing() -> None:
    target, features = kernel(None), Lacks("probe_read_kernel")
    target.features = features
    planned(one("kprobe/x"), target)
    assert "probe_read_kernel" not in features.asked
