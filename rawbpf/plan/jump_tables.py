# SPDX-License-Identifier: BSD-2-Clause
"""Jump tables: what ``.jumptables`` says of indirect jumps becomes maps of instructions, one for each use of a table.

A table is an array of u64: byte offsets of instructions in the section that its function is from. A program that
jumps by it needs an instruction array (``BPF_MAP_TYPE_INSN_ARRAY``, Linux 6.19) with the slots that these instructions
have in that program, frozen before it is loaded. clang 22 and newer makes such tables, for -mcpu=v4.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from rawbpf.errors import SpecError, where
from rawbpf.objfile.insn import INSN_SIZE
from rawbpf.plan import steps as s
from rawbpf.uapi import MapType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rawbpf.objfile.elf import Symbol
    from rawbpf.objfile.program_spec import FunctionSpec
    from rawbpf.objfile.spec import ObjectSpec

SECTION = ".jumptables"
ENTRY_SIZE = 8
VALUE_SIZE = 16  # struct bpf_insn_array_value: orig_off, and three words that are the kernel's


class JumpTable(NamedTuple):
    """A table as one program uses it: `targets` are slots in that program."""

    handle: str
    targets: tuple[int, ...]


class JumpTables:
    """The tables of one program, collected while its instructions are linked.

    Args:
        spec: the object.
        program: the program's name.
        functions: the functions in the program, with the slot at which each begins.
        size: how many slots the program has.

    Attributes:
        found: the tables that were asked for, in that order.
    """

    def __init__(
        self, spec: ObjectSpec, program: str, functions: Sequence[tuple[FunctionSpec, int]], size: int
    ) -> None:
        self._section = spec.elf.find(SECTION)
        self._word = "<Q" if spec.little else ">Q"
        self._program = program
        self._functions = functions
        self._size = size
        self.found: dict[int, JumpTable] = {}

    def holds(self, symbol: Symbol) -> bool:
        """Whether a symbol is that of a table."""
        return self._section is not None and symbol.shndx == self._section.idx

    def handle(self, symbol: Symbol, slot: int) -> str:
        """The handle of the map for a table that the instruction at `slot` of the program names.

        Raises:
            SpecError: it is no table, or goes to something outside of the instruction's function.
        """
        if symbol.value not in self.found:
            with where(section=SECTION, symbol=symbol.name or None):
                targets = tuple(self._targets(symbol, slot))
            self.found[symbol.value] = JumpTable(f"map:{self._program}{SECTION}+{symbol.value:#x}", targets)
        return self.found[symbol.value].handle

    def _targets(self, symbol: Symbol, slot: int) -> Iterator[int]:
        data = self._section.data if self._section else b""
        begin, end = symbol.value, symbol.value + symbol.size
        if begin % ENTRY_SIZE or symbol.size % ENTRY_SIZE or not symbol.size or end > len(data):
            raise SpecError(f"a jump table at {begin}+{symbol.size} is no array of u64 in {len(data)} bytes")
        function, base = max((f for f in self._functions if f[1] <= slot), key=lambda f: f[1])
        for (offset,) in struct.iter_unpack(self._word, data[begin:end]):
            target = offset // INSN_SIZE - function.start + base
            if not 0 <= target < self._size:
                raise SpecError(
                    f"the jump table leads to byte {offset} of {function.section}, which is not in the program"
                )
            yield target


def create_jump_tables(tables: Sequence[JumpTable], *, little: bool) -> Iterator[s.Step]:
    """The steps that make the maps of a program's tables; they come before the program."""
    order = "<" if little else ">"
    for handle, targets in tables:
        yield s.CreateMap(
            handle,
            SECTION,
            int(MapType.INSN_ARRAY),
            key_size=4,
            value_size=VALUE_SIZE,
            max_entries=len(targets),
            kind="jumptable",
            reason="where the program's indirect jumps go",
        )
        for index, target in enumerate(targets):
            value = struct.pack(f"{order}I12x", target)
            yield s.UpdateMap(handle, struct.pack(f"{order}I", index), value, reason=f"goes to instruction {target}")
        yield s.FreezeMap(handle, "the verifier takes only a table that nobody changes any more")
