# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawbpf.btf.build import Builder
from rawbpf.btf.ext import LineInfo
from rawbpf.objfile.disasm import disassemble, jump_labels, listing
from rawbpf.objfile.elf import STB_GLOBAL, STB_LOCAL, STT_NOTYPE, STT_SECTION, Relocation, Symbol
from rawbpf.objfile.insn import Insn, decode

# bytes in little endian, text
CASES = [
    ("79 61 0800 00000000", "r1 = *(u64 *)(r6 + 8)"),
    ("91 61 f8ff 00000000", "r1 = *(s8 *)(r6 - 8)"),
    ("81 61 0000 00000000", "r1 = *(s32 *)(r6 + 0)"),
    ("73 3a ffff 00000000", "*(u8 *)(r10 - 1) = r3"),
    ("7a 0a f8ff fbffffff", "*(u64 *)(r10 - 8) = -0x5"),
    ("20 00 0000 10000000", "r0 = *(u32 *)skb[0x10]"),
    ("48 30 0000 00000000", "r0 = *(u16 *)skb[r3]"),
    ("18 02 0000 10000000 0000000000000000", "r2 = 0x10 ll"),
    ("18 02 0000 f0debc9a 0000000078563412", "r2 = 0x123456789abcdef0 ll"),
    ("18 02 0000 ffffffff 00000000ffffffff", "r2 = -0x1 ll"),
    ("18 11 0000 05000000 0000000000000000", "r1 = map[fd:5] ll"),
    ("18 21 0000 05000000 0000000008000000", "r1 = map[fd:5][0]+8 ll"),
    ("18 31 0000 07000000 0000000000000000", "r1 = btf_id[7] ll"),
    ("18 41 0000 fdffffff 0000000000000000", "r1 = subprog[-3] ll"),
    ("18 51 0000 01000000 0000000000000000", "r1 = map[idx:1] ll"),
    ("18 61 0000 01000000 0000000010000000", "r1 = map[idx:1][0]+16 ll"),
    ("65 01 0300 05000000", "if r1 s> 0x5 goto +3"),
    ("4e 21 feff 00000000", "if w1 & w2 goto -2"),
    ("05 00 0300 00000000", "goto +3"),
    ("06 00 0000 70110100", "gotol +70000"),
    ("e5 00 0300 00000000", "may_goto +3"),
    ("0d 03 0000 00000000", "gotox r3"),
    ("85 00 0000 01000000", "call bpf_map_lookup_elem#1"),
    ("85 00 0000 ffffff7f", "call helper#2147483647"),
    ("85 10 0000 05000000", "call pc+5"),
    ("85 20 0000 40e20100", "call kfunc#123456"),
    ("8d 03 0000 00000000", "callx r3"),
    ("95 00 0000 00000000", "exit"),
    ("07 01 0000 f8ffffff", "r1 += -0x8"),
    ("1c 21 0000 00000000", "w1 -= w2"),
    ("3f 21 0100 00000000", "r1 s/= r2"),
    ("94 01 0100 05000000", "w1 s%= 0x5"),
    ("3f 21 0000 00000000", "r1 /= r2"),
    ("c7 01 0000 03000000", "r1 s>>= 0x3"),
    ("87 01 0000 00000000", "r1 = -r1"),
    ("bf 21 0000 00000000", "r1 = r2"),
    ("bc 21 0800 00000000", "w1 = (s8)w2"),
    ("bf 21 2000 00000000", "r1 = (s32)r2"),
    ("bf 21 0100 01000000", "r1 = addr_space_cast(r2, 0x0, 0x1)"),
    ("dc 01 0000 10000000", "r1 = be16 r1"),
    ("d4 01 0000 40000000", "r1 = le64 r1"),
    ("d7 01 0000 20000000", "r1 = bswap32 r1"),
    ("db 21 0800 00000000", "lock *(u64 *)(r1 + 8) += r2"),
    ("c3 21 f8ff 50000000", "lock *(u32 *)(r1 - 8) &= w2"),
    ("db 21 0000 41000000", "r2 = atomic_fetch_or((u64 *)(r1 + 0), r2)"),
    ("db 21 0800 e1000000", "r2 = xchg_64(r1 + 8, r2)"),
    ("c3 21 0800 f1000000", "w0 = cmpxchg32_32(r1 + 8, w0, w2)"),
    ("d3 21 0800 00010000", "w1 = load_acquire((u8 *)(r2 + 8))"),
    ("db 21 0800 10010000", "store_release((u64 *)(r1 + 8), r2)"),
]


def texts(insns: list[Insn]) -> list[str]:
    return [text for _, text in disassemble(insns)]


@pytest.mark.parametrize(("code", "text"), CASES, ids=[text for _, text in CASES])
def test_text(code: str, text: str) -> None:
    assert texts(decode(bytes.fromhex(code), little=True)) == [text]


@pytest.mark.parametrize(
    "insn",
    [
        Insn(0x00),
        Insn(0x58),
        Insn(0x16 | 0xE0),
        Insn(0xE5, src=2),
        Insn(0x0E),
        Insn(0x99, dst=1, src=2),
        Insn(0xBF, dst=1, src=2, off=3),
        Insn(0x07, off=1),
        Insn(0x37, off=2),
        Insn(0xDC, imm=8),
        Insn(0xDF, imm=16),
        Insn(0x8F),
        Insn(0xD3, imm=0),
        Insn(0xDB, imm=0x10),
        Insn(0x85, src=3),
        Insn(0xF7),
    ],
    ids=repr,
)
def test_what_is_no_instruction_is_shown_as_a_number(insn: Insn) -> None:
    (text,) = texts([insn])
    assert text.startswith(".insn 0x")


def test_unknown_instruction_shows_every_field() -> None:
    assert texts([Insn(0xFF, dst=1, src=2, off=-2, imm=-1)]) == [".insn 0xff12fffeffffffff"]


def test_ld_imm64_without_its_second_slot() -> None:
    assert texts([Insn(0x18, dst=1, imm=5)]) == [".insn 0x1810000000000005"]
    assert texts([Insn(0x18, dst=1, imm=5), Insn(0x95)]) == [".insn 0x1810000000000005", "exit"]


@given(st.binary(max_size=160))
def test_any_bytes_have_a_text(data: bytes) -> None:
    insns = decode(data[: len(data) // 8 * 8], little=True)
    slots = [slot for slot, _ in disassemble(insns)]
    assert slots == sorted(set(slots))
    assert all(line for line in listing(insns))
    # what is skipped is the second slot of a whole ld_imm64
    assert all(insns[slot - 1].is_ld_imm64 for slot in set(range(len(insns))) - set(slots))


def test_helper_names_may_be_given() -> None:
    assert list(disassemble([Insn(0x85, imm=1)], helpers=["none", "mine"])) == [(0, "call mine#1")]


def relocated(insn: Insn, name: str, shndx: int = 0) -> Insn:
    kind, bind = (STT_NOTYPE, STB_GLOBAL) if name else (STT_SECTION, STB_LOCAL)
    insn.relo = Relocation(0, 1, Symbol(1, name, 0, 0, bind, kind, 0, shndx))
    return insn


def test_symbol_and_note_follow() -> None:
    insns = [
        relocated(Insn(0x18, dst=1), "counters"),
        Insn(0),
        relocated(Insn(0x18, dst=1, imm=16), "", 4),
        Insn(0),
        relocated(Insn(0x85, src=1, imm=-1), "mptcp_subflow_ctx"),
        relocated(Insn(0x85, src=1, imm=3), "", 2),
        Insn(0xB7, dst=1, imm=8),
    ]
    insns[-1].note = "byte_off struct sock.sk_mark"
    assert [text.partition("  ; ")[2] for text in texts(insns)] == [
        "counters",
        "section 4+0x10",
        "mptcp_subflow_ctx",
        "section 2+0x20",
        "byte_off struct sock.sk_mark",
    ]
    named = disassemble(insns, section_name={2: ".text", 4: ".bss"}.__getitem__)
    assert [text.partition("  ; ")[2] for _, text in named][1:4] == [".bss+0x10", "mptcp_subflow_ctx", ".text+0x20"]


LOOP = [Insn(0xB7, dst=0), Insn(0x07, imm=1), Insn(0xA5, off=-2, imm=9), Insn(0x05, off=0), Insn(0x95)]


def test_jump_labels() -> None:
    assert jump_labels(LOOP) == {1: "L1", 4: "L2"}
    assert jump_labels([Insn(0x05, off=7), Insn(0x05, off=-9)]) == {}


def test_listing_with_labels_and_source() -> None:
    builder = Builder()
    file, first, second = (builder.add_string(text) for text in ("loop.c", "\tfor (;;)", "\t\ti++;"))
    insns = [insn.copy() for insn in LOOP]
    insns[0].line = LineInfo(0, file, first, 7 << 10 | 2)
    insns[1].line = LineInfo(8, file, second, 8 << 10 | 3)
    code = [
        "       0: r0 = 0x0",
        "L1:",
        "       1: r0 += 0x1",
        "       2: if r0 < 0x9 goto L1",
        "       3: goto L2",
        "L2:",
        "       4: exit",
    ]
    assert list(listing(insns)) == code
    assert list(listing(insns, btf=builder.to_btf())) == [
        "; loop.c:7: for (;;)",
        *code[:2],
        "; loop.c:8: i++;",
        *code[2:],
    ]
