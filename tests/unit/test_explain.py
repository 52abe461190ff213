# SPDX-License-Identifier: BSD-2-Clause
"""A plan in words: as a table, and explained."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from elfwriter import R_BPF_64_32, WRITE, ObjectWriter, call
from kernelkit import kernel, kernel_for
from typekit import INT, make_btf
from typekit import struct as struct_type

import rawbpf
from rawbpf.errors import SourceLine
from rawbpf.objfile.insn import Insn
from rawbpf.plan import steps as s
from rawbpf.plan.explain import describe
from rawbpf.plan.plan import Note, Plan
from rawbpf.plan.planner import make_plan
from rawbpf.uapi import AttachType, MapFlag, MapType, ProgType

ROOT = Path(__file__).parent.parent.parent

STEPS: list[tuple[s.Step, tuple[str, str, str]]] = [
    (s.CreateToken("token", "/sys/fs/bpf"), ("TOKEN_CREATE", "token", "/sys/fs/bpf")),
    (s.CreateToken("token", ""), ("TOKEN_CREATE", "token", "none")),
    (s.LoadBtf("btf", bytes(100)), ("BTF_LOAD", "btf", "100 bytes")),
    (
        s.CreateMap("map:m", "m", MapType.HASH, 4, 8, 16),
        ("MAP_CREATE", "map:m", "hash, key 4, value 8, max_entries 16"),
    ),
    (
        s.CreateMap("map:m", "m", MapType.ARRAY_OF_MAPS, 4, 4, 1, int(MapFlag.MMAPABLE | MapFlag.RDONLY_PROG),
                    inner_map="map:m.inner", pin_path="/sys/fs/bpf/m"),
        ("MAP_CREATE", "map:m", "array_of_maps, key 4, value 4, max_entries 1, flags rdonly_prog|mmapable, "
                                "of map:m.inner, pinned at /sys/fs/bpf/m"),
    ),
    (s.CreateMap("map:m", "m", 4711), ("MAP_CREATE", "map:m", "4711, key 0, value 0, max_entries 0")),
    (s.UpdateMap("map:m", b"\1\0\0\0", bytes(8)), ("MAP_UPDATE_ELEM", "map:m", "key 01000000, 8 bytes")),
    (
        s.UpdateMap("map:m", b"\1\0\0\0", bytes(4), (s.Slot(0, "map:n"),)),
        ("MAP_UPDATE_ELEM", "map:m", "key 01000000, map:n"),
    ),
    (s.FreezeMap("map:m"), ("MAP_FREEZE", "map:m", "")),
    (s.PinMap("map:m", "/sys/fs/bpf/m"), ("OBJ_PIN", "map:m", "/sys/fs/bpf/m")),
    (s.LoadProgram("prog:p", "p", "xdp", ProgType.XDP, 0, bytes(16)), ("PROG_LOAD", "prog:p", "xdp, 2 insns")),
    (
        s.LoadProgram("prog:p", "p", "fentry/x", ProgType.TRACING, 0, bytes(8), (s.Slot(4, "map:m"),),
                      attach_btf_id=7, attach_btf="module:mod"),
        ("PROG_LOAD", "prog:p", "tracing, 1 insns, fds at 1, attach_btf_id 7 of module:mod"),
    ),
    (s.BindMap("prog:p", "map:m"), ("PROG_BIND_MAP", "prog:p", "map:m")),
    (
        s.SetStructOps("map:o", "o", "ops", b"", (s.Slot(64, "prog:a", 8), s.Slot(72, "prog:b", 8))),
        ("MAP_UPDATE_ELEM", "map:o", "struct ops: a, b"),
    ),
    (
        s.CreateLink("link:l", "map:o", AttachType.STRUCT_OPS),
        ("LINK_CREATE", "link:l", "map:o, struct_ops"),
    ),
    (
        s.Attach("link:p", "prog:p", "cgroup", {"cgroup": "/sys/fs/cgroup"}),
        ("attach", "link:p", "prog:p, cgroup, cgroup=/sys/fs/cgroup"),
    ),
    (s.Pin("map:m", "/sys/fs/bpf/m"), ("OBJ_PIN", "map:m", "/sys/fs/bpf/m")),
    (s.Close("map:m"), ("close", "map:m", "")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("step", "expected"), STEPS, ids=lambda value: s.step_name(value) if hasattr(value, "_asdict") else ""
)
def test_step(step: s.Step, expected: tuple[str, str, str]) -> None:
    assert describe(step) == expected


def test_every_step_has_words() -> None:
    described = {type(step) for step, _words in STEPS}
    assert set(s.STEPS.values()) - described <= {s.FillArena}
    assert describe(s.FillArena("map:a", 4096, bytes(3)))[1] == "map:a"


def test_table() -> None:
    plan = Plan("obj", "obj.o", "vmlinux", (s.LoadBtf("btf", bytes(9)), s.FreezeMap("map:a_long_name")))
    assert str(plan).splitlines() == [
        "plan for obj on vmlinux: 2 steps",
        "#  command     what             particulars",
        "1  BTF_LOAD    btf              9 bytes",
        "2  MAP_FREEZE  map:a_long_name",
    ]


def test_explained() -> None:
    source = SourceLine("a.c", 12, 1, "return x;")
    plan = Plan(
        "obj", "obj.o", "vmlinux",
        (s.FreezeMap("map:m", "it is constant"), s.LoadProgram("prog:p", "p", "xdp", ProgType.XDP, 0, bytes(8))),
        notes={"prog:p": (Note(3, "CO-RE", source), Note(14, "no source"))},
    )  # fmt: skip
    assert plan.explain().splitlines() == [
        "plan for obj on vmlinux: 2 steps",
        "  1. MAP_FREEZE map:m",
        "     why: it is constant",
        "  2. PROG_LOAD prog:p: xdp, 1 insns",
        "     insn    3: CO-RE   [a.c:12]",
        "     insn   14: no source",
    ]


def test_story_of_an_object() -> None:
    out = ObjectWriter()
    assert out.btf is not None
    local = out.btf.add(struct_type("sock", ("mark", INT, 4)))
    sub = out.function(".text", "sub", [Insn(0x61, off=4), Insn(0x95)])
    out.function("xdp", "f", [call(), Insn(0x95)])
    out.relocate("xdp", 0, sub, R_BPF_64_32)
    out.core_relo(".text", 0, local, "0:0", 0)
    plan = make_plan(out.to_spec(), kernel(make_btf(struct_type("sock", ("mark", INT, 20)))))
    text = plan.explain()
    assert 'why: SEC("xdp"), with subprograms sub' in text
    assert "insn    0: call of subprogram sub   [f.c:1]" in text
    assert "insn    2: CO-RE byte_off struct sock.mark: 4 -> 20 (vmlinux [10] struct sock.mark)   [sub.c:1]" in text


@pytest.mark.parametrize("path", sorted((ROOT / "objs").glob("*.o")), ids=lambda path: path.name)
def test_every_step_says_why(path: Path) -> None:
    spec = rawbpf.open(path)
    plan = make_plan(spec, kernel_for(spec), pin_dir="/sys/fs/bpf/x", cgroup="/sys/fs/cgroup/x")
    assert all(step.reason for step in plan.steps)
    assert len(str(plan).splitlines()) == len(plan.steps) + 2


def test_values_of_variables() -> None:
    out = ObjectWriter()
    out.section(".data", struct.pack("<4I", 7, 8, 0, 9), flags=WRITE)
    for number, type_id in enumerate((INT, 99, INT, 0)):
        out.variable(".data", f"v{number}", type_id, offset=4 * number, size=4)
    text = make_plan(out.to_spec(), kernel(make_btf())).explain()
    assert [line.strip() for line in text.splitlines() if line.strip().startswith("v")] == ["v0 = 7", "v1 = 08000000"]
