# SPDX-License-Identifier: BSD-2-Clause
"""Plans as JSON, and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rawbpf.errors import ParseError, SourceLine
from rawbpf.plan import steps as s
from rawbpf.plan.plan import Note, Plan, PlannedVariable
from rawbpf.uapi import MapFlag, MapType, ProgType

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
