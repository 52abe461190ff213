# SPDX-License-Identifier: BSD-2-Clause
"""Properties of random BTF: what is built can be read, and no BTF, however odd, raises anything but a RawbpfError."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_btf_build import ALL_KINDS, build
from typegraphs import SETTINGS, graphs

from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.btf.c import emit_c
from rawbpf.btf.dump import format_raw, to_json
from rawbpf.btf.parse import Btf
from rawbpf.btf.value import decode, encode
from rawbpf.errors import BtfError, RawbpfError

if TYPE_CHECKING:
    from collections.abc import Callable


@SETTINGS
@given(graphs, st.booleans())
def test_what_is_built_can_be_read(types: list[t.Type], little: bool) -> None:
    btf = build(types, little=little)
    assert [btf.type(type_id) for type_id in btf.ids()] == types
    assert Builder.from_btf(btf).to_bytes() == btf.data


@SETTINGS
@given(graphs, graphs)
def test_split_btf_can_be_read(below: list[t.Type], above: list[t.Type]) -> None:
    base = build(below)
    split = build(above, base=base)
    assert [split.type(type_id) for type_id in split.ids()] == above
    assert Builder.from_btf(split).to_bytes() == split.data


@SETTINGS
@given(graphs, st.booleans())
@example([t.Struct("s", 0, [t.Member("a", i + 2, 0), t.Member("b", i + 2, 0)]) for i in range(60)], True)
@example([t.Struct("", 0, [t.Member("", i + 2, 0), t.Member("", i + 2, 0)]) for i in range(60)], True)
@example([t.FuncProto(i + 2, [t.Param("a", i + 2), t.Param("b", i + 2)]) for i in range(60)], True)
@example([*(t.Array(i + 2, i + 2, 0xFFFFFFFF) for i in range(50)), t.Int("char", 1)], True)
@example([t.Typedef(i + 2, f"t{i}") for i in range(5000)], True)
@example([t.Struct("s", 8, [t.Member("me", 1, 0)])], True)
@example([t.Typedef(2, "t"), t.Array(1, 1, 1)], True)
def test_odd_types_raise_nothing_else(types: list[t.Type], little: bool) -> None:
    use_all(build(types, little=little))


def use_all(btf: Btf) -> None:
    """Everything that can be done with all types."""
    for action in (lambda: list(format_raw(btf)), lambda: to_json(btf), lambda: list(emit_c(btf))):
        ignore_errors(action)
    for type_id in list(btf.ids())[:20]:
        ignore_errors(lambda id=type_id: btf.align_of(id))
        ignore_errors(lambda id=type_id: list(emit_c(btf, [id])))
        ignore_errors(lambda id=type_id: values(btf, id))


def values(btf: Btf, type_id: int) -> None:
    size = btf.size_of(type_id)
    if size < 1 << 16:
        value = decode(btf, type_id, bytes(range(256)) * (size // 256 + 1))
        encode(btf, type_id, value)
        encode(btf, type_id, {})


def ignore_errors(action: Callable[[], object]) -> None:
    with suppress(RawbpfError):
        action()


MUTANTS = 1500


@pytest.mark.parametrize("little", [True, False], ids=["little", "big"])
def test_mutated_blobs_raise_nothing_else(little: bool) -> None:
    original = build(ALL_KINDS, little=little).data
    source = random.Random(20240229)
    refused = 0
    for _ in range(MUTANTS):
        data = bytearray(original)
        for _ in range(source.choice([1, 1, 2, 5])):
            data[source.randrange(len(data))] = source.choice([0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)])
        if source.random() < 0.1:
            del data[source.randrange(len(data)) :]
        try:
            btf = Btf(bytes(data))
        except BtfError:
            refused += 1
            continue
        use_all(btf)
    assert 0 < refused < MUTANTS
