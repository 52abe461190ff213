# SPDX-License-Identifier: BSD-2-Clause
"""BTF for kernels that lack kinds: ids and sizes of types stay, the substitutes are known since the first BTF."""

from __future__ import annotations

from pathlib import Path

import pytest

from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.btf.parse import Btf
from rawbpf.objfile.reader import read_btf
from rawbpf.plan.sanitize import sanitize_btf
from rawbpf.uapi import BtfKind

OBJECTS = sorted((Path(__file__).parent.parent / "objs").glob("*.el.o"))


class Old:
    """A kernel that lacks some features."""

    def __init__(self, *missing: str) -> None:
        self.missing = set(missing)
        self.asked: list[str] = []

    def has(self, name: str) -> bool:
        self.asked.append(name)
        return name not in self.missing


EVERYTHING = (
    "btf_func", "btf_func_global", "btf_datasec", "btf_qmark_datasec", "btf_float", "btf_decl_tag", "btf_type_tag",
    "btf_enum64",
)  # fmt: skip


def blob() -> tuple[bytes, dict[str, int]]:
    b = Builder()
    ids = {"int": b.add(t.Int("int", 4, t.Int.SIGNED))}
    ids["proto"] = b.add(t.FuncProto(ids["int"], [t.Param("a", ids["int"]), t.Param("b", ids["int"])]))
    ids["func"] = b.add(t.Func("f", ids["proto"], t.Func.GLOBAL))
    ids["var"] = b.add(t.Var("v", ids["int"], t.Var.GLOBAL))
    ids["datasec"] = b.add(t.Datasec("?.data.x", 8, [t.SecVar(ids["var"], 4, 4)]))
    ids["float"] = b.add(t.Float("double", 8))
    ids["tag"] = b.add(t.DeclTag(ids["var"], "note"))
    ids["type_tag"] = b.add(t.TypeTag(ids["int"], "user"))
    ids["enum"] = b.add(t.Enum("e", 4, [t.Enumerator("MINUS", -1)], True))
    ids["enum64"] = b.add(t.Enum64("big", 8, [t.Enumerator("BIG", 1 << 40), t.Enumerator("ONE", 1)]))
    ids["after"] = b.add(t.Ptr(ids["enum64"]))
    return b.to_bytes(), ids


def test_a_kernel_that_knows_all_gets_the_same_bytes() -> None:
    data, _ids = blob()
    assert sanitize_btf(data, Old()) is data


def test_every_kind_has_its_substitute() -> None:
    data, ids = blob()
    btf = Btf(sanitize_btf(data, Old(*EVERYTHING)))
    placeholder = btf.end_id - 1
    assert {name: btf.type(type_id) for name, type_id in ids.items()} == {
        "int": t.Int("int", 4, t.Int.SIGNED),
        "proto": t.Enum("", 4, [t.Enumerator("a", ids["int"]), t.Enumerator("b", ids["int"])]),
        "func": t.Typedef(ids["proto"], "f"),
        "var": t.Int("v", 1),
        "datasec": t.Struct("__data_x", 8, [t.Member("v", ids["var"], 32)]),
        "float": t.Struct("", 8, []),
        "tag": t.Int("note", 1),
        "type_tag": t.Const(ids["int"]),
        "enum": t.Enum("e", 4, [t.Enumerator("MINUS", 0xFFFFFFFF)]),
        "enum64": t.Union("big", 8, [t.Member("BIG", placeholder, 0), t.Member("ONE", placeholder, 0)]),
        "after": t.Ptr(ids["enum64"]),
    }
    assert btf.type(placeholder) == t.Int("enum64_placeholder", 1)


@pytest.mark.parametrize(
    ("missing", "name", "expected"),
    [
        ("btf_qmark_datasec", "datasec", t.Datasec("_.data.x", 8, [t.SecVar(4, 4, 4)])),
        ("btf_func_global", "func", t.Func("f", 2, t.Func.STATIC)),
    ],
    ids=["question mark", "global function"],
)
def test_a_single_gap_changes_a_single_thing(missing: str, name: str, expected: t.Type) -> None:
    data, ids = blob()
    before, after = Btf(data), Btf(sanitize_btf(data, Old(missing)))
    assert after.type(ids[name]) == expected
    assert [i for i in before.ids() if before.type(i) != after.type(i)] == [ids[name]]


def test_only_what_the_object_has_is_asked_for() -> None:
    b = Builder()
    b.add(t.Int("int", 4))
    old = Old(*EVERYTHING)
    sanitize_btf(b.to_bytes(), old)
    assert old.asked == []


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name)
def test_real_objects_keep_their_ids_and_sizes(path: Path) -> None:
    btf = read_btf(path)
    reduced = Btf(sanitize_btf(btf.data, Old(*EVERYTHING)))
    assert reduced.end_id - btf.end_id in (0, 1)
    later = {
        BtfKind.VAR, BtfKind.DATASEC, BtfKind.FUNC, BtfKind.FUNC_PROTO, BtfKind.FLOAT, BtfKind.DECL_TAG,
        BtfKind.TYPE_TAG, BtfKind.ENUM64,
    }  # fmt: skip
    assert not later & {reduced.kind(type_id) for type_id in reduced.ids()}
    sized = (t.Struct, t.Union, t.Enum)
    for type_id in btf.ids():
        kind = btf.type(type_id)
        if isinstance(kind, sized):
            assert reduced.size_of(type_id) == kind.size
