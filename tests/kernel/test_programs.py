# SPDX-License-Identifier: BSD-2-Clause
"""Programs: loading with the verifier's log, running by hand, what the kernel tells of them."""

from __future__ import annotations

import errno
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import asm
import pytest

from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.errors import KernelError, NotSupportedError, VerifierError
from rawbpf.kernel import executor, info, syscall, verifier
from rawbpf.kernel.programs import Program
from rawbpf.plan import steps as s
from rawbpf.plan.plan import PlannedVariable
from rawbpf.uapi import Cmd, MapType, ProgFlag, ProgType

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rawbpf.kernel.object import Object

PACKET = bytes(range(64))


@pytest.fixture
def obj() -> Iterator[Object]:
    variables = [PlannedVariable("counter", "map:.data", 0, 8)]
    with executor.execute(asm.plan(asm.counter_steps(), variables)) as obj:
        yield obj


def test_a_run_is_seen_in_the_variable(obj: Object) -> None:
    counter = obj.variables["counter"]
    assert counter.value == struct.pack("=Q", 5)
    result = obj.programs["count"].test_run(PACKET, repeat=10)
    assert result.retval == 0
    assert result.data[14:] == PACKET[14:]  # the kernel clears the Ethernet header for this type
    assert counter.value == struct.pack("=Q", 15)
    counter.value = struct.pack("=Q", 100)
    obj.programs["count"].test_run(PACKET)
    assert counter.value == struct.pack("=Q", 101)


def test_variables_without_shared_memory() -> None:
    steps = asm.counter_steps()
    assert isinstance(steps[0], s.CreateMap)
    steps[0] = steps[0]._replace(map_flags=0)
    variables = [PlannedVariable("counter", "map:.data", 0, 4), PlannedVariable("high", "map:.data", 4, 4)]
    with executor.execute(asm.plan(steps, variables)) as obj:
        obj.variables["counter"].value = struct.pack("=I", 7)
        obj.programs["count"].test_run(PACKET)
        assert obj.variables["counter"].value == struct.pack("=I", 8)
        assert obj.variables["high"].value == bytes(4)


def test_info(obj: Object) -> None:
    program = obj.programs["count"]
    about = program.info
    assert about.type == ProgType.SOCKET_FILTER
    assert about.name == "count"
    assert about.gpl_compatible
    assert about.map_ids == (obj.maps[".data"].id,)
    assert about.xlated_len == len(asm.COUNT)
    assert about.id == program.id
    assert about.tag == program.tag
    assert len(about.tag) == 16
    assert program.id in info.ids(Cmd.PROG_GET_NEXT_ID)
    assert about in list(info.programs())


def test_run_statistics(obj: Object) -> None:
    program = obj.programs["count"]
    with syscall.enable_stats():
        program.test_run(PACKET, repeat=3)
        assert program.info.run_cnt == 3
        assert program.info.run_time_ns > 0


def test_code(obj: Object) -> None:
    code = obj.programs["zero"].code()
    assert code.xlated == asm.RETURN_0
    assert code.prog_tags == (obj.programs["zero"].tag,)
    assert len(code.jited_func_lens) in (0, 1)


def test_by_id_and_from_a_pin(obj: Object, bpffs_dir: Path) -> None:
    program = obj.programs["zero"]
    program.pin(bpffs_dir / "zero")
    with Program.by_id(program.id) as found, Program.open(bpffs_dir / "zero") as opened:
        assert found.name == opened.name == "zero"
        assert found.id == opened.id == program.id
    program.unpin()
    with pytest.raises(KernelError) as gone:
        Program.by_id(0x7FFFFFFF)
    assert gone.value.errno == errno.ENOENT


def test_a_syscall_program_changes_its_context() -> None:
    insns = asm.insn(0x7A, 1, off=0, imm=42) + asm.RETURN_0  # *(u64 *)context = 42
    fields = {"prog_type": ProgType.SYSCALL, "prog_flags": ProgFlag.SLEEPABLE}
    with Program(syscall.prog_load(fields, insns, license="GPL"), "x") as program:
        assert program.test_run(context=bytes(16)).context == struct.pack("=QQ", 42, 0)


def test_a_type_that_cannot_be_run_by_hand() -> None:
    fields = {"prog_type": ProgType.CGROUP_DEVICE}
    fd = syscall.prog_load(fields, asm.RETURN_0, license="GPL")
    with Program(fd, "x") as program, pytest.raises(KernelError, match=r"ENOTSUPP"):
        program.test_run(PACKET)


# -- rights


def as_nobody(code: str) -> str:
    """Runs Python code without rights; what its error says."""
    setup = "import os, rawbpf.kernel.executor, rawbpf.kernel.advice, rawbpf.kernel.features\nos.setuid(65534)\n"
    done = subprocess.run([sys.executable, "-W", "error", "-c", setup + code], capture_output=True, text=True)
    return done.stderr


def test_what_a_user_without_rights_is_told() -> None:
    told = as_nobody(
        "from rawbpf.kernel import verifier\n"
        "from rawbpf.errors import PermissionDeniedError\n"
        "try:\n"
        "    verifier.load({'prog_type': 6}, bytes.fromhex('b700000000000000 9500000000000000'), license='GPL')\n"
        "except PermissionDeniedError as error:\n"
        "    raise SystemExit(error.report())\n"
    )
    assert told.startswith("BPF_PROG_LOAD: Operation not permitted (EPERM)\nhint: this needs CAP_BPF and CAP_NET_ADMIN")


# -- the verifier


def test_a_refused_program_says_why() -> None:
    with pytest.raises(VerifierError) as refusal:
        executor.execute(asm.plan([asm.program("fine", asm.RETURN_0), asm.program("broken", asm.BAD)]))
    error = refusal.value
    assert error.errno == errno.EACCES
    assert (error.symbol, error.section) == ("broken", "socket")
    assert "off=4000" in error.summary
    assert error.summary in str(error)
    assert "4000" in error.log
    assert "-- verifier log --" in error.report()


def test_the_log_of_a_program_that_passes() -> None:
    step = asm.program("zero", asm.RETURN_0)._replace(log_level=2)
    with executor.execute(asm.plan([step])) as made:
        assert "processed 2 insns" in made.programs["zero"].log


def test_a_log_larger_than_the_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "_FIRST_LOG", 256)
    insns = asm.mov(0, 0) * 200 + asm.BAD
    with pytest.raises(VerifierError) as refusal:
        verifier.load({"prog_type": ProgType.SOCKET_FILTER, "log_level": 2}, insns, license="GPL")
    assert refusal.value.log.count("\n") > 200
    assert refusal.value.errno == errno.EACCES


def test_a_refusal_without_a_log_names_what_is_looked_at_first() -> None:
    fields = {"prog_type": ProgType.SOCKET_FILTER, "prog_name": "a name"}
    with pytest.raises(KernelError) as refusal:
        verifier.load(fields, asm.RETURN_0, license="GPL")
    assert refusal.value.errno == errno.EINVAL
    assert not isinstance(refusal.value, VerifierError)
    assert refusal.value.hint is not None


def test_a_type_that_the_kernel_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotSupportedError, match="no program type 4000") as unknown:
        verifier.load({"prog_type": 4000}, asm.RETURN_0, license="GPL")
    assert unknown.value.errno == errno.EINVAL
    monkeypatch.setattr(verifier.known_types, "has_prog_type", lambda kind: False)
    with pytest.raises(NotSupportedError, match="program type NETFILTER") as error:
        verifier.load({"prog_type": ProgType.NETFILTER, "prog_name": "?"}, asm.RETURN_0, license="GPL")
    assert error.value.min_version == "6.4"


@pytest.fixture
def odd_btf() -> bytes:
    """BTF in good form that no kernel takes: an integer with more bits than its size has."""
    builder = Builder(little=sys.byteorder == "little")
    builder.add(t.Int("int", 4, bits=99))
    return builder.to_bytes()


def test_btf_that_is_refused_does_not_stop_a_program(odd_btf: bytes) -> None:
    steps = [s.LoadBtf("btf", odd_btf), asm.program("zero", asm.RETURN_0)._replace(btf="btf")]
    with executor.execute(asm.plan(steps)) as made:
        assert made.programs["zero"].info.btf_id == 0


def test_btf_that_is_refused_stops_struct_ops(odd_btf: bytes) -> None:
    steps = [s.LoadBtf("btf", odd_btf), s.CreateMap("map:ops", "ops", MapType.STRUCT_OPS, btf="btf")]
    with pytest.raises(VerifierError, match="the kernel refused the BTF"):
        executor.execute(asm.plan(steps))


def test_btf_that_is_refused_says_why() -> None:
    with pytest.raises(VerifierError) as refusal:
        verifier.load_btf((0xEB9F).to_bytes(2, "little") + bytes([1, 0]) + struct.pack("=IIIII", 24, 0, 0, 0, 1) + b"x")
    assert refusal.value.command == "BPF_BTF_LOAD"
    assert refusal.value.summary == "Invalid string section"
