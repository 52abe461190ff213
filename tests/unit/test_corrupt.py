# SPDX-License-Identifier: BSD-2-Clause
"""Broken objects: whatever is wrong with them, there is a result or a `RawbpfError`, soon, and nothing else.

The mutations are the same in each run. RAWBPF_MUTATIONS=N makes N of each object instead of a few.
"""

from __future__ import annotations

import os
import random
import struct
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elfwriter import ElfWriter
from kernelkit import kernel_for

import rawbpf
from rawbpf.cli import main
from rawbpf.errors import RawbpfError
from rawbpf.objfile.elf import parse_elf
from rawbpf.objfile.reader import parse_object
from rawbpf.plan.planner import make_plan
from rawbpf.plan.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.objfile.elf import Section

ROOT = Path(__file__).parent.parent.parent
OBJECTS = sorted([*ROOT.glob("objs/*.o"), *ROOT.glob("tests/objs/*.o")])
MUTATIONS = int(os.environ.get("RAWBPF_MUTATIONS", "6"))
EACH = pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name)
LITTLE, BIG = (
    pytest.mark.parametrize("path", [path for path in OBJECTS if path.name.endswith(end)], ids=lambda path: path.name)
    for end in (".el.o", ".eb.o")
)


@cache
def intact(path: Path) -> bytes:
    return path.read_bytes()


@cache
def kernels(path: Path) -> tuple[Target, ...]:
    """A made-up kernel, and one that has all that the object asks for."""
    order = "eb" if intact(path)[5] == 2 else "el"
    made_up = Target.from_btf(ROOT / f"tests/objs/core_target.{order}.o", kconfig="CONFIG_HZ=250", version=0x60C00)
    try:
        return made_up, kernel_for(rawbpf.open(path))
    except RawbpfError:
        return (made_up,)


def survives(data: bytes, targets: tuple[Target, ...]) -> None:
    """Everything that can be asked of an object, which may be refused."""
    try:
        spec = parse_object(data, path="broken.o")
    except RawbpfError as error:
        check_error(error)
        return
    for variable in spec.variables.values():
        try:
            _ = variable.value
        except RawbpfError as error:
            check_error(error)
    for program in spec.programs.values():
        program.autoload = True
    for target in targets:
        try:
            plan = make_plan(spec, target, pin_dir="/sys/fs/bpf/x", cgroup="/sys/fs/cgroup/x")
        except RawbpfError as error:
            check_error(error)
        else:
            assert plan.explain()
            assert plan.to_json()["name"] == "broken"


def check_error(error: RawbpfError) -> None:
    check_message(error)
    assert error.path == "broken.o"


def check_message(error: RawbpfError) -> None:
    assert "\n" not in str(error)
    assert error.report().startswith(str(error))
    assert error.to_json()["message"] == error.message


# -- cut off


@EACH
def test_cut_off(path: Path) -> None:
    data = intact(path)
    for end in {*range(0, len(data), max(1, len(data) // 16)), len(data) - 1}:
        with pytest.raises(RawbpfError) as caught:
            parse_object(data[:end], path="broken.o")
        check_error(caught.value)


def header_fields(path: Path) -> Iterator[tuple[Section, int, str]]:
    """The sections, with the places of their headers in the file, and the byte order; of many alike a few will do."""
    data = intact(path)
    order = "<" if data[5] == 1 else ">"
    (headers,) = struct.unpack_from(f"{order}Q", data, 0x28)
    alike: Counter[tuple[str, bool]] = Counter()
    for section in parse_elf(data).sections[1:]:
        kind = section.type, section.executable
        alike[kind] += 1
        if alike[kind] <= 3 or section.name.startswith("."):
            yield section, headers + 64 * section.idx, order


@LITTLE
def test_each_section_cut_off(path: Path) -> None:
    for section, header, order in header_fields(path):
        for size in {0, section.size // 2, section.size - 1} - {section.size, -1}:
            cut = bytearray(intact(path))
            struct.pack_into(f"{order}Q", cut, header + 32, size)
            survives(bytes(cut), kernels(path)[-1:])


@BIG
def test_each_section_gone(path: Path) -> None:
    for section, header, order in header_fields(path):
        for kind in (0, 8):  # SHT_NULL, SHT_NOBITS
            if section.type != "SHT_NOBITS":
                gone = bytearray(intact(path))
                struct.pack_into(f"{order}I", gone, header + 4, kind)
                survives(bytes(gone), kernels(path)[-1:])


# -- changed


def places(data: bytes) -> list[tuple[int, int, int]]:
    """What can be changed: (offset, size, width of a word); what is read most is there most often."""
    order = "<" if data[5] == 1 else ">"
    (headers,) = struct.unpack_from(f"{order}Q", data, 0x28)
    elf = parse_elf(data)
    found = [(0, 64, 1), (headers, 64 * len(elf.sections), 8), (headers, 64 * len(elf.sections), 4)]
    for section in elf.sections:
        (offset,) = struct.unpack_from(f"{order}Q", data, headers + 64 * section.idx + 24)
        size = len(section.data)
        if size >= 8:
            known = {".BTF": 4, ".BTF.ext": 4, ".symtab": 2}
            weight = known.get(section.name, 2 if section.type == "SHT_REL" else 1)
            found += [(offset, size - size % 4, 4 if weight > 1 else 1)] * weight
    return found


def mutated(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    order = "little" if data[5] == 1 else "big"
    spots = places(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        offset, size, width = rng.choice(spots)
        at = offset + rng.randrange(size) // width * width
        old = int.from_bytes(out[at : at + width], order)  # type: ignore[arg-type]
        bit, limit = 1 << rng.randrange(8 * width), 1 << 8 * width
        anything = rng.randrange(256), rng.randrange(limit)
        new = rng.choice((0, 1, old + 1, old - 1, old * 2, old ^ bit, limit - 1, limit // 2, *anything))
        out[at : at + width] = (new % limit).to_bytes(width, order)  # type: ignore[arg-type]
    return bytes(out)


@EACH
@pytest.mark.timeout(60 + 2 * MUTATIONS)
def test_mutations(path: Path) -> None:
    for number in range(MUTATIONS):
        rng = random.Random(f"{path.name} {number}")
        data = mutated(intact(path), rng)
        try:
            survives(data, kernels(path))
        except Exception as error:
            raise AssertionError(f"mutation {number} of {path.name}") from error


def mutated_kernel(target: Target, rng: random.Random) -> bytes:
    assert target.btf is not None
    blob = bytearray(target.btf.data)
    for _ in range(4):
        at = rng.randrange(24, len(blob) - 4)
        blob[at : at + 4] = rng.choice((bytes(4), b"\xff" * 4, rng.randbytes(4), bytes([0, 0, 0, rng.randrange(20)])))
    return bytes(blob)


@EACH
def test_mutated_kernels(path: Path) -> None:
    rng = random.Random(path.name)
    try:
        spec = rawbpf.open(path)
    except RawbpfError:
        return
    for _ in range(max(1, MUTATIONS // 3)):
        try:
            target = Target.from_btf(rawbpf.Btf(mutated_kernel(kernels(path)[-1], rng)), version=1)
            assert make_plan(spec, target).explain()
        except RawbpfError as error:
            check_message(error)


# -- on the command line


def files() -> Iterator[tuple[str, bytes, int]]:
    data = intact(ROOT / "objs/tcp_cc_demo.o")
    yield "empty", b"", 3
    yield "text", b"hello\n" * 20, 3
    yield "truncated", data[: len(data) // 2], 3
    yield "only-a-header", data[:64], 3
    yield "x86", ElfWriter().to_bytes(machine=62), 3
    yield "32-bit", ElfWriter().to_bytes(elf_class=1), 3
    yield "executable", ElfWriter().to_bytes(type=2), 3
    yield "without-btf", data.replace(b".BTF\0", b".xyz\0"), 4
    yield "no-utf8", data.replace(b"GPL", b"\xff\xfe\xfd").replace(b"cong_avoid", b"c\xffng_avoid"), 0


@pytest.mark.parametrize(("name", "data", "code"), list(files()), ids=[case[0] for case in files()])
def test_one_line_and_an_exit_code(
    name: str, data: bytes, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{name}.o"
    path.write_bytes(data)
    assert main(["inspect", str(path)]) == code
    output, errors = capsys.readouterr()
    first = errors.splitlines()[:1]
    assert all(line.startswith(f"rawbpf: {path}: ") for line in first)
    assert len(first) == bool(code)
    assert all(line.startswith("hint: ") for line in errors.splitlines()[1:])
    assert bool(output) == (not code)
