# SPDX-License-Identifier: BSD-2-Clause
"""Random BTF types for property tests: well-formed records, with references to anywhere."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from rawbpf.btf import types as t

SETTINGS = settings(max_examples=150, deadline=None, derandomize=True, database=None)
"""Properties are tested with the same examples each time."""

word = st.integers(0, 0xFFFFFFFF)
ids = st.integers(0, 12)
names = st.sampled_from(["", "a", "b", "int", "char", "sock", "sock___2", "x y", "ünï", "long", "const"])


def integers(*, signed: bool, bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) if signed else st.integers(0, (1 << bits) - 1)


def lists(*elements: st.SearchStrategy[object], of: type) -> st.SearchStrategy[list[object]]:
    return st.lists(st.builds(of, *elements), max_size=4)


def enums(cls: type[t.Enum], bits: int) -> st.SearchStrategy[t.Type]:
    return st.booleans().flatmap(
        lambda signed: st.builds(
            cls,
            names,
            st.sampled_from([1, 2, 4, 8]),
            lists(names, integers(signed=signed, bits=bits), of=t.Enumerator),
            st.just(signed),
        )
    )


def members(offsets: st.SearchStrategy[int], widths: st.SearchStrategy[int]) -> st.SearchStrategy[list[object]]:
    return lists(names, ids, offsets, widths, of=t.Member)


plain_members = members(word, st.just(0))
bitfield_members = members(st.integers(0, 0xFFFFFF), st.integers(0, 0xFF))
near_members = members(st.sampled_from([0, 3, 8, 16, 32, 64, 96, 128]), st.sampled_from([0, 0, 0, 1, 5]))
sizes = st.sampled_from([0, 1, 4, 8, 12, 16, 24, 64])

records = st.builds(
    lambda cls, name, size, parts: cls(name, size, parts),
    st.sampled_from([t.Struct, t.Union]),
    names,
    st.one_of(sizes, word),
    st.one_of(plain_members, bitfield_members, near_members),
)
tangles = st.builds(
    lambda cls, name, size, parts: cls(name, size, parts),
    st.sampled_from([t.Struct, t.Union]),
    names,
    sizes,
    near_members,
)
"""Structs and unions that are likely to make sense, and to contain each other."""

types: st.SearchStrategy[t.Type] = st.one_of(
    st.builds(t.Int, names, st.sampled_from([0, 1, 2, 3, 4, 8, 16]), st.sampled_from([0, 1, 2, 4])),
    st.builds(t.Int, names, word, st.integers(0, 15), st.integers(0, 255), st.integers(0, 255)),
    st.builds(t.Ptr, ids),
    st.builds(t.Array, ids, ids, st.one_of(st.integers(0, 5), word)),
    records,
    tangles,
    enums(t.Enum, 32),
    enums(t.Enum64, 64),
    st.builds(t.Fwd, names, st.booleans()),
    st.builds(t.Typedef, ids, names),
    st.builds(t.Volatile, ids),
    st.builds(t.Const, ids),
    st.builds(t.Restrict, ids),
    st.builds(t.Func, names, ids, st.integers(0, 3)),
    st.builds(t.FuncProto, ids, lists(names, ids, of=t.Param)),
    st.builds(t.Var, names, ids, st.integers(0, 3)),
    st.builds(t.Datasec, names, st.one_of(sizes, word), lists(ids, word, word, of=t.SecVar)),
    st.builds(t.Float, names, st.sampled_from([2, 4, 8, 10, 16])),
    st.builds(t.DeclTag, ids, names, st.integers(-1, 100), st.booleans()),
    st.builds(t.TypeTag, ids, names, st.booleans()),
)
graphs = st.lists(types, min_size=1, max_size=12)
