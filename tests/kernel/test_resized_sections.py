# SPDX-License-Identifier: BSD-2-Clause
"""Sections of variables that were resized before loading: what programs and the user see of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import rawbpf
from rawbpf.uapi import MapFlag

OBJECT = Path(__file__).parents[1] / f"objs/resize.{'el' if sys.byteorder == 'little' else 'eb'}.o"

pytestmark = pytest.mark.usefixtures("root", "no_leaks")


def test_as_it_is() -> None:
    with rawbpf.load(OBJECT) as obj:
        assert obj.programs["sums"].test_run().retval == 1 + 2 + 3 + 5


def test_programs_and_the_user_see_all_elements() -> None:
    spec = rawbpf.open(OBJECT)
    spec.resize_section(".data.growing", 8 + 4 * 1000)
    spec.resize_section(".bss.points", 8 * 600)  # more than a page
    spec.variables["growing"].value = list(range(1000))
    spec.variables["length"].value = 1000
    with rawbpf.load(spec) as obj:
        assert obj.programs["sums"].test_run().retval == sum(range(1000)) + 5
        assert obj.variables["before"].value == 1
        obj.variables["growing"].value = [1] * 1000
        assert obj.programs["sums"].test_run().retval == 1000 + 5
        assert len(obj.variables["points"].value) == 600
        assert obj.variables["points"].value[0].x == 7
        memory = obj.maps[".bss.points"].memory()
        assert memory is not None
        assert len(memory) == 4800
        assert obj.maps[".data.growing"].info.btf_value_type_id


def test_a_section_without_types_is_mapped_all_the_same() -> None:
    spec = rawbpf.open(OBJECT)
    spec.resize_section(".data.no_array", 64)
    with rawbpf.load(spec) as obj:
        map_ = obj.maps[".data.no_array"]
        assert (map_.info.value_size, map_.info.btf_value_type_id) == (64, 0)
        assert map_.info.map_flags & MapFlag.MMAPABLE
        obj.variables["last_number"].value = 50
        assert obj.programs["sums"].test_run().retval == 1 + 2 + 3 + 50
