# SPDX-License-Identifier: BSD-2-Clause
"""The number of bpf(2) on each architecture that Linux has or had (arch/*/**/syscall*.tbl, scripts/syscall.tbl)."""

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


def bpf_number(machine: str = "", pointer_size: int = 0, multiarch: str | None = None) -> int:
    """The number of bpf(2) for this process; the arguments are for asking about another one.

    The kernel's machine is not enough: a 32-bit Python on a 64-bit kernel has the numbers of the 32-bit architecture,
    and x32 and MIPS n32, 32-bit processes too, have numbers of their own (told by Python's multiarch triplet).

    Raises:
        NotSupportedError: the architecture is not known.
    """
    machine = machine or os.uname().machine
    pointer_size = pointer_size or struct.calcsize("P")
    if multiarch is None:
        multiarch = getattr(sys.implementation, "_multiarch", "")
    if multiarch.endswith("gnux32"):
        return _X32_BIT + 321
    if "abin32" in multiarch:
        return 6319
    known = [name for name in _NUMBERS if machine.startswith(name)]
    wide, narrow = _NUMBERS[max(known, key=len)] if known else (None, None)
    number = wide if pointer_size == 8 else narrow
    if number is None:
        raise NotSupportedError(
            "known bpf(2) number",
            message=f"the number of bpf(2) for {8 * pointer_size}-bit processes on {machine!r} is not known",
            hint="please report the architecture; rawbpf/kernel/arch.py is the table",
        )
    return number
