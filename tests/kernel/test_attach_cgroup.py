# SPDX-License-Identifier: BSD-2-Clause
"""Programs on a control group: each attach type, with a process in the group; modes, order, and wrong targets."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from interrupts import AtCall, interrupted
from rounds import attach_and_close, rounds

import rawbpf
from rawbpf import attach
from rawbpf.errors import KernelError, NotSupportedError, SpecError
from rawbpf.kernel.attach import Attachment
from rawbpf.kernel.links import Link
from rawbpf.kernel.programs import Program
from rawbpf.uapi import AttachType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.kernel.object import Object
    from rawbpf.objfile.spec import ObjectSpec

OBJECT = Path(__file__).parent.parent / "objs" / "attach_cgroup.el.o"
EVENTS = Path(__file__).parent / "cgroup_events.py"
NEEDS_A_TYPE = "skb"
NAMES = [
    name.removeprefix("do_")
    for name, program in rawbpf.open(OBJECT).programs.items()
    if name not in (f"do_{NEEDS_A_TYPE}", "do_connect4_other", "do_lsm")
]
if "rawbpf" in os.uname().release:
    NAMES.append("lsm")  # nothing that looks at all processes is put into another kernel than the test kernel
CONNECT = AttachType.CGROUP_INET4_CONNECT


@pytest.fixture(scope="module")
def spec() -> ObjectSpec:
    return rawbpf.open(OBJECT)


@pytest.fixture
def obj(spec: ObjectSpec, request: pytest.FixtureRequest) -> Iterator[Object]:
    names = getattr(request, "param", ["do_connect4", "do_connect4_other", "do_sockops", "do_skb"])
    with rawbpf.load(rawbpf.make_plan(spec, only=names)) as obj:
        yield obj


def runs(obj: Object, name: str, group: Path) -> bool:
    """Whether the program sees a process in the group."""
    variable = obj.variables[f"seen_{name}"]
    before = variable.value
    subprocess.run([sys.executable, "-S", "-E", EVENTS, group], check=True)
    return bool(variable.value > before)


@pytest.mark.parametrize("link", [True, False], ids=["link", "attach"])
@pytest.mark.parametrize(("name", "obj"), [(n, [f"do_{n}"]) for n in NAMES], ids=NAMES, indirect=["obj"])
def test_each_attach_type(name: str, obj: Object, cgroup: Path, link: bool) -> None:
    program = obj.programs[f"do_{name}"]
    made = attach.cgroup(program, cgroup, link=link)
    assert isinstance(made, Link if link else Attachment)
    with made:
        assert runs(obj, name, cgroup)
        assert attach.query(program.expected_attach_type, cgroup=cgroup).prog_ids == [program.id]
        made.detach()
        assert not runs(obj, name, cgroup)


def test_a_group_that_holds_the_process_below(obj: Object, cgroup: Path) -> None:
    below = cgroup / "below"
    below.mkdir()
    try:
        with attach.cgroup(obj.programs["do_connect4"], cgroup):
            assert runs(obj, "connect4", below)
            there = attach.query(CONNECT, cgroup=below, effective=True)
            assert there.prog_ids == [obj.programs["do_connect4"].id]
    finally:
        below.rmdir()


def test_the_hook_is_said(obj: Object, cgroup: Path) -> None:
    program = obj.programs["do_skb"]
    with pytest.raises(SpecError, match="does not say the direction"):
        attach.cgroup(program, cgroup)
    with attach.cgroup(program, cgroup, attach_type=AttachType.CGROUP_INET_EGRESS):
        assert runs(obj, "skb", cgroup)


@pytest.mark.parametrize("link", [True, False], ids=["link", "attach"])
def test_another_program_takes_its_place(obj: Object, cgroup: Path, link: bool) -> None:
    first, second = obj.programs["do_connect4"], obj.programs["do_connect4_other"]
    with attach.cgroup(first, cgroup, link=link) as made:
        made.update(second)
        assert runs(obj, "connect4_other", cgroup)
        assert not runs(obj, "connect4", cgroup)
        with pytest.raises(KernelError):
            made.update(first, old=first)
        made.update(first, old=second)
        assert attach.query(CONNECT, cgroup=cgroup).prog_ids == [first.id]
    assert attach.query(CONNECT, cgroup=cgroup).prog_ids == []


def test_a_program_that_replaces_another(obj: Object, cgroup: Path) -> None:
    first, second = obj.programs["do_connect4"], obj.programs["do_connect4_other"]
    with attach.cgroup(first, cgroup, link=False) as one:
        with attach.cgroup(second, cgroup, replace=first):
            assert attach.query(CONNECT, cgroup=cgroup).prog_ids == [second.id]
            with pytest.raises(KernelError) as gone:
                one.detach()
            assert gone.value.errno == errno.ENOENT
        with pytest.raises(KernelError, match="to replace, is not attached"):
            attach.cgroup(first, cgroup, replace=second)


@pytest.mark.parametrize("mode", ["override", "exclusive"])
def test_the_only_program(obj: Object, cgroup: Path, mode: str) -> None:
    first, second = obj.programs["do_connect4"], obj.programs["do_connect4_other"]
    below = cgroup / "below"
    below.mkdir()
    try:
        with attach.cgroup(first, cgroup, mode=mode) as made:
            assert isinstance(made, Attachment)
            with pytest.raises(KernelError, match="has programs in another mode"):
                attach.cgroup(second, cgroup)
            if mode == "override":
                with attach.cgroup(second, below, mode=mode):
                    assert runs(obj, "connect4_other", below)
                    assert not runs(obj, "connect4", below)
            else:
                with pytest.raises(KernelError, match="has programs in another mode"):
                    attach.cgroup(second, below, mode=mode)
            made.update(second)
            assert attach.query(CONNECT, cgroup=cgroup).prog_ids == [second.id]
            with pytest.raises(NotSupportedError):
                made.update(first, old=second)
    finally:
        below.rmdir()
    with pytest.raises(SpecError, match="a link is multi"):
        attach.cgroup(first, cgroup, mode=mode, link=True)


@pytest.mark.parametrize("link", [True, False], ids=["link", "attach"])
def test_the_order(obj: Object, cgroup: Path, link: bool) -> None:
    first, second = obj.programs["do_connect4"], obj.programs["do_connect4_other"]
    with attach.cgroup(first, cgroup, link=link) as one:
        for where in ({"before": one}, {"before": "all"}):
            with attach.cgroup(second, cgroup, link=link, **where):
                assert attach.query(CONNECT, cgroup=cgroup).prog_ids == [second.id, first.id]
        for where in ({"after": one}, {"after": "all"}, {}):
            with attach.cgroup(second, cgroup, link=link, **where):
                assert attach.query(CONNECT, cgroup=cgroup).prog_ids == [first.id, second.id]
        revision = attach.query(CONNECT, cgroup=cgroup).revision
        assert revision > 0
        with pytest.raises(KernelError, match="since that revision") as stale:
            attach.cgroup(second, cgroup, link=link, expected_revision=revision + 1)
        assert stale.value.errno == errno.ESTALE
        with attach.cgroup(second, cgroup, link=link, expected_revision=revision):
            assert attach.query(CONNECT, cgroup=cgroup).revision == revision + 1
    with pytest.raises(SpecError, match="not both"):
        attach.cgroup(first, cgroup, before="all", after="all")


def test_a_pinned_link_stays(obj: Object, cgroup: Path, bpffs_dir: Path) -> None:
    with attach.cgroup(obj.programs["do_connect4"], cgroup) as made:
        assert isinstance(made, Link)
        made.pin(bpffs_dir / "link")
    with Link.open(bpffs_dir / "link") as again:
        assert runs(obj, "connect4", cgroup)
        again.unpin(bpffs_dir / "link")
    assert not runs(obj, "connect4", cgroup)


@pytest.mark.parametrize("link", [True, False], ids=["link", "attach"])
def test_rounds_without_end_leave_nothing(obj: Object, cgroup: Path, link: bool) -> None:
    program = obj.programs["do_connect4"]  # which a group takes once, but for links
    attach_and_close(lambda: attach.cgroup(program, cgroup, link=link), rounds(), threads=16 if link else 1)
    assert attach.query(CONNECT, cgroup=cgroup).prog_ids == []


@pytest.mark.parametrize("link", [True, False], ids=["link", "attach"])
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_attach_leaves_nothing(obj: Object, cgroup: Path, link: bool) -> None:
    made: list[Link | Attachment] = []

    def once() -> None:
        made.append(attach.cgroup(obj.programs["do_connect4"], cgroup, link=link))
        made[0].close()

    once()  # imports are behind us
    made.clear()
    for _ in interrupted(once, AtCall):
        made.clear()
        assert attach.query(CONNECT, cgroup=cgroup).prog_ids == []


# -- what cannot be


def test_a_group_that_is_none(obj: Object, cgroup: Path, tmp_path: Path) -> None:
    program = obj.programs["do_connect4"]
    with pytest.raises(KernelError, match="no control group to be opened") as missing:
        attach.cgroup(program, cgroup.with_name(f"{cgroup.name}x"))
    assert missing.value.errno == errno.ENOENT
    assert str(cgroup) in str(missing.value.hint)
    with pytest.raises(KernelError, match="no control group to be opened") as missing:
        attach.cgroup(program, "/nothing/like/it")
    assert str(missing.value.hint) == f"mkdir makes one below {cgroup.parent}"
    for link in (True, False):
        with pytest.raises(KernelError, match="no directory of a cgroup"):
            attach.cgroup(program, tmp_path, link=link)


def test_a_program_of_another_type_or_hook(obj: Object, cgroup: Path) -> None:
    with pytest.raises(KernelError, match="the attach type is not the program's"):
        attach.cgroup(obj.programs["do_connect4"], cgroup, attach_type=AttachType.CGROUP_INET6_CONNECT)
    with pytest.raises(SpecError, match="no mode 'many'") as mode:
        attach.cgroup(obj.programs["do_connect4"], cgroup, mode="many")
    assert "multi" in str(mode.value.hint)
    with Program.by_id(obj.programs["do_connect4"].id) as stranger:
        with pytest.raises(SpecError, match="for which hook") as unknown:
            attach.cgroup(stranger, cgroup)
        assert "attach_type" in str(unknown.value.hint)
        attach.cgroup(stranger, cgroup, attach_type=CONNECT).close()
    with Program.by_id(obj.programs["do_sockops"].id) as stranger:
        attach.cgroup(stranger, cgroup).close()  # this type has one hook only
