# SPDX-License-Identifier: BSD-2-Clause
"""Objects that are not quite right: what libbpf loads all the same, rawbpf loads, and what it refuses is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "unit"))

from elfwriter import EXIT, MOV_R0, NOBITS, PROGBITS, WRITE, ObjectWriter, ld_imm64
from typekit import INT, LONG

from rawbpf.objfile.insn import Insn
from tools.lib.oracle import libbpf, ours
from tools.lib.oracle.compare import compare

pytestmark = [pytest.mark.oracle, pytest.mark.kernel]

LITTLE = sys.byteorder == "little"
BODY = [MOV_R0, EXIT]


def written(edit: str) -> ObjectWriter:
    out = ObjectWriter(little=LITTLE)
    out.section("license", b"GPL\0", flags=WRITE)
    load = [*ld_imm64(dst=1), Insn(0x61, dst=0, src=1), EXIT]  # r0 = *(u32 *)&variable
    out.function("socket", "f", load if "variable" in edit else BODY)
    records = {"func_info": out.func_info, "line_info": out.line_info, "core_relo": out.core_relos}
    match edit:
        case "lines behind the section":
            out.line_info["socket"] += [(16, 1, 1, 1 << 10), (800, 1, 1, 2 << 10)]
        case "line inside of an instruction":
            out.line_info["socket"].append((12, 1, 1, 2 << 10))
        case "func_info behind the section":
            out.func_info["socket"].append((16, out.func_info["socket"][0][1]))
        case "line_info of no section" | "func_info of no section" | "core_relo of no section":
            known = records[edit.split()[0]]
            known["no_such_section"] = [(0, *[1] * (1 if "func" in edit else 3))]
        case "line_info without a name" | "func_info without a name" | "core_relo without a name":
            known = records[edit.split()[0]]
            known[""] = [(0, *[1] * (1 if "func" in edit else 3))]
        case "variable behind the section":
            out.section(".bss", b"", NOBITS, WRITE, size=8)
            inside = out.variable(".bss", "inside", INT, offset=0, size=4)
            out.variable(".bss", "behind", LONG, offset=4, size=8)
            out.relocate("socket", 0, inside)
        case "variable far behind the section":
            out.section(".data", bytes(8), PROGBITS, WRITE)
            inside = out.variable(".data", "inside", INT, offset=0, size=4)
            out.variable(".data", "behind", LONG, offset=1 << 20, size=8)
            out.relocate("socket", 0, inside)
    return out


EDITS = {
    "lines behind the section": True,
    "line inside of an instruction": True,
    "func_info behind the section": True,
    "line_info of no section": True,
    "func_info of no section": True,
    "core_relo of no section": True,
    "line_info without a name": True,
    "func_info without a name": True,
    "core_relo without a name": False,
    "variable behind the section": True,
    "variable far behind the section": True,
}
"""What is wrong with it, and whether libbpf loads it."""


@pytest.mark.parametrize(("edit", "loads"), EDITS.items(), ids=[edit.replace(" ", "_") for edit in EDITS])
def test_same_outcome(libbpf_library: Path, tmp_path: Path, edit: str, loads: bool) -> None:
    obj = tmp_path / "written.o"
    obj.write_bytes(written(edit).to_bytes())
    mine, theirs = (driver.record(obj) for driver in (ours.driver(), libbpf.driver()))
    assert compare(mine, theirs) == []
    assert (not theirs.errno) is loads, theirs.log
