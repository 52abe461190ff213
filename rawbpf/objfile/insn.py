# SPDX-License-Identifier: BSD-2-Clause
"""BPF instructions: ``struct bpf_insn`` (linux/bpf.h) to objects and back, and what relocation asks of them.

The format is in Documentation/bpf/standardization/instruction-set.rst (RFC 9669). One object stands for one slot of 8
bytes, so that indexes into a list of them are the slots of jumps, func_info and line_info.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from rawbpf.errors import ElfError, SpecError
from rawbpf.uapi import PseudoCall, PseudoSrc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rawbpf.btf.ext import LineInfo
    from rawbpf.objfile.elf import Relocation

INSN_SIZE = 8
"""Bytes of one slot."""

# The opcode byte. Bits 0-2: class.
LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
CLASS_MASK = 0x07

# Of the classes LD, LDX, ST, STX: bits 3-4 are the size, bits 5-7 the mode.
W, H, B, DW = 0x00, 0x08, 0x10, 0x18
SIZE_MASK = 0x18
IMM, ABS, IND, MEM, MEMSX, ATOMIC = 0x00, 0x20, 0x40, 0x60, 0x80, 0xC0
MODE_MASK = 0xE0

# Of the other classes: bit 3 says where the operand is (K: imm, X: src), bits 4-7 are the operation.
K, X = 0x00, 0x08
ADD, SUB, MUL, DIV, OR, AND, LSH, RSH = range(0x00, 0x80, 0x10)
NEG, MOD, XOR, MOV, ARSH, END = range(0x80, 0xE0, 0x10)
JA, JEQ, JGT, JGE, JSET, JNE, JSGT, JSGE = range(0x00, 0x80, 0x10)
CALL, EXIT, JLT, JLE, JSLT, JSLE, JCOND = range(0x80, 0xF0, 0x10)
OP_MASK = 0xF0

# Atomic operations, in imm: those of ALU, and these.
FETCH = 0x01
XCHG, CMPXCHG = 0xE0 | FETCH, 0xF0 | FETCH
LOAD_ACQ, STORE_REL = 0x100, 0x110

LD_IMM64 = LD | IMM | DW
CALL_IMM = JMP | CALL | K
CALL_REG = JMP | CALL | X
EXIT_INSN = JMP | EXIT
GOTOL = JMP32 | JA

_LITTLE = struct.Struct("<BBhi")
_BIG = struct.Struct(">BBhi")


class Insn:
    """One 8-byte slot of ``struct bpf_insn``. ld_imm64 takes two slots, the second with code 0.

    Two are equal when their bytes are; the story that rides along (``relo``, ``line``, ``note``) does not count.

    Attributes:
        code: opcode, u8.
        dst: destination register, u4.
        src: source register, or what a call or ld_imm64 refers to (`PseudoCall`, `PseudoSrc`), u4.
        off: offset, s16: bytes of a memory access, slots of a jump.
        imm: immediate operand, s32.
        relo: the ELF relocation of this slot.
        line: the line of C source that begins at this slot.
        note: what was done to it, for explanations.
    """

    __slots__ = ("code", "dst", "imm", "line", "note", "off", "relo", "src")
    __hash__ = None  # type: ignore[assignment]  # it is mutable

    def __init__(self, code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> None:
        self.code = code
        self.dst = dst
        self.src = src
        self.off = off
        self.imm = imm
        self.relo: Relocation | None = None
        self.line: LineInfo | None = None
        self.note: str | None = None

    def copy(self) -> Insn:
        """A slot of its own, with the same story."""
        twin = Insn(self.code, self.dst, self.src, self.off, self.imm)
        twin.relo, twin.line, twin.note = self.relo, self.line, self.note
        return twin

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Insn):
            return NotImplemented
        return (self.code, self.dst, self.src, self.off, self.imm) == (
            other.code,
            other.dst,
            other.src,
            other.off,
            other.imm,
        )

    def __repr__(self) -> str:
        return f"Insn({self.code:#04x}, dst={self.dst}, src={self.src}, off={self.off}, imm={self.imm})"

    @property
    def is_ld_imm64(self) -> bool:
        """The first slot of a 64-bit constant, map, variable or function address."""
        return self.code == LD_IMM64

    @property
    def is_pseudo_func(self) -> bool:
        """An ld_imm64 that takes the address of a subprogram (a callback)."""
        return self.code == LD_IMM64 and self.src == PseudoSrc.FUNC

    @property
    def is_call(self) -> bool:
        """A call of anything: helper, subprogram, kfunc."""
        return self.code == CALL_IMM

    @property
    def is_helper_call(self) -> bool:
        """A call of the helper number ``imm``."""
        return self.code == CALL_IMM and self.src == 0

    @property
    def is_pseudo_call(self) -> bool:
        """A call of a subprogram, ``imm + 1`` slots from here."""
        return self.code == CALL_IMM and self.src == PseudoCall.CALL

    @property
    def is_kfunc_call(self) -> bool:
        """A call of the kernel function with BTF id ``imm``; ``off`` is its place in fd_array."""
        return self.code == CALL_IMM and self.src == PseudoCall.KFUNC_CALL

    @property
    def is_exit(self) -> bool:
        return self.code == EXIT_INSN

    @property
    def is_memory_access(self) -> bool:
        """LDX, ST or STX: ``off`` is an offset in bytes, the opcode tells the size."""
        return LDX <= self.code & CLASS_MASK <= STX

    @property
    def jump_offset(self) -> int | None:
        """How many slots after the next one the jump goes, or None when this is no jump."""
        if self.code & CLASS_MASK not in (JMP, JMP32) or self.code & OP_MASK in (CALL, EXIT):
            return None
        return self.imm if self.code == GOTOL else self.off


def decode(data: bytes | memoryview, *, little: bool) -> list[Insn]:
    """The slots of a code section, whose byte order is ``little`` or big endian.

    Raises:
        ElfError: the size is no multiple of 8.
    """
    if len(data) % INSN_SIZE:
        raise ElfError(f"{len(data)} bytes of code are no multiple of {INSN_SIZE}")
    if little:
        return [Insn(code, regs & 15, regs >> 4, off, imm) for code, regs, off, imm in _LITTLE.iter_unpack(data)]
    return [Insn(code, regs >> 4, regs & 15, off, imm) for code, regs, off, imm in _BIG.iter_unpack(data)]


def encode(insns: Iterable[Insn], *, little: bool) -> bytes:
    """The bytes of the slots; ``decode`` of it gives equal ones.

    Raises:
        SpecError: a field does not fit its place.
    """
    pack = _LITTLE.pack if little else _BIG.pack
    out = bytearray()
    for insn in insns:
        regs = insn.dst | insn.src << 4 if little else insn.dst << 4 | insn.src
        try:
            out += pack(insn.code, regs, insn.off, insn.imm)
        except struct.error:
            raise SpecError(f"a field of {insn} does not fit", insn=len(out) // INSN_SIZE) from None
    return bytes(out)


def imm64(first: Insn, second: Insn) -> int:
    """The unsigned 64-bit constant in the two slots of an ld_imm64."""
    return (second.imm & 0xFFFFFFFF) << 32 | first.imm & 0xFFFFFFFF


def set_imm64(first: Insn, second: Insn, value: int) -> None:
    """Put a 64-bit constant, signed or unsigned, into the two slots of an ld_imm64."""
    first.imm = s32(value)
    second.imm = s32(value >> 32)


def s32(value: int) -> int:
    """The low 32 bits as the signed number that ``imm`` holds."""
    return ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
