# SPDX-License-Identifier: BSD-2-Clause
"""USDT probes (user statically-defined tracing): the notes that <sys/sdt.h> leaves in a binary.

A probe is a place in the code, a counter that tells the program whether somebody listens (its semaphore, optional), and
a text for each argument that says where the value is at that place, in the assembler's own words: ``-4@%edi``,
``8@$5``, ``4@-20(%rbp)``.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, NamedTuple

from rawbpf.errors import ElfError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.objfile.image import Image

SECTION = ".note.stapsdt"
_OWNER, _TYPE = "stapsdt", 3


class UsdtProbe(NamedTuple):
    """A place where a probe is: a probe may have several.

    Attributes:
        address, offset: of the place, virtual and in the file.
        semaphore: the offset of its counter in the file, or 0.
        arguments: the text, one word an argument.
    """

    provider: str
    name: str
    address: int
    offset: int
    semaphore: int
    arguments: str


class Argument(NamedTuple):
    """Where an argument's value is.

    Attributes:
        kind: ``const``, ``reg``, ``mem`` (at what a register points to) or ``sib`` (with an index register).
        size: in bytes: 1, 2, 4 or 8. signed: whether it is.
        value: the constant, or what is added to the address.
        register, index_register: offsets in ``struct pt_regs``.
        shift: by how many bits the index is shifted.
    """

    kind: str
    size: int
    signed: bool
    value: int = 0
    register: int = 0
    index_register: int = 0
    shift: int = 0


def probes(image: Image) -> Iterator[UsdtProbe]:
    """All probes of a binary.

    Raises:
        ElfError: the notes make no sense.
    """
    base = image.section(".stapsdt.base")
    word = struct.Struct(("<" if image.little else ">") + ("QQQ" if image.wide else "III"))
    for owner, kind, data in image.notes(SECTION):
        if owner != _OWNER or kind != _TYPE:
            continue
        texts = data[word.size :].split(b"\0")
        if len(data) < word.size or len(texts) < 3:
            raise ElfError(f"a note of {SECTION} is truncated", path=image.name or None, section=SECTION)
        address, was, semaphore = word.unpack_from(data)
        moved = base.address - was if base is not None else 0  # a binary that was prelinked
        offset = image.offset_of(address + moved)
        if offset is None:
            raise ElfError("a probe is at no code of the file", path=image.name or None, section=SECTION)
        counter = image.offset_of(semaphore + moved) if semaphore else 0
        provider, name, arguments = (text.decode(errors="surrogateescape") for text in texts[:3])
        yield UsdtProbe(provider, name, address + moved, offset, counter or 0, arguments)


# -- arguments


def _x86_64() -> dict[str, int]:
    # struct pt_regs of arch/x86/include/asm/ptrace.h, with the names of the parts of the registers
    order = ["r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si", "di"]
    found = {"rip": 128, "eip": 128, "rsp": 152, "esp": 152, "sp": 152, "spl": 152}
    for number, name in enumerate(order):
        if name[1:].isdigit():
            parts = [name, name + "d", name + "w", name + "b"]
        elif name in ("bp", "si", "di"):
            parts = ["r" + name, "e" + name, name, name + "l"]
        else:
            parts = ["r" + name, "e" + name, name, name[0] + "l"]
        found |= dict.fromkeys(parts, 8 * number)
    return found


def _aarch64() -> dict[str, int]:
    # struct user_pt_regs of arch/arm64/include/uapi/asm/ptrace.h
    found = {f"{letter}{number}": 8 * number for number in range(31) for letter in "xw"}
    return found | {"sp": 248, "pc": 256}


_REGISTERS = {"x86_64": _x86_64, "aarch64": _aarch64}
_NUMBER = r"[-+]?(?:0x[0-9a-fA-F]+|\d+)"
_SIZE = r"(?P<size>-?[1248])@"
_PATTERNS = {
    "x86_64": [
        ("const", rf"{_SIZE}\$(?P<value>{_NUMBER})"),
        ("reg", rf"{_SIZE}%(?P<register>\w+)"),
        ("mem", rf"{_SIZE}(?P<value>{_NUMBER})?\(%(?P<register>\w+)\)"),
        (
            "sib",
            rf"{_SIZE}(?P<value>{_NUMBER})?\(%(?P<register>\w+),\s*%(?P<index>\w+)(?:,\s*(?P<scale>[1248]))?\)",
        ),
    ],
    "aarch64": [
        ("const", rf"{_SIZE}(?P<value>{_NUMBER})"),
        ("reg", rf"{_SIZE}(?P<register>[a-z]\w*)"),
        ("mem", rf"{_SIZE}\[(?P<register>\w+)(?:,\s*#?(?P<value>{_NUMBER}))?\]"),
    ],
}


def parse_arguments(text: str, machine: str) -> list[Argument]:
    """The arguments of a probe, from the text of its note.

    Raises:
        SpecError: the machine is not known here, or one of them is written in a way that is not (a vector register).
    """
    if machine not in _REGISTERS:
        raise SpecError(
            f"USDT arguments of {machine or 'this machine'} are not known",
            hint=f"they are for {', '.join(_REGISTERS)}",
        )
    registers = _REGISTERS[machine]()
    return [_argument(word, machine, registers) for word in _words(text)]


def _words(text: str) -> list[str]:
    # separated by blanks, which are also inside of brackets
    return re.findall(r"(?:[^\s(\[]|\([^)]*\)|\[[^\]]*\])+", text)


def _argument(word: str, machine: str, registers: dict[str, int]) -> Argument:
    for kind, pattern in _PATTERNS[machine]:
        found = re.fullmatch(pattern, word)
        if found is None:
            continue
        parts = found.groupdict()
        used = [parts[name] for name in ("register", "index") if parts.get(name)]
        if not all(name in registers for name in used):
            break
        size = int(parts["size"])
        return Argument(
            kind,
            abs(size),
            size < 0,
            int(parts.get("value") or "0", 0),
            registers[parts["register"]] if "register" in parts else 0,
            registers[parts["index"]] if "index" in parts else 0,
            int(parts.get("scale") or 1).bit_length() - 1,
        )
    raise SpecError(
        f"the USDT argument {word!r} is in no place that a BPF program can read on {machine}",
        hint="general registers, memory that they point to, and constants are",
    )
