# SPDX-License-Identifier: BSD-2-Clause
"""Iterators: they do nothing until somebody reads, and then see all there is."""

from __future__ import annotations

import errno
import os
import struct
import threading
from typing import TYPE_CHECKING

import pytest
from attachkit import THREADS, load
from rounds import attach_and_close, rounds

from rawbpf import attach
from rawbpf.errors import KernelError, NotSupportedError, SpecError
from rawbpf.uapi import LinkType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rawbpf.kernel.object import Object

CGROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")


@pytest.fixture
def obj() -> Iterator[Object]:
    with load("attach_iter", "maps", "tasks", "groups", "elements") as obj:
        yield obj


@pytest.fixture
def group(require: Callable[[object, str], None]) -> Iterator[str]:
    """A control group with one below it."""
    tops = [top for top in CGROUPS if os.path.exists(f"{top}/cgroup.controllers")]
    require(tops, "no cgroup v2 is mounted")
    path = f"{tops[0]}/rawbpf-iter-{os.getpid()}"
    os.makedirs(f"{path}/below")
    yield path
    os.rmdir(f"{path}/below")
    os.rmdir(path)


def test_all_maps(obj: Object) -> None:
    with obj.programs["maps"].attach() as link:
        assert link.info.type == LinkType.ITER
        numbers = [int(line) for line in link.lines()]
        assert set(numbers) >= {map_.id for map_ in obj.maps.values()}
        assert numbers == sorted(numbers)
        for again in (link.read(), b"".join(link)):  # two more runs; others may make and close maps meanwhile
            assert {int(line) for line in again.split()} >= {map_.id for map_ in obj.maps.values()}


def test_the_elements_of_a_map(obj: Object) -> None:
    table = obj.maps["table"]
    for number in range(40):
        table.update(struct.pack("=I", number), struct.pack("=Q", number * number))
    with attach.iterator(obj.programs["elements"], map=table) as link:
        found = dict(map(int, line.split()) for line in link.lines())
        assert found == {number: number * number for number in range(40)}
        assert link.info.detail["map_id"] == table.id
    with pytest.raises(KernelError) as without:
        attach.iterator(obj.programs["elements"])
    assert "needs a parameter" in without.value.message
    assert obj.programs["elements"].name not in [link.name for link in attach_all(obj)]
    assert "attach(map=…)" in obj.skipped["elements"]


def attach_all(obj: Object) -> list[object]:
    made = obj.attach()
    for link in made:
        link.close()
    return list(made)


@pytest.mark.parametrize("which", ["pid", "pidfd", "tid"])
def test_the_tasks_of_a_process(obj: Object, which: str) -> None:
    ready, end = threading.Barrier(2), threading.Event()
    thread = threading.Thread(target=lambda: (ready.wait(), end.wait()))
    thread.start()
    ready.wait()
    me = os.getpid()
    pidfd = os.pidfd_open(me)
    number = {"pid": me, "tid": thread.native_id, "pidfd": pidfd}[which]
    try:
        with attach.iterator(obj.programs["tasks"], **{which: number}) as link:
            tasks = [tuple(map(int, line.split())) for line in link.lines()]
    finally:
        os.close(pidfd)
        end.set()
        thread.join()
    expected = {(me, thread.native_id)} if which == "tid" else {(me, me), (me, thread.native_id)}
    assert set(tasks) >= expected if which != "tid" else set(tasks) == expected
    assert {tgid for tgid, _ in tasks} == {me}


@pytest.mark.parametrize(
    ("order", "expected"), [("self", "g"), ("pre", "gb"), ("post", "bg"), ("up", "g…")], ids=lambda value: value
)
def test_control_groups(obj: Object, group: str, order: str, expected: str) -> None:
    names = {os.stat(group).st_ino: "g", os.stat(f"{group}/below").st_ino: "b"}
    with attach.iterator(obj.programs["groups"], cgroup=group, order=order) as link:
        found = [names.get(int(line), "…") for line in link.lines()]
    assert "".join(found).replace("……", "…") == expected


def test_a_pinned_iterator_is_a_file(obj: Object, bpffs_dir: Path) -> None:
    with attach.iterator(obj.programs["maps"]) as link:
        link.pin(bpffs_dir / "maps")
    numbers = (bpffs_dir / "maps").read_text().split()
    assert {str(map_.id) for map_ in obj.maps.values()} <= set(numbers)
    with type(link).open(bpffs_dir / "maps") as again:
        assert {int(line) for line in again.lines()} >= {map_.id for map_ in obj.maps.values()}
        again.unpin(bpffs_dir / "maps")


def test_another_program_in_its_place(obj: Object) -> None:
    with load("attach_iter", "maps") as other, attach.iterator(obj.programs["maps"]) as link:
        with pytest.raises(KernelError) as wrong:
            link.update(other.programs["maps"], old=other.programs["maps"])
        assert wrong.value.errno == errno.EPERM
        link.update(other.programs["maps"], old=obj.programs["maps"])
        assert link.info.prog_id == other.programs["maps"].id
        assert str(other.maps["table"].id) in link.read().decode().split()


def test_what_is_wrong(obj: Object) -> None:
    program = obj.programs["tasks"]
    with pytest.raises(SpecError, match="no order is called 'down'"):
        attach.iterator(program, cgroup="/", order="down")
    with pytest.raises(SpecError, match="over a map, or a cgroup, or tasks"):
        attach.iterator(program, pid=1, tid=1)
    with pytest.raises(KernelError, match="no process 4194305"):
        attach.iterator(program, pid=4194305)
    with pytest.raises(KernelError) as none:
        attach.iterator(obj.programs["groups"], cgroup="/nothing", order="self")
    assert none.value.errno == errno.ENOENT
    with pytest.raises(KernelError, match="does not take this"):
        attach.iterator(obj.programs["elements"], cgroup="/sys")
    with attach.iterator(program) as link, pytest.raises(NotSupportedError):
        link.detach()


def test_many_rounds(obj: Object) -> None:
    attach_and_close(lambda: attach.iterator(obj.programs["maps"]), rounds(), THREADS)
