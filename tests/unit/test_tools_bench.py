# SPDX-License-Identifier: BSD-2-Clause
"""The arithmetic and the reports of tools/bench. How long anything takes is nobody's business here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.benchlib import imports, measure, python, rings
from tools.benchlib.measure import CPU, PEAK, WALL, CommandFailed, Stat, alternate, ratio, stat
from tools.benchlib.table import Table, number

ROOT = Path(__file__).parents[2]


def exactly(value: float, runs: int = 3) -> Stat:
    return Stat(value, value, value, runs)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7.0], Stat(7.0, 7.0, 7.0, 1)),
        ([3.0, 1.0], Stat(2.0, 1.5, 2.5, 2)),
        ([5.0, 1.0, 2.0, 4.0, 300.0], Stat(4.0, 2.0, 5.0, 5)),
    ],
    ids=["one", "two", "an outlier"],
)
def test_median_and_quartiles(values: list[float], expected: Stat) -> None:
    assert stat(values) == expected


def test_ratio_is_that_of_the_medians() -> None:
    assert ratio(Stat(30.0, 1.0, 99.0, 5), Stat(20.0, 2.0, 77.0, 5)) == 1.5
    assert ratio(exactly(1.0), exactly(0.0)) is None


def test_contenders_take_turns_and_the_first_round_does_not_count() -> None:
    turns = []
    costs = {"a": iter([1000.0, 1.0, 5.0, 3.0]), "b": iter([2000.0, 8.0, 2.0, 2.0])}

    def contender(name: str) -> dict[str, dict[str, float]]:
        turns.append(name)
        found = {name: {"ms": next(costs[name])}}
        if name == "b":
            found["b, afterwards"] = {"ms": 4.0, "calls": 6.0}
        return found

    results = alternate([lambda: contender("a"), lambda: contender("b")], 3)
    assert "".join(turns) == "abababab"
    assert {row: {metric: found.median for metric, found in metrics.items()} for row, metrics in results.items()} == {
        "a": {"ms": 3.0},
        "b": {"ms": 2.0},
        "b, afterwards": {"ms": 4.0, "calls": 6.0},
    }
    assert results["a"]["ms"].runs == 3


def test_run_tells_the_memory_of_the_command_and_not_our_own() -> None:
    mib = 64
    ballast = bytearray(mib << 20)
    small, large = (measure.run([sys.executable, "-ISc", f"bytearray(b'x') * {size}"]) for size in (1, mib << 20))
    assert set(small) == {WALL, CPU, PEAK}
    assert small[PEAK] < mib < large[PEAK]
    assert len(ballast) == mib << 20


def test_run_tells_what_a_failed_command_said() -> None:
    with pytest.raises(CommandFailed, match=r"sh -c .* ended with 3: one\ntwo") as caught:
        measure.run(["sh", "-c", "echo one; echo two >&2; exit 3"])
    assert caught.value.said == "one"


def test_run_tells_that_there_is_no_such_command() -> None:
    with pytest.raises(CommandFailed, match="No such file"):
        measure.run(["/nonexistent/command"])


def test_run_tells_of_a_signal() -> None:
    with pytest.raises(CommandFailed, match="ended with -15"):
        measure.run(["sh", "-c", "kill -TERM $$"])


def test_run_leaves_no_descriptor(no_leaks: None) -> None:
    measure.run(["true"])
    with pytest.raises(CommandFailed):
        measure.run(["false"])


def test_python_that_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    before = dict(os.environ)
    with python.installed() as interpreter:
        code = "import sys, elftools, rawbpf; print(rawbpf.__file__, sys.prefix, sys.meta_path)"
        done = subprocess.run([interpreter, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
        prefix = Path(interpreter).parents[1]
        assert [path.name.split(".")[0] for path in prefix.rglob("rawbpf/__init__*.pyc")] == ["__init__"]
    assert done.stdout.startswith(f"{ROOT}/rawbpf/__init__.py {prefix} ")
    assert "Editable" not in done.stdout
    assert dict(os.environ) == before
    assert not prefix.exists()


def test_importtime_is_read() -> None:
    text = """\
import time: self [us] | cumulative | imported package
import time:       120 |        120 |   _typing
import time:      4500 |       4620 | typing
some warning of the program
import time:      1700 |       6320 | rawbpf
"""
    assert imports.parse(text) == {"_typing": 0.12, "typing": 4.5, "rawbpf": 1.7}


def test_the_dearest_imports_come_first() -> None:
    found = imports.Imports({"cheap": 0.5, "dear": 4.0, "middle": 1.5})
    assert found.total_ms == 6.0
    assert found.dearest(2) == [("dear", 4.0), ("middle", 1.5)]


TABLE = Table(
    "load",
    "x.o",
    {
        "ours": {"wall ms": Stat(150.0, 140.25, 160.75, 5), "calls": exactly(17.0)},
        "ours, again": {"wall ms": exactly(5.0)},
        "theirs": {"wall ms": exactly(20.0), "calls": exactly(34.0)},
    },
    "theirs",
)


def test_ratios_are_to_the_reference() -> None:
    assert TABLE.ratios() == {"ours": {"wall ms": 7.5, "calls": 0.5}, "ours, again": {"wall ms": 0.25}}


def test_table_for_people() -> None:
    assert (
        str(TABLE)
        == """\
load: x.o
               wall ms  quartiles     ×  calls  quartiles     ×
  ours             150    140–161  7.50     17      17–17  0.50
  ours, again        5        5–5  0.25
  theirs            20      20–20           34      34–34
  ×: ratio of medians to theirs"""
    )


def test_table_that_adds_up_has_no_ratios() -> None:
    rows = {"first": {"ms": exactly(1.25)}, "second": {"ms": exactly(2.5)}}
    assert str(Table("phases", "x.o", rows, total=True)).splitlines() == [
        "phases: x.o",
        "              ms  quartiles",
        "  first     1.25  1.25–1.25",
        "  second    2.50  2.50–2.50",
        "  together  3.75",
    ]


def test_table_as_json() -> None:
    data = json.loads(json.dumps(TABLE.to_json()))
    assert data["rows"]["ours"]["wall ms"] == {"median": 150.0, "low": 140.25, "high": 160.75, "runs": 5}
    assert data["reference"] == "theirs"
    assert data["ratios"] == TABLE.ratios()


@pytest.mark.parametrize(
    ("value", "text"), [(0.123, "0.12"), (9.876, "9.88"), (12.34, "12.3"), (123.4, "123"), (4.0, "4")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_the_script_refuses_what_it_does_not_know() -> None:
    done = subprocess.run([ROOT / "tools/bench", "loads"], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 2
    assert "there are start, imports, load, phases, btf" in done.stderr


def test_a_ring_reader_whose_memory_grows_fails() -> None:
    def reader(grown: int) -> list[str]:
        return [sys.executable, "-c", f"print(1000, 0.001, 0, {grown})"]

    assert rings._read("flat", reader(1024)) == {"flat": {rings.RATE: 1.0, rings.GROWN: 1024.0}}
    with pytest.raises(rings.MemoryGrew, match="leaky: memory grew by 1025 KiB over 1000 records") as failure:
        rings._read("leaky", reader(1025))
    assert failure.value.code == 1
