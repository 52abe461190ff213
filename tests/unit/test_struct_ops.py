# SPDX-License-Identifier: BSD-2-Clause
"""struct_ops: the object's struct fitted to the kernel's, member by member."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elfwriter import EXIT, MOV_R0, WRITE, ObjectWriter
from kernelkit import kernel, kernel_for
from typekit import FIRST, INT, LONG, ULONG, make_btf
from typekit import struct as struct_type

import rawbpf
from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.errors import NotSupportedError, SpecError
from rawbpf.objfile.spec import MAX_DATA_SIZE
from rawbpf.plan.planner import make_plan
from rawbpf.plan.steps import CreateLink, CreateMap, LoadProgram, SetStructOps, Slot
from rawbpf.plan.struct_ops import MemberError, Prepared, prepare_struct_ops
from rawbpf.uapi import AttachType, MapFlag

if TYPE_CHECKING:
    from rawbpf.plan.target import Target

ROOT = Path(__file__).parent.parent.parent
OBJS = ROOT / "tests" / "objs"
ORDERS = pytest.mark.parametrize("little", [True, False], ids=["little", "big"])
Fields = list[tuple[str, str]]

SIZES = {"func": 8, "ptr": 8, "int": 4, "long": 8, "name": 16, "bits": 8, "struct": 8}


def add_ops(builder: Builder, name: str, fields: Fields) -> int:
    """A struct with members of these kinds; its id."""
    kinds = {
        "func": builder.add(t.Ptr(builder.add(t.FuncProto(INT, [])))),
        "ptr": builder.add(t.Ptr(INT)),
        "int": INT,
        "long": LONG,
        "bits": ULONG,
        "name": builder.add(t.Array(5, INT, 16)),
        "struct": builder.add(struct_type("inner", ("x", LONG, 0), size=8)),
    }
    members, end = [], 0
    for member, kind in fields:
        end += -end % min(8, SIZES[kind])
        members.append(t.Member(member, kinds[kind], 8 * end, 5 if kind == "bits" else 0))
        end += SIZES[kind]
    return builder.add(t.Struct(name, end + -end % 8, members))


def obj(fields: Fields, data: bytes = b"", functions: dict[int, str] | None = None, *, little: bool = True,
        section: str = ".struct_ops.link", name: str = "ops") -> rawbpf.ObjectSpec:  # fmt: skip
    out = ObjectWriter(little=little)
    assert out.btf is not None
    type_id = add_ops(out.btf, name, fields)
    type_ = out.btf.type(type_id)
    assert isinstance(type_, t.Struct)
    out.section(section, data.ljust(type_.size, b"\0"), flags=WRITE)
    out.variable(section, "my_ops", type_id, offset=0, size=type_.size)
    symbols = {}
    for program in (functions or {}).values():
        if program not in symbols:
            symbols[program] = out.function("struct_ops", program, [MOV_R0, EXIT])
    out.relocations(out.index(section), [(at, symbols[program], 1) for at, program in (functions or {}).items()])
    return out.to_spec()


def add_kernel_ops(builder: Builder, fields: Fields, *, begin: int = 64) -> tuple[int, int]:
    inner = add_ops(builder, "ops", fields)
    type_ = builder.type(inner)
    assert isinstance(type_, t.Struct)
    common = t.Member("common", LONG, 0)
    data = t.Member("data", inner, 8 * begin)
    return inner, builder.add(t.Struct("bpf_struct_ops_ops", begin + type_.size, [common, data]))


def with_ops(fields: Fields, *, little: bool = True) -> Target:
    builder = Builder.from_btf(make_btf(little=little))
    add_kernel_ops(builder, fields)
    return kernel(builder.to_btf("vmlinux"))


def fit(spec: rawbpf.ObjectSpec, target: Target) -> Prepared:
    return prepare_struct_ops(spec, spec.struct_ops["my_ops"], target)


@ORDERS
def test_members_are_found_by_name(little: bool) -> None:
    word = struct.pack("<I" if little else ">I", 7)
    mine: Fields = [("run", "func"), ("flags", "int"), ("name", "name"), ("stop", "func")]
    spec = obj(mine, bytes(8) + word + bytes(4) + b"rawbpf", {0: "run_it", 32: "stop_it"}, little=little)
    assert spec.struct_ops["my_ops"].functions == {0: "run_it", 32: "stop_it"}
    target = with_ops(
        [("added", "long"), ("name", "name"), ("stop", "func"), ("run", "func"), ("flags", "int")], little=little
    )
    found = fit(spec, target)
    assert target.btf is not None
    assert target.btf.name_of(found.type_id) == "ops"
    assert target.btf.name_of(found.value_type_id) == "bpf_struct_ops_ops"
    begin = 64
    assert found.functions == {begin + 24: "stop_it", begin + 32: "run_it"}
    assert found.members == {"stop_it": 2, "run_it": 3}
    assert found.value == bytes(begin + 8) + b"rawbpf".ljust(16, b"\0") + bytes(16) + word + bytes(4)
    assert found.module is None


def test_flavor_of_the_struct() -> None:
    spec = obj([("run", "func")], functions={0: "f"}, name="ops___mine")
    assert fit(spec, with_ops([("run", "func")])).members == {"f": 0}


def test_missing_members_may_be_zero() -> None:
    spec = obj([("newer", "func"), ("number", "long"), ("run", "func")], functions={16: "f"})
    assert fit(spec, with_ops([("run", "func")])).functions == {64: "f"}


def test_pointers_that_are_no_functions_are_left_out() -> None:
    spec = obj([("owner", "ptr"), ("run", "func")], struct.pack("<Q", 1234), {8: "f"})
    assert fit(spec, with_ops([("owner", "ptr"), ("run", "func")])).value == bytes(64 + 16)


def test_structs_within() -> None:
    spec = obj([("run", "func"), ("inner", "struct")], bytes(8) + b"12345678", {0: "f"})
    assert fit(spec, with_ops([("inner", "struct"), ("run", "func")])).value[64:] == b"12345678" + bytes(8)


MISFITS: list[tuple[str, Fields, bytes, dict[int, str], Fields, str]] = [
    ("set_number", [("gone", "long")], b"\1", {}, [("run", "func")], "is set, and struct ops of the kernel"),
    ("set_function", [("gone", "func")], b"", {0: "f"}, [("run", "func")], "member 'gone' is set"),
    ("size", [("x", "int")], b"", {}, [("x", "long")], "`int x` in the object and `long x` in the kernel"),
    ("kind", [("x", "long")], b"", {}, [("x", "func")], r"`long x` in the object and `int \(\*x\)\(void\)`"),
    ("no_function", [("x", "func")], b"", {0: "f"}, [("x", "ptr")], r"`int \*x` in the kernel"),
    ("bitfield", [("x", "bits")], b"", {}, [("x", "long")], "is a bitfield"),
    ("bitfield_of_the_kernel", [("x", "long")], b"", {}, [("x", "bits")], "is a bitfield"),
    ("twice", [("a", "func"), ("b", "func")], b"", {0: "f", 8: "f"}, [("a", "func"), ("b", "func")],
     "the program 'f' is two members of struct ops"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("mine", "data", "functions", "theirs", "text"), [c[1:] for c in MISFITS], ids=[c[0] for c in MISFITS]
)
def test_misfit(mine: Fields, data: bytes, functions: dict[int, str], theirs: Fields, text: str) -> None:
    with pytest.raises(SpecError, match=text) as caught:
        fit(obj(mine, data, functions), with_ops(theirs))
    assert (caught.value.symbol, caught.value.section) == ("my_ops", ".struct_ops.link")
    assert caught.value.hint or "bitfield" in text


def test_both_structs_are_shown() -> None:
    with pytest.raises(MemberError) as caught:
        fit(obj([("run", "func"), ("gone", "long")], bytes(8) + b"\1"), with_ops([("run", "func"), ("x", "int")]))
    assert caught.value.details() == [
        "    object            kernel",
        "    int (*run)(void)  int (*run)(void)",
        "    long gone         -",
        "    -                 int x",
    ]


def test_kernel_without_the_type() -> None:
    with pytest.raises(NotSupportedError, match="the kernel has no struct_ops type ops") as caught:
        fit(obj([("run", "func")]), kernel(make_btf()))
    assert caught.value.feature == "struct_ops type ops"
    spec = rawbpf.open(ROOT / "objs" / "mptcp_bpf_rr.o")
    with pytest.raises(NotSupportedError, match="no struct_ops type mptcp_sched_ops") as caught:
        make_plan(spec, kernel(make_btf()))
    assert "no mainline kernel" in (caught.value.hint or "")
    assert str(caught.value.path) in (caught.value.hint or "")


BROKEN_KERNELS: dict[str, list[t.Type]] = {
    "no_inner": [struct_type("bpf_struct_ops_ops", ("common", LONG, 0))],
    "inner_outside": [struct_type("ops", size=64), struct_type("bpf_struct_ops_ops", ("data", FIRST, 8), size=64)],
    "huge": [struct_type("ops", size=8), struct_type("bpf_struct_ops_ops", ("data", FIRST, 0), size=MAX_DATA_SIZE + 1)],
    "member_outside": [
        struct_type("ops", ("x", LONG, 60), size=64), struct_type("bpf_struct_ops_ops", ("data", FIRST, 0), size=64),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_KERNELS)
def test_broken_kernel(name: str) -> None:
    with pytest.raises(SpecError, match="BTF of the kernel"):
        fit(obj([("x", "long")]), kernel(make_btf(*BROKEN_KERNELS[name])))


def test_another_struct_of_the_name_does_not_matter() -> None:
    builder = Builder.from_btf(make_btf(struct_type("ops", ("other", INT, 0))))
    inner, _value = add_kernel_ops(builder, [("run", "func")])
    assert fit(obj([("run", "func")], functions={0: "f"}), kernel(builder.to_btf())).type_id == inner


# -- in a plan


def module_target(fields: Fields) -> Target:
    vmlinux = make_btf(struct_type("unrelated"))
    builder = Builder(base=vmlinux)
    add_kernel_ops(builder, fields)
    return kernel(vmlinux, {"mod": builder.to_btf("mod")})


def test_type_of_a_module() -> None:
    plan = make_plan(obj([("run", "func")], functions={0: "f"}), module_target([("pad", "long"), ("run", "func")]))
    create = next(step for step in plan.steps if isinstance(step, CreateMap))
    assert create.value_type_btf == "module:mod"
    assert create.map_flags == MapFlag.LINK | MapFlag.VTYPE_BTF_OBJ_FD
    [load] = plan.programs
    assert (load.attach_btf, load.expected_attach_type) == ("module:mod", 1)


@pytest.mark.parametrize("section", [".struct_ops", ".struct_ops.link"])
def test_steps(section: str) -> None:
    spec = obj([("run", "func"), ("stop", "func")], functions={0: "f", 8: "g"}, section=section)
    target = with_ops([("stop", "func"), ("run", "func")])
    plan = make_plan(spec, target)
    assert target.btf is not None
    [create] = [step for step in plan.steps if isinstance(step, CreateMap)]
    assert (create.handle, create.name, create.value_size) == ("map:my_ops", "my_ops", 64 + 16)
    assert (create.btf_key_type_id, create.btf_value_type_id) == (0, 0)
    assert create.btf_vmlinux_value_type_id == target.btf.find("bpf_struct_ops_ops")
    loads = {step.name: step for step in plan.steps if isinstance(step, LoadProgram)}
    assert {name: (step.attach_btf_id, step.expected_attach_type) for name, step in loads.items()} == {
        "f": (target.btf.find("ops"), 1), "g": (target.btf.find("ops"), 0),
    }  # fmt: skip
    [update] = [step for step in plan.steps if isinstance(step, SetStructOps)]
    assert update.slots == (Slot(64, "prog:g", 8), Slot(72, "prog:f", 8))
    assert update.link is (section == ".struct_ops.link")
    links = [step for step in plan.steps if isinstance(step, CreateLink)]
    assert [(link.source, link.attach_type) for link in links] == (
        [("map:my_ops", AttachType.STRUCT_OPS)] if update.link else []
    )
    assert plan.steps.index(update) > max(plan.steps.index(step) for step in loads.values())


def test_without_attaching() -> None:
    plan = make_plan(obj([("run", "func")], functions={0: "f"}), with_ops([("run", "func")]), attach=False)
    assert not [step for step in plan.steps if isinstance(step, SetStructOps | CreateLink)]


def test_program_that_is_in_no_struct() -> None:
    out = ObjectWriter()
    out.function("struct_ops/run", "f", [MOV_R0, EXIT])
    with pytest.raises(SpecError, match="the struct_ops program is in no struct") as caught:
        make_plan(out.to_spec(), kernel(make_btf()))
    assert caught.value.symbol == "f"


def test_one_program_for_the_same_member_of_two_structs() -> None:
    spec = rawbpf.open(OBJS / "struct_ops.el.o")
    plan = make_plan(spec, kernel_for(spec))
    assert [step.name for step in plan.programs] == ["ssthresh", "undo_cwnd", "cong_avoid"]
    assert [map_.handle for map_ in plan.maps if map_.kind == "struct_ops"] == ["map:plain", "map:linked"]
    updates = [step for step in plan.steps if isinstance(step, SetStructOps)]
    assert [sorted(slot.handle for slot in step.slots) for step in updates] == [
        ["prog:cong_avoid", "prog:ssthresh", "prog:undo_cwnd"]
    ] * 2
    spec.maps["optional"].autocreate = True
    plan = make_plan(spec, kernel_for(spec))
    assert "only_for_optional" in [step.name for step in plan.programs]
    for name in ("plain", "linked"):
        spec.maps[name].autocreate = False
    assert len(make_plan(spec, kernel_for(spec)).programs) == 4
    spec.maps["optional"].autocreate = False
    assert make_plan(spec, kernel_for(spec)).programs == []


def test_one_program_for_members_of_two_types() -> None:
    out = ObjectWriter()
    assert out.btf is not None
    f = out.function("struct_ops", "f", [MOV_R0, EXIT])
    type_id = add_ops(out.btf, "ops", [("a", "func"), ("b", "func")])
    out.section(".struct_ops", bytes(32), flags=WRITE)
    for number in range(2):
        out.variable(".struct_ops", f"ops{number}", type_id, offset=16 * number, size=16)
    out.relocations(out.index(".struct_ops"), [(0, f, 1), (24, f, 1)])
    with pytest.raises(SpecError, match="used for two different members"):
        make_plan(out.to_spec(), with_ops([("a", "func"), ("b", "func")]))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("new_program", "member 'new_callback' is set"),
        ("new_value", "member 'new_number' is set"),
        ("short_name", r"`char name\[8\]` in the object"),
        ("no_function", "ssthresh` in the object"),
        ("twice", "the program 'ssthresh' is two members"),
        ("no_such_ops", "no struct_ops type rawbpf_no_such_ops"),
    ],
)
def test_compiled_misfits(name: str, text: str) -> None:
    spec = rawbpf.open(OBJS / "struct_ops_mismatch.el.o")
    good = rawbpf.open(OBJS / "struct_ops.el.o")
    target = kernel_for(good)
    assert make_plan(spec, target).programs == []
    spec.maps[name].autocreate = True
    with pytest.raises(rawbpf.RawbpfError, match=text) as caught:
        make_plan(spec, target)
    assert caught.value.symbol == name


def test_compiled_newer() -> None:
    spec = rawbpf.open(OBJS / "struct_ops_newer.el.o")
    plan = make_plan(spec, kernel_for(rawbpf.open(OBJS / "struct_ops.el.o")))
    assert [step.name for step in plan.programs] == ["ssthresh", "undo_cwnd", "cong_avoid"]
