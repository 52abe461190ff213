# SPDX-License-Identifier: BSD-2-Clause
"""Members of struct_ops, edited before planning: values, programs, nothing; and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from elfwriter import EXIT, MOV_R0, WRITE, ObjectWriter
from kernelkit import kernel_for
from typekit import CHAR, INT, LONG
from typekit import struct as struct_type

import rawbpf
from rawbpf.btf import types as t
from rawbpf.cli.planning import open_spec
from rawbpf.errors import SpecError
from rawbpf.plan import steps as s
from rawbpf.plan.planner import make_plan

OBJS = Path(__file__).parent.parent / "objs"


def make_spec() -> rawbpf.ObjectSpec:
    """``struct ops { int (*run)(void), (*stop)(void); struct limits limits; char name[8]; int *data; }``."""
    out = ObjectWriter()
    assert out.btf is not None
    function = out.btf.add(t.Ptr(out.btf.add(t.FuncProto(INT, []))))
    limits = out.btf.add(struct_type("limits", ("max", LONG, 0), size=8))
    name, data = out.btf.add(t.Array(CHAR, INT, 8)), out.btf.add(t.Ptr(INT))
    members = [
        ("run", function, 0),
        ("stop", function, 8),
        ("limits", limits, 16),
        ("name", name, 24),
        ("data", data, 32),
    ]
    ops = out.btf.add(struct_type("ops", *members, size=40))  # type: ignore[arg-type]
    out.section(".struct_ops.link", bytes(40), flags=WRITE)
    out.variable(".struct_ops.link", "my", ops, offset=0, size=40)
    first = out.function("struct_ops", "first", [MOV_R0, EXIT])
    out.function("struct_ops", "second", [MOV_R0, EXIT])
    out.function("xdp", "other", [MOV_R0, EXIT])
    out.relocations(out.index(".struct_ops.link"), [(0, first, 1)])
    return out.to_spec()


def test_read() -> None:
    ops = make_spec().struct_ops["my"]
    assert (ops["run"], ops["stop"], ops["limits.max"], ops["name"]) == ("first", None, 0, "")


def test_values() -> None:
    ops = make_spec().struct_ops["my"]
    ops["name"] = "mine"
    ops["limits.max"] = -2
    assert ops.data == bytes(16) + (-2).to_bytes(8, "little", signed=True) + b"mine".ljust(16, b"\0")
    ops["limits"] = {"max": 7}
    assert (ops["limits.max"], ops["limits"].max) == (7, 7)
    ops.set_text("limits.max", "0x10")
    assert ops["limits.max"] == 16


def loaded(spec: rawbpf.ObjectSpec) -> list[str]:
    return [step.name for step in make_plan(spec, kernel_for(spec)).programs]


def test_programs() -> None:
    spec = make_spec()
    spec.programs["second"].autoload = False
    ops = spec.struct_ops["my"]
    ops["run"] = spec.programs["second"]
    ops["stop"] = "first"
    assert ops.functions == {0: "second", 8: "first"}
    assert loaded(spec) == ["other", "first", "second"] or loaded(spec) == ["first", "second", "other"]
    (set_,) = (step for step in make_plan(spec, kernel_for(spec)).steps if isinstance(step, s.SetStructOps))
    assert [slot.handle for slot in set_.slots] == ["prog:second", "prog:first"]


def test_a_program_that_is_used_no_more_is_not_loaded() -> None:
    spec = make_spec()
    spec.programs["second"].autoload = False
    spec.struct_ops["my"]["run"] = None
    assert loaded(spec) == ["other"]
    spec = make_spec()
    spec.struct_ops["my"].set_text("run", "second")
    assert sorted(loaded(spec)) == ["other", "second"]
    spec.struct_ops["my"].set_text("run", "null")
    assert spec.struct_ops["my"]["run"] is None


REFUSED: list[tuple[str, Any, str]] = [
    ("rum", "first", "no member 'rum' in struct ops"),
    ("limits.min", 1, "no member 'min' in struct limits"),
    ("name.x", 1, "no member 'x' in what is no struct"),
    ("run", "frist", "no program named 'frist'"),
    ("run", 3, "set it to a program or None, not to 3"),
    ("run", "other", 'no struct_ops program but SEC\\("xdp"\\)'),
    ("data", 1, r"`int \*data`, a pointer to data"),
    ("limits.max", "much", "much"),
    ("name", "too long a name", "name"),
]


@pytest.mark.parametrize(("member", "value", "text"), REFUSED, ids=[case[2][:30] for case in REFUSED])
def test_refused(member: str, value: Any, text: str) -> None:
    ops = make_spec().struct_ops["my"]
    before = bytes(ops.data), dict(ops.functions)
    with pytest.raises(SpecError, match=text) as caught:
        ops[member] = value
    assert caught.value.symbol == "my"
    assert (bytes(ops.data), ops.functions) == before


def test_a_member_that_the_kernel_has_not() -> None:
    spec = rawbpf.open(OBJS / "struct_ops_newer.el.o")
    (ops,) = spec.struct_ops.values()
    newer = rawbpf.open(OBJS / "struct_ops.el.o")
    assert make_plan(spec, kernel_for(newer)).programs
    ops["new_number"] = 1
    with pytest.raises(SpecError, match="'new_number' is set, and struct tcp_congestion_ops of the kernel has no such"):
        make_plan(spec, kernel_for(newer))


def test_command_line() -> None:
    from argparse import Namespace

    def opened(*settings: str) -> rawbpf.ObjectSpec:
        path = str(OBJS / "struct_ops.el.o")
        return open_spec(
            Namespace(
                object=path,
                set=settings,
                json=True,
                no_pin=False,
                cgroup=None,
                dev=None,
                netns=None,
                pid=None,
                target=[],
            )
        )

    spec = opened("linked.name=other", "linked.flags=3", "linked.cong_avoid=null", "calls=9")
    linked = spec.struct_ops["linked"]
    assert (linked["name"], linked["flags"], linked["cong_avoid"]) == ("other", 3, None)
    assert spec.variables["calls"].value == 9
    with pytest.raises(SpecError, match=r"no variable named 'linke\.name'"):
        opened("linke.name=x")
