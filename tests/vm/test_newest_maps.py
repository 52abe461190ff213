# SPDX-License-Identifier: BSD-2-Clause
"""Maps of the newest kernels, in the test kernel: see newest_maps_guest.py."""

from __future__ import annotations

from typing import Any

import pytest
from in_guest import reports

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def told(built: object) -> dict[str, Any]:
    """What the guest says, of one run for all tests."""
    (said,) = reports("newest_maps_guest.py", timeout=400)
    return dict(said)


def test_jump_tables(told: dict[str, Any]) -> None:
    assert told["jump_tables"] == {"by_itself": 0, "by_call": 0, "by_both": 0}


def test_map_types(told: dict[str, Any]) -> None:
    assert told["map_types"] == told["map_types_newer"] == {"lookup": 0}


def test_per_cpu_variables(told: dict[str, Any]) -> None:
    percpu = told["percpu"]
    cpus = len(percpu["before"])
    assert percpu["returned"] == 0
    assert percpu["before"] == [[1, 2, 3, 4]] * cpus
    assert percpu["counted"] == [40] * (cpus - 1) + [42]
    assert percpu["raw"] == 16 * cpus
    assert percpu["set"] is True
    assert f"a list of {cpus} values" in percpu["refused"]
