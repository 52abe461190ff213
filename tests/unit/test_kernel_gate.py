# SPDX-License-Identifier: BSD-2-Clause
"""The gate to bpf(2): numbers, layouts, retries, errors, observers, descriptors. No kernel is asked."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from typing import TYPE_CHECKING

import pytest

from rawbpf.errors import ClosedError, KernelError, MapKeyError, NotSupportedError, PermissionDeniedError, SpecError
from rawbpf.kernel import arch, fd, gate, log, syscall
from rawbpf.kernel.attr import Layout, attr_layout
from rawbpf.uapi import COMMON_ATTRS, Cmd, MapType

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("no_leaks")


# -- system call numbers


@pytest.mark.parametrize(
    ("machine", "pointer", "multiarch", "number"),
    [
        ("x86_64", 8, "x86_64-linux-gnu", 321),
        ("x86_64", 4, "i386-linux-gnu", 357),
        ("x86_64", 4, "x86_64-linux-gnux32", 0x40000000 + 321),
        ("i686", 4, "i386-linux-gnu", 357),
        ("i686", 8, "x86_64-linux-gnu", 321),
        ("aarch64", 8, "aarch64-linux-gnu", 280),
        ("aarch64", 4, "arm-linux-gnueabihf", 386),
        ("armv7l", 4, "arm-linux-gnueabihf", 386),
        ("armv8l", 4, "arm-linux-gnueabihf", 386),
        ("riscv64", 8, "riscv64-linux-gnu", 280),
        ("loongarch64", 8, "loongarch64-linux-gnu", 280),
        ("ppc64le", 8, "powerpc64le-linux-gnu", 361),
        ("ppc", 4, "powerpc-linux-gnu", 361),
        ("s390x", 8, "s390x-linux-gnu", 351),
        ("mips64", 8, "mips64el-linux-gnuabi64", 5315),
        ("mips64", 4, "mips64el-linux-gnuabin32", 6319),
        ("mips64", 4, "mipsel-linux-gnu", 4355),
        ("sparc64", 8, "sparc64-linux-gnu", 349),
        ("alpha", 8, "alpha-linux-gnu", 515),
        ("parisc64", 4, "hppa-linux-gnu", 341),
        ("m68k", 4, "m68k-linux-gnu", 354),
        ("sh4", 4, "sh4-linux-gnu", 375),
        ("xtensa", 4, "", 340),
        ("microblaze", 4, "", 387),
        ("ia64", 8, "", 1341),
        ("csky", 4, "", 280),
        ("arc", 4, "", 280),
    ],
)
def test_number(machine: str, pointer: int, multiarch: str, number: int) -> None:
    assert arch.bpf_number(machine, pointer, multiarch) == number


@pytest.mark.parametrize(
    ("machine", "pointer", "multiarch", "number"),
    [
        ("x86_64", 8, "x86_64-linux-gnu", 298),
        ("x86_64", 4, "i386-linux-gnu", 336),
        ("x86_64", 4, "x86_64-linux-gnux32", 0x40000000 + 298),
        ("aarch64", 8, "aarch64-linux-gnu", 241),
        ("aarch64", 4, "arm-linux-gnueabihf", 364),
        ("riscv64", 8, "riscv64-linux-gnu", 241),
        ("ppc64le", 8, "powerpc64le-linux-gnu", 319),
        ("s390x", 8, "s390x-linux-gnu", 331),
        ("mips64", 4, "mips64el-linux-gnuabin32", 6296),
    ],
)
def test_number_of_perf_event_open(machine: str, pointer: int, multiarch: str, number: int) -> None:
    assert arch.perf_event_open_number(machine, pointer, multiarch) == number


def test_unknown_architecture() -> None:
    with pytest.raises(NotSupportedError, match="64-bit processes on 'pdp11' is not known"):
        arch.bpf_number("pdp11", 8, "")
    with pytest.raises(NotSupportedError, match="64-bit processes on 'sh4'"):
        arch.bpf_number("sh4", 8, "")


# -- layouts


def test_layout() -> None:
    layout = Layout("first - pointer:Q name:16s last")
    assert layout.size == 36
    data = layout.pack({"first": 1, "pointer": 2, "name": b"abc"})
    assert bytes(data) == struct.pack("=I4xQ16sI", 1, 2, b"abc", 0)
    assert layout.unpack(data) == {"first": 1, "pointer": 2, "name": b"abc".ljust(16, b"\0"), "last": 0}
    assert layout.unpack(data[:12]) == {"first": 1, "pointer": 2, "name": bytes(16), "last": 0}
    assert layout.offset("last") == 32


@pytest.mark.parametrize(
    ("field", "value", "size"),
    [("prog_flags", -1, 4), ("keyring_id", 1 << 31, 4), ("insns", 1 << 64, 8), ("prog_name", "text", 16)],
)
def test_values_that_do_not_fit(field: str, value: object, size: int) -> None:
    with pytest.raises(SpecError) as caught:
        attr_layout(Cmd.PROG_LOAD).pack({"prog_type": 1, field: value})
    assert str(caught.value) == f"{field} is {value!r}, which does not fit into its {size} bytes"


def test_a_kernel_sees_no_more_than_what_is_used() -> None:
    layout = Layout("first - pointer:Q name:16s last")
    assert layout.used(layout.pack({})) == 0
    assert layout.used(layout.pack({"first": 1})) == 4
    assert layout.used(layout.pack({"name": b"a"})) == 32
    assert layout.used(layout.pack({"first": 1}), "pointer") == 16
    assert layout.used(layout.pack({"last": 1}), "pointer") == 36


@pytest.mark.parametrize("command", set(Cmd), ids=lambda command: command.name.lower())
def test_each_command_has_a_layout(command: Cmd) -> None:
    assert 0 < attr_layout(command).size <= 256


# -- answers


class Answers:
    """A kernel that answers with these, an errno as a negative number, and remembers the questions."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.questions: list[tuple[int, bytes]] = []

    def __call__(self, command: int, address: int, size: int, common: int, common_size: int) -> int:
        self.questions.append((command, ctypes.string_at(address, size)))
        answer = self.answers.pop(0)
        if answer < 0:
            ctypes.set_errno(-answer)
            return -1
        return answer


def load(kernel: Answers) -> None:
    with gate.replace(kernel):
        syscall.prog_load({"prog_type": 1}, bytes(8)).close()


def null() -> int:
    return os.open(os.devnull, os.O_RDONLY)


def test_program_loads_are_tried_five_times() -> None:
    again = [-errno.EAGAIN]
    load(Answers(*again * 4, null()))
    kernel = Answers(*again * 9)
    with pytest.raises(KernelError) as error:
        load(kernel)
    assert error.value.errno == errno.EAGAIN
    assert len(kernel.questions) == 5


def test_other_commands_are_not_tried_again() -> None:
    kernel = Answers(-errno.EAGAIN, 0)
    with gate.replace(kernel), pytest.raises(KernelError):
        syscall.map_freeze(3)
    assert len(kernel.questions) == 1


def test_an_interrupted_call_is_repeated_but_for_a_test_run() -> None:
    kernel = Answers(-errno.EINTR, -errno.EINTR, 0)
    with gate.replace(kernel):
        syscall.map_freeze(3)
    assert len(kernel.questions) == 3
    with gate.replace(Answers(-errno.EINTR)), pytest.raises(KernelError) as error:
        syscall.prog_test_run(3)
    assert error.value.errno == errno.EINTR


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EINVAL, KernelError),
        (errno.EPERM, PermissionDeniedError),
        (errno.ENOSYS, NotSupportedError),
        (524, KernelError),
    ],
)
def test_errors(number: int, kind: type[KernelError]) -> None:
    with gate.replace(Answers(-number)), pytest.raises(KernelError) as error:
        syscall.map_create({"map_type": MapType.HASH})
    assert type(error.value) is kind
    assert error.value.errno == number
    assert error.value.command == "BPF_MAP_CREATE"


def test_the_message_of_an_errno() -> None:
    assert str(gate.error(Cmd.BTF_LOAD, 524)) == "BPF_BTF_LOAD: Operation is not supported (ENOTSUPP)"


def test_a_frozen_map_is_no_matter_of_rights() -> None:
    with gate.replace(Answers(-errno.EPERM)), pytest.raises(KernelError) as error:
        syscall.map_update_elem(3, b"key", b"value")
    assert type(error.value) is KernelError


def test_a_missing_key() -> None:
    with gate.replace(Answers(-errno.ENOENT)), pytest.raises(MapKeyError):
        syscall.map_lookup_elem(3, b"key", 4)
    with gate.replace(Answers(-errno.ENOENT)):
        assert syscall.map_get_next_key(3, b"key", 3) is None
    with gate.replace(Answers(-errno.ENOENT)):
        assert syscall.get_next_id(Cmd.MAP_GET_NEXT_ID, 7) is None
    with gate.replace(Answers(-errno.EPERM)), pytest.raises(PermissionDeniedError):
        syscall.get_next_id(Cmd.MAP_GET_NEXT_ID, 7)


def test_what_a_program_load_hands_over() -> None:
    kernel = Answers(null())
    with gate.replace(kernel):
        fields = {"prog_type": 6, "prog_name": "a_name_of_more_than_15", "func_info_rec_size": 8}
        syscall.prog_load(fields, bytes(24), license="GPL", func_info=bytes(16)).close()
    ((command, attr),) = kernel.questions
    got = attr_layout(Cmd.PROG_LOAD).unpack(attr)
    assert command == Cmd.PROG_LOAD
    assert (got["prog_type"], got["insn_cnt"], got["func_info_cnt"]) == (6, 3, 2)
    assert got["prog_name"] == b"a_name_of_more_\0"
    assert len(attr) == attr_layout(Cmd.PROG_LOAD).offset("func_info_cnt") + 4


def test_names_of_any_bytes_reach_the_kernel() -> None:
    assert syscall.kernel_name("alon\udcff") == b"alon\xff"
    kernel = Answers(null())
    with gate.replace(kernel):
        syscall.prog_load({"prog_type": 6, "prog_name": "alon\udcff"}, bytes(8)).close()
    ((_, attr),) = kernel.questions
    assert attr_layout(Cmd.PROG_LOAD).unpack(attr)["prog_name"] == b"alon\xff" + bytes(11)


def test_a_log_for_a_map_goes_into_the_common_attributes() -> None:
    kernel = Answers(-errno.EINVAL)
    with gate.replace(kernel), pytest.raises(KernelError):
        syscall.map_create({"map_type": 1}, bytearray(64))
    assert kernel.questions[0][0] == Cmd.MAP_CREATE | COMMON_ATTRS


def test_queries_make_room_for_all_answers() -> None:
    layout = attr_layout(Cmd.PROG_QUERY)
    asked: list[int] = []

    def query(command: int, address: int, size: int, *common: int) -> int:
        room = layout.unpack(ctypes.string_at(address, size))["prog_cnt"]
        asked.append(room)
        ctypes.c_uint32.from_address(address + layout.offset("prog_cnt")).value = 100
        if room < 100:
            ctypes.set_errno(errno.ENOSPC)
            return -1
        return 0

    with gate.replace(query):
        ids = syscall.prog_query(3, 0).prog_ids
    assert len(ids) == 100
    assert asked == [64, 128]


# -- observers


def test_an_observer_sees_questions_and_answers() -> None:
    seen: list[gate.Call] = []
    with gate.replace(Answers(null(), -errno.ENOENT)), gate.observe(seen.append):
        syscall.map_create({"map_type": 1, "key_size": 4, "map_name": "watched"}).close()
        with pytest.raises(KernelError):
            syscall.map_delete_elem(9, b"key")
    assert [(call.command, call.errno) for call in seen] == [(Cmd.MAP_CREATE, 0), (Cmd.MAP_DELETE_ELEM, errno.ENOENT)]
    fields = seen[0].fields()
    assert (fields["key_size"], fields["map_name"].rstrip(b"\0")) == (4, b"watched")
    assert seen[0].result > 2
    assert seen[1].result == -1
    assert all(call.seconds >= 0 for call in seen)


def test_debug_lines_reach_a_logger_if_there_is_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "rawbpf")
    log.debug("number %d", 5)
    assert caplog.messages == ["number 5"]


# -- descriptors


def test_an_owned_descriptor() -> None:
    made = fd.own(os.open, os.devnull, os.O_RDONLY)
    assert made is not None
    assert repr(made) == f"<Fd {made.fileno()}>"
    with made, made.duplicate() as copy:
        assert copy.fileno() != made.fileno()
        assert not os.get_inheritable(copy.fileno())
    assert repr(made) == "<Fd closed>"
    made.close()
    with pytest.raises(ClosedError):
        made.fileno()


def test_a_negative_answer_owns_nothing() -> None:
    assert fd.own(lambda: -1) is None


def test_a_descriptor_that_is_given_up() -> None:
    made = fd.own(null)
    assert made is not None
    number = made.release()
    assert made.closed
    os.close(number)


@pytest.fixture
def without_stdin() -> Iterator[None]:
    saved = os.dup(0)
    os.close(0)
    yield
    os.dup2(saved, 0)
    os.close(saved)


@pytest.mark.usefixtures("without_stdin")
def test_a_low_number_is_moved() -> None:
    made = fd.own(null)
    assert made is not None
    with made:
        assert made.fileno() > 2
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(0)


def test_a_forgotten_descriptor_is_closed_with_a_warning() -> None:
    made = fd.own(null)
    assert made is not None
    number = made.fileno()
    with pytest.warns(ResourceWarning):
        del made
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_the_byte_order_is_the_machines() -> None:
    assert bytes(Layout("a").pack({"a": 1})) == (1).to_bytes(4, sys.byteorder)
