# SPDX-License-Identifier: BSD-2-Clause
"""Programs that are run by hand: packets, contexts, live frames, statistics, and the command that does it."""

from __future__ import annotations

import errno
import json
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import asm
import netlab
import pytest
from netlab import DEVICE, RIGHT

import rawbpf
from rawbpf import attach
from rawbpf.cli import main
from rawbpf.errors import KernelError, SpecError
from rawbpf.kernel import syscall
from rawbpf.kernel.programs import Program, run_statistics
from rawbpf.uapi import ProgType

if TYPE_CHECKING:
    from collections.abc import Iterator

OBJECT = Path(__file__).parent.parent / "objs" / "attach_net.el.o"
PACKET = bytes(range(64))
NAME = "rawbpf_by_hand"


@pytest.fixture
def program() -> Iterator[Program]:
    """Sets the packet's mark to 7, as its context shows, and returns 5."""
    insns = asm.insn(0xB4, 2, imm=7) + asm.insn(0x63, 1, 2, off=8) + asm.mov(0, 5) + asm.EXIT
    fields = {"prog_type": ProgType.SCHED_CLS, "prog_name": NAME}
    with Program(syscall.prog_load(fields, insns, license="GPL"), NAME) as made:
        yield made


def test_packet_and_context_come_back(program: Program) -> None:
    result = program.test_run(PACKET, bytes(192), repeat=3)
    assert result.retval == 5
    assert result.data == PACKET
    assert struct.unpack_from("=II", result.context, 4) == (0, 7)
    assert result.duration >= 0


def test_what_is_counted(program: Program) -> None:
    program.test_run(PACKET)
    assert program.info.run_cnt == 0
    with run_statistics():
        program.test_run(PACKET, repeat=10)
        assert program.info.run_cnt == 10
        assert program.info.run_time_ns > 0
    program.test_run(PACKET)
    assert program.info.run_cnt == 10


def test_the_instructions_that_were_verified(program: Program) -> None:
    assert program.info.verified_insns == 4
    assert len(program.tag) == 16


def test_what_cannot_be_run_says_so(program: Program) -> None:
    with pytest.raises(KernelError) as short:
        program.test_run(b"short")
    assert short.value.symbol == NAME
    assert "14 bytes" in str(short.value.hint)
    fd = syscall.prog_load({"prog_type": ProgType.CGROUP_DEVICE}, asm.RETURN_0, license="GPL")
    with Program(fd, "x") as other, pytest.raises(KernelError) as never:
        other.test_run(PACKET)
    assert str(never.value.hint).startswith("CGROUP_DEVICE programs cannot be run by hand")


def test_a_cpu_is_for_raw_tracepoints() -> None:
    fd = syscall.prog_load({"prog_type": ProgType.RAW_TRACEPOINT}, asm.mov(0, 3) + asm.EXIT, license="GPL")
    with Program(fd, "x") as raw:
        assert raw.test_run(context=bytes(8), cpu=0).retval == 3
        with pytest.raises(KernelError) as none:
            raw.test_run(context=bytes(8), cpu=100000)
        assert none.value.errno == errno.ENXIO


def test_live_frames_go_up_the_stack() -> None:
    count = 10
    with (
        netlab.lab() as lab,
        rawbpf.load(rawbpf.make_plan(rawbpf.open(OBJECT), only=["do_xdp"])) as obj,
        attach.xdp(obj.programs["do_xdp"], DEVICE, netns=lab.right, mode="native"),
        lab.udp(lab.right, RIGHT) as server,
        lab.right.entered(),
    ):
        index = socket.if_nametoindex(DEVICE)
        mac = bytes.fromhex(address().replace(":", ""))
        frame = mac + bytes(6) + b"\x08\x00" + datagram(server.getsockname()[1])
        context = struct.pack("=IIIIII", 0, len(frame), 0, index, 0, 0)
        result = obj.programs["do_xdp"].test_run(frame, context, repeat=count, live_frames=True, batch_size=4)
        assert result.data == b""
        assert obj.variables["seen_xdp"].value == count
        assert [server.recv(16) for _ in range(count)] == [b"live"] * count


def address() -> str:
    """The Ethernet address of the device, in the namespace that this thread is in."""
    with netlab.links.IPRoute() as netlink:
        (device,) = netlink.get_links(socket.if_nametoindex(DEVICE))
        return str(device.get_attr("IFLA_ADDRESS"))


def datagram(port: int) -> bytes:
    udp = struct.pack("!HHHH", 9, port, 12, 0) + b"live"
    addresses = socket.inet_aton(netlab.LEFT) + socket.inet_aton(RIGHT)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + addresses
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return header[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + header[12:] + udp


# -- by name, and from the command line


def test_by_name(program: Program) -> None:
    with Program.by_name(NAME) as found:
        assert found.id == program.id
    with pytest.raises(SpecError, match="no program is named") as near:
        Program.by_name(NAME[:-1])
    assert NAME in str(near.value.hint)
    with (
        program.fd.duplicate(),
        Program(
            syscall.prog_load({"prog_type": ProgType.XDP, "prog_name": NAME}, asm.RETURN_0, license="GPL"), NAME
        ) as second,
    ):
        with pytest.raises(SpecError, match="2 programs are named") as two:
            Program.by_name(NAME)
        assert str(second.id) in str(two.value.hint)


def test_the_command(program: Program, bpffs_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "packet").write_bytes(PACKET)
    program.pin(bpffs_dir / "pin")
    for named in (str(program.id), str(bpffs_dir / "pin"), NAME):
        command = ["prog", "run", named, "--data", str(tmp_path / "packet"), "--ctx", "00" * 192, "--json"]
        assert main(command) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["program"] == {"id": program.id, "name": NAME, "tag": program.tag, "type": "sched_cls"}
        assert said["retval"] == 5
        assert bytes.fromhex(said["data"]) == PACKET
        assert bytes.fromhex(said["context"])[8] == 7
        assert said["run_cnt"] > 0
    program.unpin()
    assert main(["prog", "run", NAME, "--data", "00 " * 16, "--repeat", "20"]) == 0
    said = capsys.readouterr().out
    assert "returned 5" in said
    assert "it ran 20 times" in said
    assert "packet afterwards, 16 bytes" in said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["no_such_program"], 4, "no program is named"),
        (["2147483647"], 6, "program id 2147483647"),
        (["/nowhere/at/all"], 6, "/nowhere/at/all"),
        ([NAME, "--data", "xyz"], 4, "neither a file nor bytes in hex"),
        ([NAME, "--data", "00"], 6, "hint: it wants a packet"),
    ],
)
def test_the_command_when_it_cannot(
    program: Program, arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prog", "run", *arguments]) == code
    assert said in capsys.readouterr().err
