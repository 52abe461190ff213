# SPDX-License-Identifier: BSD-2-Clause
"""The recorder and the comparison themselves: an oracle that sees no difference must not be blind."""

from __future__ import annotations

import copy
import errno
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.lib.oracle import attrs, btftext
from tools.lib.oracle.attrs import Command
from tools.lib.oracle.compare import compare, compare_handed_over
from tools.lib.oracle.libbpf import Recording, driver, record_bpftool
from tools.lib.oracle.normalise import HandedOver, Insn, normalise
from tools.lib.oracle.recorder import Call, Handle, run

if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = pytest.mark.oracle

ROOT = Path(__file__).parents[2]
OBJECT = ROOT / "tests/objs/prog_array.el.o"
BPF = """
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
NR = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351}[os.uname().machine]
def bpf(command, attr):
    return libc.syscall(NR, command, ctypes.create_string_buffer(attr, len(attr)), len(attr)), ctypes.get_errno()
"""
CALLS = (
    BPF
    + """
fd, _ = bpf(0, struct.pack("=IIIII8x16s", 2, 4, 8, 3, 0, b"recorded"))
key = ctypes.create_string_buffer(struct.pack("=I", 2), 4)
value = ctypes.create_string_buffer(b"contents", 8)
elem = struct.pack("=I4xQQQ", fd, ctypes.addressof(key), ctypes.addressof(value), 0)
bpf(2, elem)
bpf(22, elem[:4])
result, error = bpf(0, struct.pack("=IIIII8x16s", 2, 0, 8, 3, 0, b"refused"))
bpf(2, struct.pack("=I4xQQQ", fd, 8, 8, 0))
print(result, error)
"""
)
# r1 = the map at index 1 of fd_array; r0 = 0; exit
FD_ARRAY = (
    BPF
    + """
fd, _ = bpf(0, struct.pack("=IIIII8x16s", 2, 4, 8, 3, 0, b"jumps"))
insns = ctypes.create_string_buffer(struct.pack("=BBhi", 0x18, 0x51, 0, 1) + bytes(8) + bytes([0xb7]) + bytes(7)
                                    + bytes([0x95]) + bytes(7))
array = ctypes.create_string_buffer(struct.pack("=II", 0, fd))
license = ctypes.create_string_buffer(b"GPL")
attr = struct.pack("=IIQQII8xII16s", 1, 4, ctypes.addressof(insns), ctypes.addressof(license), 0, 0, 0, 0, b"one")
attr += bytes(120 - len(attr)) + struct.pack("=Q", ctypes.addressof(array))
print(*bpf(5, attr))
"""
)


def test_layouts_are_the_kernels(require: Callable[[object, str], None]) -> None:
    vmlinux = Path("/sys/kernel/btf/vmlinux")
    require(vmlinux.exists(), "this kernel has no BTF")
    types = btftext.lines(vmlinux.read_bytes())
    member = re.compile(r"name=(\S+) type=(\d+) offset=(\d+)")
    kernel: list[dict[str, int]] = []  # for each struct in the union, each field's offset in bytes

    def add(text: str, base: int, into: dict[str, int]) -> None:
        for name, number, offset in member.findall(text):
            at = base + int(offset) // 8
            if name == "-":
                add(types[int(number)], at, into)
            else:
                into[name] = at

    (union,) = (text for text in types if "] UNION bpf_attr " in text)
    for _, number, offset in member.findall(union):
        kernel.append({})
        add(types[int(number)], int(offset) // 8, kernel[-1])
    for command in attrs.LAYOUTS:
        ours = {name: at for name, at, _ in attrs.fields(command) if name != "rest"}
        shared = max((len(ours.items() & theirs.items()) for theirs in kernel), default=0)
        newer = {"excl_prog_hash", "excl_prog_hash_size", "signature", "signature_size", "keyring_id", "fd_array_cnt"}
        assert shared >= len(ours.keys() - newer), command


def test_calls_are_recorded(shim: Path) -> None:
    done = run([sys.executable, "-c", CALLS])
    assert done.stdout.split() == ["-1", str(errno.EINVAL)], done.stderr
    create, update, freeze, refused, faulty = [call for call in done.calls if isinstance(call.command, Command)]
    assert create.command == Command.MAP_CREATE
    assert create.name == "recorded"
    assert create.number("max_entries") == 3
    assert create.made
    assert create.made.kind == "map"
    assert update.blobs == {"key": b"\2\0\0\0", "value": b"contents"}
    assert update.fds == {create.result: create.made}
    assert freeze.command == Command.MAP_FREEZE
    assert freeze.ok
    assert refused.errno == errno.EINVAL
    assert not refused.made
    assert faulty.blobs == {}


def test_descriptors_in_an_array_are_named(shim: Path) -> None:
    done = run([sys.executable, "-c", FD_ARRAY])
    assert not done.stdout.startswith("-1"), done.stdout
    program = normalise(Recording(OBJECT, done.calls, 0, "load")).programs["one"]
    assert program.insns[0] == Insn(0x18, 1, 5, 0, "map:jumps")
    assert re.fullmatch("[0-9a-f]{16}", program.tag)


def test_two_recordings_are_equal(libbpf_library: Path) -> None:
    first, second = driver().record(OBJECT), driver().record(OBJECT)
    assert {call.made for call in first.calls if call.made}.isdisjoint(call.made for call in second.calls)
    assert compare(first, second) == []


def test_bpftool_is_recorded(shim: Path, libbpf_library: Path) -> None:
    theirs = normalise(driver().record(OBJECT)).programs
    recorded = normalise(record_bpftool(OBJECT)).programs
    assert {name: program.tag for name, program in recorded.items()} == {
        name: program.tag for name, program in theirs.items()
    }
    assert all(program.tag for program in recorded.values())


def test_only_the_object_is_compared(libbpf_library: Path) -> None:
    recording = driver().record(OBJECT)
    handed_over = normalise(recording)
    assert "libbpf_nametest" in {call.name for call in recording.calls}
    assert handed_over.order == ["btf", "map:jumps", "map:prog_arr.data", "prog:one", "prog:three", "prog:entry"]
    assert handed_over.maps["jumps"].attr["btf_fd"] in ("btf", 0)
    assert handed_over.programs["entry"].attr["prog_btf_fd"] == "btf"
    assert Insn(0x18, 2, 1, 0, "map:jumps") in handed_over.programs["entry"].insns
    assert [update[1][1] for update in handed_over.maps["jumps"].updates] == ["prog:one", "prog:three"]


def test_chosen_programs_are_loaded(libbpf_library: Path) -> None:
    recording = driver().record(ROOT / "tests/objs/data.el.o", programs=["constants"])
    assert recording.programs == {"initial_values": False, "constants": True, "write_all": False}
    assert list(normalise(recording).programs) == ["constants"]


def test_objects_and_each_program_alone(libbpf_library: Path) -> None:
    data, missing = ROOT / "tests/objs/data.el.o", ROOT / "tests/objs/ksym_missing.el.o"
    recordings = driver().record_all([data, missing])
    programs = ["initial_values", "constants", "write_all"]
    loaded = {name: list(normalise(found).programs) for (obj, name), found in recordings.items() if obj == data}
    assert loaded == {"": programs, **{name: [name] for name in programs}}
    assert recordings[data, ""].log == ""
    assert "rawbpf_no_such_symbol" in recordings[missing, ""].log


def change_insn(handed_over: HandedOver) -> None:
    handed_over.programs["one"].insns[0] = Insn(0xB7, 0, 0, 0, 77)


def change_line_info(handed_over: HandedOver) -> None:
    program = handed_over.programs["entry"]
    program.line_info = program.line_info[:-1] + b"\xee"


def change_btf(handed_over: HandedOver) -> None:
    handed_over.btf[0] = handed_over.btf[0].replace(b"\0license\0", b"\0licence\0")


def change_contents(handed_over: HandedOver) -> None:
    handed_over.maps["prog_arr.data"].updates[0] = (b"\0\0\0\0", (b"\4\0\0\0",))


CHANGES: list[tuple[Callable[[HandedOver], object], str]] = [
    (change_insn, "program one: insn 0:"),
    (change_line_info, "program entry: line_info"),
    (change_btf, "btf: line "),
    (change_contents, "map prog_arr.data: update 0: [00000000] = 04000000 != "),
    (lambda it: it.btf.clear(), "btf: 0 !="),
    (lambda it: it.maps["jumps"].attr.update(max_entries=9), "map jumps: max_entries: 9 !="),
    (lambda it: it.programs["one"].attr.update(expected_attach_type=9), "program one: expected_attach_type: 9 !="),
    (lambda it: setattr(it.maps["jumps"], "frozen", True), "map jumps: frozen: True !="),
    (lambda it: setattr(it.programs["one"], "tag", "00"), "program one: tag: '00' !="),
    (lambda it: it.programs["one"].bound_maps.append("map:jumps"), "program one: bound maps:"),
    (lambda it: it.order.reverse(), "order of creation:"),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES, ids=[expected for _, expected in CHANGES])
def test_each_difference_is_found(libbpf_library: Path, change: Callable[[HandedOver], object], expected: str) -> None:
    theirs = normalise(driver().record(OBJECT))
    ours = copy.deepcopy(theirs)
    change(ours)
    (difference,) = compare_handed_over(ours, theirs)
    assert difference.startswith(expected)


def call(command: Command, result: int, made: Handle | None = None, **attr: int | str | bytes) -> Call:
    return Call(command, attr, {}, {}, (), result, 0 if result >= 0 else errno.EINVAL, made, 0, 1)


def test_the_last_attempt_counts() -> None:
    retried = [
        call(Command.MAP_CREATE, -1, map_name="jumps", btf_fd=7),
        call(Command.MAP_CREATE, 5, Handle("map", 70), map_name="jumps", btf_fd=0),
        call(Command.MAP_CREATE, 6, Handle("map", 71), map_name="jumps", btf_fd=0),
    ]
    maps = normalise(Recording(OBJECT, retried, 0, "load")).maps
    assert {name: (found.errno, found.attr["btf_fd"]) for name, found in maps.items()} == {
        "jumps": (0, 0),
        "jumps#2": (0, 0),
    }
