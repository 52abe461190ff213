# SPDX-License-Identifier: BSD-2-Clause
"""Maps that are changed before loading: rawbpf hands over what libbpf does after the same change."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools.lib.oracle import libbpf, ours
from tools.lib.oracle.compare import compare
from tools.lib.oracle.normalise import normalise

pytestmark = [pytest.mark.oracle, pytest.mark.kernel]

OBJS = Path(__file__).parents[1] / "objs"
ORDER = "el" if sys.byteorder == "little" else "eb"


@pytest.mark.parametrize(
    ("section", "size"),
    [
        (".data.growing", 8 + 4 * 1000),
        (".data.growing", 8 + 4 * 3),
        (".data.growing", 23),  # no whole number of elements: without types
        (".bss.points", 8 * 10),
        (".data.no_array", 64),  # without types
        (".data.static", 64),
    ],
)
def test_sections_of_another_size(libbpf_library: Path, section: str, size: int) -> None:
    obj = OBJS / f"resize.{ORDER}.o"
    mine, theirs = (driver.record(obj, resize={section: size}) for driver in (ours.driver(), libbpf.driver()))
    assert compare(mine, theirs) == []
    assert not theirs.errno, theirs.log
    assert normalise(theirs).maps[section[:15]].attr["value_size"] == size


@pytest.mark.parametrize(("programs", "loads"), [(["alone"], True), (["alone", "first"], False)])
def test_a_map_for_one_program(libbpf_library: Path, programs: list[str], loads: bool) -> None:
    obj = OBJS / f"subprograms.{ORDER}.o"
    drivers = ours.driver(), libbpf.driver()
    mine, theirs = (driver.record(obj, programs=programs, exclusive={"totals": "alone"}) for driver in drivers)
    assert compare(mine, theirs) == []
    assert (not theirs.errno) is loads
    assert normalise(theirs).maps["totals"].attr["excl_prog_hash_size"] == 32
