# SPDX-License-Identifier: BSD-2-Clause
"""What a SEC() names, found in the kernel's BTF, in vmlinux or in a module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elfwriter import EXIT, MOV_R0, ObjectWriter
from kernelkit import kernel, kernel_for
from typekit import FIRST, INT, make_btf
from typekit import struct as struct_type

import rawbpf
from rawbpf.btf import types as t
from rawbpf.errors import SpecError
from rawbpf.objfile.sections import SecFlag
from rawbpf.plan.attach_btf import AttachBtf, find_attach_btf
from rawbpf.plan.planner import make_plan

if TYPE_CHECKING:
    from rawbpf.objfile.program_spec import ProgramSpec

OBJS = Path(__file__).parent.parent / "objs"

PROTO = t.FuncProto(INT, [])
VMLINUX = make_btf(
    PROTO,
    struct_type("do_exit"),  # of the name, and no function
    t.Func("do_exit", FIRST),
    t.Func("do_exec", FIRST),
    t.Func("bpf_lsm_file_open", FIRST),
    t.Func("bpf_iter_task", FIRST),
    t.Typedef(FIRST, "btf_trace_sched_switch"),
    t.Func("btf_trace_sched_switch", FIRST),
    t.Func("both", FIRST),
)
MODULE = make_btf(
    t.Func("both", FIRST), t.Func("in_module", FIRST), t.Typedef(FIRST, "btf_trace_module"), base=VMLINUX, name="mod"
)
OTHER = make_btf(t.Func("in_module", FIRST), base=VMLINUX, name="other")
KERNEL = kernel(VMLINUX, {"mod": MODULE, "other": OTHER})
END = VMLINUX.end_id


def program(section: str) -> ProgramSpec:
    out = ObjectWriter()
    out.function(section, "f", [MOV_R0, EXIT])
    return out.to_spec().programs["f"]


FOUND = [
    ("fentry/do_exit", FIRST + 2, None),
    ("fexit/do_exit", FIRST + 2, None),
    ("fmod_ret.s/do_exit", FIRST + 2, None),
    ("lsm/file_open", FIRST + 4, None),
    ("lsm_cgroup/file_open", FIRST + 4, None),
    ("iter/task", FIRST + 5, None),
    ("tp_btf/sched_switch", FIRST + 6, None),
    ("fentry/both", FIRST + 8, None),
    ("fentry/vmlinux:both", FIRST + 8, None),
    ("fentry/mod:both", END, "mod"),
    ("fentry/in_module", END + 1, "mod"),
    ("fentry/other:in_module", END, "other"),
    ("tp_btf/module", END + 2, "mod"),
    ("xdp", 0, None),
    ("kprobe/do_exit", 0, None),
    ("fentry.multi/do_*", 0, None),
    ("no_such_section", 0, None),
]


@pytest.mark.parametrize(("section", "type_id", "module"), FOUND, ids=[case[0] for case in FOUND])
def test_found(section: str, type_id: int, module: str | None) -> None:
    found = find_attach_btf(program(section), KERNEL)
    assert (found.type_id, found.handle) == (type_id, f"module:{module}" if module else "")


MISSING = [
    ("fentry/no_such_function", "the kernel has no function 'no_such_function' in its BTF", "inlined"),
    ("fentry/do_exix", "no function 'do_exix'", "near names: do_exit, do_exec"),
    ("lsm/file_opem", "no LSM hook 'file_opem'", "near names: file_open"),
    ("iter/tasks", "no iterator 'tasks'", "near names: task"),
    ("tp_btf/sched_swish", "no tracepoint 'sched_swish'", "near names: sched_switch"),
    ("lsm/no_hook", "no LSM hook 'no_hook'", "CONFIG_BPF_LSM"),
    ("lsm_cgroup/no_hook", "no LSM hook 'no_hook'", "CONFIG_BPF_LSM"),
    ("iter/nothing", "no iterator 'nothing'", "too old"),
    ("tp_btf/sched/sched_switch", "no tracepoint 'sched/sched_switch'", "without the group"),
    ("fentry/:do_exit", "':do_exit' names no module", "MODULE:NAME, or the name of the function alone"),
    ("fentry/mod:", "'mod:' names no function", "MODULE:NAME"),
    ("tp_btf/:", "':' names no tracepoint", "name of the tracepoint alone"),
    ("fentry/mod:do_exit", "no function 'do_exit'", ""),
    ("fentry/none:do_exit", "the kernel has no module none loaded, whose 'do_exit' is wanted", "modprobe none"),
    ("fentry/vmlinux:in_module", "no function 'in_module'", ""),
    ("fentry", 'SEC\\("fentry"\\) does not say what to attach to', 'SEC("fentry/NAME")'),
    ("iter.s", "does not say what to attach to", ""),
    ("freplace/main", "replaces the function 'main' of another program", "--target f=ID"),
    ("freplace", "does not say what to attach to", ""),
]


@pytest.mark.parametrize(("section", "text", "hint"), MISSING, ids=[case[0] for case in MISSING])
def test_missing(section: str, text: str, hint: str) -> None:
    with pytest.raises(SpecError, match=text) as caught:
        find_attach_btf(program(section), KERNEL)
    assert caught.value.symbol == "f"
    assert hint in (caught.value.hint or "")


def test_kernel_without_btf() -> None:
    with pytest.raises(SpecError, match="no function 'do_exit' in its BTF"):
        find_attach_btf(program("fentry/do_exit"), kernel(None))


def test_attach_type_of_the_users_own() -> None:
    spec = program("fentry/do_exit")
    spec.attach_type = 4711
    assert find_attach_btf(spec, KERNEL) == AttachBtf(FIRST + 2)


def test_in_a_plan() -> None:
    out = ObjectWriter()
    out.function("fentry/mod:both", "f", [MOV_R0, EXIT])
    out.function("tp_btf/sched_switch", "g", [MOV_R0, EXIT])
    plan = make_plan(out.to_spec(), KERNEL)
    found = {step.name: (step.attach_btf_id, step.attach_btf, step.target, step.auto_attach) for step in plan.programs}
    assert found == {
        "f": (END, "module:mod", "mod:both", "trace"),
        "g": (FIRST + 6, "", "sched_switch", "trace"),
    }


@pytest.mark.parametrize("order", ["el", "eb"])
def test_compiled(order: str) -> None:
    spec = rawbpf.open(OBJS / f"sections_attach.{order}.o")
    target = kernel_for(spec)
    for one in spec.programs.values():
        if "freplace" not in one.section and one.target:
            type_id = find_attach_btf(one, target).type_id
            needs = one.definition is not None and SecFlag.ATTACH_BTF in one.definition.flags
            assert (type_id != 0) is needs
            assert target.btf is not None
            assert one.target.rpartition(":")[2] in target.btf.name_of(type_id) or not needs
