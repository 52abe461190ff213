# SPDX-License-Identifier: BSD-2-Clause
"""A plan: which steps, in which order, and what options add; it is the same each time and survives JSON."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from elfwriter import EXIT, MOV_R0, NOBITS, WRITE, ObjectWriter
from kernelkit import kernel, kernel_for
from plankit import OBJS, Lacks, opened, planned, step_names
from typekit import make_btf

import rawbpf
from rawbpf.errors import SpecError
from rawbpf.plan import steps as s
from rawbpf.plan.plan import Plan
from rawbpf.plan.planner import make_plan
from rawbpf.plan.target import Target
from rawbpf.uapi import AttachType

if TYPE_CHECKING:
    from rawbpf.objfile.spec import ObjectSpec

ROOT = Path(__file__).parent.parent.parent
FAILING = {"ext", "kconfig_missing", "kfunc_missing", "ksym_missing", "sections_unknown", "static_outside_text"}
ALL = sorted(path for path in (*ROOT.glob("objs/*.o"), *OBJS.glob("*.o")) if path.name.split(".")[0] not in FAILING)


# -- all objects


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_all_objects(path: Path) -> None:
    spec = rawbpf.open(path)
    before = repr(copy.deepcopy(spec))
    options: dict[str, Any] = {"attach": True, "pin_dir": "/sys/fs/bpf/x", "cgroup": "/sys/fs/cgroup/x"}
    plan = make_plan(spec, kernel_for(spec), **options)
    assert repr(spec) == before  # planning changes nothing
    again = make_plan(rawbpf.open(path), kernel_for(spec), **options)
    text = json.dumps(plan.to_json())
    assert json.dumps(again.to_json()) == text  # the same bytes each time
    assert json.dumps(make_plan(spec, kernel_for(spec), **options).to_json()) == text
    assert Plan.from_json(text) == Plan.from_json(text.encode()) == Plan.from_json(json.loads(text)) == plan
    check_handles(plan)


def check_handles(plan: Plan) -> None:
    # what a step uses was made by a step before it, or is a module's BTF
    made: set[str] = {""}
    for step in plan.steps:
        used = [getattr(step, field, "") for field in ("map", "program", "source", "btf", "inner_map", "attach_btf")]
        used += [slot.handle for slot in getattr(step, "slots", ())]
        used += [step.handle] if isinstance(step, s.Pin | s.Close) else []
        assert {handle for handle in used if not handle.startswith("module:")} <= made
        if isinstance(step, s.LoadBtf | s.CreateMap | s.LoadProgram | s.CreateLink | s.Attach):
            assert step.handle not in made
            made.add(step.handle)
        if isinstance(step, s.Close):
            made.remove(step.handle)


# -- the order of steps


def test_order() -> None:
    plan = planned("subprograms", pin_dir="/sys/fs/bpf/d/")
    assert step_names(plan) == [
        "load_btf btf",
        "create_map map:totals",
        "create_map map:.rodata",
        "update_map map:.rodata",
        "freeze_map map:.rodata",
        "create_map map:.bss",
        "update_map map:.bss",
        *(
            step
            for name in ("alone", "first", "second", "third")
            for step in (f"load_program prog:{name}", "bind_map map:.rodata")
        ),
        "pin map:totals",
        "pin map:.rodata",
        "pin map:.bss",
        *(f"pin prog:{name}" for name in ("alone", "first", "second", "third")),
    ]
    paths = [step.path for step in plan.steps if isinstance(step, s.Pin)]
    assert paths[:3] == [f"/sys/fs/bpf/d/maps/{name}" for name in ("totals", "_rodata", "_bss")]
    assert paths[3] == "/sys/fs/bpf/d/programs/alone"


def test_order_of_struct_ops() -> None:
    plan = planned("struct_ops", pin_dir="/p")
    assert step_names(plan) == [
        "load_btf btf",
        "create_map map:.bss",
        "update_map map:.bss",
        "create_map map:plain",
        "create_map map:linked",
        "load_program prog:ssthresh",
        "load_program prog:undo_cwnd",
        "load_program prog:cong_avoid",
        "set_struct_ops map:plain",
        "set_struct_ops map:linked",
        "create_link link:linked",
        "pin map:.bss",
        "pin map:plain",
        "pin map:linked",
        "pin prog:ssthresh",
        "pin prog:undo_cwnd",
        "pin prog:cong_avoid",
        "pin link:linked",
    ]


def test_order_of_maps_in_maps() -> None:
    plan = planned("map_in_map")
    steps = step_names(plan)
    for name in ("first", "by_hash", "any_size"):
        at = steps.index(f"create_map map:{name}.inner")
        assert steps[at + 1 : at + 3] == [f"create_map map:{name}", f"close map:{name}.inner"]
    updates = {
        (step.map, int.from_bytes(step.key, "little")): step.slots
        for step in plan.steps
        if isinstance(step, s.UpdateMap)
    }
    assert updates == {
        ("map:first", 0): (s.Slot(0, "map:inner_one"),),
        ("map:first", 1): (s.Slot(0, "map:inner_two"),),
        ("map:first", 3): (s.Slot(0, "map:inner_one"),),
        ("map:any_size", 1): (s.Slot(0, "map:large"),),
    }
    creates = {step.handle: step for step in plan.maps}
    assert creates["map:first"].inner_map == "map:first.inner"
    assert creates["map:first.inner"].max_entries == 1


def test_template_of_a_map_in_map_is_not_pinned() -> None:
    pinned = [step.handle for step in planned("map_in_map", pin_dir="/p").steps if isinstance(step, s.Pin)]
    assert "map:first" in pinned
    assert not [handle for handle in pinned if handle.endswith(".inner")]


def test_map_in_map_without_its_maps() -> None:
    spec = opened("map_in_map")
    spec.maps["inner_two"].autocreate = False
    with pytest.raises(SpecError, match="slot 1 is to hold the map 'inner_two', which is not created") as caught:
        make_plan(spec, kernel_for(spec))
    assert caught.value.symbol == "first"
    del spec.maps["first"].slots[1]
    assert "create_map map:inner_two" not in step_names(make_plan(spec, kernel_for(spec)))


@pytest.mark.parametrize("order", ["el", "eb"])
def test_program_array_comes_last(order: str) -> None:
    plan = planned("prog_array", order)
    last = plan.steps[-2:]
    assert [(step.map, step.key, step.slots) for step in last if isinstance(step, s.UpdateMap)] == [
        ("map:jumps", index.to_bytes(4, "little" if order == "el" else "big"), (s.Slot(0, f"prog:{name}"),))
        for index, name in ((1, "one"), (3, "three"))
    ]


def test_program_array_with_a_hole() -> None:
    spec = opened("prog_array")
    with pytest.raises(SpecError, match="slot 3 is to hold the program 'three', which is not loaded"):
        make_plan(spec, kernel_for(spec), only=["one", "entry"])
    del spec.maps["jumps"].slots[3]
    assert len(make_plan(spec, kernel_for(spec), only=["one", "entry"]).programs) == 2


@pytest.mark.parametrize(("name", "map_"), [("prog_array", "jumps"), ("map_in_map", "first")])
def test_slot_behind_the_last(name: str, map_: str) -> None:
    spec = opened(name)
    outer = spec.maps[map_]
    outer.slots[outer.max_entries] = next(iter(outer.slots.values()))
    with pytest.raises(SpecError, match=f"slot {outer.max_entries} is behind its last one") as caught:
        make_plan(spec, kernel_for(spec))
    assert caught.value.symbol == map_
    assert caught.value.hint == f"__uint(max_entries, {outer.max_entries + 1}) at least"


# -- programs


def test_only() -> None:
    plan = planned("subprograms", only=["third", "alone"])
    assert [step.name for step in plan.programs] == ["alone", "third"]
    with pytest.raises(SpecError, match="no program named 'fourth'") as caught:
        planned("subprograms", only=["third", "fourth"])
    assert caught.value.hint == "there are: alone, first, second, third"


def test_only_some_programs_of_struct_ops() -> None:
    # a struct takes all of its programs along, as in libbpf; it is registered if they were asked for
    plan = planned("struct_ops", only=["ssthresh"])
    assert {step.name for step in plan.programs} == {"ssthresh", "undo_cwnd", "cong_avoid"}
    assert not any(name.startswith("set_struct_ops") for name in step_names(plan))
    assert plan.skipped == dict.fromkeys(["plain", "linked"], "not all of its programs were asked for")
    plan = planned("struct_ops", only=["ssthresh", "undo_cwnd", "cong_avoid"])
    assert "set_struct_ops map:plain" in step_names(plan)
    assert not plan.skipped


def test_optional_programs() -> None:
    spec = opened("core")
    optional = {name for name, program in spec.programs.items() if program.section.startswith("?")}
    assert optional
    target = rawbpf.Target.from_btf(OBJS / "core_target.el.o")
    assert {step.name for step in make_plan(spec, target).programs} == set(spec.programs) - optional
    assert [step.name for step in make_plan(spec, target, only=sorted(optional)).programs]


def test_unknown_section() -> None:
    with pytest.raises(SpecError, match='SEC\\("xpd"\\) is no known program section') as caught:
        planned("sections_unknown")
    assert (caught.value.symbol, caught.value.section) == ("misspelt", "xpd")
    assert "xdp" in (caught.value.hint or "")


def test_license_and_versions() -> None:
    spec = opened("no_license")
    plan = make_plan(spec, kernel_for(spec))
    assert {step.license for step in plan.programs} == {""}
    assert {step.kern_version for step in plan.programs} == {0x60C00}
    spec.kern_version = 0x50A00
    assert make_plan(spec, kernel_for(spec)).programs[0].kern_version == 0x50A00


def written(section: str) -> ObjectSpec:
    out = ObjectWriter()
    out.function(section, "f", [MOV_R0, EXIT])
    return out.to_spec()


@pytest.mark.parametrize(
    ("section", "missing", "expected"),
    [
        ("usdt", "", AttachType.TRACE_UPROBE_MULTI),
        ("usdt", "uprobe_multi_link", 0),
        ("cgroup_skb/egress", "", AttachType.CGROUP_INET_EGRESS),
        ("cgroup_skb/egress", "exp_attach_type", 0),
        ("cgroup/bind4", "exp_attach_type", AttachType.CGROUP_INET4_BIND),
    ],
)
def test_attach_type_that_the_kernel_knows(section: str, missing: str, expected: int) -> None:
    plan = make_plan(written(section), kernel(make_btf(), features=Lacks(missing)))
    assert plan.programs[0].expected_attach_type == expected


def test_how_programs_attach() -> None:
    spec = written("kprobe/do_exit")
    plan = make_plan(spec, kernel(make_btf()))
    assert (plan.programs[0].auto_attach, plan.programs[0].target) == ("kprobe", "do_exit")
    spec.programs["f"].autoattach = False
    assert make_plan(spec, kernel(make_btf())).programs[0].auto_attach == ""


@pytest.mark.parametrize("section", ["sockops", "cgroup/connect4", "cgroup_skb/ingress"])
def test_cgroup(section: str) -> None:
    spec = written(section)
    plan = make_plan(spec, kernel(make_btf()))
    assert not [step for step in plan.steps if isinstance(step, s.Attach)]
    assert plan.skipped == {"f": "it needs a cgroup: attach(cgroup=…), or rawbpf load … --cgroup"}
    plan = make_plan(spec, kernel(make_btf()), cgroup="/sys/fs/cgroup/x", pin_dir="/p")
    [link] = [step for step in plan.steps if isinstance(step, s.Attach)]
    assert link[:4] == ("link:f", "prog:f", "cgroup", {"cgroup": "/sys/fs/cgroup/x"})
    assert plan.skipped == {}
    assert plan.steps[-1] == s.Pin("link:f", "/p/links/f", "outlives the process")
    for options in ({"attach": False}, {"cgroup": ""}):
        changed = {"cgroup": "/sys/fs/cgroup/x", **options}
        assert not [st for st in make_plan(spec, kernel(make_btf()), **changed).steps if isinstance(st, s.Attach)]  # type: ignore[arg-type]
    spec.programs["f"].autoattach = False
    plan = make_plan(spec, kernel(make_btf()), cgroup="/sys/fs/cgroup/x")
    assert not [step for step in plan.steps if isinstance(step, s.Attach)]
    assert plan.skipped == {"f": "it is not to be attached with all others"}


# -- objects and kernels that do not go together


def test_byte_orders() -> None:
    for order, other in (("el", "eb"), ("eb", "el")):
        with pytest.raises(SpecError, match="-endian, core_target") as caught:
            make_plan(opened("no_license", order), Target.from_btf(OBJS / f"core_target.{other}.o"))
        assert caught.value.hint == f"compile with -target bpf{other}"


def test_object_without_btf() -> None:
    out = ObjectWriter()
    out.btf = None
    out.section(".bss", type=NOBITS, size=8, flags=WRITE)
    out.function("xdp", "f", [MOV_R0, EXIT])
    plan = make_plan(out.to_spec(), kernel(None))
    assert plan.btf is None
    assert step_names(plan) == ["create_map map:.bss", "update_map map:.bss", "load_program prog:f"]
    assert (plan.maps[0].btf, plan.programs[0].btf, plan.programs[0].func_info) == ("", "", b"")


def test_errors_name_the_file() -> None:
    with pytest.raises(rawbpf.RawbpfError) as caught:
        planned("kconfig_missing")
    assert caught.value.path == str(OBJS / "kconfig_missing.el.o")
    assert caught.value.symbol == "CONFIG_RAWBPF_NO_SUCH_OPTION"


def test_users_setting() -> None:
    plan = planned("kconfig_missing", kconfig="CONFIG_RAWBPF_NO_SUCH_OPTION=5")
    assert "map:.kconfig" in [step.map for step in plan.steps if isinstance(step, s.FreezeMap)]
