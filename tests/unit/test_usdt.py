# SPDX-License-Identifier: BSD-2-Clause
"""USDT notes and their arguments, and ELF files of user space."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from rawbpf.errors import ElfError, RawbpfError, SpecError
from rawbpf.objfile.image import Image
from rawbpf.objfile.usdt import Argument, parse_arguments, probes

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("machine", "text", "expected"),
    [
        ("x86_64", "-4@%edi", Argument("reg", 4, True, register=112)),
        ("x86_64", "1@%r10b", Argument("reg", 1, False, register=56)),
        ("x86_64", "8@%rsp", Argument("reg", 8, False, register=152)),
        ("x86_64", "8@$0x10", Argument("const", 8, False, 16)),
        ("x86_64", "-4@$-9", Argument("const", 4, True, -9)),
        ("x86_64", "-4@-1204(%rbp)", Argument("mem", 4, True, -1204, 32)),
        ("x86_64", "8@(%rax)", Argument("mem", 8, False, 0, 80)),
        ("x86_64", "-1@-96(%rbp,%rax,8)", Argument("sib", 1, True, -96, 32, 80, 3)),
        ("x86_64", "2@(%rbp,%rax)", Argument("sib", 2, False, 0, 32, 80, 0)),
        ("aarch64", "-4@w1", Argument("reg", 4, True, register=8)),
        ("aarch64", "8@x30", Argument("reg", 8, False, register=240)),
        ("aarch64", "8@sp", Argument("reg", 8, False, register=248)),
        ("aarch64", "-4@[sp, 12]", Argument("mem", 4, True, 12, 248)),
        ("aarch64", "8@[x19]", Argument("mem", 8, False, 0, 152)),
        ("aarch64", "-8@-16", Argument("const", 8, True, -16)),
    ],
)
def test_an_argument(machine: str, text: str, expected: Argument) -> None:
    assert parse_arguments(text, machine) == [expected]


def test_several_arguments() -> None:
    found = parse_arguments("8@%rdi -4@-20(%rbp) 4@(%rax, %rcx, 4) 1@$3", "x86_64")
    assert [argument.kind for argument in found] == ["reg", "mem", "sib", "const"]
    assert parse_arguments("", "x86_64") == []
    assert [argument.size for argument in parse_arguments("4@[sp, 8] 8@x1", "aarch64")] == [4, 8]


@pytest.mark.parametrize("text", ["8@%xmm0", "3@%rax", "8@", "rax", "8@counter(%rip)", "8@(%rax,%nix,8)"])
def test_what_no_program_can_read(text: str) -> None:
    with pytest.raises(SpecError, match="in no place that a BPF program can read on x86_64") as error:
        parse_arguments(text, "x86_64")
    assert text in error.value.message


def test_a_machine_that_is_not_known() -> None:
    with pytest.raises(SpecError, match="USDT arguments of s390 are not known"):
        parse_arguments("8@%r2", "s390")


# -- a file made by hand: two segments, a symbol table, a note


def elf(*, wide: bool = True, order: str = "<", note: bytes | None = None, base: int = 0x400) -> bytes:
    word = "Q" if wide else "I"
    names = b"\0.symtab\0.strtab\0.note.stapsdt\0.stapsdt.base\0"
    strings = b"\0one\0two@V1\0two@@V2\0"
    symbols = b""
    for name, address in ((1, 0x1100), (5, 0x1200), (12, 0x1300)):
        fields = (name, 0x12, 0, 1, address, 16) if wide else (name, address, 16, 0x12, 0, 1)
        symbols += struct.pack(order + ("IBBHQQ" if wide else "IIIBBH"), *fields)
    if note is None:
        content = struct.pack(order + 3 * word, 0x1100, base, 0) + b"p\0n\08@$1\0"
        note = struct.pack(order + "III", 8, len(content), 3) + b"stapsdt\0" + content
    parts = [b"", symbols, strings, note, names]
    at, offsets = 0x200, []
    for part in parts:
        offsets.append(at)
        at += len(part)
    head = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    sizes = (64, 56, 64) if wide else (52, 32, 40)
    header = struct.pack(
        order + "HHI" + 3 * word + "IHHHHHH", 3, 62, 1, 0, sizes[0], 0x400, 0, sizes[0], sizes[1], 1, sizes[2], 6, 4
    )
    load = (1, 5, 0x100, 0x1100, 0, 0x300, 0x300, 4096) if wide else (1, 0x100, 0x1100, 0, 0x300, 0x300, 5, 4096)
    program = struct.pack(order + ("IIQQQQQQ" if wide else "8I"), *load)
    section = struct.Struct(order + ("IIQQQQIIQQ" if wide else "10I"))
    rows = [(0, 0, 0, 0, 0), (1, 2, 0, 1, 2), (9, 3, 0, 2, 0), (17, 7, 0, 3, 0), (0, 3, 0, 4, 0), (31, 1, 0x400, 0, 0)]
    table = b""
    for name, kind, address, part, link in rows:
        table += section.pack(name, kind, 0, address, offsets[part], len(parts[part]), link, 0, 0, 0)
    data = (head + header + program).ljust(0x200, b"\0") + b"".join(parts)
    return data.ljust(0x400, b"\0") + table


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_functions_and_probes(wide: bool, order: str) -> None:
    image = Image(elf(wide=wide, order=order))
    assert (image.wide, image.little, image.machine) == (wide, order == "<", "x86_64")
    found = {(f.name, f.version, f.default): f.offset for f in image.functions()}
    assert found == {("one", "", True): 0x100, ("two", "V1", False): 0x200, ("two", "V2", True): 0x300}
    [probe] = probes(image)
    assert (probe.provider, probe.name, probe.address, probe.offset, probe.arguments) == (
        "p",
        "n",
        0x1100,
        0x100,
        "8@$1",
    )


def test_a_binary_that_was_prelinked() -> None:
    [probe] = probes(Image(elf(base=0x300)))
    assert (probe.address, probe.offset) == (0x1200, 0x200)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no ELF file"),
        (b"\x7fELF\x03" + bytes(80), "no ELF file"),
        (elf()[:0x410], "truncated"),
        (elf(note=struct.pack("<III", 8, 400, 3) + b"stapsdt\0"), "truncated"),
        (elf(note=struct.pack("<III", 8, 24, 3) + b"stapsdt\0" + bytes(24)), "truncated"),
        (elf(note=struct.pack("<III", 8, 32, 3) + b"stapsdt\0" + bytes(32)), "no code"),
    ],
)
def test_broken_files(data: bytes, message: str) -> None:
    with pytest.raises(ElfError, match=message):
        list(probes(Image(data)))


def test_no_byte_brings_it_down() -> None:
    good = elf()

    def look(data: bytes) -> None:
        image = Image(data)
        list(image.functions())
        list(probes(image))

    check_all(good, look)


def check_all(good: bytes, look: Callable[[bytes], None]) -> None:
    for at in range(0, len(good), 3):
        for value in (0, 0x7F, 0xFF):
            try:
                look(good[:at] + bytes([value]) + good[at + 1 :])
            except RawbpfError:
                continue
