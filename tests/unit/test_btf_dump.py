# SPDX-License-Identifier: BSD-2-Clause
"""Dumps: which types are shown, and what bpftool cannot be asked about. The text is compared in tests/oracle."""

from __future__ import annotations

from test_btf_parse import INT_RECORD, NEW_KIND, with_layout
from typekit import BASICS, FIRST, INT, ULONG, make_btf

from rawbpf.btf import types as t
from rawbpf.btf.dump import closure, describe, format_raw, to_json
from rawbpf.btf.parse import Btf

A, B, C, D, E, F = range(FIRST, FIRST + 6)


def test_all_types() -> None:
    btf = make_btf(t.Struct("s", 8, [t.Member("", ULONG, 0), t.Member("b", INT, 3, 5)]))
    assert list(format_raw(btf))[len(BASICS) :] == [
        f"[{A}] STRUCT 's' size=8 vlen=2",
        f"\t'(anon)' type_id={ULONG} bits_offset=0",
        f"\t'b' type_id={INT} bits_offset=3 bitfield_size=5",
    ]
    assert [described["id"] for described in to_json(btf)["types"]] == list(btf.ids())


def test_some_types_and_what_they_are_made_of() -> None:
    btf = make_btf(
        t.Struct("root", 24, [t.Member("in", B, 0), t.Member("next", C, 64), t.Member("cb", E, 128)]),
        t.Typedef(INT, "in_t"),
        t.Ptr(D),
        t.Struct("only pointed to", 8, [t.Member("x", ULONG, 0)]),
        t.Ptr(F),
        t.FuncProto(0, [t.Param("", C)]),
    )
    assert closure(btf, [A]) == [INT, A, B, C, E, F]
    assert closure(btf, [C, D]) == [ULONG, C, D]
    assert [described["id"] for described in to_json(btf, [B])["types"]] == [INT, B]


def test_only_own_types_of_split_btf_are_shown() -> None:
    split = make_btf(t.Typedef(INT, "own"), base=make_btf())
    assert list(format_raw(split)) == [f"[{A}] TYPEDEF 'own' type_id={INT}"]
    assert [described["id"] for described in to_json(split, [A])["types"]] == [INT, A]


def test_flags_of_an_integer_can_be_combined() -> None:
    assert describe(make_btf(t.Int("c", 1, t.Int.SIGNED | t.Int.CHAR)), A)["encoding"] == "SIGNED|CHAR"
    assert describe(make_btf(t.Int("c", 1)), A)["encoding"] == "(none)"


def test_a_linkage_without_a_name() -> None:
    assert describe(make_btf(t.Var("v", INT, 7)), A)["linkage"] == "(unknown)"


def test_a_kind_that_is_not_known_is_shown_as_it_is() -> None:
    words = [*INT_RECORD, 5, NEW_KIND << 24 | 1, 8, 0xABCD]
    btf = Btf(with_layout(words, b"\0int\0new\0", [(0, 0)] * NEW_KIND + [(0, 4)]))
    assert list(format_raw(btf))[1:] == ["[2] KIND25 'new' vlen=1 words=00000008 0000abcd"]
    assert closure(btf, [2]) == [2]
