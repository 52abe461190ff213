# SPDX-License-Identifier: BSD-2-Clause
"""Externs: what the object declares, and what they come to on a kernel: kernel symbols and kernel functions."""

from __future__ import annotations

from pathlib import Path

import pytest
from elfwriter import ObjectWriter
from kernelkit import kernel, kernel_for
from typekit import FIRST, INT, LONG, UINT, make_btf, struct

import rawbpf
from rawbpf.btf import types as t
from rawbpf.errors import ExternError, SpecError
from rawbpf.objfile.elf import STB_WEAK
from rawbpf.objfile.externs import kconfig_layout
from rawbpf.objfile.spec import MAX_DATA_SIZE, ExternSpec
from rawbpf.plan.externs import Resolved, resolve_externs

OBJS = Path(__file__).parent.parent / "objs"
ORDERS = pytest.mark.parametrize("little", [True, False], ids=["little", "big"])
PROTO = t.FuncProto(INT, [t.Param("x", INT)])


# -- declared


def declared(*, little: bool = True) -> ObjectWriter:
    out = ObjectWriter(little=little)
    assert out.btf is not None
    void = out.btf.add(t.Const(0))
    out.extern(".ksyms", "typed", t.Var("typed", out.btf.add(t.Const(INT)), t.Var.EXTERN))
    out.extern(".ksyms", "typeless", t.Var("typeless", void, t.Var.EXTERN), bind=STB_WEAK)
    out.extern(".ksyms", "function___v2", t.Func("function___v2", out.proto, t.Func.EXTERN))
    out.extern(".kconfig", "CONFIG_Z", t.Var("CONFIG_Z", UINT, t.Var.EXTERN), size=4)
    out.extern(".kconfig", "CONFIG_A", t.Var("CONFIG_A", UINT, t.Var.EXTERN), size=4)
    out.extern(".kconfig", "CONFIG_LONG", t.Var("CONFIG_LONG", LONG, t.Var.EXTERN), size=8)
    return out


@ORDERS
def test_declared(little: bool) -> None:
    spec = declared(little=little).to_spec()
    found = {e.name: (e.kind, e.weak, e.size, e.align) for e in spec.externs.values()}
    assert found == {
        "CONFIG_LONG": ("kconfig", False, 8, 8),
        "CONFIG_A": ("kconfig", False, 4, 4),
        "CONFIG_Z": ("kconfig", False, 4, 4),
        "function___v2": ("kfunc", False, 0, 0),
        "typed": ("ksym", False, 0, 0),
        "typeless": ("ksym", True, 0, 0),
    }
    # the order decides about the layout of .kconfig, and about numbers in poisoned calls
    assert list(found) == ["CONFIG_LONG", "CONFIG_A", "CONFIG_Z", "function___v2", "typed", "typeless"]
    assert spec.externs["function___v2"].essential_name == "function"
    assert (spec.externs["typed"].type_id, spec.externs["typeless"].type_id) == (INT, 0)
    map_ = spec.maps[".kconfig"]
    assert (map_.kind, map_.value_size, map_.max_entries, map_.kernel_name) == ("kconfig", 16, 1, "written.kconfig")
    assert spec.btf is not None
    assert spec.btf.name_of(map_.btf_value_type_id) == ".kconfig"


def test_layout_of_kconfig_by_alignment_size_and_name() -> None:
    sizes = {"LONG": (8, 8), "TEXT": (16, 1), "INT": (4, 4), "FLAG": (1, 1)}
    spec = declared().to_spec()
    symbol = spec.externs["typed"].symbol
    externs = [ExternSpec(name, "kconfig", 0, 0, False, symbol, *sizes[name]) for name in ("LONG", "INT", "FLAG")]
    externs.append(ExternSpec("TEXT", "kconfig", 0, 0, False, symbol, *sizes["TEXT"]))
    assert kconfig_layout(externs) == ({"LONG": 0, "INT": 8, "FLAG": 12, "TEXT": 13}, 29)
    assert kconfig_layout([]) == ({}, 0)


def test_undefined_symbol_that_btf_does_not_know() -> None:
    out = declared()
    out.symbol("nowhere")
    with pytest.raises(SpecError, match="'nowhere' is defined nowhere") as caught:
        out.to_spec()
    assert caught.value.symbol == "nowhere"


def test_undefined_symbol_without_btf() -> None:
    out = ObjectWriter()
    out.btf = None
    out.symbol("nowhere")
    with pytest.raises(SpecError, match="'nowhere' is defined nowhere, and the object has no BTF"):
        out.to_spec()


def test_function_as_kconfig_value() -> None:
    out = ObjectWriter()
    out.extern(".kconfig", "CONFIG_F", t.Func("CONFIG_F", out.proto, t.Func.EXTERN))
    with pytest.raises(SpecError, match="a function cannot be a kconfig value"):
        out.to_spec()


def test_extern_that_is_a_type() -> None:
    out = ObjectWriter()
    out.extern(".ksyms", "s", struct("s"))
    with pytest.raises(SpecError, match="an extern cannot be a struct"):
        out.to_spec()


def test_kconfig_value_without_end() -> None:
    out = ObjectWriter()
    assert out.btf is not None
    text = out.btf.add(t.Array(INT, INT, MAX_DATA_SIZE))
    out.extern(".kconfig", "CONFIG_X", t.Var("CONFIG_X", text, t.Var.EXTERN))
    with pytest.raises(SpecError, match="are more than the"):
        out.to_spec()


# -- on a kernel


def resolved(out: ObjectWriter, *types: t.Type, ksyms: dict[str, list[int]] | None = None) -> dict[str, Resolved]:
    spec = out.to_spec()
    return resolve_externs(spec, kernel(make_btf(*types, little=spec.little), ksyms=ksyms))


def typed(type_id: int, *, weak: bool = False) -> ObjectWriter:
    out = ObjectWriter()
    out.extern(".ksyms", "var", t.Var("var", type_id, t.Var.EXTERN), bind=STB_WEAK if weak else 1)
    return out


def typeless(*, weak: bool = False) -> ObjectWriter:
    return typed(0, weak=weak)


def kfunc(name: str = "func", *, weak: bool = False) -> ObjectWriter:
    out = ObjectWriter()
    out.extern(".ksyms", name, t.Func(name, out.proto, t.Func.EXTERN), bind=STB_WEAK if weak else 1)
    return out


def test_typed_variable() -> None:
    found = resolved(typed(INT), struct("var"), t.Var("var", INT, t.Var.GLOBAL))["var"]
    assert (found.found, found.btf_id, found.module, found.note) == (True, FIRST + 1, None, "the kernel [11]")


def test_typed_variable_of_another_type() -> None:
    with pytest.raises(ExternError, match="variable 'var' has another type in the kernel") as caught:
        resolved(typed(INT), struct("s"), t.Var("var", FIRST))
    assert caught.value.details() == ["    object: int var", "    kernel: struct s var"]
    # weakness is about what is missing
    with pytest.raises(ExternError, match="another type"):
        resolved(typed(INT, weak=True), struct("s"), t.Var("var", FIRST))


def test_typed_variable_missing() -> None:
    with pytest.raises(ExternError, match="has no variable 'var'"):
        resolved(typed(INT))
    found = resolved(typed(INT, weak=True))["var"]
    assert (found.found, found.btf_id, found.address) == (False, 0, 0)


def test_symbol_without_a_type() -> None:
    found = resolved(typeless(), ksyms={"var": [0xFFFFFFFF81000010], "other": [1]})["var"]
    assert (found.found, found.address, found.btf_id) == (True, 0xFFFFFFFF81000010, 0)


def test_symbol_that_is_there_twice() -> None:
    assert resolved(typeless(), ksyms={"var": [16, 16]})["var"].address == 16
    with pytest.raises(ExternError, match="'var' is there 2 times"):
        resolved(typeless(), ksyms={"var": [16, 32]})
    with pytest.raises(ExternError, match="'var' is there 2 times"):
        resolved(typeless(weak=True), ksyms={"var": [16, 32]})


def test_symbol_missing() -> None:
    with pytest.raises(ExternError, match="the kernel has no symbol 'var'") as caught:
        resolved(typeless())
    assert caught.value.symbol == "var"
    assert not resolved(typeless(weak=True))["var"].found


def test_function() -> None:
    found = resolved(kfunc(), PROTO, t.Func("func", FIRST))["func"]
    assert (found.found, found.btf_id, found.module) == (True, FIRST + 1, None)


def test_function_behind_a_flavor() -> None:
    found = resolved(kfunc("func___v2"), PROTO, t.Func("func", FIRST))["func___v2"]
    assert (found.found, found.btf_id) == (True, FIRST + 1)


def test_function_of_another_prototype() -> None:
    kernel_types = (t.FuncProto(INT, []), t.Func("func", FIRST))
    with pytest.raises(ExternError, match="kernel function 'func' has another type") as caught:
        resolved(kfunc(), *kernel_types)
    assert "int func(int ctx)" in str(caught.value)
    assert "int func(void)" in caught.value.report()
    found = resolved(kfunc(weak=True), *kernel_types)["func"]
    assert (found.found, found.note) == (False, "weak, and of another prototype in the kernel")


def test_function_of_a_struct_that_is_only_declared() -> None:
    out = ObjectWriter()
    assert out.btf is not None
    pointer = out.btf.add(t.Ptr(out.btf.add(t.Fwd("s"))))
    proto = out.btf.add(t.FuncProto(INT, [t.Param("", pointer)]))
    out.extern(".ksyms", "func", t.Func("func", proto, t.Func.EXTERN))
    of_struct = [struct("s"), t.Ptr(FIRST), t.FuncProto(INT, [t.Param("", FIRST + 1)]), t.Func("func", FIRST + 2)]
    with pytest.raises(ExternError, match="kernel function 'func' has another type") as caught:
        resolved(out, *of_struct)
    hint = "the object declares struct s and does not define it: `struct s {};` is enough"
    assert caught.value.hint == hint


def test_function_missing() -> None:
    with pytest.raises(ExternError, match="no kernel function 'func' that BPF could call"):
        resolved(kfunc())
    found = resolved(kfunc(weak=True))["func"]
    assert (found.found, found.number) == (False, 0)


def test_modules_come_after_the_kernel() -> None:
    vmlinux = make_btf(PROTO, t.Func("both", FIRST), t.Func("core", FIRST))
    module = make_btf(t.Func("both", FIRST), t.Func("only_module", FIRST), base=vmlinux, name="mod")
    out = ObjectWriter()
    for name in ("both", "only_module"):
        out.extern(".ksyms", name, t.Func(name, out.proto, t.Func.EXTERN))
    found = resolve_externs(out.to_spec(), kernel(vmlinux, {"mod": module}))
    assert (found["both"].btf_id, found["both"].module) == (FIRST + 1, None)
    assert found["only_module"].btf_id == vmlinux.end_id + 1
    assert found["only_module"].module is not None
    assert found["only_module"].module.handle == "module:mod"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("bpf_ct_release", "modprobe nf_conntrack"),
        ("bpf_ct_set_nat_info", "modprobe nf_nat"),
        ("func", "a module that is not loaded"),
    ],
)
def test_the_module_that_has_a_function_is_named(name: str, hint: str) -> None:
    with pytest.raises(ExternError, match="no kernel function") as caught:
        resolved(kfunc(name))
    assert hint in (caught.value.hint or "")


def test_kernel_without_btf() -> None:
    with pytest.raises(ExternError, match="no kernel function"):
        resolve_externs(kfunc().to_spec(), kernel(None))
    assert resolve_externs(typeless().to_spec(), kernel(None, ksyms={"var": [5]}))["var"].address == 5


@pytest.mark.parametrize("order", ["el", "eb"])
@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("kfuncs", {"rawbpf_no_such_kfunc", "bpf_iter_num_new___of_another_type"}),
        ("ksyms", {"rawbpf_no_such_symbol", "rawbpf_no_such_variable"}),
        ("ksyms_typed", set()),
    ],
)
def test_compiled(name: str, order: str, missing: set[str]) -> None:
    spec = rawbpf.open(OBJS / f"{name}.{order}.o")
    found = resolve_externs(spec, kernel_for(spec))
    assert {name for name, extern in found.items() if not extern.found} == missing
    assert len(found) == len(spec.externs)
    assert [extern.number for extern in found.values()] == list(range(len(found)))


@pytest.mark.parametrize("name", ["kfunc_missing", "ksym_missing"])
def test_compiled_missing(name: str) -> None:
    spec = rawbpf.open(OBJS / f"{name}.el.o")
    with pytest.raises(ExternError, match="rawbpf_no_such"):
        resolve_externs(spec, kernel_for(spec))
