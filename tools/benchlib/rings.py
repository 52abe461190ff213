# SPDX-License-Identifier: BSD-2-Clause
"""Reading ring buffers, by rawbpf in several ways and by a reader in C on libbpf."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tools.benchlib import loaders, measure
from tools.benchlib.table import Table
from tools.lib.machine import ROOT
from tools.lib.report import ToolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tools.benchlib.measure import Metrics

OBJECT = ROOT / "tests" / "objs" / f"streams.{'el' if sys.byteorder == 'little' else 'eb'}.o"
READER = Path(__file__).with_name("ring_reader.py")
C_READER = Path(__file__).with_name("libbpf_ring.c")
SIZE = 1 << 20
MAY_GROW_KIB = 1024
"""By how much a reader's memory may grow, however many records come."""
RATE, GROWN = "records a CPU µs", "grown KiB"
LIBBPF = "libbpf in C, callback"
TABLES = {
    "each record is counted": {LIBBPF: "counted", "rawbpf, batches": "batches counted"},
    "a member of each record is summed": {
        LIBBPF: "summed",
        "rawbpf, batches, a column": "batches summed",
        "rawbpf, batches, tuples": "tuples",
        "rawbpf, typed records": "typed",
        "rawbpf, callback, bytes": "callback",
    },
}


class MemoryGrew(ToolError):
    """A reader is not flat in memory."""

    code = 1


def tables(work: Path, python: str, records: int, runs: int) -> list[Table]:
    """The tables: records a microsecond of CPU while a full ring is emptied, and how much memory grew from 10 % on.

    Raises:
        ToolError: a reader failed.
        MemoryGrew: its memory grew by more than `MAY_GROW_KIB`.
    """
    reader = loaders.libbpf_program(C_READER, work)
    made = []
    for title, ways in TABLES.items():
        contenders = []
        for row, way in ways.items():
            command = [reader or ""] if row == LIBBPF else [python, str(READER)]
            if all(command):
                contenders.append(partial(_read, row, [*command, str(OBJECT), str(SIZE), str(records), way]))
        rows = measure.alternate(contenders, runs)
        made.append(Table("ring", f"{records} records of 16 bytes, {title}", rows, LIBBPF if reader else ""))
    return made


def _read(row: str, command: list[str]) -> Mapping[str, Metrics]:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ToolError(f"{row} failed: {done.stderr.strip()}")
    count, seconds, _total, *grown = done.stdout.split()
    metrics = {RATE: int(count) / float(seconds) / 1e6}
    if grown:
        metrics[GROWN] = float(grown[0])
        if metrics[GROWN] > MAY_GROW_KIB:
            raise MemoryGrew(f"{row}: memory grew by {grown[0]} KiB over {count} records")
    return {row: metrics}
