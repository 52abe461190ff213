# SPDX-License-Identifier: BSD-2-Clause
"""Modules that bring a base of their own: their types put upon another kernel's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from elfwriter import ElfWriter

import rawbpf
from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.btf.parse import Btf
from rawbpf.errors import BtfError

if TYPE_CHECKING:
    from pathlib import Path

U32 = t.Int("unsigned int", 4)
LONG = t.Int("long", 8, encoding=1)
PAIR = t.Struct("pair", 8, [t.Member("one", 1, 0), t.Member("other", 1, 32)])


def blob(*types: t.Type, base: Btf | None = None) -> bytes:
    builder = Builder(base=base)
    for type in types:
        builder.add(type)
    return builder.to_bytes()


def kernel(*more: t.Type) -> Btf:
    """[1] unsigned int, [2] an int that only has the name in common, [3] long, [4] struct pair, then more."""
    return Btf(blob(U32, t.Int("unsigned int", 2), LONG, PAIR, *more), name="vmlinux")


def module(tmp_path: Path, *distilled: t.Type, types: tuple[t.Type, ...]) -> Path:
    """A module with these types upon this distilled base, whose ids begin at 1."""
    own = Btf(blob(*distilled))
    elf = ElfWriter()
    elf.section(".BTF", blob(*types, base=own))
    elf.section(".BTF.base", own.data)
    path = tmp_path / "module.ko"
    path.write_bytes(elf.to_bytes())
    return path


def test_every_kind_of_reference_is_put_upon_the_other_base(tmp_path: Path) -> None:
    types = (
        t.Ptr(2),  # 3: of long
        t.Struct("own", 24, [t.Member("pair", 1, 0), t.Member("next", 5, 64), t.Member("array", 6, 128)]),
        t.Ptr(4),  # 5: of own
        t.Array(2, 2, 1),
        t.FuncProto(2, [t.Param("own", 5), t.Param("", 0)]),  # 7: variadic
        t.Func("function", 7),
        t.Var("variable", 2),
        t.Datasec(".data..percpu", 8, [t.SecVar(9, 0, 8)]),
        t.DeclTag(8, "bpf_kfunc"),
    )
    path = module(tmp_path, t.Struct("pair", 8, []), LONG, types=types)
    upon = kernel()
    btf = rawbpf.read_btf(path, base=upon)
    assert btf.base is upon
    assert btf.start_id == 5
    assert [btf.type(i) for i in btf.ids()] == [
        t.Ptr(3),
        t.Struct("own", 24, [t.Member("pair", 4, 0), t.Member("next", 7, 64), t.Member("array", 8, 128)]),
        t.Ptr(6),
        t.Array(3, 3, 1),
        t.FuncProto(3, [t.Param("own", 7), t.Param("", 0)]),
        t.Func("function", 9),
        t.Var("variable", 3),
        t.Datasec(".data..percpu", 8, [t.SecVar(11, 0, 8)]),
        t.DeclTag(10, "bpf_kfunc"),
    ]


def test_without_a_base_it_stands_upon_its_own(tmp_path: Path) -> None:
    path = module(tmp_path, LONG, types=(t.Ptr(1),))
    btf = rawbpf.read_btf(path)
    assert btf.type(2) == t.Ptr(1)
    assert btf.type(1) == LONG


@pytest.mark.parametrize(
    ("distilled", "kernels", "chosen"),
    [
        (t.Fwd("task"), t.Struct("task", 8, []), 5),
        (t.Fwd("task", union=True), t.Union("task", 8, []), 5),
        (t.Fwd("task"), t.Fwd("task"), 5),
        (t.Struct("task", 4, []), t.Struct("task", 8, []), 5),  # only pointed to: it may have grown
        (t.Enum("color", 8, []), t.Enum64("color", 8, [t.Enumerator("RED", 1 << 40)]), 5),
        (t.Float("double", 8), t.Float("double", 8), 5),
        (t.Struct("pair", 8, []), t.Struct("pair", 16, []), 4),  # of two, the one of its size
        (t.Struct("pair", 16, []), t.Struct("pair", 16, []), 5),
    ],
)
def test_a_type_is_found_by_name_kind_and_size(tmp_path: Path, distilled: t.Type, kernels: t.Type, chosen: int) -> None:
    path = module(tmp_path, distilled, types=(t.Ptr(1),))
    assert rawbpf.read_btf(path, base=kernel(kernels)).type(6) == t.Ptr(chosen)


@pytest.mark.parametrize(
    ("distilled", "holder", "message"),
    [
        (t.Struct("task", 8, []), t.Ptr(1), "needs one struct task of 8 bytes: vmlinux has none"),
        (t.Int("long", 4, encoding=1), t.Ptr(1), "needs one int long of 4 bytes"),
        (t.Int("long", 8), t.Ptr(1), "needs one int long"),
        (t.Union("pair", 8, []), t.Ptr(1), "needs one union pair"),
        (t.Fwd("pair", union=True), t.Ptr(1), "needs one fwd pair"),
        (t.Struct("pair", 12, []), t.Struct("own", 12, [t.Member("pair", 1, 0)]), "needs one struct pair of 12"),
        (t.Struct("twice", 4, []), t.Ptr(1), "needs one struct twice of 4 bytes: vmlinux has 2"),
        (t.Struct("", 4, []), t.Ptr(1), "named types alone"),
        (t.Typedef(0, "u32"), t.Ptr(1), "named types alone"),
    ],
)
def test_what_cannot_be_found_is_told(tmp_path: Path, distilled: t.Type, holder: t.Type, message: str) -> None:
    path = module(tmp_path, distilled, types=(holder,))
    twice = t.Struct("twice", 4, [t.Member("one", 1, 0)])
    with pytest.raises(BtfError, match=message) as error:
        rawbpf.read_btf(path, base=kernel(twice, t.Struct("twice", 4, [t.Member("other", 1, 0)])))
    assert str(path) in str(error.value)


def test_a_struct_held_in_an_array_needs_its_size(tmp_path: Path) -> None:
    types = (t.Array(2, 1, 3), t.Typedef(3, "pairs"), t.Struct("own", 36, [t.Member("pairs", 4, 0)]))
    path = module(tmp_path, U32, t.Struct("pair", 12, []), types=types)
    with pytest.raises(BtfError, match="needs one struct pair of 12 bytes"):
        rawbpf.read_btf(path, base=kernel())
