# SPDX-License-Identifier: BSD-2-Clause
"""C headers against clang: it takes them without a warning, and lays out each type as the BTF says."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from skips import unavailable

from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.btf.c import emit_c
from rawbpf.btf.cnames import Names
from rawbpf.objfile.reader import read_btf

from .clang import clang

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rawbpf.btf.parse import Btf

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).resolve().parents[2]
OBJECTS = sorted([*ROOT.glob("objs/*.o"), *ROOT.glob("tests/objs/*.o")])
VMLINUX = Path("/sys/kernel/btf/vmlinux")

NAMED = (t.Struct, t.Union, t.Enum)


@pytest.fixture(scope="module")
def vmlinux() -> Btf:
    """The running kernel's BTF."""
    if not VMLINUX.exists():
        unavailable(f"{VMLINUX} is not there")
    return read_btf(VMLINUX)


def names_of(btf: Btf) -> dict[int, str]:
    """The names that a header of all types gives them: keyword and tag."""
    names = Names(btf)
    for type_id in btf.ids():
        names.reserve(type_id)
    types = ((type_id, btf.type(type_id)) for type_id in btf.ids())
    return {type_id: names.tag(type_id) for type_id, type in types if isinstance(type, NAMED) and type.name}


def members(btf: Btf, type_id: int, base: int = 0) -> Iterator[tuple[str, int, int]]:
    """Name, bit offset and bit-field size of the members, those of anonymous members too."""
    type = btf.type(type_id)
    assert isinstance(type, t.Struct | t.Union)
    for member in type.members:
        inner = btf.resolve(member.type_id)
        if member.name and not member.name.startswith("__padding_"):
            yield member.name, base + member.bit_offset, member.bitfield_size
        elif isinstance(btf.type(inner), t.Struct | t.Union):
            yield from members(btf, inner, base + member.bit_offset)


def assertions(btf: Btf) -> Iterator[str]:
    """C that does not compile unless all named types have their sizes, and their members their offsets."""
    for type_id, name in names_of(btf).items():
        type = btf.type(type_id)
        if isinstance(type, t.Enum):
            if type.values:
                yield f'_Static_assert(sizeof({name}) == {type.size}, "");\n'
                yield f'_Static_assert((({name})-1 < 1) == {int(type.signed)}, "");\n'
            continue
        assert isinstance(type, t.Struct | t.Union)
        yield f'_Static_assert(sizeof({name}) == {type.size}, "");\n'
        for member, offset, bits in members(btf, type_id):
            if not bits:
                yield f'_Static_assert(__builtin_offsetof({name}, {member}) == {offset // 8}, "");\n'


def compare_with_compiled(btf: Btf, header: str, directory: Path, type_ids: Iterable[int]) -> int:
    """Compile variables of the types and compare what the compiler writes about them; how many types."""
    names = {type_id: name for type_id, name in names_of(btf).items() if type_id in type_ids}
    variables = [f"{name} variable_{type_id};\n" for type_id, name in names.items() if is_complete(btf.type(type_id))]
    source = f"{header}int always_there;\n{''.join(variables)}"
    compiled = read_btf(clang(source, directory, little=btf.little))
    for type_id, name in names.items():
        type = btf.type(type_id)
        if not is_complete(type):
            continue
        variable = compiled.find(f"variable_{type_id}")
        assert variable is not None
        theirs = compiled.resolve(compiled.type(variable).refs()[0])
        other = compiled.type(theirs)
        assert isinstance(other, NAMED)
        assert (name, other.size) == (name, type.size)  # type: ignore[union-attr]
        if isinstance(type, t.Enum):
            assert isinstance(other, t.Enum)
            assert [value for _, value in other.values] == [value for _, value in type.values]
            assert other.signed == type.signed
        else:
            assert (name, list(members(compiled, theirs))) == (name, list(members(btf, type_id)))
    return len(variables)


def is_complete(type: t.Type) -> bool:
    """Whether there can be a variable of it."""
    return not isinstance(type, t.Enum) or bool(type.values)


def written(btf: Btf, roots: list[int] | None = None, *, kfuncs: bool = False) -> str:
    return "".join(f"{piece}\n" for piece in emit_c(btf, roots, kfuncs=kfuncs))


def test_the_whole_kernel(vmlinux: Btf, tmp_path: Path) -> None:
    checks = list(assertions(vmlinux))
    assert len(checks) > 10_000
    clang(written(vmlinux, kfuncs=True) + "".join(checks), tmp_path, "-fsyntax-only")


@pytest.mark.parametrize("name", ["tcp_sock", "sk_buff", "tcp_congestion_ops", "task_struct", "bpf_map"])
def test_a_closure(vmlinux: Btf, tmp_path: Path, name: str) -> None:
    roots = vmlinux.find_all(name)
    header = written(vmlinux, roots)
    assert len(header) < 400_000
    assert compare_with_compiled(vmlinux, header, tmp_path, roots) == len(roots)


def test_a_kfunc(vmlinux: Btf, tmp_path: Path) -> None:
    roots = vmlinux.find_all("bpf_obj_new_impl") or vmlinux.find_all("bpf_task_release")
    if not roots:
        unavailable("the running kernel's BTF has no kfuncs")
    clang(written(vmlinux, roots), tmp_path)


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name)
def test_objects(path: Path, tmp_path: Path) -> None:
    btf = read_btf(path)
    compare_with_compiled(btf, written(btf), tmp_path, btf.ids())


@pytest.mark.parametrize("little", [True, False], ids=["little", "big"])
def test_random_layouts(tmp_path: Path, little: bool) -> None:
    btf = random_records(random.Random(7), 400, little=little)
    header = written(btf)
    assert "packed" in header
    assert "long : " in header
    assert "no C declaration" not in header
    assert compare_with_compiled(btf, header, tmp_path, btf.ids()) >= 400


def random_records(source: random.Random, count: int, *, little: bool) -> Btf:
    """Structs and unions whose members are anywhere, in order and without sharing a bit."""
    builder = Builder(little=little)
    sizes = {}
    for name, size in (("char", 1), ("short", 2), ("int", 4), ("long", 8), ("__int128", 16)):
        sizes[builder.add(t.Int(name, size, t.Int.SIGNED))] = size
    integers = list(sizes)
    sizes[builder.add(t.Enum("small", 1, [t.Enumerator("SMALL", 200)]))] = 1
    sizes[builder.add(t.Enum("middle", 4, [t.Enumerator("MIDDLE", -1)], signed=True))] = 4
    sizes[builder.add(t.Array(1, 3, 5))] = 5
    for number in range(count):
        make = random_union if number % 4 == 0 else random_struct
        type = make(source, f"r{number}", sizes, integers)
        anonymous = source.random() < 0.2
        type_id = builder.add(type.__class__("" if anonymous else type.name, type.size, type.members))
        if anonymous:
            type_id = builder.add(t.Struct(type.name, type.size, [t.Member("inner", type_id, 0)]))
        sizes[type_id] = type.size
    return builder.to_btf()


def random_struct(source: random.Random, name: str, sizes: dict[int, int], integers: list[int]) -> t.Struct:
    at, parts = 0, []
    for number in range(source.randrange(1, 8)):
        at += source.choice([0, 0, 0, 1, 3, 8, 16, 64, 333])
        if source.random() < 0.4:
            type_id = source.choice(integers[:4])
            width = source.randrange(1, min(8 * sizes[type_id], 64) + 1)
        else:
            type_id, width = source.choice(list(sizes)), 0
            unit = 8 * source.choice([1, min(sizes[type_id] & -sizes[type_id], 16) or 1])
            at = -(-at // unit) * unit
        parts.append(t.Member(f"m{number}", type_id, at, width))
        at += width or 8 * sizes[type_id]
    size = -(-at // 8) + source.choice([0, 0, 0, 1, 7])
    return t.Struct(name, -(-size // 8) * 8 if source.random() < 0.6 else size, parts)


def random_union(source: random.Random, name: str, sizes: dict[int, int], integers: list[int]) -> t.Union:
    chosen = source.sample(list(sizes), min(len(sizes), source.randrange(1, 4)))
    parts = [t.Member(f"m{number}", type_id, 0) for number, type_id in enumerate(chosen)]
    size = max(sizes[type_id] for type_id in chosen) + source.choice([0, 0, 1, 3, 32])
    return t.Union(name, -(-size // 8) * 8 if source.random() < 0.6 else size, parts)
