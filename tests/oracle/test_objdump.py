# SPDX-License-Identifier: BSD-2-Clause
"""The disassembly against LLVM's: every opcode through llvm-mc, every object through llvm-objdump.

What may differ is in ``as_ours`` and ``as_theirs``, each with its reason; everything else has to be the same text.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from skips import unavailable

from rawbpf.objfile.disasm import disassemble
from rawbpf.objfile.elf import parse_elf
from rawbpf.objfile.insn import ATOMIC, STX, Insn, decode, encode

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).resolve().parents[2]
OBJECTS = sorted([*ROOT.glob("objs/*.o"), *ROOT.glob("tests/objs/*.o")])


def tool(name: str) -> str:
    for candidate in (f"{name}-19", name):
        if path := shutil.which(candidate):
            return path
    unavailable(f"no {name} to compare with (apt install llvm-19)")


def as_ours(text: str) -> str:
    """LLVM's text in our notation."""
    # LLVM writes offsets in hexadecimal, we write them in decimal as the verifier does
    text = re.sub(r"(\(r\d+ [+-] |goto[a-z]* [+-])0x([0-9a-f]+)", lambda m: f"{m[1]}{int(m[2], 16)}", text)
    # llvm-objdump adds the target of a jump
    text = re.sub(r" <\S+>$", "", text)
    # for -mcpu=v3 and later LLVM moves memory to and from w registers, the verifier's log says r
    text = re.sub(r"^w(\d+ = \*\(u\d+ \*\))", r"r\1", text)
    text = re.sub(r"^(\*\(u\d+ \*\)\(.*\) = )w", r"\1r", text)
    return text


def as_theirs(insn: Insn, text: str) -> str:
    """Our text with less detail, where LLVM says less."""
    if text.startswith(".insn"):
        return "<unknown>"
    # LLVM 19 has no gotox (Linux 6.19)
    if text.startswith("gotox"):
        return "<unknown>"
    # LLVM shows the number of what is called, we also what it is a number of
    return f"call {insn.imm:#x}" if insn.is_call else text.partition("  ; ")[0]


def every_opcode() -> list[list[Insn]]:
    """All opcodes with the offsets and immediates that select variants, and some that select nothing."""
    variants = [(8, 0), (0, 16), (1, 1), (16, 32), (32, 64), (-8, -5), (2, 0x40), (3, 0x41), (0, 0x51), (0, 0xA0)]
    variants += [(4, 0xA1), (4, 0xE1), (-4, 0xF1), (0, 0xF0), (1, 0x10001)]
    found = []
    for code in range(256):
        for off, imm in variants:
            insn = Insn(code, 1, 2, off, imm)
            if code & 0xE7 == STX | ATOMIC and imm > 0xFF:
                continue  # LLVM 19 looks at the lowest byte alone: load_acquire would be an addition
            if code in (0x18, 0x85, 0xE5):
                insn.src = 0  # elsewhere it is a register, here it says what imm refers to
            if code in (0x18, 0x95):
                insn.off = insn.imm = 0  # LLVM refuses what should be 0, we leave that to the verifier
            found.append([insn, Insn(0, imm=7)] if insn.is_ld_imm64 else [insn])
    return found


def test_every_opcode() -> None:
    cases = every_opcode()
    lines = [" ".join(f"{byte:#04x}" for byte in encode(case, little=True)) for case in cases]
    command = [tool("llvm-mc"), "--disassemble", "-triple", "bpfel", "-mcpu=v4", "--print-imm-hex"]
    run = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=True)
    refused = {int(number) for number in re.findall(r"^<stdin>:(\d+):\d+: warning", run.stderr, re.M)}
    printed = iter(line.strip() for line in run.stdout.splitlines() if line.strip() != ".text")
    assert len(refused) < 0.7 * len(cases)
    for number, case in enumerate(cases, 1):
        theirs = "<unknown>" if number in refused else as_ours(next(printed))
        ((_, text),) = disassemble(case)
        assert as_theirs(case[0], text) == theirs, case
    assert list(printed) == []


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name)
def test_object(path: Path) -> None:
    elf = parse_elf(path.read_bytes())
    command = [tool("llvm-objdump"), "-d", "--no-show-raw-insn", "--print-imm-hex", "--mcpu=v4", str(path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    theirs: list[str] = []
    for line in output.splitlines():
        if header := re.match(r"Disassembly of section (.*):$", line):
            theirs.append(header[1])
        elif insn := re.match(r" +(\d+):\s+(\S.*)$", line):
            theirs.append(f"{insn[1]}: {as_ours(insn[2])}")
    ours: list[str] = []
    for section in elf.sections:
        if section.executable and section.size:
            insns = decode(section.data, little=elf.little)
            ours.append(section.name)
            ours += [f"{slot}: {as_theirs(insns[slot], text)}" for slot, text in disassemble(insns)]
    assert ours == theirs
