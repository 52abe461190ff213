# SPDX-License-Identifier: BSD-2-Clause
"""Sections of per-CPU variables: their maps, as they are read and as they are planned."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernelkit import kernel_for

import rawbpf
from rawbpf.plan import steps as s
from rawbpf.plan.planner import make_plan
from rawbpf.uapi import MapType, MapUpdateFlag

OBJS = Path(__file__).parents[1] / "objs"
ORDERS = pytest.mark.parametrize("order", ["el", "eb"])


@ORDERS
def test_sections(order: str) -> None:
    spec = rawbpf.open(OBJS / f"percpu_data.{order}.o")
    assert [(m.name, m.kernel_name, m.kind, m.map_type, m.map_flags, m.max_entries) for m in spec.maps.values()] == [
        (".percpu", ".percpu", "percpu", MapType.PERCPU_ARRAY, 0, 1),
        (".percpu.of_each_cpu", ".percpu.of_each", "percpu", MapType.PERCPU_ARRAY, 0, 1),
    ]
    assert {name: variable.value for name, variable in spec.variables.items()} == {
        "counter": 40,
        "corner": {"x": 3, "y": -4},
        "hidden": 5,
        "history": [1, 2, 3, 4],
    }


@ORDERS
def test_initial_values_are_for_all_cpus(order: str) -> None:
    spec = rawbpf.open(OBJS / f"percpu_data.{order}.o")
    spec.variables["history"].value = [9, 8, 7, 6]
    plan = make_plan(spec, kernel_for(spec))
    updates = {step.map: step for step in plan.steps if isinstance(step, s.UpdateMap)}
    assert all(step.flags == MapUpdateFlag.F_ALL_CPUS for step in updates.values())
    history = updates["map:.percpu.of_each_cpu"].value
    byte_order = "little" if plan.little else "big"
    assert [int.from_bytes(history[at : at + 4], byte_order) for at in range(0, 16, 4)] == [9, 8, 7, 6]
    assert not any(isinstance(step, s.FreezeMap) for step in plan.steps)


class Older:
    """A kernel without per-CPU variables."""

    def has(self, name: str) -> bool:
        return name != "percpu_data"


def test_a_kernel_without_per_cpu_variables() -> None:
    spec = rawbpf.open(OBJS / "percpu_data.el.o")
    target = kernel_for(spec)
    target.features = Older()
    plan = make_plan(spec, target)
    assert not plan.maps
    assert not plan.variables
    note = plan.notes["prog:count"][0]
    assert note.text == "poisoned: map .percpu is not created: the kernel has no per-CPU variables (Linux 7.3)"
    assert not any(step.slots for step in plan.programs)
