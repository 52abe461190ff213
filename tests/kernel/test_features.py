# SPDX-License-Identifier: BSD-2-Clause
"""Probes on the running kernel, checked against its version where that is conclusive."""

from __future__ import annotations

import ctypes
import errno
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import asm
import pytest

import rawbpf
from rawbpf.errors import KernelError, NotSupportedError, SpecError
from rawbpf.kernel import creation, features, gate, host, known_types, syscall, verifier
from rawbpf.kernel.attr import COMMON, attr_layout
from rawbpf.uapi import COMMON_ATTRS, AttachType, Cmd, MapType, ProgType

if TYPE_CHECKING:
    from collections.abc import Iterator


OBJS = Path(__file__).parents[1] / "objs"


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_known", {})


def running(version: str) -> bool:
    """Whether the running kernel is of that release or a newer one."""
    major, minor = map(int, version.split("."))
    return host.version() >= major << 16 | minor << 8


# what a kernel may lack whatever its version, as its configuration decides
_CONFIGURED = {"syscall_wrapper", "probe_read_kernel", "bpf_cookie", "kprobe_multi_link"}


@pytest.mark.parametrize("name", features.FEATURES)
def test_a_newer_kernel_has_it(name: str) -> None:
    answer = features.probe(name)
    assert answer is not None
    if running(features.FEATURES[name].since) and name not in _CONFIGURED:
        assert answer


def test_the_probe_of_a_tag_is_about_the_tag() -> None:
    assert features._arg_ctx_tag("arg:of_no_meaning") is False


def test_an_unknown_feature() -> None:
    with pytest.raises(SpecError, match="'telepathy'"):
        features.probe("telepathy")


def answer_all(number: int) -> gate.Syscall:
    """A kernel that refuses everything with the same errno."""

    def refuse(*arguments: int) -> int:
        ctypes.set_errno(number)
        return -1

    return refuse


def test_no_is_remembered() -> None:
    with gate.replace(answer_all(errno.EINVAL)):
        assert features.probe("btf_float") is False
        assert not features.Features().has("btf_float")
    assert features.probe("btf_float") is False


def test_with_a_token_the_answers_are_others() -> None:
    with gate.replace(answer_all(errno.EINVAL)), syscall.with_token(9):
        assert features.probe("array_mmap") is False
    assert features.probe("array_mmap") is True


def test_could_not_tell_is_not_remembered() -> None:
    with gate.replace(answer_all(errno.EPERM)):
        assert features.probe("array_mmap") is None
        assert features.Features().has("array_mmap")
    assert features.probe("array_mmap") is True


def test_a_probe_is_made_once() -> None:
    calls: list[Cmd] = []
    with gate.observe(lambda call: calls.append(call.command)):
        assert features.probe("array_mmap")
        assert features.probe("array_mmap")
    assert calls == [Cmd.MAP_CREATE]


# this kernel may be built without them
_OPTIONAL_PROGRAMS = {ProgType.LIRC_MODE2, ProgType.NETFILTER, ProgType.LSM, ProgType.KPROBE, ProgType.EXT}
_OPTIONAL_PROGRAMS |= {ProgType.TRACING}  # trampolines may be refused
_OPTIONAL_MAPS = {MapType.INSN_ARRAY, MapType.RHASH, MapType.XSKMAP}


@pytest.mark.parametrize("kind", list(ProgType)[1:], ids=lambda kind: kind.name)
def test_program_types(kind: ProgType) -> None:
    answer = known_types.has_prog_type(kind)
    if kind not in _OPTIONAL_PROGRAMS:
        assert answer is running(known_types.since(known_types.PROG_TYPES, kind.name))


@pytest.mark.parametrize("kind", list(MapType)[1:], ids=lambda kind: kind.name)
def test_map_types(kind: MapType) -> None:
    answer = known_types.has_map_type(kind)
    assert answer is not None
    if kind not in _OPTIONAL_MAPS:
        assert answer is running(known_types.since(known_types.MAP_TYPES, kind.name))


def test_types_that_no_kernel_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with gate.replace(answer_all(errno.EINVAL)):
        assert known_types.has_map_type(MapType.HASH) is False
        assert known_types.has_map_type(MapType.TASK_STORAGE) is False
        assert known_types.has_prog_type(ProgType.XDP) is False
        ring, program = known_types.missing_map_type(MapType.RINGBUF), known_types.missing_prog_type(ProgType.SYSCALL)
    assert ring is not None
    assert program is not None
    assert (ring.min_version, program.min_version) == ("5.8", "5.14")


HIGHEST = {
    "bpf_prog_type": ProgType.SOCKET_FILTER,
    "bpf_map_type": MapType.HASH,
    "bpf_attach_type": AttachType.TRACE_FENTRY,
}


def first_unknown(enum: str) -> int:
    """The lowest number that the running kernel's enum does not have."""
    return next(number for number in itertools.count(HIGHEST[enum]) if not known_types.has_number(enum, number))


@pytest.mark.parametrize("enum", HIGHEST)
def test_numbers_of_the_running_kernel(enum: str) -> None:
    assert known_types.has_number(enum, HIGHEST[enum]) is True
    assert known_types.has_number(enum, 1 << 20) is False
    assert first_unknown(enum) > HIGHEST[enum] + 3


def test_numbers_without_btf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "vmlinux_btf", lambda: None)
    assert known_types.has_number("bpf_attach_type", 1 << 20) is None
    assert known_types.missing_attach_type(ProgType.TRACING, 1 << 20) is None


def with_unknown_attach_type(name: str, program: str) -> rawbpf.ObjectSpec:
    spec = rawbpf.open(OBJS / f"{name}.{'el' if sys.byteorder == 'little' else 'eb'}.o")
    spec.only([program])
    spec.programs[program].attach_type = first_unknown("bpf_attach_type")
    return spec


def test_an_attach_type_that_is_newer_than_the_kernel() -> None:
    with pytest.raises(NotSupportedError, match="this kernel has no attach type") as caught:
        rawbpf.load(with_unknown_attach_type("attach_kernel", "fentry"))
    assert (caught.value.symbol, caught.value.hint) == ("fentry", "it is newer than this kernel")


def test_an_attach_type_that_no_kernel_looks_at() -> None:
    with rawbpf.load(with_unknown_attach_type("attach_net", "do_xdp")) as obj:
        assert obj.programs["do_xdp"].id


def test_types_that_are_newer_than_the_kernel() -> None:
    with pytest.raises(NotSupportedError, match="no program type") as program:
        verifier.load({"prog_type": first_unknown("bpf_prog_type")}, asm.RETURN_0, license="GPL")
    shape = {"key_size": 4, "value_size": 4, "max_entries": 1}
    with pytest.raises(NotSupportedError, match="no map type") as map_:
        creation.create_map({"map_type": first_unknown("bpf_map_type"), **shape})
    assert program.value.hint == map_.value.hint == "it is newer than this kernel"


def test_every_type_has_a_release() -> None:
    programs = {name for names in known_types.PROG_TYPES.values() for name in names}
    maps = {name for names in known_types.MAP_TYPES.values() for name in names}
    assert programs == {kind.name for kind in ProgType} - {"UNSPEC"}
    assert maps == {kind.name for kind in MapType} - {"UNSPEC", "INSN_ARRAY", "RHASH"}


@pytest.fixture
def old_kernel() -> Iterator[list[Cmd]]:
    """A kernel that knows no names: their part of the attr is refused with E2BIG."""
    calls: list[Cmd] = []
    real = gate._kernel()

    def call(command: int, address: int, size: int, *common: int) -> int:
        calls.append(Cmd(command))
        limit = {Cmd.MAP_CREATE: "map_name", Cmd.PROG_LOAD: "prog_name"}.get(Cmd(command))
        if limit and size > attr_layout(Cmd(command)).offset(limit):
            ctypes.set_errno(errno.E2BIG)
            return -1
        return real(command, address, size, *common)

    with gate.replace(call):
        yield calls


def test_names_are_left_out_where_there_are_none(old_kernel: list[Cmd]) -> None:
    shape = {"map_type": MapType.ARRAY, "key_size": 4, "value_size": 4, "max_entries": 1, "map_name": "named"}
    with creation.create_map(shape) as fd:
        assert fd.fileno() > 2
    with verifier.load({"prog_type": ProgType.SOCKET_FILTER, "prog_name": "named"}, asm.RETURN_0, license="GPL").fd:
        pass
    assert features.probe("prog_name") is False


def test_a_map_that_is_refused_says_why() -> None:
    with pytest.raises(KernelError) as error:
        creation.create_map({"map_type": MapType.HASH, "key_size": 0, "value_size": 4, "max_entries": 1})
    assert error.value.errno == errno.EINVAL
    assert "key_size 0" in (error.value.hint or error.value.message)


def test_a_map_type_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with gate.replace(answer_all(errno.EINVAL)), pytest.raises(NotSupportedError, match="RINGBUF"):
        creation.create_map({"map_type": MapType.RINGBUF, "max_entries": 4096})


def test_both_reasons_are_told_when_btf_is_not_the_cause() -> None:
    layout = attr_layout(Cmd.MAP_CREATE)

    def refuse(command: int, address: int, size: int, *common: int) -> int:
        fields = layout.unpack(ctypes.string_at(address, size))
        ctypes.set_errno(errno.EBADF if fields["btf_fd"] else errno.ENOMEM)
        return -1

    fields = {"map_type": MapType.HASH, "btf_fd": 9, "btf_key_type_id": 1, "btf_value_type_id": 1}
    with gate.replace(refuse), pytest.raises(KernelError) as error:
        creation.create_map(fields)
    assert error.value.errno == errno.ENOMEM
    assert error.value.message.endswith("(ENOMEM); with BTF it was Bad file descriptor (EBADF)")


def test_the_kernels_own_words_are_told() -> None:
    layout = attr_layout(Cmd.MAP_CREATE)

    def explain(command: int, address: int, size: int, common: int, common_size: int) -> int:
        assert layout.unpack(ctypes.string_at(address, size))["map_type"] == MapType.HASH
        if command == Cmd.MAP_CREATE | COMMON_ATTRS:
            log = COMMON.unpack(ctypes.string_at(common, common_size))
            assert (log["log_level"], log["log_size"]) == (1, 4096)
            ctypes.memmove(log["log_buf"], b"Invalid map_name.\n\0", 19)
        ctypes.set_errno(errno.EINVAL)
        return -1

    with gate.replace(explain), pytest.raises(KernelError) as error:
        creation.create_map({"map_type": MapType.HASH})
    assert error.value.message == "the kernel refused to create the map: Invalid map_name (EINVAL)"
