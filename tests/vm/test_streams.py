# SPDX-License-Identifier: BSD-2-Clause
"""Streams that want the test kernel: those of programs, the trace pipe, perf buffers of a CPU that goes off."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.vm

ROOT = Path(__file__).resolve().parent.parent.parent
GUEST = Path(__file__).with_name("streams_guest.py")


@pytest.fixture(scope="module")
def report(require: Callable[[object, str], None]) -> dict[str, Any]:
    sys.path.insert(0, str(ROOT))
    from tools.lib import kernel

    require(kernel.find(), "the test kernel is not built: tools/vm --build-only")
    words = [sys.executable, ROOT / "tools" / "vm", "--", sys.executable, GUEST]
    done = subprocess.run(words, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


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
