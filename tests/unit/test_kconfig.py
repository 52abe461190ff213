# SPDX-License-Identifier: BSD-2-Clause
"""Values of the kernel's configuration: every type that may ask for every form of setting."""

from __future__ import annotations

from pathlib import Path

import pytest
from elfwriter import ObjectWriter
from kernelkit import kernel, kernel_for
from typekit import BOOL, CHAR, INT, LONG, UINT, ULONG, USHORT, enum, make_btf

import rawbpf
from rawbpf.btf import types as t
from rawbpf.errors import ExternError
from rawbpf.objfile.elf import STB_WEAK
from rawbpf.plan.kconfig import kconfig_contents
from rawbpf.plan.target import Target

OBJS = Path(__file__).parent.parent / "objs"

TRISTATE = enum("libbpf_tristate", TRI_NO=0, TRI_YES=1, TRI_MODULE=2)
U8, S64 = t.Int("unsigned char", 1), LONG


class Some:
    """A kernel with just these features."""

    def __init__(self, *features: str) -> None:
        self.features = features

    def has(self, name: str) -> bool:
        return name in self.features


def contents(
    type: t.Type | int,
    kconfig: str | None,
    *,
    name: str = "CONFIG_X",
    weak: bool = False,
    little: bool = True,
    extra: str = "",
    target: Target | None = None,
) -> bytes:
    out = ObjectWriter(little=little)
    assert out.btf is not None
    type_id = type if isinstance(type, int) else out.btf.add(type)
    out.extern(".kconfig", name, t.Var(name, type_id, t.Var.EXTERN), bind=STB_WEAK if weak else 1)
    return kconfig_contents(out.to_spec(), target or kernel(make_btf(), kconfig=kconfig), extra)


def text(length: int) -> t.Array:
    return t.Array(CHAR, INT, length)


GOOD: list[tuple[str, t.Type | int, str, bytes]] = [
    ("bool_y", BOOL, "y", b"\1"),
    ("bool_n", BOOL, "n", b"\0"),
    ("tristate_y", TRISTATE, "y", b"\1\0\0\0"),
    ("tristate_n", TRISTATE, "n", b"\0\0\0\0"),
    ("tristate_m", TRISTATE, "m", b"\2\0\0\0"),
    ("char_y", CHAR, "y", b"y"),
    ("char_m", U8, "m", b"m"),
    ("char_number", CHAR, "-128", b"\x80"),
    ("unsigned_char_number", U8, "255", b"\xff"),
    ("int", INT, "250", b"\xfa\0\0\0"),
    ("int_negative", INT, "-2", b"\xfe\xff\xff\xff"),
    ("int_lowest", INT, "-2147483648", b"\0\0\0\x80"),
    ("int_highest", INT, "2147483647", b"\xff\xff\xff\x7f"),
    ("uint_highest", UINT, "4294967295", b"\xff\xff\xff\xff"),
    ("short", USHORT, "65535", b"\xff\xff"),
    ("long_lowest", S64, "-9223372036854775808", bytes(7) + b"\x80"),
    ("ulong_highest", ULONG, "18446744073709551615", b"\xff" * 8),
    ("ulong_negative", ULONG, "-1", b"\xff" * 8),
    ("hexadecimal", UINT, "0xdeadBEEF", b"\xef\xbe\xad\xde"),
    ("upper_hexadecimal", UINT, "0X10", b"\x10\0\0\0"),
    ("octal", UINT, "0644", b"\xa4\1\0\0"),
    ("zero", UINT, "0", bytes(4)),
    ("plus", UINT, "+7", b"\7\0\0\0"),
    ("string", text(8), '"abc"', b"abc\0\0\0\0\0"),
    ("string_empty", text(4), '""', bytes(4)),
    ("string_that_just_fits", text(4), '"abc"', b"abc\0"),
    ("string_cut", text(4), '"abcdefg"', b"abc\0"),
    ("string_for_one_char", text(1), '"abc"', b"\0"),
    ("string_utf8", text(8), '"gr\u00fcn"', b"gr\xc3\xbcn\0\0\0"),
    ("typedef", t.Typedef(INT, "number"), "1", b"\1\0\0\0"),
    ("const", t.Const(BOOL), "y", b"\1"),
]


@pytest.mark.parametrize(("type", "value", "expected"), [case[1:] for case in GOOD], ids=[case[0] for case in GOOD])
def test_value(type: t.Type | int, value: str, expected: bytes) -> None:
    assert contents(type, f"CONFIG_X={value}\n") == expected


@pytest.mark.parametrize(("type", "expected"), [(INT, b"\0\0\1\2"), (TRISTATE, b"\0\0\0\2")], ids=["int", "tristate"])
def test_big_endian(type: t.Type | int, expected: bytes) -> None:
    value = "m" if type is TRISTATE else "0x102"
    assert contents(type, f"CONFIG_X={value}", little=False) == expected


BAD: list[tuple[str, t.Type | int, str, str]] = [
    ("bool_m", BOOL, "m", "CONFIG_X=m, but declared as bool"),
    ("int_y", INT, "y", "CONFIG_X=y, but declared as int"),
    ("string_y", text(4), "y", "declared as string"),
    ("bool_number", BOOL, "1", "CONFIG_X=1 is a number, but declared as bool"),
    ("tristate_number", TRISTATE, "1", "declared as tristate"),
    ("string_number", text(4), "1", "declared as string"),
    ("int_string", INT, '"abc"', "is a string, but declared as int"),
    ("open_string", text(8), '"abc', "no closing quote"),
    ("only_a_quote", text(8), '"', "no closing quote"),
    ("no_number", INT, "abc", "CONFIG_X=abc is no number"),
    ("number_and_more", INT, "12abc", "is no number"),
    ("only_0x", INT, "0x", "is no number"),
    ("octal_8", INT, "08", "is no number"),
    ("python_number", INT, "1_000", "is no number"),
    ("binary", INT, "0b1", "is no number"),
    ("int_too_large", INT, "2147483648", "does not fit into 4 bytes"),
    ("int_too_small", INT, "-2147483649", "does not fit into 4 bytes"),
    ("uint_too_large", UINT, "4294967296", "does not fit into 4 bytes"),
    ("uint_negative", UINT, "-1", "does not fit into 4 bytes"),
    ("char_too_large", CHAR, "128", "does not fit into 1 bytes"),
    ("beyond_64_bits", ULONG, "18446744073709551616", "does not fit into 8 bytes"),
    ("float", t.Float("float", 4), "1", "as `float`"),
    ("struct", t.Struct("s", 4, [t.Member("x", INT, 0)]), "1", "as `struct s`"),
    ("pointer", t.Ptr(INT), "1", "as `int \\*`"),
    ("other_enum", enum("e", A=1), "y", "as `enum e`"),
    ("narrow_tristate", t.Enum("libbpf_tristate", 1, TRISTATE.values), "y", "as `enum libbpf_tristate`"),
    ("array_of_int", t.Array(INT, INT, 4), '"a"', "cannot be declared as"),
    ("array_of_bool", t.Array(BOOL, INT, 4), '"a"', "cannot be declared as"),
    ("array_of_nothing", text(0), '""', "cannot be declared as"),
    ("odd_int", t.Int("u24", 3), "1", "as `u24`"),
    ("wide_int", t.Int("u128", 16), "1", "as `u128`"),
    ("wide_bool", t.Int("bool", 4, t.Int.BOOL), "y", "as `bool`"),
    ("int_of_no_size", t.Int("none", 0), "1", "as `none`"),
]


@pytest.mark.parametrize(("type", "value", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_value_that_does_not_fit(type: t.Type | int, value: str, message: str) -> None:
    with pytest.raises(ExternError, match=message) as caught:
        contents(type, f"CONFIG_X={value}\n")
    assert caught.value.symbol == "CONFIG_X"


def test_unset() -> None:
    config = "# CONFIG_X is not set\nCONFIG_XY=y\nNOT_CONFIG=1\n"
    with pytest.raises(ExternError, match="does not set CONFIG_X") as caught:
        contents(BOOL, config)
    assert "__weak" in (caught.value.hint or "")
    assert contents(BOOL, config, weak=True) == b"\0"


def test_configuration_that_cannot_be_read() -> None:
    with pytest.raises(ExternError, match="configuration cannot be read") as caught:
        contents(BOOL, None)
    assert "/proc/config.gz" in (caught.value.hint or "")
    assert contents(BOOL, None, weak=True) == b"\0"


def test_what_the_user_says_wins() -> None:
    assert contents(INT, "CONFIG_X=1", extra="CONFIG_X=2") == b"\2\0\0\0"
    assert contents(INT, None, extra="CONFIG_X=2") == b"\2\0\0\0"
    assert contents(INT, "CONFIG_X=1", extra="CONFIG_Y=2") == b"\1\0\0\0"


def test_first_setting_wins() -> None:
    assert contents(INT, "CONFIG_X=1\nCONFIG_X=2\n") == b"\1\0\0\0"


@pytest.mark.parametrize("separator", ["\v", "\f", "\r", "\x1c", "\x85", "\u2028"])
def test_only_newlines_end_a_setting(separator: str) -> None:
    lines = f'CONFIG_Y="a{separator}CONFIG_X=2"\nCONFIG_X=1\r\n'
    assert contents(INT, lines) == contents(INT, None, extra=lines) == b"\1\0\0\0"
    assert contents(text(16), f'CONFIG_X="a{separator}b"\n').rstrip(b"\0").decode() == f"a{separator}b"


@pytest.mark.parametrize("line", ["CONFIG_X", "CONFIG_X="])
def test_line_that_is_no_setting(line: str) -> None:
    with pytest.raises(ExternError, match="is no setting"):
        contents(INT, line)


def test_configuration_is_read_only_if_needed() -> None:
    asked: list[str] = []

    def read() -> str:
        asked.append("read")
        return "CONFIG_X=1"

    target = Target("k", btf=lambda: None, kconfig=read)
    assert contents(INT, None, target=target, extra="CONFIG_X=5") == b"\5\0\0\0"
    assert asked == []
    assert contents(INT, None, target=target) == b"\1\0\0\0"
    assert asked == ["read"]


# -- what loaders make up


def virtual(name: str, type: t.Type | int, *, version: int = 0x60C01, features: tuple[str, ...] = (),
            weak: bool = False) -> bytes:  # fmt: skip
    target = kernel(make_btf(), version=version, features=Some(*features))
    return contents(type, None, name=name, target=target, weak=weak)


def test_version() -> None:
    assert virtual("LINUX_KERNEL_VERSION", INT) == b"\1\x0c\6\0"
    with pytest.raises(ExternError, match="396289 of LINUX_KERNEL_VERSION does not fit its type"):
        virtual("LINUX_KERNEL_VERSION", USHORT)
    with pytest.raises(ExternError, match="does not fit its type"):
        virtual("LINUX_KERNEL_VERSION", text(8))
    with pytest.raises(ExternError, match="version is not known"):
        virtual("LINUX_KERNEL_VERSION", INT, version=0)


@pytest.mark.parametrize("name", ["BPF_COOKIE", "SYSCALL_WRAPPER"])
def test_features(name: str) -> None:
    assert virtual(f"LINUX_HAS_{name}", BOOL, features=(name.lower(),)) == b"\1"
    assert virtual(f"LINUX_HAS_{name}", INT) == bytes(4)


def test_name_that_nobody_knows() -> None:
    assert virtual("LINUX_OTHER", INT, weak=True) == bytes(4)
    with pytest.raises(ExternError, match="LINUX_OTHER is no value that loaders make up"):
        virtual("LINUX_OTHER", INT)
    with pytest.raises(ExternError, match="is no value that loaders make up"):
        virtual("OTHER", INT, weak=True)


@pytest.mark.parametrize("order", ["el", "eb"])
def test_compiled(order: str) -> None:
    spec = rawbpf.open(OBJS / f"kconfig.{order}.o")
    data = kconfig_contents(spec, kernel_for(spec))
    assert len(data) == spec.maps[".kconfig"].value_size
    offsets, end = {}, 0
    for extern in spec.externs.values():
        end += -end % extern.align
        offsets[extern.name], end = (end, extern.size), end + extern.size

    def number(name: str) -> int:
        offset, size = offsets[name]
        return int.from_bytes(data[offset : offset + size], "little" if spec.little else "big")

    assert number("CONFIG_HZ") == 250
    assert number("CONFIG_NR_CPUS") == 64
    assert number("CONFIG_TCP_CONG_CUBIC") == 2
    assert number("LINUX_KERNEL_VERSION") == 0x60C00
    assert number("CONFIG_RAWBPF_NO_SUCH_NUMBER") == 0
    offset, size = offsets["CONFIG_DEFAULT_TCP_CONG"]
    assert data[offset : offset + size] == b"cubic".ljust(16, b"\0")
    offset, size = offsets["CONFIG_DEFAULT_HOSTNAME"]
    assert data[offset : offset + size] == b"(n\0"
