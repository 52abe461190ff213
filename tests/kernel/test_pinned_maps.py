# SPDX-License-Identifier: BSD-2-Clause
"""Maps that are pinned and used again: their contents stay, and each attribute that differs is named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import rawbpf
from rawbpf.errors import KernelError, SpecError
from rawbpf.kernel import creation, gate
from rawbpf.uapi import Cmd, MapFlag, MapType

ORDER = "el" if sys.byteorder == "little" else "eb"
OBJS = Path(__file__).parents[1] / "objs"

pytestmark = pytest.mark.usefixtures("root", "no_leaks")


def load(name: str, map_: str, pin: Path, **edits: Any) -> rawbpf.Object:
    spec = rawbpf.open(OBJS / f"{name}.{ORDER}.o")
    for other in spec.maps.values():
        other.autocreate = other.name == map_ or other.kind != "map"
        other.pin_by_name = False
    spec.only([])
    spec.maps[map_].pin_path = str(pin)
    for field, value in edits.items():
        setattr(spec.maps[map_], field, value)
    return rawbpf.load(spec)


def test_contents_stay(bpffs_dir: Path) -> None:
    pin = bpffs_dir / "new" / "flows"
    with load("maps", "typed_array", pin) as obj:
        obj.maps["typed_array"][1] = 42
        number = obj.maps["typed_array"].id
    with load("maps", "typed_array", pin) as obj:
        assert (obj.maps["typed_array"][1], obj.maps["typed_array"].id) == (42, number)


@pytest.mark.parametrize(
    ("edits", "text"),
    [
        ({"map_type": MapType.LRU_HASH, "map_flags": 0}, "type is hash there, lru_hash in the object"),
        ({"key_size": 8}, "key_size is 6 there, 8 in the object"),
        ({"value_size": 12}, "value_size is 10 there, 12 in the object"),
        ({"max_entries": 9}, "max_entries is 7 there, 9 in the object"),
        ({"map_flags": 0}, "map_flags is 0x1 there, 0x0 in the object"),
        ({"map_extra": 1}, "map_extra is 0x0 there, 0x1 in the object"),
        (
            {"key_size": 1, "value_size": 2, "max_entries": 3},
            "key_size is 6 there, 1 in the object; value_size is 10 there, 2 in the object; "
            "max_entries is 7 there, 3 in the object",
        ),
    ],
    ids=["type", "key_size", "value_size", "max_entries", "map_flags", "map_extra", "several"],
)
def test_each_difference_is_named(bpffs_dir: Path, edits: dict[str, Any], text: str) -> None:
    pin = bpffs_dir / "sized_hash"
    load("maps", "sized_hash", pin).close()
    with pytest.raises(SpecError) as error:
        load("maps", "sized_hash", pin, **edits)
    assert text in str(error.value)
    assert error.value.symbol == "sized_hash"
    assert str(pin) in str(error.value.hint)
    assert pin.exists()


def test_a_flag_that_the_kernel_sets_by_itself(bpffs_dir: Path) -> None:
    pin = bpffs_dir / "devmap"
    load("map_types", "devmap", pin).close()
    with load("map_types", "devmap", pin) as obj:
        assert obj.maps["devmap"].info.map_flags & MapFlag.RDONLY_PROG
        assert not obj.maps["devmap"].map_flags


def test_constants_of_a_pinned_section_stay_what_they_are(bpffs_dir: Path) -> None:
    pin = bpffs_dir / "constants"
    load("data", ".rodata", pin).close()
    spec = rawbpf.open(OBJS / f"data.{ORDER}.o")
    spec.maps[".rodata"].pin_path = str(pin)
    spec.variables["ro_number"].value = 1
    with rawbpf.load(spec) as obj:
        assert obj.variables["ro_number"].value == 4242
        assert obj.programs["constants"].test_run().retval == 4242


def test_somebody_else_pins_one_meanwhile(bpffs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pin = bpffs_dir / "raced"
    with load("maps", "typed_array", pin) as obj:
        obj.maps["typed_array"][1] = 42
    answers = [lambda *arguments: None, creation.reuse_map]  # nothing is there at first
    monkeypatch.setattr(creation, "reuse_map", lambda *arguments: answers.pop(0)(*arguments))
    with load("maps", "typed_array", pin) as obj:
        assert obj.maps["typed_array"][1] == 42
    assert not answers


def test_others_never_see_a_map_without_its_contents(bpffs_dir: Path) -> None:
    pin = bpffs_dir / "constants"
    spec = rawbpf.open(OBJS / f"data.{ORDER}.o")
    spec.maps[".rodata"].pin_path = str(pin)
    seen: list[bytes] = []

    def look(call: gate.Call) -> None:
        if call.command == Cmd.OBJ_PIN:
            with rawbpf.Map.open(pin) as other:
                seen.append(other.raw_value(bytes(4)) or b"")

    with gate.observe(look), rawbpf.load(spec) as obj:
        assert seen == [obj.maps[".rodata"].raw_value(bytes(4))]
    assert any(seen[0])


def test_slots_of_a_pinned_program_array_lead_to_the_programs_of_this_load(bpffs_dir: Path) -> None:
    spec = rawbpf.open(OBJS / f"prog_array.{ORDER}.o")
    spec.maps["jumps"].pin_path = str(bpffs_dir / "jumps")
    with rawbpf.load(spec) as obj:
        before = dict(obj.maps["jumps"].items())
    with rawbpf.load(spec) as obj:
        assert dict(obj.maps["jumps"].items()) == {1: obj.programs["one"].id, 3: obj.programs["three"].id}
        assert before.keys() == {1, 3}
        assert not set(before.values()) & {program.id for program in obj.programs.values()}


def test_slots_of_a_pinned_map_in_map_stay(bpffs_dir: Path) -> None:
    spec = rawbpf.open(OBJS / f"map_in_map.{ORDER}.o")
    spec.maps["first"].pin_path = str(bpffs_dir / "first")
    with rawbpf.load(spec) as obj:
        before = dict(obj.maps["first"].items())
    with rawbpf.load(spec) as obj:
        assert before
        assert dict(obj.maps["first"].items()) == before


def test_a_map_that_does_not_fit_into_its_slot() -> None:
    spec = rawbpf.open(OBJS / f"map_in_map.{ORDER}.o")
    spec.maps["inner_one"].key_size = spec.maps["inner_one"].value_size = 4
    spec.maps["inner_one"].max_entries += 1
    spec.maps["inner_one"].map_type = MapType.ARRAY
    with pytest.raises(KernelError) as caught:
        rawbpf.load(spec)
    assert "= &inner_one: a map in a slot has to be like `values`" in str(caught.value.hint)
