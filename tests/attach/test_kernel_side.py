# SPDX-License-Identifier: BSD-2-Clause
"""Probes, tracepoints, tracing, security hooks, perf events and replacements inside the kernel: for the test kernel."""

from __future__ import annotations

import errno
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attachkit import ROUNDS, THREADS, load, value
from rounds import attach_and_close

from rawbpf import attach
from rawbpf.errors import KernelError, NotSupportedError, SpecError
from rawbpf.kernel import tracefs
from rawbpf.kernel.attach import Attachment
from rawbpf.kernel.links import Link
from rawbpf.uapi import LinkType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawbpf.kernel.object import Object


def sleep() -> None:
    """clock_nanosleep, and in it do_nanosleep."""
    time.sleep(0.001)


def make_socket() -> None:
    socket.socket().close()


def open_file() -> None:
    Path("/dev/null").read_bytes()


def be_busy() -> None:
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass


# program → the event, and how often it is seen in one; None: often
CASES: dict[str, tuple[Callable[[], None], int | None]] = {
    "entry": (sleep, 1),
    "exit_": (sleep, 1),
    "call": (sleep, 1),
    "call_return": (sleep, 1),
    "multi": (sleep, 1),
    "multi_return": (sleep, 1),
    "session": (sleep, 2),
    "event": (sleep, 1),
    "raw": (sleep, None),
    "typed": (sleep, None),
    "fentry": (sleep, 1),
    "fexit": (sleep, 1),
    "modify": (make_socket, 1),
    "fsession": (sleep, 2),
    "hook": (open_file, 1),
}
COOKIES = {"multi": {"cookies": [7]}, "multi_return": {"cookies": [7]}, "session": {"cookies": [7]}}
MODES = ("link", "ioctl", "tracefs")
ONCE = ("event", "fentry", "fexit", "modify", "fsession", "hook")
"""What the kernel attaches a program to once, so threads would be in each other's way."""


@pytest.fixture(scope="module")
def everything() -> Iterator[Object]:
    with load("attach_kernel", *CASES, "anywhere", "clock", "calls") as obj:
        obj.variables["process"].value = os.getpid()
        yield obj


@pytest.fixture
def obj(everything: Object) -> Object:
    for name in (*CASES, "anywhere", "clock"):
        everything.variables[f"hits_{name}"].value = 0
        everything.variables[f"cookie_{name}"].value = 0
    return everything


def hits(obj: Object, name: str) -> int:
    return int(value(obj, f"hits_{name}"))


@pytest.mark.parametrize("name", CASES)
def test_a_program_sees_its_event_until_it_is_closed(obj: Object, name: str) -> None:
    happen, times = CASES[name]
    with obj.programs[name].attach(**COOKIES.get(name, {"cookie": 7})) as link:
        assert isinstance(link, Link)
        assert link.info.prog_id == obj.programs[name].id
        for _ in range(3):
            happen()
        seen = hits(obj, name)
        assert seen == 3 * times if times else seen >= 3
        assert value(obj, f"cookie_{name}") == 7
    seen = hits(obj, name)  # closing is a system call too
    happen()
    assert hits(obj, name) == seen


@pytest.mark.parametrize("name", CASES)
def test_pinned_it_goes_on(obj: Object, name: str, bpffs_dir: Path) -> None:
    happen, _ = CASES[name]
    with obj.programs[name].attach() as link:
        link.pin(bpffs_dir / "link")
    happen()
    seen = hits(obj, name)
    assert seen
    with Link.open(bpffs_dir / "link") as again:
        again.unpin(bpffs_dir / "link")
        happen()
        assert hits(obj, name) > seen
    before = hits(obj, name)
    happen()
    assert hits(obj, name) == before


@pytest.mark.parametrize("name", CASES)
def test_what_links_of_a_program_cannot_do(obj: Object, name: str) -> None:
    with obj.programs[name].attach() as link:
        with pytest.raises(NotSupportedError, match="detach"):
            link.detach()
        with pytest.raises(NotSupportedError, match="update"):
            link.update(obj.programs["calls"])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("retprobe", [False, True])
def test_a_kprobe_each_way(obj: Object, mode: str, retprobe: bool) -> None:
    with attach.kprobe(obj.programs["anywhere"], "do_nanosleep", retprobe=retprobe, mode=mode) as made:
        assert isinstance(made, Link if mode == "link" else Attachment)
        sleep()
        assert hits(obj, "anywhere") == 1
    sleep()
    assert hits(obj, "anywhere") == 1
    assert Path(f"{tracefs.directory()}/kprobe_events").read_text() == ""


@pytest.mark.parametrize("mode", ["link", "ioctl"])
def test_a_tracepoint_each_way(obj: Object, mode: str) -> None:
    with attach.tracepoint(obj.programs["event"], "syscalls", "sys_enter_clock_nanosleep", mode=mode) as made:
        assert isinstance(made, Link if mode == "link" else Attachment)
        sleep()
        assert hits(obj, "event") == 1
    sleep()
    assert hits(obj, "event") == 1


def test_an_attachment_that_ends(obj: Object, tmp_path: Path) -> None:
    made = attach.kprobe(obj.programs["anywhere"], "do_nanosleep", mode="ioctl")
    assert made.info["symbol"] == "do_nanosleep"
    assert made.id == obj.programs["anywhere"].id
    with pytest.raises(NotSupportedError, match="only links can be pinned"):
        made.pin(tmp_path / "x")
    made.detach()
    with pytest.raises(KernelError) as ended:
        made.detach()
    assert ended.value.errno == errno.ENOENT
    made.close()
    sleep()
    assert hits(obj, "anywhere") == 0


def test_an_address_and_an_offset(obj: Object) -> None:
    lines = Path("/proc/kallsyms").read_text().splitlines()
    address = next(int(words[0], 16) for words in map(str.split, lines) if words[2] == "do_nanosleep")
    with attach.kprobe(obj.programs["anywhere"], address):
        sleep()
    assert hits(obj, "anywhere") == 1
    # the first instruction behind the entry that is no part of what ftrace patches
    refused = []
    for offset in range(1, 64):
        try:
            with attach.kprobe(obj.programs["anywhere"], "do_nanosleep", offset=offset):
                sleep()
            break
        except KernelError as failure:
            refused.append((failure.errno, failure.message))
    assert hits(obj, "anywhere") == 2
    assert refused[0] == (errno.EILSEQ, "no instruction begins at do_nanosleep+0x1")


def test_many_functions_by_name_and_address(obj: Object) -> None:
    program = obj.programs["multi"]
    with attach.kprobe_multi(program, ["do_nanosleep", "hrtimer_nanosleep"], cookies=[1, 2]) as link:
        sleep()
        assert hits(obj, "multi") == 2
        assert value(obj, "cookie_multi") == 1  # do_nanosleep is called by the other
        assert link.info.type == LinkType.KPROBE_MULTI
    lines = Path("/proc/kallsyms").read_text().splitlines()
    address = next(int(words[0], 16) for words in map(str.split, lines) if words[2] == "do_nanosleep")
    with attach.kprobe_multi(program, [address]):
        sleep()
    assert hits(obj, "multi") == 3


@pytest.mark.parametrize("functions", ["do_nanosle*", "do_nanosleep", ["do_nanosleep"]], ids=str)
def test_tracing_of_many_functions(functions: str | list[str]) -> None:
    with load("attach_kernel", "fentry_many") as obj:
        obj.variables["process"].value = os.getpid()
        with obj.programs["fentry_many"].attach(functions=functions, cookies=[7]) as link:
            assert link.info.prog_id == obj.programs["fentry_many"].id
            sleep()
            assert (hits(obj, "fentry_many"), value(obj, "cookie_fentry_many")) == (1, 7)
        sleep()
        assert hits(obj, "fentry_many") == 1
        with pytest.raises(KernelError, match="no function 'do_nanoslep'") as error:
            attach.tracing_multi(obj.programs["fentry_many"], ["do_nanoslep"])
        assert "do_nanosleep" in (error.value.hint or "")


# -- perf events


@pytest.mark.parametrize("mode", ["link", "ioctl"])
@pytest.mark.parametrize("how", [{"frequency": 1000}, {"period": 1_000_000}], ids=["frequency", "period"])
def test_a_clock(obj: Object, how: dict[str, int], mode: str) -> None:
    cookie = {"cookie": 9} if mode == "link" else {}
    with attach.perf_event(obj.programs["clock"], "cpu-clock", pid=0, mode=mode, **how, **cookie):
        be_busy()
        seen = hits(obj, "clock")
        assert seen > 20
        assert value(obj, "cookie_clock") == (9 if mode == "link" else 0)
    seen = hits(obj, "clock")
    be_busy()
    assert hits(obj, "clock") == seen


def test_the_clock_of_a_cpu(obj: Object) -> None:
    os.sched_setaffinity(0, {0})
    try:
        with attach.perf_event(obj.programs["clock"], "cpu-clock", period=1_000_000, cpu=0):
            be_busy()
        assert hits(obj, "clock") > 20
    finally:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


def test_page_faults(obj: Object) -> None:
    import mmap

    with attach.perf_event(obj.programs["clock"], "page-faults", period=1, pid=0):
        before = hits(obj, "clock")
        with mmap.mmap(-1, 64 * mmap.PAGESIZE) as memory:
            for page in range(64):
                memory[page * mmap.PAGESIZE] = 1
        assert hits(obj, "clock") - before >= 64


def test_no_such_event(obj: Object) -> None:
    program = obj.programs["clock"]
    with pytest.raises(SpecError, match="no perf event is called 'cpu-clok'") as error:
        attach.perf_event(program, "cpu-clok")
    assert "cpu-clock" in (error.value.hint or "")
    with pytest.raises(KernelError, match="no process 4194305"):
        attach.perf_event(program, pid=4194305)
    with pytest.raises(KernelError, match="no CPU 4000"):
        attach.perf_event(program, cpu=4000)
    with pytest.raises(SpecError, match="a frequency or a period"):
        attach.perf_event(program, frequency=1, period=1)
    with pytest.raises(SpecError, match=r"attach\(event=…\)"):
        program.attach()


# -- freplace


def test_a_function_is_replaced(obj: Object) -> None:
    import rawbpf
    from rawbpf.kernel import executor

    calls = obj.programs["calls"]
    spec = rawbpf.open(Path(__file__).parent.parent / "objs" / "attach_replacement.el.o")
    for program in spec.programs.values():
        program.attach_to(calls)
        program.autoload = True
    assert calls.test_run().retval == 1
    with executor.load(rawbpf.make_plan(spec)) as other:
        with attach.freplace(other.programs["replacement"]) as link:
            assert calls.test_run().retval == 42
            assert link.info.type == LinkType.TRACING
            with pytest.raises(KernelError) as full:
                other.programs["another"].attach()
            assert full.value.errno == errno.EBUSY
        assert calls.test_run().retval == 1
        with attach.freplace(other.programs["another"], calls, "replaced"):
            assert calls.test_run().retval == 43
        with pytest.raises(KernelError, match="no function 'replased'") as near:
            attach.freplace(other.programs["another"], calls, "replased")
        assert "replaced" in (near.value.hint or "")


# -- what is wrong is named


@pytest.mark.parametrize(
    ("kind", "name", "arguments", "message", "near"),
    [
        ("kprobe", "anywhere", ("do_nanoslep",), "the kernel has no function 'do_nanoslep'", "do_nanosleep"),
        ("ksyscall", "call", ("clock_nanoslep",), "no system call 'clock_nanoslep'", "clock_nanosleep"),
        ("kprobe_multi", "multi", ("do_nanoslep",), "no function 'do_nanoslep' that can be traced", "do_nanosleep"),
        ("kprobe_multi", "multi", ("do_nanoslip*",), "matches 'do_nanoslip*'", "do_nanosleep"),
        ("tracepoint", "event", ("syscalls", "sys_enter_nanoslep"), "no tracepoint", "sys_enter_nanosleep"),
        ("tracepoint", "event", ("syscals", "sys_enter_nanosleep"), "no tracepoint", "syscalls/sys_enter_nanosleep"),
        ("raw_tracepoint", "raw", ("sched_swich",), "no tracepoint 'sched_swich'", "sched_switch"),
    ],
)
def test_no_such_place(obj: Object, kind: str, name: str, arguments: tuple[str], message: str, near: str) -> None:
    with pytest.raises(KernelError) as error:
        getattr(attach, kind)(obj.programs[name], *arguments)
    assert error.value.errno in (errno.ENOENT, errno.ESRCH, errno.EINVAL)
    assert message in error.value.message
    assert near in (error.value.hint or "")


@pytest.mark.parametrize(
    ("kind", "name", "arguments"),
    [
        ("kprobe", "event", ("do_nanosleep",)),
        ("ksyscall", "event", ("nanosleep",)),
        ("kprobe_multi", "event", ("do_nanosleep",)),
        ("tracepoint", "entry", ("syscalls", "sys_enter_nanosleep")),
        ("raw_tracepoint", "entry", ("sys_enter",)),
        ("tracing", "entry", ()),
        ("lsm", "fentry", ()),
        ("freplace", "fentry", ()),
        ("iterator", "entry", ()),
        ("perf_event", "entry", ()),
    ],
)
def test_the_wrong_program(obj: Object, kind: str, name: str, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SpecError, match=f"{kind} takes .* programs, and this is"):
        getattr(attach, kind)(obj.programs[name], *arguments)


def test_what_a_kprobe_cannot_do(obj: Object) -> None:
    program = obj.programs["anywhere"]
    with pytest.raises(SpecError, match="a return has no offset"):
        attach.kprobe(program, "do_nanosleep", offset=4, retprobe=True)
    with pytest.raises(NotSupportedError, match="cookies"):
        attach.kprobe(program, "do_nanosleep", cookie=1, mode="ioctl")
    with pytest.raises(NotSupportedError, match="cookies"):
        attach.kprobe(program, "do_nanosleep", cookie=1, mode="tracefs")
    with pytest.raises(KernelError, match="may not be probed"):
        attach.kprobe(program, "exc_int3")
    with pytest.raises(KernelError):
        attach.kprobe(program, "do_nanoslep", mode="tracefs")
    assert Path(f"{tracefs.directory()}/kprobe_events").read_text() == ""
    with pytest.raises(SpecError, match="2 cookies for 1 functions"):
        attach.kprobe_multi(obj.programs["multi"], "do_nanosleep", cookies=[1, 2])
    with pytest.raises(KernelError, match="not loaded for TRACE_KPROBE_MULTI"):
        attach.kprobe_multi(program, "do_nanosleep")


@pytest.mark.parametrize("name", [*CASES, "kprobe ioctl", "kprobe tracefs", "clock"])
def test_many_rounds(obj: Object, name: str) -> None:
    program, _, mode = name.partition(" ")
    program = "anywhere" if mode else program

    def once() -> Link | Attachment:
        if mode:
            return attach.kprobe(obj.programs[program], "do_nanosleep", mode=mode)
        if name == "multi":  # its own pattern takes longer to match than all the rest
            return attach.kprobe_multi(obj.programs[name], "do_nanosleep")
        return obj.programs[name].attach(**({"event": "cpu-clock"} if name == "clock" else {}))

    attach_and_close(once, ROUNDS, 1 if name in ONCE else THREADS)
    seen = hits(obj, program)  # opening and closing are system calls too
    CASES.get(program, (sleep, 1))[0]()
    assert hits(obj, program) == seen
