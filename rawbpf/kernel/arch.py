# SPDX-License-Identifier: BSD-2-Clause
"""System call numbers on each architecture that Linux has or had (arch/*/**/syscall*.tbl, scripts/syscall.tbl)."""

from __future__ import annotations

import os
import struct
import sys

from rawbpf.errors import NotSupportedError

_GENERIC = 280  # include/uapi/asm-generic/unistd.h: every architecture that came after 2010
_X32_BIT = 0x40000000

# uname's machine, as a prefix → (number for 64-bit processes, number for 32-bit processes); the longest prefix wins.
# A 64-bit process may see a 32-bit machine (setarch), hence both numbers where both sorts of processes run.
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "aarch64": (_GENERIC, 386),
    "alpha": (515, None),
    "arc": (_GENERIC, _GENERIC),
    "arm": (_GENERIC, 386),
    "csky": (None, _GENERIC),
    "hexagon": (None, _GENERIC),
    "i386": (321, 357),
    "i486": (321, 357),
    "i586": (321, 357),
    "i686": (321, 357),
    "ia64": (1341, None),
    "loongarch": (_GENERIC, _GENERIC),
    "m68k": (None, 354),
    "microblaze": (None, 387),
    "mips": (5315, 4355),
    "nios2": (None, _GENERIC),
    "openrisc": (None, _GENERIC),
    "parisc": (341, 341),
    "ppc": (361, 361),
    "riscv": (_GENERIC, _GENERIC),
    "s390": (351, 351),
    "sh": (None, 375),
    "sparc": (349, 349),
    "x86_64": (321, 357),
    "xtensa": (None, 340),
}
_GENERIC_PERF = 241
_PERF_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "aarch64": (_GENERIC_PERF, 364),
    "alpha": (493, None),
    "arc": (_GENERIC_PERF, _GENERIC_PERF),
    "arm": (_GENERIC_PERF, 364),
    "csky": (None, _GENERIC_PERF),
    "hexagon": (None, _GENERIC_PERF),
    "i386": (298, 336),
    "i486": (298, 336),
    "i586": (298, 336),
    "i686": (298, 336),
    "ia64": (1352, None),
    "loongarch": (_GENERIC_PERF, _GENERIC_PERF),
    "m68k": (None, 332),
    "microblaze": (None, 366),
    "mips": (5292, 4333),
    "nios2": (None, _GENERIC_PERF),
    "openrisc": (None, _GENERIC_PERF),
    "parisc": (318, 318),
    "ppc": (319, 319),
    "riscv": (_GENERIC_PERF, _GENERIC_PERF),
    "s390": (331, 331),
    "sh": (None, 336),
    "sparc": (327, 327),
    "x86_64": (298, 336),
    "xtensa": (None, 327),
}


def bpf_number(machine: str = "", pointer_size: int = 0, multiarch: str | None = None) -> int:
    """The number of bpf(2) for this process; the arguments are for asking about another one.

    The kernel's machine is not enough: a 32-bit Python on a 64-bit kernel has the numbers of the 32-bit architecture,
    and x32 and MIPS n32, 32-bit processes too, have numbers of their own (told by Python's multiarch triplet).

    Raises:
        NotSupportedError: the architecture is not known.
    """
    return _number("bpf(2)", _NUMBERS, 321, 6319, machine, pointer_size, multiarch)


def perf_event_open_number(machine: str = "", pointer_size: int = 0, multiarch: str | None = None) -> int:
    """The number of perf_event_open(2); otherwise as `bpf_number`."""
    return _number("perf_event_open(2)", _PERF_NUMBERS, 298, 6296, machine, pointer_size, multiarch)


def _number(
    call: str,
    numbers: dict[str, tuple[int | None, int | None]],
    x32: int,
    n32: int,
    machine: str,
    pointer_size: int,
    multiarch: str | None,
) -> int:
    machine = machine or os.uname().machine
    pointer_size = pointer_size or struct.calcsize("P")
    if multiarch is None:
        multiarch = getattr(sys.implementation, "_multiarch", "")
    if multiarch.endswith("gnux32"):
        return _X32_BIT + x32
    if "abin32" in multiarch:
        return n32
    known = [name for name in numbers if machine.startswith(name)]
    wide, narrow = numbers[max(known, key=len)] if known else (None, None)
    number = wide if pointer_size == 8 else narrow
    if number is None:
        raise NotSupportedError(
            f"known {call} number",
            message=f"the number of {call} for {8 * pointer_size}-bit processes on {machine!r} is not known",
            hint="please report the architecture; rawbpf/kernel/arch.py is the table",
        )
    return number
