# SPDX-License-Identifier: BSD-2-Clause
"""tools/demo, end to end: what each scheduler makes of four equal paths, and that nothing of it stays."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from in_guest import ROOT

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("built")]

SIZE = 20 << 20


def demo(*arguments: str) -> dict[str, Any]:
    words = [sys.executable, str(ROOT / "tools" / "demo"), "--json", *arguments]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def shares(run: dict[str, Any]) -> list[float]:
    assert sum(subflow["bytes_sent"] for subflow in run["subflows"]) >= SIZE
    return [subflow["percent"] for subflow in run["subflows"]]


def test_round_robin_is_even() -> None:
    result = demo()
    default, round_robin = result["runs"]
    assert (default["scheduler"], round_robin["scheduler"]) == ("default", "bpf_rr")
    assert len(shares(default)) == 4
    assert [subflow["remote"] for subflow in round_robin["subflows"]] == [f"10.0.{n}.2" for n in range(1, 5)]
    assert all(23 <= share <= 27 for share in shares(round_robin)), shares(round_robin)
    assert SIZE / round_robin["seconds"] < 4 * 100e6 / 8  # no faster than the paths are
    assert result["unloaded"] is True


def test_first_takes_the_first_subflow_alone() -> None:
    result = demo("--object", "objs/mptcp_bpf_first.o")
    _, first = result["runs"]
    assert first["scheduler"] == "bpf_first"
    assert shares(first) == [100.0, 0.0, 0.0, 0.0]
    assert first["seconds"] > 3 * SIZE / (4 * 100e6 / 8)
    assert result["unloaded"] is True


def test_an_object_without_a_scheduler_is_refused() -> None:
    words = [sys.executable, str(ROOT / "tools" / "demo"), "--object", "objs/tcp_cc_demo.o"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 125
    assert "tcp_cc_demo.o has no scheduler" in done.stderr
    assert done.stdout == ""
