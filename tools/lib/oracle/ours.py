# SPDX-License-Identifier: BSD-2-Clause
"""Loads an object with rawbpf in a child process, under the recorder that libbpf is recorded with."""

from __future__ import annotations

import sys
from pathlib import Path

from .libbpf import LIMIT, Driver, Recording
from .recorder import run


def driver(*, limit: float = LIMIT) -> Driver:
    """rawbpf's driver."""
    return Driver((sys.executable, str(Path(__file__).with_name("drive_rawbpf.py"))), limit)


def record_command(obj: Path, *options: str) -> Recording:
    """Loads an object with the command ``rawbpf load``, which neither attaches nor pins it."""
    done = run([sys.executable, "-m", "rawbpf", "load", str(obj), "--no-attach", "--no-pin", *options])
    return Recording(obj, done.calls, done.returncode, "load", {}, done.stdout + done.stderr)
