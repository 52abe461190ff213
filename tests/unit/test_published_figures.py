# SPDX-License-Identifier: BSD-2-Clause
"""docs/mptcp/figures.json, which docs/mptcp.md tells of: all is there, and more paths carry what they should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.lab import figures

FIGURES = Path(__file__).resolve().parents[2] / "docs" / "mptcp" / "figures.json"
PROTOCOLS = {"TCP", "MPTCP"}


@pytest.fixture
def published() -> Any:
    return json.loads(FIGURES.read_text())


def test_iperf3_was_measured_over_each_number_of_paths(published: Any) -> None:
    extent = figures.Extent()
    names = {"default", *(f"bpf_{name}" for name in extent.schedulers[1:])}
    assert {name: len(rates) for name, rates in published["iperf3"].items()} == dict.fromkeys(names, extent.paths)
    assert extent.paths == 8


@pytest.mark.parametrize(("scheduler", "factor"), [("default", 7.5), ("bpf_rr", 7.2)])
def test_eight_paths_carry_nearly_eight_times_as_much(published: Any, scheduler: str, factor: float) -> None:
    rates = published["iperf3"][scheduler]
    assert rates[-1] >= factor * rates[0]


def test_rates_are_those_of_the_paths(published: Any) -> None:
    """No more than the links carry, and over one of them not much less."""
    path = published["rate_mbit"] / 8
    for rates in published["iperf3"].values():
        assert rates[0] >= 0.85 * path
        assert all(rate <= path * number for number, rate in enumerate(rates, 1))


def test_rsync_was_measured_with_three_kinds_of_file(published: Any) -> None:
    assert published["rsync"].keys() == PROTOCOLS
    assert {frozenset(kinds) for kinds in published["rsync"].values()} == {
        frozenset({"random", "text", "zeros, sparse"})
    }


def test_redis_was_measured_with_each_kind_of_request(published: Any) -> None:
    kinds = frozenset(f"{kind}, {size}" for kind in ("SET", "GET") for size in figures.REDIS_SIZES)
    assert published["redis"].keys() == PROTOCOLS
    assert {frozenset(rows) for rows in published["redis"].values()} == {kinds}
    for rows in published["redis"].values():
        assert all(row["requests_per_second"] > 0 and row["mean_ms"] <= row["p99_ms"] for row in rows.values())
