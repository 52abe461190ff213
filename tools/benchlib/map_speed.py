# SPDX-License-Identifier: BSD-2-Clause
"""The elements of a hash map, one at a time and in batches, by rawbpf and by a C program on libbpf."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tools.benchlib import loaders, measure
from tools.benchlib.map_inside import FORMS
from tools.benchlib.table import Table
from tools.lib.report import ToolError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tools.benchlib.measure import Metrics

ELEMENTS = 1 << 16
INSIDE = Path(__file__).with_name("map_inside.py")
IN_C = Path(__file__).with_name("libbpf_maps.c")
REFERENCE = "libbpf in C"


def table(python: str, work: Path, runs: int) -> Table:
    """Nanoseconds of CPU an element, each contender in a process of its own."""
    commands = {f"rawbpf, {form}": [python, str(INSIDE), form, str(ELEMENTS)] for form in FORMS}
    if program := loaders.libbpf_program(IN_C, work):
        commands[REFERENCE] = [program, str(ELEMENTS)]
    rows = measure.alternate([partial(_run, name, command) for name, command in commands.items()], runs)
    return Table("maps", f"nanoseconds of CPU an element of a hash map with {ELEMENTS} of them", rows, REFERENCE)


def _run(name: str, command: Sequence[str]) -> Mapping[str, Metrics]:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ToolError(f"{name} failed: {done.stderr.strip().splitlines()[-1]}", hint="maps need root")
    return {name: json.loads(done.stdout)}
