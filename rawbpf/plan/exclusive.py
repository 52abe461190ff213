# SPDX-License-Identifier: BSD-2-Clause
"""Exclusive maps: what the kernel compares to tell whether a program may use one (Linux 6.18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.objfile.insn import INSN_SIZE, LD_IMM64, encode
from rawbpf.uapi import PseudoSrc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rawbpf.objfile.insn import Insn


def program_hash(insns: Sequence[Insn], *, little: bool) -> bytes:
    """The SHA-256 of a linked program, as bpf_prog_calc_tag() in the kernel takes it: references to maps count as 0."""
    from hashlib import sha256

    code = bytearray(encode(insns, little=little))
    for slot, insn in enumerate(insns):
        if insn.code == LD_IMM64 and insn.src in (PseudoSrc.MAP_FD, PseudoSrc.MAP_VALUE):
            for half in (slot, slot + 1):
                imm = half * INSN_SIZE + 4
                code[imm : imm + 4] = bytes(4)
    return sha256(code).digest()
