# SPDX-License-Identifier: BSD-2-Clause
"""The child process of tools/bench that reads a ring buffer with rawbpf, in one of several ways.

It does what libbpf_ring.c does: fills the ring by running a program, and takes the CPU time of emptying it. Prints
records, seconds, the sum of a member, and by how many KiB its memory grew after the first tenth.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from typing import TYPE_CHECKING

import rawbpf

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawbpf.kernel.streams.ringbuf import RingBuffer

NO_WAKEUP = 1
RECORD = 24
"""Bytes in the ring: a header and an event."""


def batches_counted(ring: RingBuffer) -> tuple[int, int]:
    return sum(map(len, ring.batches(timeout=0))), 0


def batches_summed(ring: RingBuffer) -> tuple[int, int]:
    count = total = 0
    for batch in ring.batches(timeout=0):
        count += len(batch)
        total += sum(batch.column("sequence"))
    return count, total


def tuples(ring: RingBuffer) -> tuple[int, int]:
    count = total = 0
    for batch in ring.batches(timeout=0):
        for sequence, _cpu, _kind in batch.tuples():
            total += sequence
        count += len(batch)
    return count, total


def typed(ring: RingBuffer) -> tuple[int, int]:
    count = total = 0
    for record in ring.records(timeout=0):
        total += record.sequence
        count += 1
    return count, total


def callback(ring: RingBuffer) -> tuple[int, int]:
    total = 0

    def take(record: bytes) -> None:
        nonlocal total
        total += int.from_bytes(record[:8], sys.byteorder)

    return ring.consume(callback=take), total


WAYS: dict[str, tuple[Callable[[RingBuffer], tuple[int, int]], str | None]] = {
    "batches counted": (batches_counted, None),
    "batches summed": (batches_summed, "struct event"),
    "tuples": (tuples, "struct event"),
    "typed": (typed, "struct event"),
    "callback": (callback, None),
}


def resident_kib() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def main() -> None:
    path, size, records, way = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    read, kind = WAYS[way]
    spec = rawbpf.open(path)
    spec.maps["ring"].max_entries = size
    count = total = early = 0
    seconds = 0.0
    arguments = struct.pack("=QQ", size // RECORD, NO_WAKEUP)
    with rawbpf.load(spec) as obj, rawbpf.RingBuffer(obj.maps["ring"], kind) as ring:
        emit = obj.programs["emit"]
        while count < records:
            assert emit.test_run(context=arguments).retval == 0
            start = time.thread_time()
            found, summed = read(ring)
            seconds += time.thread_time() - start
            count += found
            total += summed
            early = early or (resident_kib() if count >= records / 10 else 0)
        print(count, seconds, total, resident_kib() - early)


if __name__ == "__main__":
    main()
