# SPDX-License-Identifier: BSD-2-Clause
"""tools/compare-libbpf: differences are told, and an object that breaks a loader stops nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools.lib.oracle import drive_libbpf, ours
from tools.lib.oracle.compare import compare
from tools.lib.oracle.libbpf import Driver

pytestmark = [pytest.mark.oracle, pytest.mark.kernel]

ROOT = Path(__file__).parents[2]
TOOL = [sys.executable, str(ROOT / "tools/compare-libbpf")]
SAME, DIFFERENT = ROOT / "tests/objs/data.el.o", ROOT / "tests/objs/struct_ops_mismatch.el.o"

# A loader that does with an object what its name says, and has nothing to hand over
LOADER = f"""
import os, sys, time
sys.path.insert(0, {str(Path(drive_libbpf.__file__).parent)!r})
from drive_libbpf import Outcome, arguments, drive

def load(path, chosen, attach):
    name = os.path.basename(path)
    if name == "program" and chosen == ["second"]:
        os.abort()
    if name == "exception":
        raise LookupError("nothing like it")
    if name == "abort":
        print("last words", file=sys.stderr, flush=True)
        os.abort()
    if name == "sleep":
        time.sleep(60)
    return Outcome("load", 0, dict.fromkeys(["first", "second", "third"], True))

drive(arguments(library=False), load)
"""


def test_what_breaks_a_loader_stops_nothing(shim: Path, tmp_path: Path) -> None:
    (tmp_path / "loader.py").write_text(LOADER)
    names = ["fine", "exception", "abort", "sleep", "program", "last"]
    driver = Driver((sys.executable, str(tmp_path / "loader.py")), limit=0.5)
    found = driver.record_all([tmp_path / name for name in names])
    stages = {(obj.name, program): recording.stage for (obj, program), recording in found.items()}
    whole = {name: stages[name, ""] for name in names}
    assert whole == {
        "fine": "load",
        "exception": "crash",
        "abort": "crash",
        "sleep": "hang",
        "program": "load",
        "last": "load",
    }
    assert stages["program", "second"] == "crash"
    assert ("program", "third") not in stages
    assert stages["last", "third"] == "load"
    assert found[tmp_path / "exception", ""].log.splitlines()[-1] == "LookupError: nothing like it"
    assert found[tmp_path / "abort", ""].log.splitlines() == ["last words", "Aborted"]
    crash, fine = found[tmp_path / "abort", ""], found[tmp_path / "fine", ""]
    assert compare(crash, fine) == ["load: crash (Aborted) != loads"]
    assert compare(crash, crash)


def test_a_file_that_is_no_object(libbpf_library: Path, tmp_path: Path) -> None:
    (tmp_path / "text.o").write_text("nothing of that kind")
    ((_, recording),) = ours.driver().record_all([tmp_path / "text.o"]).items()
    assert recording.stage == "open"
    done = subprocess.run([*TOOL, "--each", str(tmp_path / "text.o")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_differences_are_told(libbpf_library: Path) -> None:
    done = subprocess.run([*TOOL, str(SAME), str(DIFFERENT)], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{DIFFERENT}: load: loads != does not load (ENOTSUP: ")
    assert done.stderr.splitlines()[-1] == (
        "compare-libbpf: 2 objects, 2 loads (1 succeed with libbpf): 1 differences in 1 loads of 1 objects"
    )


def test_no_difference_of_programs_alone(libbpf_library: Path) -> None:
    done = subprocess.run([*TOOL, "--json", "--each", str(SAME)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    told = json.loads(done.stdout)
    assert told["summary"]["loads"] == told["summary"]["succeed"] == len(told["loads"]) == 4
    assert {load["program"] for load in told["loads"]} == {None, "initial_values", "constants", "write_all"}


def test_a_missing_file(shim: Path) -> None:
    done = subprocess.run([*TOOL, "/no/such/object.o"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == "compare-libbpf: /no/such/object.o: no such file, or no right to read it\n"
