# SPDX-License-Identifier: BSD-2-Clause
"""The object's BTF as the kernel gets it: sizes and offsets filled in, externs made local, ids kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from elfwriter import EXIT, MOV_R0, NOBITS, WRITE, ObjectWriter
from typekit import INT, LONG

import rawbpf
from rawbpf.btf import types as t
from rawbpf.errors import BtfError
from rawbpf.objfile.elf import STB_LOCAL, STV_HIDDEN
from rawbpf.plan.handed_btf import DUMMY, handed_btf

ROOT = Path(__file__).parent.parent.parent
FAILING = {"static_outside_text"}
OBJECTS = sorted(
    path for path in (*ROOT.glob("objs/*.o"), *ROOT.glob("tests/objs/*.o")) if path.name.split(".")[0] not in FAILING
)
ORDERS = pytest.mark.parametrize("little", [True, False], ids=["little", "big"])


def handed(out: ObjectWriter) -> rawbpf.Btf:
    return handed_btf(out.to_spec()).to_btf()


def datasec(btf: rawbpf.Btf, name: str) -> t.Datasec:
    found = btf.type(btf.find(name) or 0)
    assert isinstance(found, t.Datasec)
    return found


def layout(btf: rawbpf.Btf, name: str) -> list[tuple[str, int, int]]:
    return [(btf.name_of(var.type_id), var.offset, var.size) for var in datasec(btf, name).vars]


@ORDERS
def test_sections_of_data(little: bool) -> None:
    out = ObjectWriter(little=little)
    out.section(".bss", type=NOBITS, size=40, flags=WRITE)
    for name, at in (("late", 24), ("early", 8)):
        out.variable(".bss", name, LONG, offset=at, size=8)
    out._vars[".bss"] = [var._replace(offset=0) for var in out._vars[".bss"]]  # as clang leaves it
    static = out.variable(".bss", "static", LONG, offset=32, size=8, linkage=t.Var.STATIC, bind=STB_LOCAL)
    assert static
    btf = handed(out)
    assert datasec(btf, ".bss").size == 40
    assert layout(btf, ".bss") == [("early", 8, 8), ("late", 24, 8), ("static", 32, 8)]


def test_hidden_variables_become_static() -> None:
    out = ObjectWriter()
    out.section(".bss", type=NOBITS, size=16, flags=WRITE)
    out.variable(".bss", "seen", LONG, offset=0, size=8)
    out.variable(".bss", "hidden", LONG, offset=8, size=8, visibility=STV_HIDDEN)
    btf = handed(out)
    found = [btf.type(btf.find(name) or 0) for name in ("seen", "hidden")]
    assert found == [t.Var("seen", LONG, t.Var.GLOBAL), t.Var("hidden", LONG, t.Var.STATIC)]


def test_hidden_functions_become_static() -> None:
    out = ObjectWriter()
    out.function(".text", "seen", [MOV_R0, EXIT])
    out.function(".text", "hidden", [MOV_R0, EXIT], visibility=STV_HIDDEN)
    out.function("xdp", "f", [MOV_R0, EXIT])
    btf = handed(out)
    linkages = {name: btf.type(btf.find(name) or 0) for name in ("seen", "hidden", "f")}
    assert {name: func.linkage for name, func in linkages.items() if isinstance(func, t.Func)} == {
        "seen": t.Func.GLOBAL, "hidden": t.Func.STATIC, "f": t.Func.GLOBAL,
    }  # fmt: skip


@ORDERS
def test_symbols_of_the_kernel(little: bool) -> None:
    out = ObjectWriter(little=little)
    assert out.btf is not None
    proto = out.btf.add(t.FuncProto(INT, [t.Param("", INT), t.Param("named", LONG), t.Param("", 0)]))
    out.extern(".ksyms", "var", t.Var("var", out.btf.add(t.Const(0)), t.Var.EXTERN))
    out.extern(".ksyms", "func", t.Func("func", proto, t.Func.EXTERN))
    before = out.btf.end_id
    btf = handed(out)
    assert layout(btf, ".ksyms") == [("var", 0, 4), (DUMMY, 4, 4)]
    assert datasec(btf, ".ksyms").size == 8
    assert btf.type(btf.find("var") or 0) == t.Var("var", INT, t.Var.GLOBAL)
    assert btf.type(btf.find("func") or 0) == t.Func("func", proto, t.Func.GLOBAL)
    assert btf.type(proto) == t.FuncProto(INT, [t.Param(DUMMY, INT), t.Param("named", LONG), t.Param("", 0)])
    assert btf.end_id == before + 2  # .ksyms and the dummy


def test_kernel_configuration() -> None:
    out = ObjectWriter()
    for name, type_id, size in (("CONFIG_B", INT, 4), ("CONFIG_LONG", LONG, 8), ("CONFIG_A", INT, 4)):
        out.extern(".kconfig", name, t.Var(name, type_id, t.Var.EXTERN), size=size)
    btf = handed(out)
    assert layout(btf, ".kconfig") == [("CONFIG_LONG", 0, 8), ("CONFIG_A", 8, 4), ("CONFIG_B", 12, 4)]
    assert datasec(btf, ".kconfig").size == 16
    assert btf.type(btf.find("CONFIG_A") or 0) == t.Var("CONFIG_A", INT, t.Var.GLOBAL)


def wrong(edit: str) -> ObjectWriter:
    out = ObjectWriter()
    assert out.btf is not None
    if edit == "no_section":
        out._vars[".elsewhere"] = []
        return out
    if edit == "function_in_kconfig":
        out._vars[".kconfig"] = [t.SecVar(out.btf.add(t.Func("f", out.proto)), 0, 4)]
        return out
    out.section(".elsewhere", bytes(8))
    if edit == "no_variable":
        out._vars[".elsewhere"] = [t.SecVar(INT, 0, 4)]
    else:
        out._vars[".elsewhere"] = [t.SecVar(out.btf.add(t.Var("v", INT, t.Var.GLOBAL)), 0, 4)]
    return out


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        ("no_section", "a section that the ELF file does not have"),
        ("no_variable", "holds INT 'int', which is no variable"),
        ("no_symbol", "variable 'v' is in BTF and no symbol of the object"),
        ("function_in_kconfig", "'f' is in BTF and no symbol of the object"),
    ],
)
def test_wrong(edit: str, text: str) -> None:
    spec = wrong(edit).to_spec()
    with pytest.raises(BtfError, match=text) as caught:
        handed_btf(spec)
    assert caught.value.section in (".elsewhere", ".kconfig")


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name)
def test_ids_stay(path: Path) -> None:
    spec = rawbpf.open(path)
    assert spec.btf is not None
    before, after = spec.btf, handed_btf(spec).to_btf()
    assert after.little is before.little
    assert 0 <= after.end_id - before.end_id <= 1
    assert [(after.kind(i), after.name_of(i)) for i in before.ids()] == [
        (before.kind(i), before.name_of(i)) for i in before.ids()
    ]
    for type_id in after.ids():
        kind = after.type(type_id)
        if isinstance(kind, t.Datasec):
            assert kind.size
            ends = [(var.offset, var.offset + var.size) for var in kind.vars]
            assert ends == sorted(ends)
            assert not ends or ends[-1][1] <= kind.size
        assert not isinstance(kind, t.Var) or kind.linkage != t.Var.EXTERN
