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
from typekit import make_btf

import rawbpf
from rawbpf.errors import ParseError, SourceLine, SpecError
from rawbpf.objfile.reader import parse_object
from rawbpf.plan import steps as s
from rawbpf.plan.map_steps import NO_BTF_TYPES
from rawbpf.plan.plan import Note, Plan, PlannedVariable
from rawbpf.plan.planner import make_plan
from rawbpf.plan.target import Target
from rawbpf.uapi import AttachType, MapFlag, MapType, ProgType

if TYPE_CHECKING:
    from rawbpf.objfile.spec import ObjectSpec

ROOT = Path(__file__).parent.parent.parent
OBJS = ROOT / "tests" / "objs"
FAILING = {"ext", "kconfig_missing", "kfunc_missing", "ksym_missing", "sections_unknown", "static_outside_text"}
ALL = sorted(path for path in (*ROOT.glob("objs/*.o"), *OBJS.glob("*.o")) if path.name.split(".")[0] not in FAILING)


class Lacks:
    """A kernel that lacks some features."""

    def __init__(self, *missing: str) -> None:
        self.missing = missing

    def has(self, name: str) -> bool:
        return name not in self.missing


def opened(name: str, order: str = "el") -> ObjectSpec:
    return rawbpf.open(OBJS / f"{name}.{order}.o")


def planned(name: str, order: str = "el", **options: Any) -> Plan:
    spec = opened(name, order)
    return make_plan(spec, kernel_for(spec), **options)


def names(plan: Plan) -> list[str]:
    # the steps in short: "create_map counters"
    return [f"{s.step_name(step)} {getattr(step, 'handle', '') or getattr(step, 'map', '')}" for step in plan.steps]


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
    assert names(plan) == [
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
    assert names(plan) == [
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
    steps = names(plan)
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
    assert "create_map map:inner_two" not in names(make_plan(spec, kernel_for(spec)))


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


# -- maps


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
    steps = names(make_plan(spec, kernel_for(spec)))
    at = steps.index("create_map map:.rodata")
    assert steps[at + 1 : at + 4] == ["update_map map:.rodata", "freeze_map map:.rodata", "pin_map map:.rodata"]
    assert sum(step.startswith("pin_map") for step in steps) == 1


@pytest.mark.parametrize("late", ["inner_one", "any_size"])
def test_maps_in_maps_are_pinned_with_what_they_hold(late: str) -> None:
    spec = opened("map_in_map")
    spec.maps["first"].pin_path = "/sys/fs/bpf/first"
    spec.maps[late] = spec.maps.pop(late)
    steps = names(make_plan(spec, kernel_for(spec)))
    at = steps.index("pin_map map:first")
    assert steps[at - 3 : at] == ["update_map map:first"] * 3
    assert steps.index("create_map map:inner_one") < at


def test_program_arrays_are_pinned_before_programs_are_loaded() -> None:
    spec = opened("prog_array")
    spec.maps["jumps"].pin_path = "/sys/fs/bpf/jumps"
    steps = names(make_plan(spec, kernel_for(spec)))
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
    assert not any(name.startswith("set_struct_ops") for name in names(plan))
    assert plan.skipped == dict.fromkeys(["plain", "linked"], "not all of its programs were asked for")
    plan = planned("struct_ops", only=["ssthresh", "undo_cwnd", "cong_avoid"])
    assert "set_struct_ops map:plain" in names(plan)
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
    assert names(plan) == ["create_map map:.bss", "update_map map:.bss", "load_program prog:f"]
    assert (plan.maps[0].btf, plan.programs[0].btf, plan.programs[0].func_info) == ("", "", b"")


def test_errors_name_the_file() -> None:
    with pytest.raises(rawbpf.RawbpfError) as caught:
        planned("kconfig_missing")
    assert caught.value.path == str(OBJS / "kconfig_missing.el.o")
    assert caught.value.symbol == "CONFIG_RAWBPF_NO_SUCH_OPTION"


def test_users_setting() -> None:
    plan = planned("kconfig_missing", kconfig="CONFIG_RAWBPF_NO_SUCH_OPTION=5")
    assert "map:.kconfig" in [step.map for step in plan.steps if isinstance(step, s.FreezeMap)]


# -- JSON


PLAN = Plan(
    "name", "path", "kernel",
    (
        s.LoadBtf("btf", b"\1\2", "why"),
        s.CreateMap("map:m", "m", MapType.HASH, map_flags=int(MapFlag.MMAPABLE)),
        s.UpdateMap("map:m", b"\0", b"\xff", (s.Slot(0, "map:n"),)),
        s.FillArena("map:m", 4096, b"\2"),
        s.FreezeMap("map:m"),
        s.LoadProgram("prog:p", "p", "xdp", ProgType.XDP, 0, b"\x95", (s.Slot(4, "map:m"),), fd_array=("", "module:x")),
        s.BindMap("prog:p", "map:m"),
        s.SetStructOps("map:m", "m", "ops", b"", (s.Slot(8, "prog:p", 8),), True),
        s.CreateLink("link:l", "map:m", 44),
        s.Attach("link:p", "prog:p", "kprobe", {"symbol": "do_exit", "offset": 4, "retprobe": True}, "why"),
        s.Pin("link:l", "/sys/fs/bpf/l"),
        s.Close("map:m"),
        s.CreateToken("token", "/sys/fs/bpf", "why"),
        s.PinMap("map:m", "/sys/fs/bpf/m", "why"),
    ),
    (PlannedVariable("v", "map:.data", 4, 8, 3),),
    {"prog:p": (Note(1, "text", SourceLine("a.c", 3, 4, "x")), Note(2, "text"))},
    False,
)  # fmt: skip


def test_json_of_every_step() -> None:
    data = PLAN.to_json()
    assert {step["step"] for step in data["steps"]} == set(s.STEPS)
    assert Plan.from_json(json.dumps(data)) == PLAN
    assert data["steps"][2]["value"] == "ff"
    assert data["steps"][2]["slots"] == [{"offset": 0, "handle": "map:n", "size": 4}]
    assert data["notes"]["prog:p"][1] == {"insn": 2, "text": "text"}


def changed(path: str, value: object) -> dict[str, Any]:
    data: Any = json.loads(json.dumps(PLAN.to_json()))
    place = data
    *parents, last = path.split(".")
    for part in parents:
        place = place[int(part)] if part.isdigit() else place[part]
    if value is KeyError:
        del place[last]
    else:
        place[last] = value
    return data  # type: ignore[no-any-return]


NO_PLANS: list[tuple[str, Any]] = [
    ("no_json", "{"),
    ("no_text", b"\xff\xfe\xfd"),
    ("deep_json", "[" * 100000),
    ("list", "[]"),
    ("number", "5"),
    ("empty", {}),
    ("newer_format", changed("format", 99)),
    ("without_steps", changed("steps", KeyError)),
    ("steps_of_numbers", changed("steps", [1, 2])),
    ("unknown_step", changed("steps.0.step", "explode")),
    ("unknown_field", changed("steps.0.colour", "red")),
    ("missing_field", changed("steps.1.name", KeyError)),
    ("bytes_that_are_no_hex", changed("steps.0.data", "xyz")),
    ("number_that_is_text", changed("steps.1.key_size", "4")),
    ("text_that_is_a_number", changed("steps.1.name", 4)),
    ("list_of_numbers", changed("steps.5.fd_array", [1])),
    ("slots_of_numbers", changed("steps.5.slots", [1])),
    ("slot_at_text", changed("steps.5.slots.0.offset", "4")),
    ("name_of_the_plan", changed("name", None)),
    ("order_of_the_plan", changed("little_endian", "yes")),
    ("variable", changed("variables.0.offset", "4")),
    ("note", changed("notes.prog:p.0.insn", "4")),
    ("note_without_source", changed("notes.prog:p.0.source", {"file": 1})),
]


@pytest.mark.parametrize("data", [case[1] for case in NO_PLANS], ids=[case[0] for case in NO_PLANS])
def test_no_plan(data: Any) -> None:
    with pytest.raises(ParseError):
        Plan.from_json(data)
