# SPDX-License-Identifier: BSD-2-Clause
"""What a plan does for maps: their attributes, contents and pins."""

from __future__ import annotations

import pytest
from kernelkit import kernel_for
from plankit import OBJS, Lacks, opened, planned, step_names

from rawbpf.objfile.reader import parse_object
from rawbpf.plan import steps as s
from rawbpf.plan.map_steps import NO_BTF_TYPES
from rawbpf.plan.plan import PlannedVariable
from rawbpf.plan.planner import make_plan
from rawbpf.uapi import MapFlag


def test_variables_where_arrays_cannot_be_mapped() -> None:
    spec = opened("data")
    target = kernel_for(spec)
    assert {".data", ".rodata", ".bss"} <= {
        m.handle[4:] for m in make_plan(spec, target).maps if m.map_flags & MapFlag.MMAPABLE
    }
    target.features = Lacks("array_mmap")
    flags = {step.handle: step.map_flags for step in make_plan(spec, target).maps}
    assert (flags["map:.data"], flags["map:.rodata"]) == (0, MapFlag.RDONLY_PROG)
    assert not any(value & MapFlag.MMAPABLE for value in flags.values())


@pytest.mark.parametrize(("name", "map_"), [("data", ".data"), ("kconfig", ".kconfig")])
def test_a_kernel_without_variables(name: str, map_: str) -> None:
    spec = opened(name)
    target = kernel_for(spec)
    target.features = Lacks("global_data")
    plan = make_plan(spec, target)
    assert not plan.maps
    assert not plan.variables
    assert not any(isinstance(step, s.UpdateMap | s.FreezeMap | s.BindMap) for step in plan.steps)
    assert not any(slot.handle.startswith("map:") for step in plan.programs for slot in step.slots)
    notes = {note.text for notes in plan.notes.values() for note in notes}
    assert f"poisoned: map {map_} is not created: the kernel has no global variables (Linux 5.2)" in notes


def test_a_kernel_without_variables_has_other_maps() -> None:
    spec = opened("maps")
    target = kernel_for(spec)
    target.features = Lacks("global_data")
    assert {step.handle for step in make_plan(spec, target).maps} == {
        step.handle for step in make_plan(spec, kernel_for(spec)).maps if step.kind == "map"
    }


def test_names_of_data_maps() -> None:
    spec = parse_object((OBJS / "kconfig.el.o").read_bytes(), path="mptcp_bpf_rr.o")
    plan = make_plan(spec, kernel_for(spec))
    assert {map_.handle: map_.name for map_ in plan.maps} == {
        "map:.bss": "mptcp_bp.bss", "map:.kconfig": "mptcp_b.kconfig",
    }  # fmt: skip


def test_contents() -> None:
    spec = opened("data")
    spec.variables["ro_zero"].value = 77
    plan = make_plan(spec, kernel_for(spec))
    updates = {step.map: step.value for step in plan.steps if isinstance(step, s.UpdateMap)}
    frozen = [step.map for step in plan.steps if isinstance(step, s.FreezeMap)]
    assert set(updates) == {f"map:{name}" for name in spec.maps}
    assert frozen == ["map:.rodata", "map:.rodata.custom"]
    variable = next(v for v in plan.variables if v.name == "ro_zero")
    assert variable == PlannedVariable("ro_zero", "map:.rodata", variable.offset, 4, spec.variables["ro_zero"].type_id)
    assert updates["map:.rodata"][variable.offset : variable.offset + 4] == b"\x4d\0\0\0"


def test_variables_of_maps_that_are_not_created() -> None:
    spec = opened("data")
    assert {v.name for v in make_plan(spec, kernel_for(spec)).variables} == set(spec.variables)
    spec.maps[".data.custom"].autocreate = False
    assert "data_custom" not in {v.name for v in make_plan(spec, kernel_for(spec)).variables}


def test_attributes_of_maps() -> None:
    spec = opened("maps")
    creates = {step.handle.partition(":")[2]: step for step in make_plan(spec, kernel_for(spec)).maps}
    assert creates["perf_events"].max_entries == 4  # the possible CPUs
    assert creates["bloom"].map_extra == 3
    assert creates["a_name_longer_than_the_kernel_allows"].name == "a_name_longer_t"
    assert (creates["flows"].btf, creates["flows"].btf_key_type_id) == ("btf", spec.maps["flows"].btf_key_type_id)
    for name, create in creates.items():
        if create.map_type in NO_BTF_TYPES:
            assert (create.btf, create.btf_key_type_id, create.btf_value_type_id) == ("", 0, 0), name
        else:
            assert create.btf == "btf"


def test_pinning_by_name() -> None:
    plan = planned("maps_pinned")
    assert {map_.handle: map_.pin_path for map_ in plan.maps} == {
        "map:pinned_counter": "/sys/fs/bpf/pinned_counter", "map:private_counter": "",
    }  # fmt: skip


def test_maps_are_pinned_with_what_they_hold() -> None:
    spec = opened("data")
    spec.maps[".rodata"].pin_path = "/sys/fs/bpf/constants"
    steps = step_names(make_plan(spec, kernel_for(spec)))
    at = steps.index("create_map map:.rodata")
    assert steps[at + 1 : at + 4] == ["update_map map:.rodata", "freeze_map map:.rodata", "pin_map map:.rodata"]
    assert sum(step.startswith("pin_map") for step in steps) == 1


@pytest.mark.parametrize("late", ["inner_one", "any_size"])
def test_maps_in_maps_are_pinned_with_what_they_hold(late: str) -> None:
    spec = opened("map_in_map")
    spec.maps["first"].pin_path = "/sys/fs/bpf/first"
    spec.maps[late] = spec.maps.pop(late)
    steps = step_names(make_plan(spec, kernel_for(spec)))
    at = steps.index("pin_map map:first")
    assert steps[at - 3 : at] == ["update_map map:first"] * 3
    assert steps.index("create_map map:inner_one") < at


def test_program_arrays_are_pinned_before_programs_are_loaded() -> None:
    spec = opened("prog_array")
    spec.maps["jumps"].pin_path = "/sys/fs/bpf/jumps"
    steps = step_names(make_plan(spec, kernel_for(spec)))
    at = steps.index("create_map map:jumps")
    assert steps[at + 1] == "pin_map map:jumps"
    assert steps.index("update_map map:jumps") > at


def test_edited_maps() -> None:
    spec = opened("maps")
    spec.maps["flows"].max_entries = 5
    spec.maps["events"].autocreate = False
    plan = make_plan(spec, kernel_for(spec))
    creates = {step.handle: step.max_entries for step in plan.maps}
    assert creates["map:flows"] == 5
    assert "map:events" not in creates
