# SPDX-License-Identifier: BSD-2-Clause
"""Reads of kernel and user memory on kernels before 5.5, which have one helper for both.

``bpf_probe_read_kernel`` and its kin came with kernel commit 6ae08ae3dea2 ("bpf: Add probe_read_{user, kernel} and
probe_read_{user, kernel}_str helpers"). The older ``bpf_probe_read`` does the same where the two kinds of addresses do
not overlap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.objfile import insn as i
from rawbpf.uapi import HELPERS

if TYPE_CHECKING:
    from rawbpf.objfile.insn import Insn
    from rawbpf.plan.target import Features

FEATURE = "probe_read_kernel"

_OLDER = {
    HELPERS.index(f"bpf_probe_read_{memory}{suffix}"): HELPERS.index(f"bpf_probe_read{suffix}")
    for memory in ("kernel", "user")
    for suffix in ("", "_str")
}


def use_older_reads(insns: list[Insn], features: Features) -> None:
    """Replace calls of the newer helpers if the kernel has only the older; it is asked only if there are any."""
    calls = [slot for slot, insn in enumerate(insns) if insn.code == i.CALL_IMM and not insn.src and insn.imm in _OLDER]
    if not calls or features.has(FEATURE):
        return
    for slot in calls:
        insn = insns[slot] = insns[slot].copy()
        older = _OLDER[insn.imm]
        insn.note = f"{HELPERS[older]} for {HELPERS[insn.imm]}, which the kernel does not have (Linux 5.5)"
        insn.imm = older
