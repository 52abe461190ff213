# SPDX-License-Identifier: BSD-2-Clause
"""Arenas: variables in them, live from both sides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import rawbpf
from rawbpf.errors import SpecError
from rawbpf.kernel import known_types
from rawbpf.uapi import MapType

if TYPE_CHECKING:
    from collections.abc import Callable

OBJECT = Path(__file__).parent.parent / "objs/arena.el.o"

pytestmark = pytest.mark.usefixtures("root", "no_leaks")


@pytest.fixture(autouse=True)
def arenas(require: Callable[[object, str], None]) -> None:
    require(known_types.has_map_type(MapType.ARENA), "this kernel has no arenas (Linux 6.9 has)")


def test_variables_are_shared_with_the_programs() -> None:
    with rawbpf.load(OBJECT) as obj:
        assert obj.programs["sum"].test_run().retval == 11 + 22 + 4
        obj.programs["change"].test_run()
        assert obj.variables["second"].value == 44
        obj.variables["table"].value = [0, 0, 0, 100]
        assert obj.programs["sum"].test_run().retval == 11 + 44 + 100


def test_an_arena_at_an_address_of_its_own() -> None:
    spec = rawbpf.open(OBJECT)
    spec.maps["arena"].map_extra = 1 << 44
    with rawbpf.load(spec) as obj:
        assert obj.programs["sum"].test_run().retval == 37
        assert obj.maps["arena"].info.map_extra == 1 << 44


def test_variables_are_set_before_loading() -> None:
    spec = rawbpf.open(OBJECT)
    spec.variables["first"].value = 1000
    with rawbpf.load(spec) as obj:
        assert obj.programs["sum"].test_run().retval == 1000 + 22 + 4


def test_an_arena_too_small_for_its_variables() -> None:
    spec = rawbpf.open(OBJECT)
    spec.maps["arena"].contents = bytearray(4 * 4096 + 1)
    with pytest.raises(SpecError, match="need 20480 bytes, it has 16384") as error:
        rawbpf.make_plan(spec)
    assert "max_entries, 5)" in str(error.value.hint)
