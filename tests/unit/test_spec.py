# SPDX-License-Identifier: BSD-2-Clause
"""The blueprint: names that the kernel is told, sections of data, and variables that can be read and set."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from elfwriter import EXIT, MOV_R0, NOBITS, WRITE, ObjectWriter
from typekit import INT, LONG

import rawbpf
from rawbpf.btf import types as t
from rawbpf.errors import SpecError
from rawbpf.objfile.elf import STV_HIDDEN
from rawbpf.objfile.program_spec import attach_type_name
from rawbpf.objfile.spec import kernel_name, section_map_name
from rawbpf.uapi import AttachType, MapFlag, MapType, ProgType

ROOT = Path(__file__).parent.parent.parent
OBJS = ROOT / "tests" / "objs"
ORDERS = pytest.mark.parametrize("order", ["el", "eb"])

MMAPABLE, RDONLY_PROG = MapFlag.MMAPABLE, MapFlag.RDONLY_PROG


# -- names


@pytest.mark.parametrize(
    ("object_name", "section", "expected"),
    [
        ("mptcp_bpf_rr", ".rodata", "mptcp_bp.rodata"),
        ("mptcp_bpf_rr", ".bss", "mptcp_bp.bss"),
        ("mptcp_bpf_rr", ".data", "mptcp_bp.data"),
        ("mptcp_bpf_rr", ".kconfig", "mptcp_b.kconfig"),
        ("tiny", ".bss", "tiny.bss"),
        ("tiny", ".kconfig", "tiny.kconfig"),
        ("mptcp_bpf_rr", ".data.custom", ".data.custom"),
        ("mptcp_bpf_rr", ".rodata.a_long_name", ".rodata.a_long_"),
        ("mptcp-bpf", ".data", "mptcp_bp.data"),
        ("gr\u00fcn", ".rodata.str1.1", ".rodata.str1.1"),
        ("", ".bss", ".bss"),
    ],
)
def test_names_of_data_maps(object_name: str, section: str, expected: str) -> None:
    assert section_map_name(object_name, section) == expected
    assert len(expected) <= 15


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("short", "short"),
        ("a_name_longer_than_15", "a_name_longer_t"),
        ("a-b c", "a_b_c"),
        ("gr\u00fcn", "gr_n"),
        ("", ""),
    ],
)
def test_names_for_the_kernel(name: str, expected: str) -> None:
    assert kernel_name(name) == expected


def test_names_of_the_scheduler() -> None:
    spec = rawbpf.open(ROOT / "objs" / "mptcp_bpf_rr.o")
    assert {m.kernel_name for m in spec.maps.values() if m.kind in ("bss", "rodata", "data", "kconfig")} <= {
        "mptcp_bp.rodata", "mptcp_bp.bss", "mptcp_bp.data",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("prog_type", "attach_type", "expected"),
    [
        (ProgType.XDP, AttachType.XDP, "XDP"),
        (ProgType.KPROBE, 0, ""),
        (ProgType.STRUCT_OPS, 1, ""),
        (ProgType.CGROUP_SKB, 0, "CGROUP_INET_INGRESS"),
        (ProgType.XDP, 9999, "9999"),
    ],
)
def test_names_of_attach_types(prog_type: ProgType, attach_type: int, expected: str) -> None:
    assert attach_type_name(prog_type, attach_type) == expected


# -- sections of data


@ORDERS
def test_sections_of_data(order: str) -> None:
    maps = rawbpf.open(OBJS / f"data.{order}.o").maps
    found = {m.name: (m.kind, m.kernel_name, m.map_flags) for m in maps.values()}
    assert found == {
        ".data": ("data", "data.data", MMAPABLE),
        ".rodata": ("rodata", "data.rodata", MMAPABLE | RDONLY_PROG),
        ".bss": ("bss", "data.bss", MMAPABLE),
        ".data.custom": ("data", ".data.custom", MMAPABLE),
        ".rodata.custom": ("rodata", ".rodata.custom", MMAPABLE | RDONLY_PROG),
        ".bss.custom": ("bss", ".bss.custom", MMAPABLE),
        ".data.hidden": ("data", ".data.hidden", 0),
        ".data.static": ("data", ".data.static", 0),
    }
    for map_ in maps.values():
        assert (map_.map_type, map_.key_size, map_.max_entries) == (MapType.ARRAY, 4, 1)
        assert map_.value_size == len(map_.contents or b"")
    assert maps[".bss"].contents == bytearray(maps[".bss"].value_size)
    assert maps[".bss"].value_size > 1 << 16


def test_map_of_hidden_variables_cannot_be_mapped_unless_there_are_others() -> None:
    def flags(*visibility: int) -> int:
        out = ObjectWriter()
        out.section(".bss", type=NOBITS, size=8 * len(visibility), flags=WRITE)
        for number, hidden in enumerate(visibility):
            out.variable(".bss", f"v{number}", LONG, offset=8 * number, size=8, visibility=hidden)
        return out.to_spec().maps[".bss"].map_flags

    assert flags(0) == MMAPABLE
    assert flags(STV_HIDDEN) == 0
    assert flags(STV_HIDDEN, 0) == MMAPABLE


# -- variables


def data(order: str) -> rawbpf.ObjectSpec:
    return rawbpf.open(OBJS / f"data.{order}.o")


VALUES: dict[str, Any] = {
    "an_u8": 0xFF,
    "an_s8": -1,
    "an_u16": 0xFFFE,
    "an_s16": -2,
    "an_u32": 0xFFFFFFFD,
    "an_s32": -3,
    "an_u64": 0xFFFFFFFFFFFFFFFC,
    "an_s64": -4,
    "a_bool": True,
    "a_string": "initial",
    "a_color": 6,
    "an_offset": -7,
    "a_wide": 0x123456789ABCDEF0,
    "a_matrix": [[1, 2, 3], [4, 5, 6]],
    "a_static": 88,
    "ro_number": 4242,
    "ro_string": "read only",
    "ro_zero": 0,
    "ro_static": 0x5A,
    "bss_number": 0,
    "bss_pointer": 0,
    "data_custom": 1,
    "rodata_custom": 2,
    "bss_custom": 0,
    "data_hidden": 3,
    "data_static": 5,
}


@ORDERS
def test_initial_values(order: str) -> None:
    spec = data(order)
    assert {name: spec.variables[name].value for name in VALUES} == VALUES
    assert spec.variables["a_corner"].value == {"x": 1, "y": -1}
    assert spec.variables["a_color"].value.name == "BLUE"
    nested = spec.variables["a_nested"].value
    assert (nested.corners[1].y, nested.low, nested.middle, nested.high) == (4, 5, -33, 0x2FFFFF)
    assert len(spec.variables["bss_large"].value) == 1 << 16


NEW: dict[str, tuple[Any, Any]] = {
    # what is set, what is read back
    "an_u8": (7, 7),
    "an_s64": (-(1 << 63), -(1 << 63)),
    "a_bool": (False, False),
    "a_string": ("new", "new"),
    "a_color": ("GREEN", 5),
    "an_offset": (7, 7),
    "a_matrix": ([[9, 8, 7], [6, 5, 4]], [[9, 8, 7], [6, 5, 4]]),
    "ro_number": (b"\0\0\0\0", 0),
    "bss_number": (1 << 40, 1 << 40),
    "data_static": (6, 6),
}


@ORDERS
@pytest.mark.parametrize("name", NEW)
def test_set(name: str, order: str) -> None:
    spec = data(order)
    before = {other: v.value for other, v in spec.variables.items() if other != name}
    new, expected = NEW[name]
    spec.variables[name].value = new
    assert spec.variables[name].value == expected
    assert {other: v.value for other, v in spec.variables.items() if other != name} == before


def test_values_are_those_of_the_map() -> None:
    spec = data("el")
    variable = spec.variables["ro_number"]
    contents = spec.maps[variable.map].contents
    assert contents is not None
    contents[variable.offset : variable.offset + 4] = b"\1\2\0\0"
    assert variable.value == 0x201


WRONG: list[tuple[str, Any, str]] = [
    ("an_u8", 256, "does not fit"),
    ("an_u8", "text", "takes an integer"),
    ("an_u8", b"\1\2", "takes an integer"),
    ("a_string", "seventeen letters", "does not fit"),
    ("a_color", "PURPLE", "no enumerator 'PURPLE'"),
    ("a_corner", {"z": 1}, "no member 'z'"),
    ("a_matrix", [[1, 2, 3, 4]], "do not fit"),
]


@pytest.mark.parametrize(("name", "value", "text"), WRONG)
def test_wrong_value(name: str, value: Any, text: str) -> None:
    spec = data("el")
    before = bytes(spec.maps[".data"].contents or b"")
    with pytest.raises(SpecError, match=text) as caught:
        spec.variables[name].value = value
    assert caught.value.symbol == name
    assert caught.value.path == spec.path
    assert spec.maps[".data"].contents == bytearray(before)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("an_u32", "0x10", 16),
        ("a_bool", "true", True),
        ("a_string", "text", "text"),
        ("a_color", "RED", 0),
        ("a_matrix", "[[1], [2, 3]]", [[1, 0, 0], [2, 3, 0]]),
    ],
)
def test_set_from_text(name: str, text: str, expected: Any) -> None:
    spec = data("el")
    spec.variables[name].set_text(text)
    assert spec.variables[name].value == expected


def test_wrong_text() -> None:
    with pytest.raises(SpecError, match="'no' is no integer"):
        data("el").variables["an_u32"].set_text("no")


def test_variable_without_type() -> None:
    out = ObjectWriter()
    out.section(".data", b"12345678", flags=WRITE)
    out.variable(".data", "v", 0, offset=2, size=4)
    spec = out.to_spec()
    variable = spec.variables["v"]
    assert variable.value == b"3456"
    variable.value = b"abcd"
    assert spec.maps[".data"].contents == bytearray(b"12abcd78")
    for bad in (b"abc", 5):
        with pytest.raises(SpecError):
            variable.value = bad
    with pytest.raises(SpecError, match="has no BTF type"):
        variable.set_text("5")


def test_variable_whose_type_is_larger_than_its_place() -> None:
    out = ObjectWriter()
    out.section(".data", b"12345678", flags=WRITE)
    out.variable(".data", "v", LONG, offset=4, size=4)
    with pytest.raises(SpecError, match="takes 8 bytes"):
        _ = out.to_spec().variables["v"].value


def test_huge_array() -> None:
    out = ObjectWriter()
    assert out.btf is not None
    huge = out.btf.add(t.Array(out.btf.add(t.Array(INT, INT, 1 << 31)), INT, 1 << 31))
    out.section(".data", bytes(8), flags=WRITE)
    out.variable(".data", "v", huge, offset=0, size=8)
    with pytest.raises(SpecError, match="takes 18446744073709551616 bytes"):
        _ = out.to_spec().variables["v"].value


# -- editing


def test_only() -> None:
    spec = rawbpf.open(OBJS / "sections.el.o")
    spec.only(["socket"] if "socket" in spec.programs else [next(iter(spec.programs))])
    assert sum(program.autoload for program in spec.programs.values()) == 1
    with pytest.raises(SpecError, match="no program named 'no_such'") as caught:
        spec.only(["no_such"])
    assert caught.value.hint


def test_near_names_are_the_hint() -> None:
    spec = data("el")
    assert spec.no_such("variable", "an_u9", list(spec.variables)).hint == "near names: an_u8, an_u64, an_u32"
    assert spec.no_such("map", "x", [".data"]).hint == "there are: .data"
    assert spec.no_such("map", "x", []).hint == "the object has no maps"


def test_a_copy_is_independent() -> None:
    spec = data("el")
    twin = copy.deepcopy(spec)
    twin.variables["an_u8"].value = 1
    twin.maps[".data"].max_entries = 5
    assert (spec.variables["an_u8"].value, spec.maps[".data"].max_entries) == (0xFF, 1)
    assert twin.variables["an_u8"].value == 1


def test_print_is_short() -> None:
    out = ObjectWriter()
    out.function("xdp", "f", [MOV_R0, EXIT])
    spec = out.to_spec()
    assert "ProgramSpec" in repr(spec)
    assert "Elf(" not in repr(spec)
