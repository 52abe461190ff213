# SPDX-License-Identifier: BSD-2-Clause
"""The programs of tests/objs/streams.c, run by hand on a CPU of choice."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import rawbpf

if TYPE_CHECKING:
    from rawbpf.kernel.object import Object

OBJECT = Path(__file__).parent.parent / "objs" / f"streams.{'el' if sys.byteorder == 'little' else 'eb'}.o"
CPUS = sorted(os.sched_getaffinity(0))
NO_WAKEUP, FORCE_WAKEUP = 1, 2


def load(ring_size: int = 1 << 18) -> Object:
    """The object, with a ring of that many bytes."""
    spec = rawbpf.open(OBJECT)
    spec.maps["ring"].max_entries = ring_size
    return rawbpf.load(spec)


def run(obj: Object, name: str, *arguments: int, cpu: int = CPUS[0]) -> None:
    """Run a raw tracepoint program there; it has to return 0."""
    context = struct.pack("=QQ", *(*arguments, 0, 0)[:2])
    result = obj.programs[name].test_run(context=context, flags=1, cpu=cpu)
    assert result.retval == 0, f"{name}{arguments} returned {result.retval}"
