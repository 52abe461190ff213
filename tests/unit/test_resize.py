# SPDX-License-Identifier: BSD-2-Clause
"""Data sections of another size: contents, the last array, the types."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernelkit import kernel_for

import rawbpf
from rawbpf.btf import types as t
from rawbpf.errors import SpecError
from rawbpf.plan import steps as s
from rawbpf.plan.planner import make_plan
from rawbpf.uapi import BtfKind

OBJS = Path(__file__).parents[1] / "objs"
ORDERS = pytest.mark.parametrize("order", ["el", "eb"])


def datasec(data: bytes, name: str) -> tuple[int, list[tuple[str, int, int]], t.Type]:
    """The size of a section in BTF, its variables with offset and size, and the type of the last."""
    btf = rawbpf.Btf(data)
    section = btf.type(btf.find(name, BtfKind.DATASEC) or 0)
    assert isinstance(section, t.Datasec)
    last = btf.type(section.vars[-1].type_id)
    assert isinstance(last, t.Var)
    return section.size, [(btf.name_of(v.type_id), v.offset, v.size) for v in section.vars], btf.type(last.type_id)


@ORDERS
@pytest.mark.parametrize(("size", "values"), [(8 + 20, [1, 2, 3, 0, 0]), (8 + 4, [1])], ids=["larger", "smaller"])
def test_the_last_array_ends_with_the_section(order: str, size: int, values: list[int]) -> None:
    spec = rawbpf.open(OBJS / f"resize.{order}.o")
    spec.resize_section(".data.growing", size)
    assert spec.warnings == []
    assert spec.variables["growing"].value == values
    assert spec.variables["before"].value == 1
    plan = make_plan(spec, kernel_for(spec))
    assert plan.btf is not None
    found, variables, array = datasec(plan.btf, ".data.growing")
    assert (found, variables) == (size, [("before", 0, 8), ("growing", 8, size - 8)])
    assert isinstance(array, t.Array)
    assert array.nelems == len(values)
    create = next(step for step in plan.maps if step.handle == "map:.data.growing")
    assert create.value_size == size
    assert create.btf_value_type_id
    update = next(step for step in plan.steps if isinstance(step, s.UpdateMap) and step.map == create.handle)
    assert len(update.value) == size
    planned = {variable.name: variable for variable in plan.variables}
    assert planned["growing"].size == size - 8


def test_values_of_new_elements() -> None:
    spec = rawbpf.open(OBJS / "resize.el.o")
    spec.resize_section(".bss.points", 24)
    spec.variables["points"].value = [{"x": n, "y": -n & 0xFFFFFFFF} for n in range(3)]
    assert spec.variables["points"].value[2].x == 2
    spec.resize_section(".bss.points", 16)  # again
    assert [point.x for point in spec.variables["points"].value] == [0, 1]


@pytest.mark.parametrize(
    ("section", "size", "warning"),
    [
        (".data.no_array", 64, "'last_number', its last variable, is no array"),
        (".data.growing", 23, "'growing' is at 8, of elements of 4 bytes, and cannot end at 23"),
    ],
)
def test_a_section_that_has_no_types_any_more(section: str, size: int, warning: str) -> None:
    spec = rawbpf.open(OBJS / "resize.el.o")
    spec.resize_section(section, size)
    assert spec.warnings == [f"{section}: {warning}; the map has no types"]
    create = next(step for step in make_plan(spec, kernel_for(spec)).maps if step.handle == f"map:{section}")
    assert (create.value_size, create.btf_value_type_id) == (size, 0)


@pytest.mark.parametrize(
    ("section", "size", "text"),
    [
        (".data.growing", 0, "0 bytes are not between 1 and"),
        (".data.growing", 1 << 40, "are not between 1 and"),
        (".data.growing", 8, "8 bytes are too few for 'growing'"),
        (".data.no_array", 3, "3 bytes are too few for 'last_number'"),
        (".no_such", 8, "no map named '.no_such'"),
    ],
)
def test_wrong_size(section: str, size: int, text: str) -> None:
    spec = rawbpf.open(OBJS / "resize.el.o")
    before = spec.maps[section].value_size if section in spec.maps else 0
    with pytest.raises(SpecError, match=text):
        spec.resize_section(section, size)
    assert section not in spec.maps or spec.maps[section].value_size == before


def test_only_sections_of_variables_have_a_size() -> None:
    spec = rawbpf.open(OBJS / "maps.el.o")
    with pytest.raises(SpecError, match="only sections of variables"):
        spec.resize_section(next(iter(spec.maps)), 8)


def test_a_size_that_was_set_without_the_contents() -> None:
    spec = rawbpf.open(OBJS / "resize.el.o")
    spec.maps[".bss.points"].value_size = 800
    with pytest.raises(SpecError, match="8 bytes of contents, its map values of 800") as error:
        make_plan(spec, kernel_for(spec))
    assert "resize_section('.bss.points', SIZE)" in str(error.value.hint)
