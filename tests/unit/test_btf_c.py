# SPDX-License-Identifier: BSD-2-Clause
"""C declarations, layouts and headers as text. That clang accepts them is tested in tests/oracle/test_btf_c.py."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from typekit import BOOL, CHAR, FIRST, FLOAT, INT, LONG, UINT, USHORT, VOIDP, make_btf

from rawbpf.btf import types as t
from rawbpf.btf.c import emit_c, kfunc_ids
from rawbpf.btf.decl import type_decl, type_name
from rawbpf.btf.layout import Layout, Layouts
from rawbpf.errors import BtfError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rawbpf.btf.parse import Btf

A, B, C, D, E, F, G = range(FIRST, FIRST + 7)


def header(btf: Btf, roots: Iterable[int] | None = None, *, kfuncs: bool = False) -> str:
    """The definitions, without the frame around them."""
    text = "\n".join(emit_c(btf, roots, kfuncs=kfuncs))
    text = re.sub(r"#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n#pragma .*\n#endif\n\n", "", text)
    return text.removeprefix("#ifndef __VMLINUX_H__\n#define __VMLINUX_H__\n").removesuffix(END).strip()


END = "#endif /* __VMLINUX_H__ */"


def expected(text: str) -> str:
    return dedent(text).strip().replace("    ", "\t")


# -- declarations


@pytest.mark.parametrize(
    ("types", "plain", "named"),
    [
        ([t.Ptr(INT)], "int *", "int *x"),
        ([t.Ptr(B), t.Const(CHAR)], "const char *", "const char *x"),
        ([t.Const(B), t.Ptr(CHAR)], "char *const", "char *const x"),
        ([t.Restrict(B), t.Ptr(C), t.Ptr(0)], "void **restrict", "void **restrict x"),
        ([t.Const(B), t.Ptr(C), t.Const(D), t.Volatile(INT)],
         "const volatile int *const", "const volatile int *const x"),
        ([t.Array(INT, UINT, 3)], "int[3]", "int x[3]"),
        ([t.Array(B, UINT, 2), t.Array(INT, UINT, 3)], "int[2][3]", "int x[2][3]"),
        ([t.Array(INT, UINT, 0)], "int[]", "int x[]"),
        ([t.Array(VOIDP, UINT, 3)], "void *[3]", "void *x[3]"),
        ([t.Ptr(B), t.Array(INT, UINT, 3)], "int (*)[3]", "int (*x)[3]"),
        ([t.Const(B), t.Array(C, UINT, 3), t.Const(INT)], "const int[3]", "const int x[3]"),
        ([t.Ptr(B), t.FuncProto(0, [])], "void (*)(void)", "void (*x)(void)"),
        (
            [t.Ptr(B), t.FuncProto(INT, [t.Param("s", C), t.Param("", UINT), t.Param("", 0)]), t.Ptr(D), t.Const(CHAR)],
            "int (*)(const char *s, unsigned int, ...)",
            "int (*x)(const char *s, unsigned int, ...)",
        ),
        ([t.Array(B, UINT, 4), t.Ptr(C), t.FuncProto(INT, [])], "int (*[4])(void)", "int (*x[4])(void)"),
        (
            [t.Ptr(B), t.FuncProto(C, [t.Param("", INT)]), t.Ptr(D), t.FuncProto(0, [t.Param("", UINT)])],
            "void (*(*)(int))(unsigned int)",
            "void (*(*x)(int))(unsigned int)",
        ),
        ([t.Ptr(B), t.Struct("sock", 4, [])], "struct sock *", "struct sock *x"),
        ([t.Ptr(B), t.Fwd("u", union=True)], "union u *", "union u *x"),
        ([t.Union("", 4, [])], "union {...}", "union {...} x"),
        ([t.Enum("", 4, [])], "enum {...}", "enum {...} x"),
        ([t.Typedef(INT, "u32")], "u32", "u32 x"),
        ([t.Ptr(B), t.TypeTag(INT, "user")], "int *", "int *x"),
        ([t.Var("v", B), t.Array(INT, UINT, 2)], "int v[2]", "int x[2]"),
        (
            [t.Func("bpf_foo", B), t.FuncProto(INT, [t.Param("sk", C)]), t.Ptr(D), t.Struct("sock", 4, [])],
            "int bpf_foo(struct sock *sk)",
            "int x(struct sock *sk)",
        ),
    ],
)  # fmt: skip
def test_declarations(types: list[t.Type], plain: str, named: str) -> None:
    btf = make_btf(*types)
    assert type_name(btf, A) == plain
    assert type_decl(btf, A, "x") == named


def test_declaration_of_void() -> None:
    assert type_name(make_btf(), 0) == "void"


@pytest.mark.parametrize(
    "types",
    [
        [t.Ptr(A)],
        [t.Const(A)],
        [t.FuncProto(A, [])],
        [t.FuncProto(FIRST + i + 1, [t.Param("", FIRST + i + 1)] * 2) for i in range(40)],
    ],
    ids=["pointer", "qualifier", "function", "tree"],
)
def test_declarations_without_end(types: list[t.Type]) -> None:
    with pytest.raises(BtfError):
        type_name(make_btf(*types), A)


# -- layouts


def members(*places: tuple[int, int] | tuple[int, int, int]) -> list[t.Member]:
    return [t.Member(f"m{i}", *place) for i, place in enumerate(places)]


@pytest.mark.parametrize(
    ("type", "layout"),
    [
        (t.Struct("empty", 0, []), Layout(1, pads=(0,))),
        (t.Struct("plain", 16, members((CHAR, 0), (LONG, 64))), Layout(8, pads=(0, 0, 0))),
        (t.Struct("tail", 16, members((LONG, 0), (CHAR, 64))), Layout(8, pads=(0, 0, 0))),
        (t.Struct("packed", 9, members((CHAR, 0), (LONG, 8))), Layout(1, packed=True, pads=(0, 0, 0))),
        (t.Struct("short", 9, members((LONG, 0), (CHAR, 64))), Layout(1, packed=True, pads=(0, 0, 0))),
        (t.Struct("gap", 72, members((INT, 0), (INT, 512))), Layout(4, pads=(0, 480, 32))),
        (t.Struct("hole in packed", 11, members((CHAR, 0), (INT, 24), (INT, 56))), Layout(1, True, (0, 16, 0, 0))),
        (t.Struct("bits", 4, members((UINT, 0, 3), (UINT, 3, 29))), Layout(4, pads=(0, 0, 0))),
        (t.Struct("unit", 8, members((UINT, 0, 20), (UINT, 32, 20))), Layout(4, pads=(0, 0, 0))),
        (t.Struct("bit gap", 4, members((UINT, 0, 3), (UINT, 8, 3))), Layout(4, pads=(0, 5, 0))),
        (t.Struct("crossing", 5, members((UINT, 0, 20), (UINT, 20, 20))), Layout(1, True, (0, 0, 0))),
        (t.Struct("overlap", 8, members((INT, 0), (INT, 16))), Layout(1, opaque=True)),
        (t.Struct("too small", 4, members((LONG, 0))), Layout(1, opaque=True)),
        (t.Struct("too wide", 8, members((CHAR, 0, 9))), Layout(1, opaque=True)),
        (t.Union("plain", 8, members((LONG, 0), (CHAR, 0))), Layout(8, pads=(0,))),
        (t.Union("large", 64, members((LONG, 0))), Layout(8, pads=(512,))),
        (t.Union("packed", 9, members((LONG, 0), (FIRST + 1, 0))), Layout(1, packed=True, pads=(0,))),
        (t.Union("shifted", 8, members((INT, 8))), Layout(1, opaque=True)),
        (t.Union("too small", 4, members((LONG, 0))), Layout(1, opaque=True)),
    ],
    ids=lambda value: value.name if isinstance(value, t.Type) else "",
)
def test_layouts(type: t.Type, layout: Layout) -> None:
    assert Layouts(make_btf(type, t.Array(CHAR, UINT, 9))).layout(A) == layout


def test_the_alignment_of_a_struct_is_that_of_its_members() -> None:
    inner = t.Struct("inner", 5, members((CHAR, 0), (INT, 8)))
    outer = t.Struct("outer", 9, [t.Member("a", INT, 0), t.Member("b", A, 32)])
    aligned = t.Struct("aligned", 12, [t.Member("a", INT, 0), t.Member("b", A, 32)])
    layouts = Layouts(make_btf(inner, outer, aligned))
    assert layouts.layout(B) == Layout(1, packed=True, pads=(0, 0, 0))
    assert layouts.layout(C) == Layout(4, pads=(0, 0, 0))


# -- headers


def test_frame() -> None:
    btf = make_btf(t.Typedef(B, "early"), t.Typedef(INT, "number"), t.Struct("s", 4, [t.Member("n", A, 0)]))
    guard = ["#ifndef __VMLINUX_H__", "#define __VMLINUX_H__"]
    typedefs = ["typedef int number;", "typedef number early;"]
    records = [
        "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX",
        "#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)",
        "#endif",
        "struct s {",
        "\tearly n;",
        "};",
        "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX",
        "#pragma clang attribute pop",
        "#endif",
    ]
    for roots, lines in (([], []), ([A], typedefs), (None, typedefs + records)):
        text = "\n".join(emit_c(btf, roots))
        assert [line for line in text.splitlines() if line] == [*guard, *lines, END]


def test_types_come_behind_what_they_need() -> None:
    btf = make_btf(
        t.Struct("outer", 32, [t.Member("in", B, 0), t.Member("next", C, 64), t.Member("other", D, 128),
                               t.Member("n", F, 192)]),
        t.Struct("inner", 8, [t.Member("me", G, 0)]),
        t.Ptr(A), t.Ptr(E), t.Struct("other", 4, [t.Member("n", INT, 0)]), t.Typedef(INT, "number"), t.Ptr(B),
    )  # fmt: skip
    assert header(btf, [A]) == expected("""
        struct inner {
            struct inner *me;
        };

        struct other;

        typedef int number;

        struct outer {
            struct inner in;
            struct outer *next;
            struct other *other;
            number n;
        };
    """)
    assert header(btf).count("struct other {") == 1


def test_a_typedef_needs_its_struct_declared_only() -> None:
    btf = make_btf(
        t.Struct("list", 8, [t.Member("callback", B, 0)]),
        t.Typedef(C, "callback_t"), t.Ptr(D), t.FuncProto(0, [t.Param("", E)]), t.Ptr(F), t.Typedef(A, "list_t"),
    )  # fmt: skip
    assert header(btf) == expected("""
        struct list;

        typedef struct list list_t;

        typedef void (*callback_t)(list_t *);

        struct list {
            callback_t callback;
        };
    """)


def test_anonymous_types_are_written_in_place() -> None:
    btf = make_btf(
        t.Struct("s", 24, [t.Member("", B, 0), t.Member("u", C, 64), t.Member("e", D, 128)]),
        t.Struct("", 8, [t.Member("a", INT, 0), t.Member("b", INT, 32)]),
        t.Union("", 8, [t.Member("x", LONG, 0), t.Member("", B, 0)]),
        t.Enum("", 4, [t.Enumerator("ONE", 1), t.Enumerator("MINUS", 0xFFFFFFFF)]),
        t.Typedef(F, "pair_t"),
        t.Struct("", 8, [t.Member("p", VOIDP, 0)]),
        t.Enum("", 4, [t.Enumerator("ALONE", 7)]),
    )
    assert header(btf) == expected("""
        struct s {
            struct {
                int a;
                int b;
            };
            union {
                long x;
                struct {
                    int a;
                    int b;
                };
            } u;
            enum {
                ONE = 1,
                MINUS = 4294967295U,
            } e;
        };

        typedef struct {
            void *p;
        } pair_t;

        enum {
            ALONE = 7,
        };
    """)


def test_an_anonymous_type_is_written_once_if_it_has_a_typedef_or_enumerators() -> None:
    btf = make_btf(
        t.Typedef(B, "pair_t"), t.Struct("", 4, [t.Member("p", INT, 0)]),
        t.Enum("", 4, [t.Enumerator("ONE", 1)]),
        t.Struct("s", 16, [t.Member("p", B, 0), t.Member("q", B, 32), t.Member("e", C, 64), t.Member("f", C, 96)]),
    )  # fmt: skip
    assert header(btf, [A, D]) == expected("""
        typedef struct {
            int p;
        } pair_t;

        struct s {
            pair_t p;
            pair_t q;
            enum {
                ONE = 1,
            } e;
            unsigned int f;
        };
    """)


def test_an_anonymous_member_may_have_a_tag() -> None:
    btf = make_btf(
        t.Struct("tagged", 4, [t.Member("a", INT, 0)]),
        t.Struct("s", 8, [t.Member("", C, 0), t.Member("b", INT, 32)]),
        t.Typedef(A, "tagged_t"),
    )
    assert "struct s {\n\tstruct {\n\t\tint a;\n\t};\n\tint b;\n};" in header(btf, [B])


def test_layout_is_told() -> None:
    btf = make_btf(
        t.Struct("packed", 7, [t.Member("c", CHAR, 0), t.Member("i", INT, 24)]),
        t.Struct("bits", 8, [t.Member("a", UINT, 0, 3), t.Member("b", BOOL, 8, 1), t.Member("c", UINT, 32)]),
        t.Struct("page", 4096, [t.Member("c", CHAR, 0), t.Member("z", F, 8)]),
        t.Union("large", 16, [t.Member("f", FLOAT, 0)]),
        t.Struct("odd", 8, [t.Member("a", INT, 0), t.Member("b", INT, 8)]),
        t.Array(CHAR, UINT, 0),
    )
    assert header(btf) == expected("""
        struct packed {
            char c;
            long : 16;
            int i;
        } __attribute__((packed));

        struct bits {
            unsigned int a : 3;
            long : 5;
            _Bool b : 1;
            unsigned int c;
        };

        struct page {
            char c;
            char z[0];
            unsigned char __padding_1[4095];
        };

        union large {
            float f;
            struct {
                long : 64; long : 64;
            };
        };

        struct odd {
            /* no C declaration has these members where they are */
            long : 64;
        };
    """)


def test_names_that_are_taken_get_a_suffix() -> None:
    btf = make_btf(
        t.Struct("twin", 4, [t.Member("a", INT, 0)]),
        t.Union("twin", 4, [t.Member("b", INT, 0)]),
        t.Struct("twin", 8, [t.Member("p", D, 0)]),
        t.Ptr(B),
        t.Enum("e", 4, [t.Enumerator("VALUE", 1)]),
        t.Enum("f", 4, [t.Enumerator("VALUE", 2), t.Enumerator("name", 3)]),
        t.Typedef(INT, "name"),
        t.Typedef(UINT, "name"),
        t.Fwd("twin"),
        t.Fwd("twin", union=True),
        t.Struct("user", 16, [t.Member("a", FIRST + 11, 0), t.Member("b", FIRST + 12, 64)]),
        t.Ptr(FIRST + 8),
        t.Ptr(FIRST + 9),
    )
    text = header(btf)
    for line in (
        "struct twin {", "union twin___2 {", "struct twin___3 {", "\tunion twin___2 *p;", "\tVALUE = 1,",
        "\tVALUE___2 = 2,", "\tname___3 = 3,", "typedef int name;", "typedef unsigned int name___2;",
        "\tstruct twin *a;", "\tunion twin___2 *b;",
    ):  # fmt: skip
        assert line in text.splitlines()


def test_names_that_c_does_not_take() -> None:
    btf = make_btf(
        t.Struct("Option<u8>", 8, [t.Member("type", INT, 0), t.Member("default", INT, 32)]),
        t.Typedef(INT, "__builtin_va_list"),
        t.Typedef(INT, "8bit"),
    )
    assert header(btf) == expected("""
        struct Option_u8_ {
            int type;
            int default_;
        };

        typedef int __builtin_va_list___2;

        typedef int _8bit;
    """)


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (t.Int("int", 4, t.Int.SIGNED), "int"),
        (t.Int("long unsigned int", 8), "long unsigned int"),
        (t.Int("short int", 2, t.Int.SIGNED), "short int"),
        (t.Int("long", 4, t.Int.SIGNED), "int"),
        (t.Int("long unsigned int", 4), "unsigned int"),
        (t.Int("DW_ATE_unsigned_8", 1), "unsigned char"),
        (t.Int("u8", 1), "unsigned char"),
        (t.Int("__int128 unsigned", 16), "__int128 unsigned"),
        (t.Int("", 8, t.Int.SIGNED), "long long"),
        (t.Int("bool", 1, t.Int.BOOL), "_Bool"),
        (t.Float("double", 8), "double"),
        (t.Float("long double", 16), "unsigned __int128"),
    ],
    ids=lambda value: value.name if isinstance(value, t.Type) else "",
)
def test_numbers_keep_their_size(number: t.Type, name: str) -> None:
    btf = make_btf(number, t.Typedef(A, "number"))
    assert header(btf) == f"typedef {name} number;"


@pytest.mark.parametrize(
    ("type", "head", "values"),
    [
        (t.Enum("e", 4, [t.Enumerator("A", 0xFFFFFFFF)]), "enum e {", "A = 4294967295U,"),
        (t.Enum("e", 4, [t.Enumerator("A", -1)], signed=True), "enum e {", "A = -1,"),
        (t.Enum("e", 4, [t.Enumerator("A", 1)], signed=True), "enum e : int {", "A = 1,"),
        (t.Enum("e", 1, [t.Enumerator("A", 255)]), "enum e : unsigned char {", "A = 255,"),
        (t.Enum("e", 2, [t.Enumerator("A", -5)], signed=True), "enum e : short {", "A = -5,"),
        (t.Enum64("e", 8, [t.Enumerator("A", 1 << 63)]), "enum e {", "A = 9223372036854775808ULL,"),
        (t.Enum64("e", 8, [t.Enumerator("A", 1)]), "enum e : unsigned long long {", "A = 1,"),
        (
            t.Enum64("e", 8, [t.Enumerator("A", -(1 << 63))], signed=True),
            "enum e {",
            "A = -9223372036854775807LL - 1,",
        ),
        (t.Enum64("e", 8, [t.Enumerator("A", -(1 << 40))], signed=True), "enum e {", "A = -1099511627776LL,"),
        (t.Enum("e", 4, []), "enum e;", ""),
    ],
)
def test_enums(type: t.Type, head: str, values: str) -> None:
    assert header(make_btf(type)) == (f"{head}\n\t{values}\n}};" if values else head)


def test_type_tags() -> None:
    btf = make_btf(
        t.Struct("s", 16, [t.Member("a", B, 0), t.Member("b", D, 64)]),
        t.Ptr(C), t.TypeTag(INT, 'us"er'), t.Ptr(E), t.TypeTag(INT, "address_space(1)", attribute=True),
    )  # fmt: skip
    text = header(btf)
    assert '\t__attribute__((btf_type_tag("us\\"er"))) int *a;' in text
    assert "\t__attribute__((address_space(1))) int *b;" in text


def test_functions_and_kfuncs() -> None:
    btf = make_btf(
        t.FuncProto(INT, [t.Param("sk", B), t.Param("default", USHORT)]), t.Ptr(C), t.Struct("sock", 4, []),
        t.Func("bpf_kfunc_one", A), t.Func("other", A), t.DeclTag(D, "bpf_kfunc"), t.DeclTag(E, "bpf_kfunc", 0),
        t.Typedef(INT, "other"),
    )  # fmt: skip
    assert kfunc_ids(btf) == [D]
    assert "__ksym" not in header(btf)
    kfuncs = header(btf, kfuncs=True)
    assert "extern int bpf_kfunc_one(struct sock *sk, unsigned short default_) __weak __ksym;" in kfuncs
    assert "typedef int other;" in kfuncs
    assert header(btf, [E]).startswith("struct sock;\n\n#ifndef BPF_NO_KFUNC_PROTOTYPES")
    assert "extern int other(" in header(btf, [E])
    assert "typedef int other___2;" in header(btf, [G + 1, E])


def test_split_btf_brings_what_it_needs_of_its_base() -> None:
    base = make_btf(t.Struct("base", 4, [t.Member("a", INT, 0)]), t.Struct("not needed", 4, []))
    split = make_btf(t.Struct("own", 4, [t.Member("b", A, 0)]), base=base)
    assert header(split) == "struct base {\n\tint a;\n};\n\nstruct own {\n\tstruct base b;\n};"


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ([t.Struct("s", 4, [t.Member("me", A, 0)])], "contains itself"),
        ([t.Struct("s", 4, [t.Member("t", B, 0)]), t.Typedef(A, "s_t")], "contains itself"),
        ([t.Typedef(A, "loop")], "nested more than"),
        ([*(t.Typedef(FIRST + i + 1, f"t{i}") for i in range(300)), t.Ptr(0)], "nested more than"),
    ],
)
def test_types_without_end(types: list[t.Type], message: str) -> None:
    with pytest.raises(BtfError, match=message):
        header(make_btf(*types))


def test_types_that_grow_without_bounds() -> None:
    tree = [t.Struct("", 0, [t.Member("", FIRST + i + 1, 0)] * 2) for i in range(40)]
    with pytest.raises(BtfError, match=r"lines of C|nested"):
        header(make_btf(*tree, t.Struct("", 0, []), t.Struct("root", 0, [t.Member("", A, 0)])))
