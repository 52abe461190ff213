# SPDX-License-Identifier: BSD-2-Clause
"""Plans for tests: of objects that a test writes and of those in tests/objs, and the code in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelkit import kernel, kernel_for
from typekit import make_btf

import rawbpf
from rawbpf.objfile.insn import Insn, decode
from rawbpf.plan import steps as s
from rawbpf.plan.planner import make_plan

if TYPE_CHECKING:
    from elfwriter import ObjectWriter

    from rawbpf.objfile.spec import ObjectSpec
    from rawbpf.plan.plan import Plan
    from rawbpf.plan.steps import LoadProgram
    from rawbpf.plan.target import Target

OBJS = Path(__file__).parent.parent / "objs"
NOP = Insn(0xBF, dst=1, src=1)


class Lacks:
    """A kernel that lacks some features."""

    def __init__(self, *missing: str) -> None:
        self.missing = missing

    def has(self, name: str) -> bool:
        return name not in self.missing


def opened(name: str, order: str = "el") -> ObjectSpec:
    """One of tests/objs."""
    return rawbpf.open(OBJS / f"{name}.{order}.o")


def planned(name: str, order: str = "el", **options: Any) -> Plan:
    """The plan of one of tests/objs, for a kernel that has all it asks for."""
    spec = opened(name, order)
    return make_plan(spec, kernel_for(spec), **options)


def plan_of(out: ObjectWriter, target: Target | None = None) -> Plan:
    """The plan of an object that a test writes, for a kernel of no types of its own."""
    return make_plan(out.to_spec(), target or kernel(make_btf(little=out.little)))


def program(plan: Plan, name: str = "f") -> LoadProgram:
    """The step that loads a program."""
    return next(step for step in plan.programs if step.name == name)


def code(plan: Plan, name: str = "f") -> list[Insn]:
    """The instructions of a program."""
    return decode(program(plan, name).insns, little=plan.little)


def step_names(plan: Plan) -> list[str]:
    """The steps in short: ``create_map map:counters``."""
    return [f"{s.step_name(step)} {getattr(step, 'handle', '') or getattr(step, 'map', '')}" for step in plan.steps]
