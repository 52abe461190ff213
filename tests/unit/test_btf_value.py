# SPDX-License-Identifier: BSD-2-Clause
"""Typed values ↔ bytes. What clang makes of the same values is compared in tests/oracle/test_btf_value.py."""

from __future__ import annotations

import copy
import math
import pickle
from array import array
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typegraphs import SETTINGS
from typekit import BOOL, CHAR, FIRST, FLOAT, INT, LONG, UINT, ULONG, USHORT, VOIDP, make_btf

from rawbpf.btf import types as t
from rawbpf.btf.value import EnumValue, Record, codec, decode, encode, encode_into, parse_value
from rawbpf.errors import BtfError, SpecError

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf

COLOR, COMM, COLORS, MATRIX, INNER, NAMED, ANON, RECORD, FLEX, CHARS, U8, MAC, MODE, DOUBLE, S128, LONGDOUBLE = range(
    FIRST, FIRST + 16
)
ANON_BITS, VAR, SECTION, TYPEDEF = range(FIRST + 16, FIRST + 20)


def types() -> list[t.Type]:
    m = t.Member
    return [
        t.Enum("color", 4, [t.Enumerator("RED", 1), t.Enumerator("GREEN", 5), t.Enumerator("VERT", 5)]),
        t.Array(CHAR, UINT, 8),
        t.Array(COLOR, UINT, 2),
        t.Array(FIRST + 16 + 4, UINT, 2),  # int[2][3]
        t.Struct("inner", 8, [m("a", USHORT, 0), m("ok", BOOL, 16), m("from", INT, 32)]),
        t.Union("word", 4, [m("whole", UINT, 0), m("half", USHORT, 0), m("bytes", MAC, 0)]),
        t.Union("", 8, [m("ip4", UINT, 0), m("ip6", LONG, 0)]),
        t.Struct("record", 40, [
            m("count", UINT, 0), m("color", COLOR, 32), m("inner", INNER, 64), m("", ANON, 128),
            m("comm", COMM, 192), m("", ANON_BITS, 256), m("word", NAMED, 288),
        ]),
        t.Struct("flex", 8, [m("n", UINT, 0), m("data", FIRST + 21, 64)]),
        t.Array(CHAR, UINT, 0),
        t.Int("unsigned char", 1),
        t.Array(U8, UINT, 4),
        t.Enum64("mode", 8, [t.Enumerator("LOW", -(1 << 40)), t.Enumerator("HIGH", 1 << 40)], signed=True),
        t.Float("double", 8),
        t.Int("__int128", 16, t.Int.SIGNED),
        t.Float("long double", 16),
        t.Struct("", 4, [
            m("signed_", INT, 0, 3), m("wide", UINT, 3, 20), m("tone", COLOR, 23, 4), m("flag", BOOL, 27, 1),
        ]),
        t.Var("variable", RECORD, t.Var.GLOBAL),
        t.Datasec(".data", 48, [t.SecVar(VAR, 0, 40), t.SecVar(FIRST + 22, 40, 4)]),
        t.Typedef(UINT, "u32"),
        t.Array(INT, UINT, 3),
        t.Array(ULONG, UINT, 0),
        t.Var("number", INT),
    ]  # fmt: skip


LITTLE, BIG = (make_btf(*types(), little=little) for little in (True, False))
BOTH = pytest.mark.parametrize("btf", [LITTLE, BIG], ids=["little", "big"])


@pytest.mark.parametrize(
    ("type_id", "value", "little", "big"),
    [
        (UINT, 1, "01000000", "00000001"),
        (INT, -2, "feffffff", "fffffffe"),
        (ULONG, (1 << 64) - 1, "ff" * 8, "ff" * 8),
        (VOIDP, 0xFFFF888000000000, "000000008088ffff", "ffff888000000000"),
        (BOOL, True, "01", "01"),
        (CHAR, -1, "ff", "ff"),
        (FLOAT, 1.5, "0000c03f", "3fc00000"),
        (DOUBLE, -2.0, "00000000000000c0", "c000000000000000"),
        (S128, -(1 << 100), "00" * 12 + "f0ffffff", "fffffff0" + "00" * 12),
        (LONGDOUBLE, bytes(range(16)), bytes(range(16)).hex(), bytes(range(16)).hex()),
        (COLOR, 5, "05000000", "00000005"),
        (MODE, -(1 << 40), "0000000000ffffff", "ffffff0000000000"),
        (COMM, "bash", "6261736800000000", "6261736800000000"),
        (COMM, "12345678", "3132333435363738", "3132333435363738"),
        (COMM, b"\xff\0abcdef", "ff00616263646566", "ff00616263646566"),
        (MATRIX, [[1, 2, 3], [4, 5, -6]], "010000000200000003000000" "0400000005000000faffffff",
         "000000010000000200000003" "0000000400000005fffffffa"),
        (MAC, [1, 2, 3, 255], "010203ff", "010203ff"),
        (COLORS, [1, 5], "0100000005000000", "0000000100000005"),
        (TYPEDEF, 7, "07000000", "00000007"),
        (INNER, {"a": 1, "ok": True, "from": -1}, "01000100ffffffff", "00010100ffffffff"),
        (FLEX, {"n": 2, "data": [1, 2]}, "0200000000000000" "0100000000000000" "0200000000000000",
         "0000000200000000" "0000000000000001" "0000000000000002"),
    ],
)  # fmt: skip
def test_values_and_bytes(type_id: int, value: Any, little: str, big: str) -> None:
    for btf, data in ((LITTLE, bytes.fromhex(little)), (BIG, bytes.fromhex(big))):
        assert encode(btf, type_id, value) == data
        decoded = decode(btf, type_id, data)
        assert decoded == value
        assert isinstance(decoded, Record if isinstance(value, dict) else type(value))


@pytest.mark.parametrize(
    ("name", "value", "little", "big"),
    [
        ("signed_", -3, 0b101, 0b101 << 29),
        ("wide", 0xABCDE, 0xABCDE << 3, 0xABCDE << 9),
        ("tone", 5, 5 << 23, 5 << 5),
        ("flag", True, 1 << 27, 1 << 4),
    ],
)
def test_bitfields(name: str, value: int, little: int, big: int) -> None:
    for btf, word in ((LITTLE, little.to_bytes(4, "little")), (BIG, big.to_bytes(4, "big"))):
        assert encode(btf, ANON_BITS, {name: value}) == word
        record = decode(btf, ANON_BITS, word)
        assert record[name] == value
        assert [other for other in ("signed_", "wide", "tone", "flag") if record[other]] == [name]


def test_bitfields_as_they_were_before_kind_flag() -> None:
    btf = make_btf(
        t.Int("int", 4, t.Int.SIGNED, bits=3),
        t.Struct("old", 4, [t.Member("a", FIRST, 0), t.Member("b", FIRST, 3), t.Member("c", USHORT, 16)]),
    )
    assert encode(btf, FIRST + 1, {"a": -1, "b": 2, "c": 9}) == (9 << 16 | 2 << 3 | 7).to_bytes(4, "little")
    record = decode(btf, FIRST + 1, b"\x17\0\x09\0")
    assert record == {"a": -1, "b": 2, "c": 9}
    record.a = 3
    assert encode(btf, FIRST + 1, record) == b"\x13\0\x09\0"
    assert decode(btf, FIRST, b"\x05\0\0\0") == -3


# -- records


@BOTH
def test_records(btf: Btf) -> None:
    record = decode(btf, RECORD, bytes(40))
    record.count = 7
    record.color = "GREEN"
    record.inner["from"] = -5
    record.ip6 = 1
    record.comm = "bash"
    record.wide = 9
    record["word"].half = 3
    again = decode(btf, VAR, encode(btf, RECORD, record))
    assert repr(again).startswith("struct record(count=7, color=<GREEN: 5>, inner=struct inner(a=0, ok=False, from=-5)")
    assert (again.ip6, again.comm, again.wide, again.word.half) == (1, "bash", 9, 3)
    assert encode(btf, RECORD, again._asdict()) == encode(btf, RECORD, again) == encode(btf, RECORD, record)


def test_a_record_looks_like_its_struct() -> None:
    record = decode(LITTLE, INNER, b"\x02\0\x01\0\x03\0\0\0")
    assert record == {"a": 2, "ok": True, "from": 3}
    assert record == decode(BIG, INNER, b"\0\x02\x01\0\0\0\0\x03")
    assert record != {"a": 2, "ok": True}
    assert record != 3
    assert {"a", "ok", "from"} <= set(dir(record))
    assert "from" in record
    assert "b" not in record
    for misuse in (lambda: record.b, lambda: setattr(record, "b", 1), lambda: delattr(record, "a")):
        with pytest.raises(AttributeError, match="struct inner"):
            misuse()
    with pytest.raises(KeyError):
        record["b"]
    with pytest.raises(KeyError):
        record["b"] = 1


def test_records_are_keys_and_can_be_copied_and_pickled() -> None:
    record = decode(LITTLE, RECORD, bytes(range(40)))
    twin = decode(LITTLE, RECORD, bytes(range(40)))
    assert {record: 1}[twin] == 1
    for made in (copy.deepcopy(record), pickle.loads(pickle.dumps(record))):
        assert made == record
        assert encode(LITTLE, RECORD, made) == encode(LITTLE, RECORD, record)
    other = copy.deepcopy(record)
    other.inner.a = 999
    assert other != record


def test_members_may_have_any_name() -> None:
    members = [t.Member(name, INT, 32 * i) for i, name in enumerate(("_asdict", "_names", "_make", "self", "__dict__"))]
    btf = make_btf(t.Struct("odd", 20, members))
    record = decode(btf, FIRST, encode(btf, FIRST, {member.name: i for i, member in enumerate(members)}))
    assert [record[member.name] for member in members] == [0, 1, 2, 3, 4]
    assert encode(btf, FIRST, record) == encode(btf, FIRST, Record._asdict(record))


@BOTH
def test_sections(btf: Btf) -> None:
    data = encode(btf, SECTION, {"variable": {"count": 3}, "number": -4})
    record = decode(btf, SECTION, data)
    assert (record.variable.count, record.number) == (3, -4)


def test_a_static_variable_hides_others_of_its_name() -> None:
    btf = make_btf(
        t.Var("x", INT), t.Var("x", INT), t.Datasec(".bss", 8, [t.SecVar(FIRST, 0, 4), t.SecVar(FIRST + 1, 4, 4)])
    )
    assert decode(btf, FIRST + 2, b"\1\0\0\0\2\0\0\0") == {"x": 1}


def test_members_that_are_missing_are_zero() -> None:
    assert encode(LITTLE, RECORD, {}) == bytes(40)
    assert encode(LITTLE, MATRIX, [[1]]) == b"\1" + bytes(23)


def test_bytes_stand_for_themselves() -> None:
    raw = bytes(range(40))
    for value in (raw, bytearray(raw), memoryview(raw)):
        assert encode(LITTLE, RECORD, value) == raw
    assert encode(LITTLE, MAC, b"\1\2") == b"\1\2\0\0"
    with pytest.raises(SpecError, match="40 bytes as they are"):
        encode(LITTLE, RECORD, raw[1:])


# -- unions


@BOTH
def test_the_changed_view_of_a_union_is_encoded(btf: Btf) -> None:
    raw = b"\1\2\3\4"
    word = decode(btf, NAMED, raw)
    assert encode(btf, NAMED, word) == raw
    word.bytes[3] = 9
    assert encode(btf, NAMED, word) == b"\1\2\3\x09"
    word = decode(btf, NAMED, raw)
    word.half = 0
    assert encode(btf, NAMED, word) == b"\0\0\3\4"
    assert encode(btf, NAMED, decode(btf, NAMED, raw)._asdict()) == raw


def test_views_that_contradict_each_other_are_refused() -> None:
    assert encode(LITTLE, NAMED, {"whole": 0x04030201, "half": 0x0201}) == b"\1\2\3\4"
    with pytest.raises(SpecError, match="contradict"):
        encode(LITTLE, NAMED, {"whole": 1, "half": 2})
    word = decode(LITTLE, NAMED, bytes(4))
    word.whole, word.half = 1, 2
    with pytest.raises(SpecError, match="contradict"):
        encode(LITTLE, NAMED, word)


def test_a_shorter_text_in_a_union_leaves_nothing_of_the_longer() -> None:
    btf = make_btf(t.Array(CHAR, UINT, 8), t.Union("u", 8, [t.Member("text", FIRST, 0), t.Member("n", ULONG, 0)]))
    union = decode(btf, FIRST + 1, b"longword")
    union.text = "x"
    assert encode(btf, FIRST + 1, union) == b"x" + bytes(7)


def test_nan_in_a_union_is_no_contradiction() -> None:
    btf = make_btf(t.Union("u", 4, [t.Member("f", FLOAT, 0), t.Member("n", UINT, 0)]))
    raw = b"\1\0\xc0\x7f"
    union = decode(btf, FIRST, raw)
    assert math.isnan(union.f)
    assert encode(btf, FIRST, union) == raw
    assert encode(btf, FIRST, union._asdict()) == raw


# -- enums and text


def test_enums() -> None:
    green, unnamed = decode(LITTLE, COLOR, b"\5\0\0\0"), decode(LITTLE, COLOR, b"\7\0\0\0")
    assert (green, green.name, str(green), repr(green)) == (5, "GREEN", "GREEN", "<GREEN: 5>")
    assert (unnamed, unnamed.name, str(unnamed), repr(unnamed)) == (7, None, "7", "<7>")
    assert encode(LITTLE, COLOR, "VERT") == encode(LITTLE, COLOR, green) == encode(LITTLE, COLOR, 5)
    assert pickle.loads(pickle.dumps(green)).name == "GREEN"
    assert isinstance(green, EnumValue)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"bash\0\0\0\0", "bash"),
        (b"bash\0xyz", "bash"),
        ("naïve".encode() + b"\0\0", "naïve"),
        (b"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", "ääää"),
        (b"\xc3\0\0\0\0\0\0\0", b"\xc3\0\0\0\0\0\0\0"),
        (bytes(8), ""),
    ],
)
def test_text(raw: bytes, value: str | bytes) -> None:
    assert decode(LITTLE, COMM, raw) == value


def test_char_is_known_by_its_encoding_too() -> None:
    btf = make_btf(t.Int("i8", 1, t.Int.CHAR), t.Array(FIRST, UINT, 2), t.Array(FIRST + 1, UINT, 2))
    assert decode(btf, FIRST + 2, b"ab\0\0") == ["ab", ""]


def test_flexible_arrays_take_what_is_there() -> None:
    assert decode(LITTLE, FLEX, bytes(8)) == {"n": 0, "data": []}
    assert decode(LITTLE, FLEX, bytes(8 + 8 + 7)) == {"n": 0, "data": [0]}
    assert decode(LITTLE, CHARS, b"text") == "text"
    assert encode(LITTLE, CHARS, "text") == b"text"
    array_of_flex = make_btf(t.Array(INT, UINT, 0), t.Struct("f", 4, [t.Member("n", INT, 0), t.Member("x", FIRST, 32)]),
                             t.Array(FIRST + 1, UINT, 2))  # fmt: skip
    assert decode(array_of_flex, FIRST + 2, bytes(8)) == [{"n": 0, "x": []}] * 2
    with pytest.raises(SpecError, match=r"\[0\].x: 1 elements do not fit"):
        encode(array_of_flex, FIRST + 2, [{"x": [1]}])


# -- what is refused


@pytest.mark.parametrize(
    ("type_id", "value", "message"),
    [
        (UINT, 1 << 32, r"^4294967296 does not fit into unsigned int \(0 to 4294967295\)$"),
        (UINT, -1, "-1 does not fit"),
        (TYPEDEF, -1, r"into u32 \(0"),
        (UINT, "5", "takes an integer, not '5'"),
        (UINT, 1.0, "takes an integer"),
        (BOOL, 2, r"\(0 to 1\)"),
        (FLOAT, 1e300, "does not fit into float"),
        (FLOAT, "x", "does not fit into float"),
        (COLOR, "BLUE", "enum color has no enumerator 'BLUE'"),
        (COMM, "123456789", r"does not fit into char\[8\]: it has 9 bytes"),
        (COMM, 5, "takes str or bytes"),
        (MATRIX, [[1], [2], [3]], r"3 elements do not fit into int\[2\]\[3\]"),
        (MATRIX, [[], [0, 0, 1 << 31]], r"^\[1\]\[2\]: 2147483648 does not fit into int "),
        (MATRIX, "abc", "takes a list"),
        (LONGDOUBLE, 1.0, "16 bytes as they are"),
        (RECORD, 5, "takes a dict or record"),
        (RECORD, {"inner": {"a": 65536}}, r"^inner.a: 65536 does not fit into unsigned short \(0 to 65535\)$"),
        (RECORD, {"signed_": 4}, r"^signed_: 4 does not fit into int:3 \(-4 to 3\)$"),
        (RECORD, {"nothing": 1}, "struct record has no member 'nothing'"),
        (FLEX, {"data": [0, -1]}, r"^data\[1\]: -1 does not fit into unsigned long"),
    ],
)
def test_values_that_do_not_fit(type_id: int, value: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        encode(LITTLE, type_id, value)


def test_near_names_are_hinted_at() -> None:
    for type_id, value, hint in ((RECORD, {"cuont": 1}, "did you mean count?"), (COLOR, "GREN", "did you mean GREEN?")):
        with pytest.raises(SpecError) as caught:
            encode(LITTLE, type_id, value)
        assert caught.value.hint == hint


@pytest.mark.parametrize("type_id", [0, FIRST + 1, FIRST + 2], ids=["void", "function", "forward"])
def test_types_without_values(type_id: int) -> None:
    btf = make_btf(t.FuncProto(0, []), t.Func("f", FIRST), t.Fwd("later"))
    with pytest.raises(SpecError, match="without values"):
        decode(btf, type_id, bytes(8))


@pytest.mark.parametrize("data", [b"", bytes(39), array("B", bytes(39))])
def test_too_few_bytes(data: Any) -> None:
    with pytest.raises(SpecError, match=f"struct record takes 40 bytes; there are {len(data)}"):
        decode(LITTLE, RECORD, data)
    for offset in (-1, 1, 100):
        with pytest.raises(SpecError, match="takes 40 bytes"):
            decode(LITTLE, RECORD, bytes(40), offset=offset)


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ([t.Struct("s", 8, [t.Member("me", FIRST, 0)])], "nested more than 64"),
        ([t.Struct("s", 8, [t.Member("", FIRST, 0)])], "nested too deeply"),
        ([t.Struct("s", 8, [t.Member("a", INT, 0), t.Member("a", INT, 32)])], "two members 'a'"),
        ([t.Struct("s", 7, [t.Member("a", INT, 32)])], "'a' of struct s ends behind its 7 bytes"),
        ([t.Struct("s", 8, [t.Member("a", VOIDP, 0, 3)])], "'a' is a bit-field of void *"),
        ([t.Int("huge", 1 << 30, bits=8)], "huge of 1073741824 bytes is impossible"),
    ],
)
def test_btf_that_makes_no_sense(types: list[t.Type], message: str) -> None:
    with pytest.raises(BtfError, match=message.replace("*", r"\*")):
        decode(make_btf(*types), FIRST, bytes(64))


def test_what_is_too_large_is_not_tried() -> None:
    btf = make_btf(t.Array(INT, UINT, 0xFFFFFFFF), t.Array(FIRST, UINT, 0xFFFFFFFF))
    with pytest.raises(SpecError, match="too large"):
        encode(btf, FIRST + 1, [])
    with pytest.raises(SpecError, match="there are 8"):
        decode(btf, FIRST + 1, bytes(8))


# -- buffers, codecs, texts


def test_encode_into_writes_all_or_nothing() -> None:
    buffer = bytearray(b"\xff" * 12)
    encode_into(LITTLE, INNER, buffer, 2, {"a": 1})
    assert buffer == b"\xff\xff\1\0\0\0\0\0\0\0\xff\xff"
    before = bytes(buffer)
    with pytest.raises(SpecError, match="does not fit"):
        encode_into(LITTLE, INNER, buffer, 0, {"a": 1, "from": 1 << 40})
    for offset in (-1, 5):
        with pytest.raises(SpecError, match=f"8 bytes at offset {offset} do not fit into a buffer of 12"):
            encode_into(LITTLE, INNER, buffer, offset, {})
    assert buffer == before


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda data: array("I", data)])
def test_any_buffer_can_be_decoded(wrap: Any) -> None:
    data = encode(LITTLE, RECORD, {"count": 3, "comm": "x", "wide": 5, "ip4": 9})
    assert decode(LITTLE, RECORD, wrap(bytes(4) + data), offset=4) == decode(LITTLE, RECORD, data)


def test_a_codec_is_made_once() -> None:
    assert codec(LITTLE, RECORD) is codec(LITTLE, RECORD)
    assert codec(LITTLE, RECORD) is not codec(BIG, RECORD)
    assert (codec(LITTLE, RECORD).size, codec(LITTLE, RECORD).label) == (40, "struct record")


@pytest.mark.parametrize(
    ("type_id", "text", "value"),
    [
        (INT, "-17", -17),
        (UINT, "0x10", 16),
        (UINT, "0b11", 3),
        (CHAR, "65", 65),
        (BOOL, "true", True),
        (BOOL, "0", False),
        (COLOR, "GREEN", 5),
        (COLOR, "7", 7),
        (MODE, "-0x10000000000", -(1 << 40)),
        (DOUBLE, "1e3", 1000.0),
        (COMM, "0x10", "0x10"),
        (COMM, "", ""),
        (MAC, "[1, 2]", [1, 2]),
        (COLORS, '["GREEN", 1]', [5, 1]),
        (INNER, '{"a": "0xff", "ok": true}', {"a": 255, "ok": True}),
        (RECORD, '{"inner": {"from": "-1"}, "comm": "5"}', {"inner": {"from": -1}, "comm": "5"}),
    ],
)
def test_texts(type_id: int, text: str, value: Any) -> None:
    assert parse_value(LITTLE, type_id, text) == value


@pytest.mark.parametrize(
    ("type_id", "text", "message"),
    [
        (UINT, "many", "'many' is no integer, as unsigned int needs"),
        (UINT, "", "is no integer"),
        (UINT, "-1", "does not fit"),
        (UINT, "1" * 5000, "is no integer|does not fit"),
        (BOOL, "yes", "neither true nor false"),
        (COLOR, "BLUE", "no enumerator 'BLUE'"),
        (COLOR, "5x", "is no integer"),
        (FLOAT, "x", "is no number"),
        (COMM, "123456789", "does not fit"),
        (MAC, "aa:bb", "is no JSON"),
        (MAC, "[" * 100_000, "is no JSON"),
        (MAC, "[256]", r"^\[0\]: 256 does not fit"),
        (INNER, "5", "takes a dict"),
        (INNER, '{"a": "x"}', "^a: 'x' is no integer"),
        (INNER, '{"b": 1}', "no member 'b'"),
        (RECORD, '{"inner": {"ok": "maybe"}}', "^inner.ok: 'maybe' is neither"),
    ],
)
def test_bad_texts(type_id: int, text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_value(LITTLE, type_id, text)


# -- properties


@BOTH
@SETTINGS
@given(st.data())
def test_what_is_encoded_can_be_decoded(btf: Btf, data: st.DataObject) -> None:
    value = {
        "count": data.draw(st.integers(0, (1 << 32) - 1)),
        "color": data.draw(st.integers(0, (1 << 32) - 1)),
        "inner": {"a": data.draw(st.integers(0, 65535)), "ok": data.draw(st.booleans())},
        "ip6": data.draw(st.integers(-(1 << 63), (1 << 63) - 1)),
        "comm": data.draw(st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=8)),
        "signed_": data.draw(st.integers(-4, 3)),
        "wide": data.draw(st.integers(0, (1 << 20) - 1)),
        "tone": data.draw(st.integers(0, 15)),
        "flag": data.draw(st.booleans()),
        "word": {"whole": data.draw(st.integers(0, (1 << 32) - 1))},
    }
    record = decode(btf, RECORD, encode(btf, RECORD, value))
    for name in value.keys() - {"inner", "word"}:
        assert record[name] == value[name]
    assert record.inner == value["inner"] | {"from": 0}
    assert record.word.whole == value["word"]["whole"]


@BOTH
@SETTINGS
@given(st.binary(min_size=40, max_size=40))
def test_what_is_decoded_can_be_encoded(btf: Btf, data: bytes) -> None:
    record = decode(btf, RECORD, data)
    assert decode(btf, RECORD, encode(btf, RECORD, record)) == record
