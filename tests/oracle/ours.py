# SPDX-License-Identifier: BSD-2-Clause
"""Loads an object with rawbpf in a child process, under the recorder that libbpf is recorded with."""

from __future__ import annotations

import sys
from pathlib import Path

from .libbpf import Driver


def driver() -> Driver:
    """rawbpf's driver."""
    return Driver((sys.executable, str(Path(__file__).with_name("drive_rawbpf.py"))))
