# SPDX-License-Identifier: BSD-2-Clause
"""Reading an object: functions, programs, sections of data, struct_ops, and what cannot be one."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from elfwriter import EXIT, MOV_R0, NOBITS, PROGBITS, WRITE, ElfWriter, ObjectWriter, call, ld_imm64
from typekit import INT, LONG
from typekit import struct as struct_type

import rawbpf
from rawbpf.btf import types as t
from rawbpf.btf.record import Record
from rawbpf.errors import BtfError, ElfError, RawbpfError, SpecError
from rawbpf.objfile.elf import STB_LOCAL, STB_WEAK, STT_FUNC, STV_HIDDEN
from rawbpf.objfile.reader import open_object, parse_object, read_btf
from rawbpf.objfile.spec import MAX_DATA_SIZE
from rawbpf.uapi import AttachType, MapFlag, MapType, ProgFlag, ProgType

OBJS = Path(__file__).parent.parent / "objs"
ORDERS = pytest.mark.parametrize("little", [True, False], ids=["little", "big"])
BODY = [MOV_R0, EXIT]


# -- programs and functions


@ORDERS
def test_programs_in_the_order_of_the_file(little: bool) -> None:
    out = ObjectWriter(little=little)
    out.section("license", b"GPL\0rest")
    out.section("version", struct.pack("<I" if little else ">I", 0x60C01))
    out.function("xdp", "second", BODY)
    out.function("?tc/ingress", "third", BODY, lines=(0, 1))
    out.function("xdp", "fourth", [MOV_R0, MOV_R0, EXIT])
    spec = out.to_spec()
    assert (spec.name, spec.path, spec.little, spec.license, spec.kern_version) == (
        "written", "written.o", little, "GPL", 0x60C01,
    )  # fmt: skip
    assert list(spec.programs) == ["second", "fourth", "third"]
    third, fourth = spec.programs["third"], spec.programs["fourth"]
    assert (fourth.section, fourth.start, len(fourth.insns), fourth.autoload) == ("xdp", 2, 3, True)
    assert (third.section, third.sec_name, third.autoload) == ("?tc/ingress", "tc/ingress", False)
    assert (third.prog_type, third.attach_type) == (ProgType.SCHED_CLS, AttachType.TCX_INGRESS)
    assert fourth.func_info is not None
    assert spec.btf is not None
    assert spec.btf.name_of(fourth.func_info.type_id) == "fourth"
    lines = [insn.line.source(spec.btf).text for insn in third.insns if insn.line]
    assert lines == ["line 0 of third", "line 1 of third"]


def test_section_flags_and_targets() -> None:
    out = ObjectWriter()
    for number, section in enumerate(("lsm.s/file_open", "xdp.frags", "kprobe", "no_such_section")):
        out.function(section, f"f{number}", BODY)
    f0, f1, f2, f3 = out.to_spec().programs.values()
    assert (f0.prog_type, f0.target, f0.flags) == (ProgType.LSM, "file_open", ProgFlag.SLEEPABLE)
    assert (f1.prog_type, f1.target, f1.flags) == (ProgType.XDP, "", ProgFlag.XDP_HAS_FRAGS)
    assert (f2.prog_type, f2.target, f2.autoload) == (ProgType.KPROBE, "", True)
    assert (f3.prog_type, f3.definition) == (ProgType.UNSPEC, None)


def test_subprograms() -> None:
    out = ObjectWriter()
    out.function("xdp", "entry", [call(), EXIT])
    out.function(".text", "static", BODY, bind=STB_LOCAL)
    out.function(".text", "global", BODY)
    out.function(".text", "weak", BODY, bind=STB_WEAK)
    out.function(".text", "hidden", BODY, visibility=STV_HIDDEN)
    spec = out.to_spec()
    kinds = {f.name: (f.start, f.is_global, f.hidden) for f in spec.functions.values()}
    assert kinds == {
        "static": (0, False, False), "global": (2, True, False), "weak": (4, True, False), "hidden": (6, True, True),
    }  # fmt: skip
    assert list(spec.programs) == ["entry"]
    text = spec.functions["weak"].section_index
    assert [spec.function_at(text, slot) for slot in (1, 4, 5, 8)] == [
        spec.functions["static"], spec.functions["weak"], spec.functions["weak"], None,
    ]  # fmt: skip
    assert spec.function_at(99, 0) is None


def test_static_functions_of_one_name_are_told_apart() -> None:
    out = ObjectWriter()
    for _ in range(2):
        out.function(".text", "helper", BODY, bind=STB_LOCAL)
    out.function(".text", "entry", BODY, bind=STB_LOCAL)
    out.function("xdp", "entry", BODY)
    spec = out.to_spec()
    assert list(spec.functions) == ["helper", "helper.2", "entry.4"]
    assert [function.name for function in spec.functions.values()] == list(spec.functions)
    assert list(spec.programs) == ["entry"]


def test_relocations_ride_on_their_instructions() -> None:
    out = ObjectWriter()
    out.section(".bss", type=NOBITS, size=8, flags=WRITE)
    var = out.variable(".bss", "counter", LONG, offset=0, size=8)
    out.function("xdp", "f", [MOV_R0, *ld_imm64(), EXIT])
    out.relocate("xdp", 1, var)
    insns = out.to_spec().programs["f"].insns
    assert [insn.relo.symbol.name if insn.relo else None for insn in insns] == [None, "counter", None, None]


def without_btf() -> ObjectWriter:
    out = ObjectWriter()
    out.btf = None
    return out


def test_object_without_btf() -> None:
    out = without_btf()
    out.section(".data", b"12345678", flags=WRITE)
    out.function("xdp", "f", BODY)
    spec = out.to_spec()
    assert (spec.btf, spec.btf_ext, spec.programs["f"].func_info) == (None, None, None)
    assert spec.maps[".data"].contents == bytearray(b"12345678")
    assert spec.maps[".data"].map_flags == 0
    assert spec.variables == {}


def broken(edit: str, *, little: bool = True) -> ObjectWriter:
    out = ObjectWriter(little=little)
    index = out.code("xdp")
    match edit:
        case "odd size of code":
            out.section("tc", bytes(12), flags=6)
        case "function ends behind":
            out.symbol("f", section=index, value=8, size=16, type=STT_FUNC)
            out.function("xdp", "g", BODY)
        case "function between instructions":
            out.symbol("f", section=index, value=4, size=8, type=STT_FUNC)
            out.function("xdp", "g", BODY)
        case "huge function":
            out.symbol("f", section=index, value=0, size=1 << 63, type=STT_FUNC)
            out.function("xdp", "g", BODY)
        case "functions overlap":
            for number in range(17):
                out.symbol(f"f{number}", section=index, value=0, size=16, type=STT_FUNC)
            out.function("xdp", "g", BODY)
        case "static program":
            out.function("xdp", "f", BODY, bind=STB_LOCAL)
        case "two programs":
            out.function("xdp", "f", BODY)
            out.function("tc", "f", BODY)
        case "program without name":
            out.function("xdp", "", BODY)
        case "program without instructions":
            out.function("xdp", "f", BODY)
            out.function("xdp", "g", [], lines=())
        case "relocation between instructions":
            out.function("xdp", "f", BODY)
            out._relos["xdp"].append((4, 1, 1))
        case "two relocations":
            out.function("xdp", "f", BODY)
            out.relocate("xdp", 0, 1)
            out.relocate("xdp", 0, 1)
        case "two .text":
            out.section(".text", bytes(8), flags=6)
            out.section(".text", bytes(8), flags=6)
        case "version":
            out.section("version", bytes(8))
        case "version without bytes":
            out.section("version", type=NOBITS, size=4)
        case "old maps":
            out.section("maps", bytes(20))
        case "variables too large":
            out.section(".bss", type=NOBITS, size=MAX_DATA_SIZE // 2 + 1)
            out.section(".bss.more", type=NOBITS, size=MAX_DATA_SIZE // 2)
        case "section without end":
            out.section(".bss", type=NOBITS, size=1 << 63)
        case "no variable in a section of data":
            out.section(".bss", type=NOBITS, size=8)
            out._vars[".bss"] = [t.SecVar(INT, 0, 4)]
    return out


BROKEN = [
    ("odd size of code", ElfError, "12 bytes of code are no multiple of 8"),
    ("function ends behind", ElfError, r"function 'f' \(8\+16\) crosses"),
    ("function between instructions", ElfError, "function 'f'"),
    ("huge function", ElfError, "functions overlap"),
    ("functions overlap", ElfError, "functions overlap"),
    ("static program", SpecError, "static function cannot be a program"),
    ("two programs", ElfError, "two programs are named 'f'"),
    ("program without name", ElfError, "has no name"),
    ("program without instructions", ElfError, "'g' at byte 16 has no instructions"),
    ("relocation between instructions", ElfError, "at no instruction"),
    ("two relocations", ElfError, "two relocations"),
    ("two .text", ElfError, "two sections of the object are named .text"),
    ("version", SpecError, "8 bytes instead of 4"),
    ("version without bytes", SpecError, "0 bytes instead of 4"),
    ("old maps", SpecError, "old form"),
    ("variables too large", SpecError, "are more than the 67108864 that are kept"),
    ("section without end", SpecError, "are more than"),
    ("no variable in a section of data", BtfError, "which is no variable"),
]


@pytest.mark.parametrize(("edit", "error", "text"), BROKEN, ids=[case[0] for case in BROKEN])
def test_broken(edit: str, error: type[RawbpfError], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        broken(edit).to_spec()
    assert caught.value.path == "written.o"


# -- BTF that is there and no good


def with_sections(btf: bytes, ext: bytes | None, *extra: str) -> ElfWriter:
    out = ElfWriter()
    code = out.section("xdp", bytes(8), flags=6)
    out.symbol("f", section=code, size=8, type=STT_FUNC)
    out.section(".BTF", btf)
    if ext is not None:
        out.section(".BTF.ext", ext)
    for name in extra:
        out.section(name, bytes(8))
    return out


GOOD_BTF = bytes.fromhex("9feb0100 18000000 00000000 00000000 00000000 01000000 00")
BIG_BTF = bytes.fromhex("eb9f0100 00000018 00000000 00000000 00000000 00000001 00")

BAD_BTF = [
    ("no_btf", b"nonsense" * 8, None, "no BTF: magic number"),
    ("other_byte_order", BIG_BTF, None, "differ in byte order"),
    ("no_ext", GOOD_BTF, b"nonsense" * 8, "no valid header"),
]


@pytest.mark.parametrize(("btf", "ext", "text"), [case[1:] for case in BAD_BTF], ids=[case[0] for case in BAD_BTF])
def test_broken_btf_is_left_aside_where_nothing_needs_it(btf: bytes, ext: bytes | None, text: str) -> None:
    spec = parse_object(with_sections(btf, ext).to_bytes(), path="a.o")
    assert list(spec.programs) == ["f"]
    assert spec.btf_ext is None
    assert len(spec.warnings) == 1
    assert text in spec.warnings[0]
    for needs in (".maps", ".struct_ops.link"):
        with pytest.raises(BtfError, match=text):
            parse_object(with_sections(btf, ext, needs).to_bytes(), path="a.o")


@ORDERS
def test_lines_behind_their_section_are_left_out(little: bool) -> None:
    out = ObjectWriter(little=little)
    out.function("xdp", "f", BODY)
    out.line_info["xdp"] += [(12, 0, 0, 3 << 10), (16, 0, 0, 4 << 10), (1 << 20, 0, 0, 5 << 10)]
    spec = out.to_spec()
    assert [insn.line and insn.line.line for insn in spec.programs["f"].insns] == [1, 3]
    assert spec.warnings == ["2 records of line_info are behind the end of xdp"]


@ORDERS
def test_variables_behind_their_section_are_left_out(little: bool) -> None:
    out = ObjectWriter(little=little)
    out.section(".bss", type=NOBITS, size=8)
    out.variable(".bss", "inside", INT, offset=0, size=4)
    out.variable(".bss", "v", LONG, offset=4, size=8)
    spec = out.to_spec()
    assert list(spec.variables) == ["inside"]
    assert spec.warnings == ["variable 'v' (4+8) ends behind .bss"]


# -- struct_ops


def struct_ops_object(section: str = ".struct_ops.link", *, size: int = 24) -> ObjectWriter:
    out = ObjectWriter()
    assert out.btf is not None
    ops = out.btf.add(struct_type("ops", ("run", LONG, 0), ("flags", INT, 8), ("stop", LONG, 16), size=24))
    out.function("struct_ops/run", "run", BODY)
    out.section(section, bytes(8) + struct.pack("<I", 7) + bytes(size - 12), flags=WRITE)
    out.variable(section, "my_ops", ops, offset=0, size=24)
    return out


def slot(out: ObjectWriter, section: str, offset: int, symbol: int) -> None:
    out.relocations(out.index(section), [(offset, symbol, 1)])


@pytest.mark.parametrize(
    ("section", "link", "autocreate"),
    [(".struct_ops", False, True), (".struct_ops.link", True, True), ("?.struct_ops", False, False),
     ("?.struct_ops.link", True, False)],
)  # fmt: skip
def test_struct_ops(section: str, link: bool, autocreate: bool) -> None:
    out = struct_ops_object(section)
    slot(out, section, 16, 1)
    spec = out.to_spec()
    ops, map_ = spec.struct_ops["my_ops"], spec.maps["my_ops"]
    assert (ops.name, ops.type_name, ops.link, ops.functions) == ("my_ops", "ops", link, {16: "run"})
    assert ops.data == bytes(8) + struct.pack("<I", 7) + bytes(12)
    assert (map_.kind, map_.map_type, map_.key_size, map_.max_entries) == ("struct_ops", MapType.STRUCT_OPS, 4, 1)
    assert map_.autocreate is autocreate
    assert map_.map_flags == (MapFlag.LINK if link else 0)


def test_struct_ops_that_ends_behind_its_section() -> None:
    with pytest.raises(SpecError, match="ends behind the section") as caught:
        struct_ops_object(size=16).to_spec()
    assert caught.value.symbol == "my_ops"


def test_struct_ops_member_that_is_no_program() -> None:
    out = struct_ops_object()
    other = out.function("xdp", "other", BODY)
    slot(out, ".struct_ops.link", 0, other)
    with pytest.raises(SpecError, match="'run' is set to 'other', no struct_ops program"):
        out.to_spec()


def test_struct_ops_relocation_between_members() -> None:
    out = struct_ops_object()
    slot(out, ".struct_ops.link", 4, 1)
    with pytest.raises(SpecError, match="at no member of struct ops"):
        out.to_spec()


def test_struct_ops_that_is_no_struct() -> None:
    out = ObjectWriter()
    out.section(".struct_ops", bytes(8))
    out.variable(".struct_ops", "number", LONG, offset=0, size=8)
    with pytest.raises(SpecError, match="must be of a named struct type"):
        out.to_spec()


def test_struct_ops_without_btf() -> None:
    out = without_btf()
    out.section(".struct_ops", bytes(8), type=PROGBITS)
    with pytest.raises(SpecError, match="BTF does not describe the section"):
        out.to_spec()


# -- files


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "no.o", tmp_path):
        with pytest.raises(ElfError, match="cannot be read") as caught:
            rawbpf.open(path)
        assert caught.value.path == str(path)


@pytest.mark.parametrize(
    ("file", "name", "expected"),
    [("a.o", None, "a"), ("a.bpf.o", None, "a"), ("a", None, "a"), (".o", None, "object"), ("a.o", "b.c", "b.c")],
)
def test_name_of_an_object(tmp_path: Path, file: str, name: str | None, expected: str) -> None:
    (tmp_path / file).write_bytes(ObjectWriter().to_bytes())
    assert open_object(tmp_path / file, name=name).name == expected


@ORDERS
def test_btf_of_a_file(tmp_path: Path, little: bool) -> None:
    btf = read_btf(OBJS / f"core_target.{'el' if little else 'eb'}.o")
    assert btf.little is little
    assert btf.find("outer") is not None
    raw = tmp_path / "vmlinux"
    raw.write_bytes(btf.data)
    assert len(read_btf(raw)) == len(btf)
    assert read_btf(raw).name == "vmlinux"


def test_file_without_btf(tmp_path: Path) -> None:
    (tmp_path / "a.o").write_bytes(ElfWriter().to_bytes())
    with pytest.raises(BtfError, match=r"has no \.BTF section") as caught:
        read_btf(tmp_path / "a.o")
    assert caught.value.path == str(tmp_path / "a.o")
    (tmp_path / "empty").touch()
    with pytest.raises(BtfError, match="shorter than its header"):
        read_btf(tmp_path / "empty")


def test_what_is_no_file() -> None:
    for name, text in (("/dev/zero", "no regular file"), ("a\0b", "cannot be read: embedded null byte")):
        with pytest.raises(ElfError, match=text):
            rawbpf.open(name)


def test_split_btf_of_a_file(tmp_path: Path) -> None:
    base = read_btf(OBJS / "core_target.el.o")
    module = ObjectWriter()
    assert module.btf is not None
    module.btf = type(module.btf)(base=base)
    module.btf.add(struct_type("only_here", ("x", base.end_id - 1, 0)))
    (tmp_path / "mod").write_bytes(module.btf.to_bytes())
    btf = read_btf(tmp_path / "mod", base=base)
    assert btf.find("only_here") == base.end_id


@pytest.mark.parametrize("order", ["el", "eb"])
def test_static_function_beside_programs(order: str) -> None:
    with pytest.raises(SpecError, match="static function") as caught:
        rawbpf.open(OBJS / f"static_outside_text.{order}.o")
    assert (caught.value.symbol, caught.value.section) == ("misplaced", "syscall")


NAMES = sorted({path.name.split(".")[0] for path in OBJS.glob("*.el.o")} - {"static_outside_text"})


@pytest.mark.parametrize("name", NAMES)
def test_both_byte_orders_give_the_same_spec(name: str) -> None:
    # but for the instructions: the compiler puts constants of several bytes into them
    el, eb = (rawbpf.open(OBJS / f"{name}.{order}.o") for order in ("el", "eb"))

    def story(spec: rawbpf.ObjectSpec) -> dict[str, object]:
        programs = [(p.name, p.section, p.prog_type, p.attach_type, p.flags) for p in spec.programs.values()]
        maps = [(m.name, m.kernel_name, m.kind, m.map_type, m.key_size, m.value_size, m.max_entries, m.map_flags,
                 m.map_extra, m.pin_by_name, m.slots, m.autocreate) for m in spec.maps.values()]  # fmt: skip
        variables = [(v.name, v.map, v.offset, v.size) for v in spec.variables.values()]
        # (a union shows each byte order's own bytes)
        values = [v.value for v in spec.variables.values() if not isinstance(v.value, Record)]
        ops = [(o.name, o.type_name, o.functions, o.link) for o in spec.struct_ops.values()]
        externs = [(e.name, e.kind, e.weak, e.size, e.align) for e in spec.externs.values()]
        return {"programs": programs, "functions": list(spec.functions), "maps": maps, "variables": variables,
                "values": values, "ops": ops, "externs": externs}  # fmt: skip

    assert (el.little, eb.little) == (True, False)
    assert story(el) == story(eb)
