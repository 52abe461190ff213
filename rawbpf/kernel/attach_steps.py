# SPDX-License-Identifier: BSD-2-Clause
"""The steps of a plan that attach and pin: how the executor runs each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.errors import where
from rawbpf.kernel.links import Link
from rawbpf.kernel.programs import Program
from rawbpf.kernel.struct_ops import StructOps
from rawbpf.plan import steps as s

if TYPE_CHECKING:
    from rawbpf.kernel.executor import Execution


def struct_ops(execution: Execution, step: s.SetStructOps) -> StructOps:
    """The live struct_ops of a step."""
    return StructOps(
        step.name,
        step.type_name,
        execution.map(step.map),
        execution.fill(step.value, step.slots),
        has_link=step.link,
        programs=tuple(s.name_of(slot.handle) for slot in step.slots),
    )


def set_struct_ops(execution: Execution, step: s.SetStructOps) -> None:
    ops = struct_ops(execution, step)
    if step.link:
        ops.set_value()
    else:
        registration = execution.links[step.name] = ops.registration()
        execution.undo.append(registration.detach)
        ops.set_value()


def create_link(execution: Execution, step: s.CreateLink) -> None:
    name = s.name_of(step.handle)
    with where(symbol=name):
        ops = (o for o in execution.plan.steps if isinstance(o, s.SetStructOps))
        made = struct_ops(execution, next(o for o in ops if o.map == step.source)).create_link()
        execution.made[step.handle] = execution.links[name] = made


def attach(execution: Execution, step: s.Attach) -> None:
    from rawbpf.kernel.attach import auto

    program = execution.thing(step.source)
    assert isinstance(program, Program)
    with where(symbol=program.name, section=program.section or None):
        made = execution.links[s.name_of(step.handle)] = auto.attach(program, step.kind, step.arguments)
    if isinstance(made, Link):
        execution.made[step.handle] = made


def pin(execution: Execution, step: s.Pin) -> None:
    if step.handle not in execution.made and s.name_of(step.handle) in execution.links:
        return  # it is attached without a link, and only links can be pinned
    with where(symbol=s.name_of(step.handle)):
        execution.pin_at(execution.thing(step.handle), step.path)
