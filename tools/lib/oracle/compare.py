# SPDX-License-Identifier: BSD-2-Clause
"""Two loaders' recordings of one object, difference by difference, in lines to read."""

from __future__ import annotations

import errno
import itertools
from typing import TYPE_CHECKING, Any

from . import btftext
from .normalise import HandedOver, Insn, MapHandedOver, ProgramHandedOver, normalise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .libbpf import Recording

MAX_LINES = 12  # of one list of instructions, records or types

FUNC_INFO_SIZE, LINE_INFO_SIZE = 8, 16


def compare(ours: Recording, theirs: Recording) -> list[str]:
    """The differences, empty if both loaders handed the same to the kernel.

    A line reads ``what: ours != theirs``. Compared are the outcome, the order of creation, BTF byte by byte, each map's
    attribute and contents, each program's attribute, instructions, function and line records, bound maps, and the
    kernel's digest of the instructions. Where both refuse an object, one of them before it handed over anything, they
    agree. One that crashed or took too long agrees with nothing.
    """
    if ours.broke or theirs.broke:
        return [f"load: {_outcome(ours)} != {_outcome(theirs)}"]
    result = []
    if bool(ours.errno) != bool(theirs.errno):
        result.append(f"load: {_outcome(ours)} != {_outcome(theirs)}")
    if ours.programs and theirs.programs:
        result += _compare_fields("loaded", ours.programs, theirs.programs)
    mine, other = normalise(ours), normalise(theirs)
    if ours.errno and theirs.errno and not (mine.order and other.order):
        return result
    return result + compare_handed_over(mine, other)


def compare_handed_over(ours: HandedOver, theirs: HandedOver) -> list[str]:
    """As ``compare``, for recordings that are normalised already."""
    result = _differences("order of creation", ours.order, theirs.order)
    for number, (mine, other) in enumerate(itertools.zip_longest(ours.btf, theirs.btf, fillvalue=b"")):
        result += _compare_btf("btf" if not number else f"btf#{number + 1}", mine, other)
    for name in theirs.maps:
        if name in ours.maps:
            result += _compare_map(ours.maps[name], theirs.maps[name])
    for name in theirs.programs:
        if name in ours.programs:
            result += _compare_program(ours.programs[name], theirs.programs[name])
    return result


def _compare_map(ours: MapHandedOver, theirs: MapHandedOver) -> list[str]:
    where = f"map {theirs.name}"
    result = _differences(f"{where}: errno", ours.errno, theirs.errno)
    result += _compare_fields(where, ours.attr, theirs.attr)
    result += _differences(f"{where}: frozen", ours.frozen, theirs.frozen)
    result += _differences(f"{where}: attached", ours.attached, theirs.attached)
    pairs = itertools.zip_longest(ours.updates, theirs.updates)
    result += [
        f"{where}: update {number}: {_update(mine)} != {_update(other)}"
        for number, (mine, other) in enumerate(pairs)
        if mine != other
    ]
    return _cut(result)


def _compare_program(ours: ProgramHandedOver, theirs: ProgramHandedOver) -> list[str]:
    where = f"program {theirs.name}"
    result = _differences(f"{where}: errno", ours.errno, theirs.errno)
    result += _compare_fields(where, ours.attr, theirs.attr)
    result += _differences(f"{where}: license", ours.license, theirs.license)
    result += _differences(f"{where}: tag", ours.tag, theirs.tag)
    result += _differences(f"{where}: bound maps", ours.bound_maps, theirs.bound_maps)
    result += _compare_rows(f"{where}: insn", _insn_rows(ours.insns), _insn_rows(theirs.insns))
    for name, size in (("func_info", FUNC_INFO_SIZE), ("line_info", LINE_INFO_SIZE), ("core_relos", LINE_INFO_SIZE)):
        mine, other = getattr(ours, name), getattr(theirs, name)
        result += _compare_rows(f"{where}: {name}", _records(mine, size), _records(other, size))
    return result


def _compare_btf(where: str, ours: bytes, theirs: bytes) -> list[str]:
    if ours == theirs:
        return []
    if not ours or not theirs:
        return [f"{where}: {len(ours)} != {len(theirs)} bytes"]
    result = _compare_rows(f"{where}: line", btftext.lines(ours), btftext.lines(theirs))
    if result:
        return result
    first = next(
        (at for at, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]),
        min(len(ours), len(theirs)),
    )
    return [f"{where}: same types, but bytes differ from {first} on: {ours[first:][:16]!r} != {theirs[first:][:16]!r}"]


def _compare_fields(where: str, ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    return [
        f"{where}: {name}: {ours.get(name)!r} != {theirs.get(name)!r}"
        for name in {**theirs, **ours}
        if ours.get(name) != theirs.get(name)
    ]


def _compare_rows(where: str, ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    rows = itertools.zip_longest(ours, theirs, fillvalue="nothing")
    return _cut([f"{where} {at}: {mine} != {other}" for at, (mine, other) in enumerate(rows) if mine != other])


def _differences(where: str, ours: object, theirs: object) -> list[str]:
    return [] if ours == theirs else [f"{where}: {ours!r} != {theirs!r}"]


def _cut(lines: list[str]) -> list[str]:
    if len(lines) <= MAX_LINES:
        return lines
    return [*lines[:MAX_LINES], f"{lines[0].split(':')[0]}: ... and {len(lines) - MAX_LINES} more differences"]


def _records(blob: bytes, size: int) -> list[str]:
    return [blob[at : at + size].hex(" ", 4) for at in range(0, len(blob), size)]


def _update(update: tuple[bytes, tuple[object, ...]] | None) -> str:
    if not update:
        return "nothing"
    key, words = update
    value = " ".join(word.hex() if isinstance(word, bytes) else str(word) for word in words)
    return f"[{key.hex()}] = {value[:400]}"


def _outcome(recording: Recording) -> str:
    if not recording.errno:
        return "loads"
    how = {"open": "does not open", "load": "does not load"}.get(recording.stage, recording.stage)
    return f"{how} ({_reason(recording)})"


def _reason(recording: Recording) -> str:
    """The errno, and the log's last line that is no hint of rawbpf's."""
    lines = [line for line in recording.log.strip().splitlines() if not line.startswith("hint: ")]
    name = errno.errorcode.get(recording.errno, str(recording.errno)) if recording.errno > 0 else ""
    return ": ".join(filter(None, [name, lines[-1] if lines else ""]))


def _insn_rows(insns: list[Insn]) -> list[str]:
    rows = []
    wide = False
    for insn in insns:
        name = "(second half)" if wide else _mnemonic(insn.code, insn.src)
        wide = not wide and insn.code == 0x18
        imm = f"{insn.imm:#x}" if isinstance(insn.imm, int) else insn.imm
        rows.append(f"{insn.code:02x} {name} dst=r{insn.dst} src={insn.src} off={insn.off} imm={imm}")
    return rows


_ALU = ["add", "sub", "mul", "div", "or", "and", "lsh", "rsh", "neg", "mod", "xor", "mov", "arsh", "end"]
_JMP = [
    "ja",
    "jeq",
    "jgt",
    "jge",
    "jset",
    "jne",
    "jsgt",
    "jsge",
    "call",
    "exit",
    "jlt",
    "jle",
    "jslt",
    "jsle",
    "may_goto",
]
_CLASS = ["ld", "ldx", "st", "stx", "alu32", "jmp", "jmp32", "alu64"]


def _mnemonic(code: int, src: int) -> str:
    """The operation, in a word: enough to find one's way, with all fields beside it."""
    group = _CLASS[code & 7]
    if group in ("alu32", "alu64", "jmp", "jmp32"):
        names = _ALU if group.startswith("alu") else _JMP
        number = code >> 4
        operation = names[number] if number < len(names) else "?"
        if operation == "call":
            return ("call helper", "call local", "call kfunc")[src] if src < 3 else "call"
        return f"{operation}{'32' if group.endswith('32') else ''} {'reg' if code & 8 else 'imm'}"
    if code == 0x18:
        return "ld_imm64"
    return f"{group}{('32', '16', '8', '64')[code >> 3 & 3]} mode={code >> 5}"
