# SPDX-License-Identifier: BSD-2-Clause
"""Streams that want the test kernel: those of programs, the trace pipe, perf buffers of a CPU that goes off."""

from __future__ import annotations

from typing import Any

import pytest
from in_guest import reports

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def report(built: object) -> dict[str, Any]:
    (told,) = reports("streams_guest.py", timeout=400)
    return dict(told)


def test_streams_of_a_program(report: dict[str, Any]) -> None:
    assert report["programs"] == {
        "codes": [0, 0],
        "stdout": ["line 1 of stdout", "line 2 of stdout"],
        "stderr": ["a complaint", "a complaint"],
    }


def test_trace_pipe(report: dict[str, Any]) -> None:
    assert report["trace_pipe"] == ["hello"]


def test_a_cpu_that_goes_off_and_on(report: dict[str, Any]) -> None:
    assert report["cpu"] == {
        "before": 3,
        "new while it is off": [],
        "open while it is off": [0],
        "of the other": 2,
        "new": [1],
        "woken": True,
        "after": 2,
    }
