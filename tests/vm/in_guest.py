# SPDX-License-Identifier: BSD-2-Clause
"""Work for the test kernel: tests that pytest runs there, and scripts that report as JSON what they saw."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
VM = [sys.executable, str(ROOT / "tools" / "vm")]
Done = subprocess.CompletedProcess[str]


def run_tests(
    *arguments: str, timeout: float | None = None, options: tuple[str, ...] = (), **environment: str
) -> list[str]:
    """Run pytest in the test kernel, where all must pass and none may be skipped; the lines that it prints.

    The options are for tools/vm.
    """
    tests = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *arguments]
    done = _run([*VM, *options, "--", *tests], timeout, {"RAWBPF_REQUIRE": "1", **environment})
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert " passed" in lines[-1]
    assert "skipped" not in lines[-1]
    return lines


def reports(script: str, *arguments: str | Path, timeout: float, options: tuple[str, ...] = ()) -> list[Any]:
    """Run a script of this directory in the test kernel, with options of tools/vm; the JSON that it prints, by line."""
    words = [sys.executable, "-W", "error", Path(__file__).with_name(script), *arguments]
    path = f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'kernel'}"  # the package, and streamkit
    done = _run([*VM, *options, "--", *words], timeout, {"PYTHONPATH": path})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def _run(words: list[str | Path], timeout: float | None, environment: dict[str, str]) -> Done:
    environment = os.environ | environment
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout)
