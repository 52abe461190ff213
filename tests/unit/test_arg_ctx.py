# SPDX-License-Identifier: BSD-2-Clause
"""``__arg_ctx`` where the kernel does not know it: functions of their own for each program, with the context's type."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kernelkit import kernel_for
from typekit import FIRST, INT, ULONG, VOIDP, make_btf
from typekit import struct as struct_type

import rawbpf
from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.plan.arg_ctx import FEATURE, fix_contexts, tagged_arguments
from rawbpf.plan.planner import make_plan
from rawbpf.uapi import ProgType

if TYPE_CHECKING:
    from rawbpf.plan.plan import Plan

OBJS = Path(__file__).parent.parent / "objs"


class Lacks:
    """A kernel that lacks the tag; `asked` is what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def has(self, name: str) -> bool:
        self.asked.append(name)
        return name != FEATURE


def planned(name: str, *, old: bool) -> tuple[Plan, list[str]]:
    spec = rawbpf.open(OBJS / f"{name}.el.o")
    target, features = kernel_for(spec), Lacks()
    if old:
        target.features = features
    return make_plan(spec, target), features.asked


def func_ids(plan: Plan, program: str) -> list[int]:
    (step,) = (step for step in plan.programs if step.name == program)
    return [type_id for _slot, type_id in struct.iter_unpack("<II", step.func_info)]


def test_a_kernel_that_knows_the_tag_gets_what_is_in_the_file() -> None:
    plan, _asked = planned("arg_tags", old=False)
    spec = rawbpf.open(OBJS / "arg_tags.el.o")
    assert spec.btf is not None
    assert plan.btf is not None
    assert rawbpf.Btf(plan.btf).end_id == spec.btf.end_id


def test_an_object_without_the_tag_asks_nothing() -> None:
    assert FEATURE not in planned("subprograms", old=True)[1]


def test_clones() -> None:
    old, new = planned("arg_tags", old=True)[0], planned("arg_tags", old=False)[0]
    assert old.btf is not None
    btf = rawbpf.Btf(old.btf)
    main, takes_context, takes_pointer = func_ids(old, "from_socket")
    assert [main, takes_pointer] == [func_ids(new, "from_socket")[i] for i in (0, 2)]
    original = func_ids(new, "from_socket")[1]
    assert takes_context > original
    func = btf.type(takes_context)
    assert isinstance(func, t.Func)
    assert (func.name, func.linkage) == ("takes_context", t.Func.GLOBAL)
    proto = btf.type(func.type_id)
    assert isinstance(proto, t.FuncProto)
    pointer = btf.type(proto.params[0].type_id)
    assert isinstance(pointer, t.Ptr)
    assert btf.type(pointer.type_id) == t.Struct("__sk_buff", 0, [])
    assert [param.name for param in proto.params] == ["ctx", "number"]
    assert t.DeclTag(takes_context, "arg:ctx", 0) in [btf.type(i) for i in btf.find_all("arg:ctx")]
    # SYSCALL programs have no named context: they get what is in the file
    assert func_ids(old, "from_syscall") == func_ids(new, "from_syscall")
    assert old.programs[0].insns == new.programs[0].insns


NAMED = t.Struct("__sk_buff", 0, [])
NEEDS = [
    (ProgType.XDP, [], VOIDP, "xdp_md"),
    (ProgType.XDP, [t.Const(VOIDP)], FIRST, "xdp_md"),
    (ProgType.XDP, [NAMED, t.Ptr(FIRST)], FIRST + 1, None),
    (ProgType.SCHED_CLS, [NAMED, t.Ptr(FIRST)], FIRST + 1, None),
    (ProgType.SYSCALL, [], VOIDP, None),
    (ProgType.XDP, [], INT, None),
    (ProgType.KPROBE, [struct_type("pt_regs"), t.Ptr(FIRST)], FIRST + 1, "bpf_user_pt_regs_t"),
    (ProgType.KPROBE, [struct_type("x"), t.Typedef(FIRST, "bpf_user_pt_regs_t"), t.Ptr(FIRST + 1)], FIRST + 2, None),
    (ProgType.KPROBE, [struct_type("user_pt_regs"), t.Ptr(FIRST)], FIRST + 1, None),
    (ProgType.PERF_EVENT, [struct_type("pt_regs"), t.Ptr(FIRST)], FIRST + 1, "bpf_perf_event_data"),
    (ProgType.RAW_TRACEPOINT, [t.Ptr(ULONG)], FIRST, "bpf_raw_tracepoint_args"),
    (ProgType.RAW_TRACEPOINT, [t.Ptr(INT)], FIRST, None),
    (ProgType.SOCKET_FILTER, [t.Ptr(ULONG)], FIRST, None),
]


@pytest.mark.parametrize(("prog_type", "types", "argument", "context"), NEEDS, ids=range(len(NEEDS)))
def test_which_types_are_replaced(prog_type: ProgType, types: list[t.Type], argument: int, context: str | None) -> None:
    proto = FIRST + len(types)
    function = [t.FuncProto(INT, [t.Param("ctx", argument)]), t.Func("f", proto, t.Func.GLOBAL)]
    btf = make_btf(*types, *function, t.DeclTag(proto + 1, "arg:ctx", 0))
    builder = Builder.from_btf(btf)
    clones = fix_contexts(builder, tagged_arguments(btf), prog_type, [proto + 1])
    assert list(clones) == ([proto + 1] if context else [])
    assert builder.end_id == btf.end_id + (5 if context else 0)
    if context:
        assert builder.to_btf().find(context) is not None


def test_what_stays() -> None:
    function = [t.FuncProto(INT, [t.Param("a", VOIDP), t.Param("b", VOIDP)]), t.Func("f", FIRST, t.Func.GLOBAL)]
    static = t.Func("g", FIRST, t.Func.STATIC)
    tags = [t.DeclTag(FIRST + 1, "arg:ctx", n) for n in (0, 1, 2, -1)] + [t.DeclTag(FIRST, "arg:ctx", 0)]
    btf = make_btf(*function, static, t.DeclTag(FIRST + 2, "arg:ctx", 0), t.DeclTag(FIRST + 1, "arg:nonnull", 0), *tags)
    tagged = tagged_arguments(btf)
    assert [tuple(tag) for tag in tagged] == [(FIRST + 2, 0), (FIRST + 1, 0), (FIRST + 1, 1)]
    builder = Builder.from_btf(btf)
    assert fix_contexts(builder, tagged, ProgType.XDP, [FIRST + 2]) == {}  # static
    assert fix_contexts(builder, tagged, ProgType.XDP, []) == {}  # not called
    clones = fix_contexts(builder, tagged, ProgType.XDP, [FIRST + 1])
    proto = builder.type(builder.type(clones[FIRST + 1]).type_id)  # type: ignore[attr-defined]
    assert isinstance(proto, t.FuncProto)
    assert proto.params[0].type_id == proto.params[1].type_id != VOIDP  # one clone, one context, for both arguments
