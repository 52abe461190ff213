# SPDX-License-Identifier: BSD-2-Clause
"""An interrupt at places all over attaching and detaching inside the kernel: nothing stays. For the test kernel."""

from __future__ import annotations

import gc
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attachkit import load
from interrupts import AtCall, interrupted

from rawbpf import attach
from rawbpf.kernel import info, tracefs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawbpf.kernel.attach import Attachment
    from rawbpf.kernel.links import Link
    from rawbpf.kernel.object import Object

BY_SECTION = [
    "entry",
    "call",
    "multi_return",
    "session",
    "event",
    "raw",
    "typed",
    "fentry",
    "modify",
    "fsession",
    "hook",
]
MODES = ["kprobe ioctl", "kprobe tracefs", "tracepoint ioctl", "perf_event link", "perf_event ioctl", "iterator"]
PLACES = 40
"""How many of the places are tried, spread over all: in the test kernel each takes 0.1 s."""
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def obj() -> Iterator[Object]:
    with load("attach_kernel", *BY_SECTION, "anywhere", "clock") as obj:
        obj.variables["process"].value = os.getpid()
        yield obj


@pytest.fixture(scope="module")
def iterators() -> Iterator[Object]:
    with load("attach_iter", "maps") as obj:
        yield obj


def attaching(name: str, obj: Object, iterators: Object) -> Callable[[], Link | Attachment]:
    kind, _, mode = name.partition(" ")
    if kind == "kprobe":
        return partial(attach.kprobe, obj.programs["anywhere"], "do_nanosleep", mode=mode)
    if kind == "tracepoint":
        return partial(attach.tracepoint, obj.programs["event"], "syscalls", "sys_enter_clock_nanosleep", mode=mode)
    if kind == "perf_event":
        return partial(attach.perf_event, obj.programs["clock"], "cpu-clock", frequency=10, pid=0, mode=mode)
    return iterators.programs["maps"].attach if kind == "iterator" else obj.programs[name].attach


def what_is_there() -> tuple[set[str], set[int], str]:
    """Descriptors, links, and probes of tracefs."""
    gc.collect()
    return (
        {name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")},
        {link.id for link in info.links()},
        Path(f"{tracefs.directory()}/kprobe_events").read_text(),
    )


@pytest.mark.parametrize("name", [*BY_SECTION, *MODES])
def test_nothing_stays(obj: Object, iterators: Object, name: str) -> None:
    attached = attaching(name, obj, iterators)
    before = what_is_there()
    made: list[Link | Attachment] = []  # it ends outside, for an interrupt in a __del__ is nobody's

    def once() -> None:
        made.append(attached())
        made[-1].close()

    once()  # imports are behind us
    made.clear()
    every = AtCall(1_000_000)
    every.install(every)
    once()
    every.install(None)
    places = 1_000_000 - every.left
    assert places > PLACES
    for place in interrupted(once, AtCall, places // PLACES):
        made.clear()
        assert (place, what_is_there()) == (place, before)
