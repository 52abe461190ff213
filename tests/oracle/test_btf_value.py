# SPDX-License-Identifier: BSD-2-Clause
"""Typed values against clang: the bytes of an initialiser in C are those of the same value in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rawbpf.btf.value import decode, encode
from rawbpf.objfile.elf import parse_elf
from rawbpf.objfile.reader import read_btf

from .clang import clang

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.oracle

SOURCE = """
enum color { RED = 1, GREEN = 5, NEGATIVE = -7 };
enum large { LARGE = 1ULL << 63 };
struct bits {
	int a : 3; unsigned b : 7; enum color c : 4; _Bool d : 1; long long e : 40; unsigned long long : 9;
	unsigned char f : 5;
};
struct value {
	char c; short s; int i; long long l; __int128 w; unsigned char u; _Bool yes;
	float f; double d; enum color color; enum large large; char text[8]; unsigned char raw[3]; int grid[2][3];
	union { unsigned whole; unsigned short half; } u1;
	union { unsigned long long ip6; unsigned ip4; };
	struct { int x; struct bits bits; } pair[2];
	void *pointer;
} __attribute__((packed));
struct value packed = INIT;
struct aligned { char c; struct bits bits; long long l; } aligned = {
	.c = 1, .bits = BITS, .l = -1,
};
struct bits bits = BITS;
""".replace("BITS", "{-3, 100, NEGATIVE, 1, -500000000000LL, 21}").replace(
    "INIT",
    """{
	.c = -1, .s = -2, .i = 3, .l = -4, .w = (__int128)1 << 100, .u = 255, .yes = 1, .f = 1.5f, .d = -0.1,
	.color = NEGATIVE, .large = LARGE, .text = "text", .raw = {1, 2, 3}, .grid = {{1, 2, 3}, {4, 5, -6}},
	.u1 = {.half = 7}, .ip6 = 0x1122334455667788ULL,
	.pair = {{1, {-3, 100, NEGATIVE, 1, -500000000000LL, 21}}, {-1, {0}}}, .pointer = (void *)0x1234,
}""",
)
BITS = {"a": -3, "b": 100, "c": "NEGATIVE", "d": True, "e": -500000000000, "f": 21}
VALUES: dict[str, Any] = {
    "bits": BITS,
    "aligned": {"c": 1, "bits": BITS, "l": -1},
    "packed": {
        "c": -1, "s": -2, "i": 3, "l": -4, "w": 1 << 100, "u": 255, "yes": True, "f": 1.5, "d": -0.1,
        "color": "NEGATIVE", "large": "LARGE", "text": "text", "raw": [1, 2, 3], "grid": [[1, 2, 3], [4, 5, -6]],
        "u1": {"half": 7}, "ip6": 0x1122334455667788,
        "pair": [{"x": 1, "bits": BITS}, {"x": -1, "bits": {}}], "pointer": 0x1234,
    },
}  # fmt: skip


@pytest.mark.parametrize("little", [True, False], ids=["little", "big"])
def test_initialisers(little: bool, tmp_path: Path) -> None:
    path = clang(SOURCE, tmp_path, little=little)
    btf, elf = read_btf(path), parse_elf(path.read_bytes())
    data = elf.find(".data")
    assert data
    for name, value in VALUES.items():
        symbol = next(symbol for symbol in elf.symbols if symbol.name == name)
        theirs = data.data[symbol.value : symbol.value + symbol.size]
        type_id = btf.find(name, 14)
        assert type_id is not None
        assert encode(btf, type_id, value) == theirs
        assert encode(btf, type_id, decode(btf, type_id, theirs)) == theirs
