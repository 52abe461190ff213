# SPDX-License-Identifier: BSD-2-Clause
"""Instructions as text, in the notation that llvm-objdump and the verifier's log share.

Offsets and jumps are decimal, constants hexadecimal; ``w3`` is the lower half of ``r3``. A slot that is no instruction
reads ``.insn 0x...``: opcode (2 digits), dst, src (1 each), off (4), imm (8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.objfile import insn as op
from rawbpf.objfile.insn import Insn, imm64
from rawbpf.uapi import HELPERS, PseudoSrc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rawbpf.btf.parse import Btf

_ALU_OPS = {
    op.ADD: "+=",
    op.SUB: "-=",
    op.MUL: "*=",
    op.DIV: "/=",
    op.OR: "|=",
    op.AND: "&=",
    op.LSH: "<<=",
    op.RSH: ">>=",
    op.MOD: "%=",
    op.XOR: "^=",
    op.MOV: "=",
    op.ARSH: "s>>=",
}
_COMPARISONS = {
    op.JEQ: "==",
    op.JGT: ">",
    op.JGE: ">=",
    op.JSET: "&",
    op.JNE: "!=",
    op.JSGT: "s>",
    op.JSGE: "s>=",
    op.JLT: "<",
    op.JLE: "<=",
    op.JSLT: "s<",
    op.JSLE: "s<=",
}
_BITS = {op.B: 8, op.H: 16, op.W: 32, op.DW: 64}
_ATOMIC_OPS = {op.ADD: ("+=", "add"), op.OR: ("|=", "or"), op.AND: ("&=", "and"), op.XOR: ("^=", "xor")}


def disassemble(
    insns: Sequence[Insn],
    *,
    helpers: Sequence[str] = HELPERS,
    labels: Mapping[int, str] | None = None,
    section_name: Callable[[int], str] = "section {}".format,
) -> Iterator[tuple[int, str]]:
    """Every instruction's slot and text; the second slot of an ld_imm64 goes with the first.

    The symbol of a relocation and the instruction's note follow behind a ``;``.

    Args:
        insns: whole programs or sections.
        helpers: the names of helper functions by their number.
        labels: names of slots: a jump shows the name instead of the distance (see `jump_labels`).
        section_name: the name of a section by its index, for relocations against a section.
    """
    slot = 0
    while slot < len(insns):
        insn = insns[slot]
        second = _second_slot(insns, slot)
        offset = insn.jump_offset
        label = labels.get(slot + 1 + offset) if labels and offset is not None else None
        text = _text(insn, second, helpers, label) or _unknown(insn)
        remarks = [remark for remark in (_symbol(insn, section_name), insn.note) if remark]
        yield slot, f"{text}  ; {'; '.join(remarks)}" if remarks else text
        slot += 1 if second is None else 2


def jump_labels(insns: Sequence[Insn]) -> dict[int, str]:
    """A name, ``L1`` and so on in order, for each slot that a jump leads to."""
    offsets = ((slot, insn.jump_offset) for slot, insn in enumerate(insns))
    targets = {slot + 1 + offset for slot, offset in offsets if offset is not None}
    return {target: f"L{number}" for number, target in enumerate(sorted(targets), 1) if 0 <= target < len(insns)}


def listing(
    insns: Sequence[Insn],
    *,
    btf: Btf | None = None,
    helpers: Sequence[str] = HELPERS,
    section_name: Callable[[int], str] = "section {}".format,
) -> Iterator[str]:
    """The lines of a listing to read: labels, instructions, and the lines of C where ``btf`` holds their text."""
    labels = jump_labels(insns)
    for slot, text in disassemble(insns, helpers=helpers, labels=labels, section_name=section_name):
        if slot in labels:
            yield f"{labels[slot]}:"
        line = insns[slot].line
        if line is not None and btf is not None:
            source = line.source(btf)
            yield f"; {source}: {source.text.strip()}"
        yield f"{slot:8}: {text}"


def _second_slot(insns: Sequence[Insn], slot: int) -> Insn | None:
    wide = insns[slot].is_ld_imm64 and slot + 1 < len(insns) and not insns[slot + 1].code
    return insns[slot + 1] if wide else None


def _text(insn: Insn, second: Insn | None, helpers: Sequence[str], label: str | None) -> str | None:
    # None: no such instruction
    match insn.code & op.CLASS_MASK:
        case op.LD:
            return _ld_imm64(insn, second) if insn.code == op.LD_IMM64 else _ld_packet(insn)
        case op.LDX:
            return _ldx(insn)
        case op.ST | op.STX:
            return _store(insn)
        case op.ALU | op.ALU64:
            return _alu(insn)
    return _call_or_exit(insn, helpers) or _jump(insn, label or f"{insn.jump_offset or 0:+}")


def _unknown(insn: Insn) -> str:
    return f".insn 0x{insn.code:02x}{insn.dst:x}{insn.src:x}{insn.off & 0xFFFF:04x}{insn.imm & 0xFFFFFFFF:08x}"


def _symbol(insn: Insn, section_name: Callable[[int], str]) -> str | None:
    if insn.relo is None:
        return None
    symbol = insn.relo.symbol
    addend = (insn.imm + 1) * op.INSN_SIZE if insn.is_call else insn.imm
    name = symbol.name or section_name(symbol.shndx)
    return f"{name}{addend:+#x}" if addend and (insn.is_call or insn.is_ld_imm64) else name


def _hex(value: int) -> str:
    return f"{value:#x}"


def _address(register: int, off: int) -> str:
    return f"r{register} {'-' if off < 0 else '+'} {abs(off)}"


def _ld_imm64(insn: Insn, second: Insn | None) -> str | None:
    if second is None:
        return None
    upper = second.imm & 0xFFFFFFFF
    match insn.src:
        case 0:
            value = imm64(insn, second)
            return f"r{insn.dst} = {_hex(value - (1 << 64) if value >> 63 else value)} ll"
        case PseudoSrc.MAP_FD:
            value_text = f"map[fd:{insn.imm}]"
        case PseudoSrc.MAP_VALUE:
            value_text = f"map[fd:{insn.imm}][0]+{upper}"
        case PseudoSrc.MAP_IDX:
            value_text = f"map[idx:{insn.imm}]"
        case PseudoSrc.MAP_IDX_VALUE:
            value_text = f"map[idx:{insn.imm}][0]+{upper}"
        case PseudoSrc.BTF_ID:
            value_text = f"btf_id[{insn.imm}]"
        case PseudoSrc.FUNC:
            value_text = f"subprog[{insn.imm:+}]"
        case _:
            return None
    return f"r{insn.dst} = {value_text} ll"


def _ld_packet(insn: Insn) -> str | None:
    size, mode = insn.code & op.SIZE_MASK, insn.code & op.MODE_MASK
    if size == op.DW or mode not in (op.ABS, op.IND):
        return None
    return f"r0 = *(u{_BITS[size]} *)skb[{_hex(insn.imm) if mode == op.ABS else f'r{insn.src}'}]"


def _ldx(insn: Insn) -> str | None:
    size, mode = insn.code & op.SIZE_MASK, insn.code & op.MODE_MASK
    if mode == op.MEM:
        sign = "u"
    elif mode == op.MEMSX and size != op.DW:
        sign = "s"
    else:
        return None
    return f"r{insn.dst} = *({sign}{_BITS[size]} *)({_address(insn.src, insn.off)})"


def _store(insn: Insn) -> str | None:
    mode, is_st = insn.code & op.MODE_MASK, insn.code & op.CLASS_MASK == op.ST
    if mode == op.ATOMIC and not is_st:
        return _atomic(insn)
    if mode != op.MEM:
        return None
    value = _hex(insn.imm) if is_st else f"r{insn.src}"
    return f"*(u{_BITS[insn.code & op.SIZE_MASK]} *)({_address(insn.dst, insn.off)}) = {value}"


def _atomic(insn: Insn) -> str | None:
    bits = _BITS[insn.code & op.SIZE_MASK]
    register = "r" if bits == 64 else "w"
    source = f"{register}{insn.src}"
    if insn.imm == op.LOAD_ACQ:
        return f"{register}{insn.dst} = load_acquire((u{bits} *)({_address(insn.src, insn.off)}))"
    address = _address(insn.dst, insn.off)
    pointer = f"(u{bits} *)({address})"
    if insn.imm == op.STORE_REL:
        return f"store_release({pointer}, {source})"
    if bits < 32:
        return None
    suffix = "_64" if bits == 64 else "32_32"
    if insn.imm == op.XCHG:
        return f"{source} = xchg{suffix}({address}, {source})"
    if insn.imm == op.CMPXCHG:
        return f"{register}0 = cmpxchg{suffix}({address}, {register}0, {source})"
    if insn.imm & ~op.FETCH not in _ATOMIC_OPS:
        return None
    sign, name = _ATOMIC_OPS[insn.imm & ~op.FETCH]
    if insn.imm & op.FETCH:
        return f"{source} = atomic_fetch_{name}({pointer}, {source})"
    return f"lock *{pointer} {sign} {source}"


def _alu(insn: Insn) -> str | None:
    operation, wide = insn.code & op.OP_MASK, insn.code & op.CLASS_MASK == op.ALU64
    register = "r" if wide else "w"
    dst = f"{register}{insn.dst}"
    by_register = insn.code & op.X
    if operation == op.END:
        return _byte_swap(insn)
    if operation == op.NEG:
        return None if by_register else f"{dst} = -{dst}"
    if operation == op.MOV and by_register and insn.off:
        return _mov_extended(insn)
    signed = operation in (op.DIV, op.MOD) and insn.off == 1
    if operation not in _ALU_OPS or (insn.off and not signed):
        return None
    operand = f"{register}{insn.src}" if by_register else _hex(insn.imm)
    return f"{dst} {'s' * signed}{_ALU_OPS[operation]} {operand}"


def _mov_extended(insn: Insn) -> str | None:
    wide = insn.code & op.CLASS_MASK == op.ALU64
    if wide and insn.off == 1:
        # BPF_ADDR_SPACE_CAST: the two address spaces are in the halves of imm
        spaces = f"{_hex(insn.imm >> 16 & 0xFFFF)}, {_hex(insn.imm & 0xFFFF)}"
        return f"r{insn.dst} = addr_space_cast(r{insn.src}, {spaces})"
    if insn.off not in ((8, 16, 32) if wide else (8, 16)):
        return None
    register = "r" if wide else "w"
    return f"{register}{insn.dst} = (s{insn.off}){register}{insn.src}"


def _byte_swap(insn: Insn) -> str | None:
    to_big = insn.code & op.X
    if insn.imm not in (16, 32, 64):
        return None
    if insn.code & op.CLASS_MASK == op.ALU64:
        return None if to_big else f"r{insn.dst} = bswap{insn.imm} r{insn.dst}"
    return f"r{insn.dst} = {'be' if to_big else 'le'}{insn.imm} r{insn.dst}"


def _call_or_exit(insn: Insn, helpers: Sequence[str]) -> str | None:
    if insn.is_exit:
        return "exit"
    if insn.code == op.CALL_REG:
        return f"callx r{insn.dst}"
    if insn.is_helper_call:
        name = helpers[insn.imm] if 0 <= insn.imm < len(helpers) else "helper"
        return f"call {name}#{insn.imm}"
    if insn.is_pseudo_call:
        return f"call pc{insn.imm:+}"
    return f"call kfunc#{insn.imm}" if insn.is_kfunc_call else None


def _jump(insn: Insn, target: str) -> str | None:
    operation, wide = insn.code & op.OP_MASK, insn.code & op.CLASS_MASK == op.JMP
    if operation == op.JA:
        if insn.code & op.X:
            # BPF_JMP | BPF_JA | BPF_X, an indirect jump. Requires Linux 6.19
            return f"gotox r{insn.dst}" if wide else None
        return f"{'goto' if wide else 'gotol'} {target}"
    if operation == op.JCOND:
        if insn.code != op.JMP | op.JCOND or insn.src > 1:
            return None
        return f"{'goto_or_nop' if insn.src else 'may_goto'} {target}"
    if operation not in _COMPARISONS:
        return None
    register = "r" if wide else "w"
    operand = f"{register}{insn.src}" if insn.code & op.X else _hex(insn.imm)
    return f"if {register}{insn.dst} {_COMPARISONS[operation]} {operand} goto {target}"
