# SPDX-License-Identifier: BSD-2-Clause
"""Instructions in their final form: CO-RE fixes applied, subprograms appended, maps, data and externs put in.

The order is libbpf's: CO-RE once for each function; then, for each program, the subprograms that it calls are copied
behind it, depth first, at their first call; then the references to maps and externs of the whole.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from rawbpf.btf import types as t
from rawbpf.errors import ElfError, RelocationError, SpecError, where
from rawbpf.objfile import insn as i
from rawbpf.objfile.elf import SHN_COMMON, STB_LOCAL, STT_FUNC, STT_SECTION, Symbol
from rawbpf.objfile.externs import KCONFIG, kconfig_layout
from rawbpf.objfile.program_spec import ProgramSpec
from rawbpf.plan.jump_tables import JumpTables
from rawbpf.plan.map_steps import why_not_created
from rawbpf.plan.plan import Note
from rawbpf.plan.probe_read import use_older_reads
from rawbpf.plan.steps import Slot
from rawbpf.plan.target import Modern
from rawbpf.uapi import BtfKind, MapType, PseudoCall, PseudoSrc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.btf.core import CoreFix, CoreResolver
    from rawbpf.btf.parse import Btf
    from rawbpf.errors import SourceLine
    from rawbpf.objfile.insn import Insn
    from rawbpf.objfile.program_spec import FunctionSpec
    from rawbpf.objfile.spec import MapSpec, ObjectSpec
    from rawbpf.plan.externs import Resolved
    from rawbpf.plan.jump_tables import JumpTable
    from rawbpf.plan.target import Features

POISON_CORE = 0xBAD2310
POISON_MAP = 2001000000
POISON_KFUNC = 2002000000
"""Calls of helpers with these numbers are what is left of a reference to something that is not there; the verifier's
"invalid func unknown#N" then names the place, if it is reached. The numbers are libbpf's: people search for them."""

EXCEPTION_TAG = "exception_callback:"
"""The declaration tag by which a program names the function that bpf_throw() ends in (Linux 6.7)."""

_SIZES = {1: i.B, 2: i.H, 4: i.W, 8: i.DW}
_BYTES = {size: count for count, size in _SIZES.items()}


class Linked(NamedTuple):
    """A program with its subprograms behind it.

    Attributes:
        insns: all slots. slots: where file descriptors are missing.
        functions: the functions in it, with the slot at which each begins.
        notes: what was done to which instruction.
        jump_tables: where its indirect jumps may go.
    """

    insns: list[Insn]
    slots: list[Slot]
    functions: list[tuple[FunctionSpec, int]]
    notes: list[Note]
    jump_tables: list[JumpTable]


class Linker:
    """Links the programs of one object for one kernel.

    Args:
        spec: the object.
        resolver: answers CO-RE relocations; None when the object has none.
        externs: the externs, resolved.
        fd_array: the modules' handles, as kfunc calls number them.
        loaded: the names of the programs that will be loaded; CO-RE is not asked for the others.
        arena_offset: where in the arena its globals begin, in bytes.
        features: what the kernel can do; by default all.
    """

    def __init__(
        self,
        spec: ObjectSpec,
        resolver: CoreResolver | None,
        externs: dict[str, Resolved],
        fd_array: list[str],
        loaded: set[str],
        arena_offset: int = 0,
        features: Features | None = None,
    ) -> None:
        self._spec = spec
        self._features = features or Modern()
        whys = {name: why_not_created(map_, self._features) for name, map_ in spec.maps.items()}
        self._absent = {name: why for name, why in whys.items() if why}
        self._externs = externs
        self._fd_array = fd_array
        text = spec.elf.find(".text")
        self._text_index = text.idx if text else -1
        functions = [*spec.functions.values(), *(p for p in spec.programs.values() if p.name in loaded)]
        self._by_section: dict[str, list[FunctionSpec]] = {}
        placed = [f for f in functions if f.insns and not (isinstance(f, ProgramSpec) and f.replaced)]
        for function in sorted(placed, key=lambda f: f.start):
            self._by_section.setdefault(function.section, []).append(function)
        self._starts = {name: [function.start for function in found] for name, found in self._by_section.items()}
        self._bodies = {f.name: list(f.insns) for f in functions}
        self._kconfig, _size = kconfig_layout([e for e in spec.externs.values() if e.kind == "kconfig"])
        self._maps = {(m.section_index, m.offset): m for m in spec.maps.values() if m.kind == "map"}
        self._data = {m.contents_index: m for m in spec.maps.values() if m.contents_index}
        self._arena_offset = arena_offset
        self._map_numbers = {name: number for number, name in enumerate(spec.maps)}
        self._callbacks = _exception_callbacks(spec.btf) if spec.btf is not None else {}
        if resolver is not None:
            self._apply_core(resolver)
        self._calls = {name: _call_slots(body, self._text_index) for name, body in self._bodies.items()}

    # -- CO-RE

    def _apply_core(self, resolver: CoreResolver) -> None:
        ext = self._spec.btf_ext
        assert ext is not None
        for section in ext.core_relo_sections():
            for relo in ext.core_relos(section):
                slot, rest = divmod(relo.insn_off, i.INSN_SIZE)
                if rest:
                    raise ElfError(f"a CO-RE relocation at byte {relo.insn_off} is at no instruction", section=section)
                function = self._at(section, slot)
                if function is None:
                    continue  # of a program that is not loaded or has other instructions, or a weak function
                slot -= function.start
                body = self._bodies[function.name]
                with where(symbol=function.name, insn=slot, source=partial(self.source, body, slot)):
                    own(body, slot)
                    apply_fix(body, slot, resolver.resolve(relo))

    def source(self, insns: list[Insn], slot: int) -> SourceLine | None:
        """The line of C that an instruction came from."""
        btf = self._spec.btf
        while slot >= 0 and btf is not None:
            line = insns[slot].line
            if line is not None:
                return line.source(btf)
            slot -= 1
        return None

    # -- subprograms

    def link(self, program: ProgramSpec) -> Linked:
        """The program with all that it calls. Raises `RelocationError` for a reference to what the object has not."""
        out: list[Insn] = []
        functions: list[tuple[FunctionSpec, int]] = []
        self._append(program, out, functions)
        callback = self._exception_callback(program)
        if callback is not None and all(function is not callback for function, _base in functions):
            self._append(callback, out, functions)
        tables = JumpTables(self._spec, program.name, functions, len(out))
        slots = self._references(out, tables)
        use_older_reads(out, self._features)
        return Linked(out, slots, functions, self._notes(out), list(tables.found.values()))

    def _exception_callback(self, program: ProgramSpec) -> FunctionSpec | None:
        names = self._callbacks.get(program.func_info.type_id, []) if program.func_info else []
        if len(names) != 1:
            return None  # of several the verifier will complain
        function = self._spec.functions.get(names[0])
        if function is None or not function.is_global or function.hidden:
            raise SpecError(f"the exception callback {names[0]!r} is no global, visible function without SEC()")
        return function

    def _append(self, function: FunctionSpec, out: list[Insn], functions: list[tuple[FunctionSpec, int]]) -> None:
        # a function, and behind it what it calls and is not there yet: depth first, each at its first call
        positions = {known.name: base for known, base in functions[1:]}

        def place(callee: FunctionSpec) -> tuple[FunctionSpec, int, Iterator[int]]:
            functions.append((callee, len(out)))
            positions[callee.name] = len(out)
            out.extend(self._bodies[callee.name])
            return callee, positions[callee.name], iter(self._calls[callee.name])

        stack = [place(function)]
        while stack:
            caller, base, slots = stack[-1]
            for slot in slots:
                insn = own(out, base + slot)
                with where(symbol=caller.name, insn=slot, source=partial(self.source, out, base + slot)):
                    callee = self._callee(caller, slot, insn)
                known = callee.name in positions
                if not known:
                    stack.append(place(callee))
                insn.imm = positions[callee.name] - (base + slot) - 1
                if insn.code == i.LD_IMM64:
                    insn.src = PseudoSrc.FUNC
                insn.note = f"{'address of' if insn.code == i.LD_IMM64 else 'call of'} subprogram {callee.name}"
                if not known:
                    break
            else:
                stack.pop()

    def _callee(self, caller: FunctionSpec, slot: int, insn: Insn) -> FunctionSpec:
        relo = insn.relo
        if relo is None:
            target = caller.start + slot + insn.imm + 1
            section = caller.section_index
        elif insn.code == i.LD_IMM64:
            target = (relo.symbol.value + insn.imm) // i.INSN_SIZE
            section = relo.symbol.shndx
        else:
            target = relo.symbol.value // i.INSN_SIZE + insn.imm + 1
            section = relo.symbol.shndx
        if section != self._text_index:
            name = self._symbol_name(relo.symbol) if relo else f"instruction {target}"
            raise RelocationError(
                f"a call of {name}: subprograms must be in .text",
                hint="remove SEC() from the function that is called, or call it by a tail call",
            )
        function = self._at(".text", target)
        if function is None:
            raise RelocationError(f"a call goes to slot {target} of .text, where no function is")
        return function

    def _at(self, section: str, slot: int) -> FunctionSpec | None:
        # the function that has the slot of the section, of those that are linked
        place = bisect_right(self._starts.get(section, []), slot) - 1
        function = self._by_section[section][place] if place >= 0 else None
        return function if function and slot - function.start < len(function.insns) else None

    # -- maps, data, externs

    def _references(self, insns: list[Insn], tables: JumpTables) -> list[Slot]:
        slots: list[Slot] = []
        for slot, insn in enumerate(insns):
            relo = insn.relo
            if relo is None or insn.is_pseudo_func or (insn.is_pseudo_call and not relo.symbol.extern):
                continue
            with where(insn=slot, source=partial(self.source, insns, slot)):
                insn = own(insns, slot)
                if insn.is_ld_imm64 and tables.holds(relo.symbol):
                    insn.src, insn.imm, insn.note = PseudoSrc.MAP_VALUE, 0, f"jump table {relo.symbol.name}"
                    slots.append(Slot(slot * i.INSN_SIZE + 4, tables.handle(relo.symbol, slot)))
                elif insn.is_ld_imm64:
                    self._load(insns, slot, relo.symbol, slots)
                elif insn.is_pseudo_call:
                    self._kfunc(insn, relo.symbol)
                else:
                    raise RelocationError(
                        f"a relocation against {self._symbol_name(relo.symbol)} at {insn}, which cannot hold it"
                    )
        return slots

    def _symbol_name(self, symbol: Symbol) -> str:
        section = self._spec.elf.section_name(symbol.shndx)
        if 0 < symbol.shndx < len(self._spec.elf.sections):
            section = f"section {section}"
        return f"{symbol.name!r} in {section}" if symbol.name else section

    def _load(self, insns: list[Insn], slot: int, symbol: Symbol, slots: list[Slot]) -> None:
        if slot + 1 >= len(insns):
            raise RelocationError("an ld_imm64 lacks its second half")
        first, second = insns[slot], insns[slot + 1]
        if symbol.extern:
            self._load_extern(insns, slot, symbol, slots)
            return
        map_ = self._maps.get((symbol.shndx, symbol.value))
        if map_ is not None:
            self._load_map(insns, slot, map_, PseudoSrc.MAP_FD, slots)
            return
        map_ = self._data.get(symbol.shndx)
        if map_ is None:
            raise RelocationError(
                f"{self._symbol_name(symbol)} is neither map nor variable",
                hint="compile with -fno-common: the variable has no section yet"
                if symbol.shndx == SHN_COMMON
                else 'variables are in .data, .rodata, .bss, and sections whose names go on from there: SEC(".data.x")',
            )
        # the offset is in both halves: that of the symbol in its value, that inside of it in the instruction
        begin = self._arena_offset if map_.map_type == MapType.ARENA else 0
        second.imm = i.s32(first.imm + symbol.value + begin)
        self._load_map(insns, slot, map_, PseudoSrc.MAP_VALUE, slots)

    def _load_map(self, insns: list[Insn], slot: int, map_: MapSpec, src: PseudoSrc, slots: list[Slot]) -> None:
        first = insns[slot]
        if map_.name in self._absent:
            for insn in insns[slot : slot + 2]:
                poison(insn, POISON_MAP + self._map_numbers[map_.name])
            first.note = f"poisoned: map {map_.name} is not created: {self._absent[map_.name]}"
            return
        first.src, first.imm = src, 0
        slots.append(Slot(slot * i.INSN_SIZE + 4, f"map:{map_.name}"))
        inside = f" + {insns[slot + 1].imm}" if src == PseudoSrc.MAP_VALUE else ""
        first.note = f"map {map_.name}{inside}"

    def _load_extern(self, insns: list[Insn], slot: int, symbol: Symbol, slots: list[Slot]) -> None:
        first, second = insns[slot], insns[slot + 1]
        if symbol.name in self._kconfig:
            second.imm = i.s32(first.imm + self._kconfig[symbol.name])
            self._load_map(insns, slot, self._spec.maps[KCONFIG], PseudoSrc.MAP_VALUE, slots)
            if KCONFIG not in self._absent:
                first.note = f"kconfig {symbol.name}"
            return
        extern = self._extern(symbol)
        if extern.found and extern.btf_id:
            first.src, first.imm, second.imm = PseudoSrc.BTF_ID, extern.btf_id, 0
            if extern.module:
                slots.append(Slot((slot + 1) * i.INSN_SIZE + 4, extern.module.handle))
        else:
            i.set_imm64(first, second, extern.address)
        first.note = f"{extern.extern.kind} {symbol.name}: {extern.note}"

    def _kfunc(self, insn: Insn, symbol: Symbol) -> None:
        extern = self._extern(symbol)
        if not extern.found:
            poison(insn, POISON_KFUNC + extern.number)
        else:
            insn.src, insn.imm = PseudoCall.KFUNC_CALL, extern.btf_id
            insn.off = self._fd_array.index(extern.module.handle) if extern.module else 0
        insn.note = f"{'' if extern.found else 'poisoned: '}kfunc {symbol.name}: {extern.note}"

    def _extern(self, symbol: Symbol) -> Resolved:
        try:
            return self._externs[symbol.name]
        except KeyError:
            raise SpecError(f"{symbol.name!r} is not declared as extern in BTF", symbol=symbol.name) from None

    def _notes(self, insns: list[Insn]) -> list[Note]:
        notes, btf, line = [], self._spec.btf, None
        for slot, insn in enumerate(insns):
            line = insn.line or line
            if insn.note is not None:
                notes.append(Note(slot, insn.note, line.source(btf) if line and btf is not None else None))
        return notes


def _exception_callbacks(btf: Btf) -> dict[int, list[str]]:
    # id of a FUNC → the functions that it names by declaration tags
    found: dict[int, list[str]] = {}
    for type_id in btf.ids():
        if btf.kind(type_id) == BtfKind.DECL_TAG and btf.name_of(type_id).startswith(EXCEPTION_TAG):
            tag = btf.type(type_id)
            assert isinstance(tag, t.DeclTag)
            if tag.component == -1:
                found.setdefault(tag.type_id, []).append(tag.name.removeprefix(EXCEPTION_TAG))
    return found


def _is_subprogram(symbol: Symbol, text_index: int) -> bool:
    # a static function is named by its section, a global one by itself
    local = symbol.bind == STB_LOCAL and symbol.type == STT_SECTION
    return symbol.shndx == text_index and (local or symbol.type == STT_FUNC)


def _call_slots(insns: list[Insn], text_index: int) -> list[int]:
    # the slots that call a subprogram or take its address
    found = []
    for slot, insn in enumerate(insns):
        if insn.code == i.CALL_IMM:
            if insn.src == PseudoCall.CALL and not (insn.relo and insn.relo.symbol.extern):
                found.append(slot)
        elif insn.code == i.LD_IMM64 and insn.relo and _is_subprogram(insn.relo.symbol, text_index):
            found.append(slot)
    return found


def own(insns: list[Insn], slot: int) -> Insn:
    """Make the instruction at `slot` one that may be changed: all others are still those of the spec."""
    insn = insns[slot] = insns[slot].copy()
    if insn.is_ld_imm64 and slot + 1 < len(insns):
        insns[slot + 1] = insns[slot + 1].copy()
    return insn


def poison(insn: Insn, number: int) -> None:
    """Make an instruction one that the verifier refuses if it is reached: a call of a helper that does not exist."""
    insn.code, insn.dst, insn.src, insn.off, insn.imm = i.CALL_IMM, 0, 0, 0, number


def apply_fix(insns: list[Insn], slot: int, fix: CoreFix) -> None:
    """Write a CO-RE fix into the instruction at `slot`.

    Raises:
        RelocationError: the instruction holds another value than the object's types say, or cannot hold one.
    """
    insn = insns[slot]
    name = fix.kind_name
    where_to = f" ({fix.target})" if fix.target else ""
    memory = insn.is_memory_access
    if fix.poison or (memory and not fix.resizable):
        if insn.is_ld_imm64 and slot + 1 < len(insns):
            poison(insns[slot + 1], POISON_CORE)
        poison(insn, POISON_CORE)
        why = "no such thing in the kernel" if fix.poison else "the kernel's field has another size or signedness"
        insn.note = f"poisoned: CO-RE {name} {fix.access}: {why}{where_to}"
        return
    if memory:
        _fix_memory(insn, fix)
    elif insn.is_ld_imm64 and slot + 1 < len(insns):
        if fix.validate and i.imm64(insn, insns[slot + 1]) != fix.old:
            raise _unexpected(fix, i.imm64(insn, insns[slot + 1]))
        i.set_imm64(insn, insns[slot + 1], fix.new)
    elif insn.code & i.CLASS_MASK in (i.ALU, i.ALU64) and not insn.code & i.X:
        if fix.validate and insn.imm & 0xFFFFFFFFFFFFFFFF != fix.old:
            raise _unexpected(fix, insn.imm)
        insn.imm = i.s32(fix.new)
    else:
        raise RelocationError(f"CO-RE {name} {fix.access}: an instruction with opcode {insn.code:#x} cannot hold it")
    insn.note = f"CO-RE {name} {fix.access}: {fix.old} -> {fix.new}{where_to}"


def _fix_memory(insn: Insn, fix: CoreFix) -> None:
    if fix.validate and insn.off != fix.old:
        raise _unexpected(fix, insn.off)
    if fix.new > 0x7FFF:
        raise RelocationError(f"{fix.access}: offset {fix.new} does not fit into the instruction (32767 at most)")
    insn.off = fix.new
    if fix.old_size != fix.new_size:
        if _BYTES[insn.code & i.SIZE_MASK] != fix.old_size or fix.new_size not in _SIZES:
            raise RelocationError(
                f"{fix.access}: a load of {_BYTES[insn.code & i.SIZE_MASK]} bytes cannot be made one of {fix.new_size}"
            )
        insn.code = insn.code & ~i.SIZE_MASK | _SIZES[fix.new_size]


def _unexpected(fix: CoreFix, found: int) -> RelocationError:
    return RelocationError(
        f"CO-RE {fix.access}: the instruction holds {found}, the object's own types say {fix.old}",
        hint="BTF and code of the object do not belong together: compile it again",
    )
