# SPDX-License-Identifier: BSD-2-Clause
"""A few instructions by hand, and plans made of them, for tests that need no compiler."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING

from rawbpf.plan import steps as s
from rawbpf.plan.plan import Plan, PlannedVariable
from rawbpf.uapi import HELPERS, MapFlag, MapType, ProgType

if TYPE_CHECKING:
    from collections.abc import Sequence


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """``struct bpf_insn``."""
    registers = dst | src << 4 if sys.byteorder == "little" else dst << 4 | src
    return struct.pack("=BBhi", code, registers, off, imm)


def mov(dst: int, imm: int) -> bytes:
    """``dst = imm``"""
    return insn(0xB7, dst, imm=imm)


def map_value(dst: int, fd: int = 0, offset: int = 0) -> bytes:
    """``dst = &value of a map's first element + offset``; the descriptor is the imm of the first half."""
    return insn(0x18, dst, 2, imm=fd) + insn(0, imm=offset)


def call(helper: str) -> bytes:
    """``r0 = helper()``"""
    return insn(0x85, imm=HELPERS.index(helper))


EXIT = insn(0x95)
RETURN_0 = mov(0, 0) + EXIT
# r1 = &counter; lock *(u64 *)r1 += r2 where r2 = 1; return 0
COUNT = map_value(1) + mov(2, 1) + insn(0xDB, 1, 2, imm=0) + RETURN_0
BAD = insn(0x61, 0, 1, off=4000) + EXIT  # r0 = *(u32 *)(r1 + 4000): outside of any context


def plan(steps: Sequence[s.Step], variables: Sequence[PlannedVariable] = ()) -> Plan:
    """A plan for this machine."""
    return Plan("hand", "hand.o", "test", tuple(steps), tuple(variables), little=sys.byteorder == "little")


def counter_steps() -> list[s.Step]:
    """A program that counts its runs in a data section, and one that returns 0."""
    return [
        s.CreateMap("map:.data", "hand.data", MapType.ARRAY, 4, 8, 1, MapFlag.MMAPABLE, kind="data"),
        s.UpdateMap("map:.data", bytes(4), struct.pack("=Q", 5)),
        s.CreateMap("map:table", "table", MapType.HASH, 4, 8, 16, kind="map"),
        program("count", COUNT, [s.Slot(4, "map:.data")]),
        program("zero", RETURN_0),
    ]


def program(
    name: str, insns: bytes, slots: Sequence[s.Slot] = (), kind: ProgType = ProgType.SOCKET_FILTER
) -> s.LoadProgram:
    """The step that loads a program."""
    return s.LoadProgram(f"prog:{name}", name, "socket", kind, 0, insns, tuple(slots), "GPL")
