# SPDX-License-Identifier: BSD-2-Clause
"""Attaching: struct_ops with and without a link, control groups, and what ends it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
from pathlib import Path
from typing import TYPE_CHECKING

import asm
import pytest
from fake_kernel import FailAt

import rawbpf
from rawbpf.errors import KernelError, NotSupportedError, SpecError, TargetError
from rawbpf.kernel import bpffs, executor, features, gate, host, info, loaded, syscall
from rawbpf.kernel.attach import Attachment
from rawbpf.kernel.attach import _cgroup as cgroups
from rawbpf.kernel.attach import cgroup as attach_cgroup
from rawbpf.kernel.links import Link, Registration
from rawbpf.kernel.programs import Program
from rawbpf.plan import steps as s
from rawbpf.uapi import AttachType, BtfKind, Cmd, LinkType, ProgType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.kernel.object import Object

OBJECT = Path(__file__).parent.parent / "objs" / "struct_ops.el.o"
PLAIN, LINKED = "rawbpf_plain", "rawbpf_linked"


def registered(name: str) -> bool:
    """Whether the kernel lists a congestion control of that name."""
    return name in Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()


@pytest.fixture
def obj() -> Iterator[Object]:
    with executor.load(rawbpf.make_plan(rawbpf.open(OBJECT), attach=True)) as obj:
        yield obj


def test_a_value_without_link_is_registered_until_it_is_closed(obj: Object) -> None:
    assert not registered(PLAIN)
    with obj.struct_ops["plain"].attach() as registration:
        assert isinstance(registration, Registration)
        assert registered(PLAIN)
    assert not registered(PLAIN)
    registration.close()


def test_a_registration_that_ends_is_not_ended_twice(obj: Object) -> None:
    registration = obj.struct_ops["plain"].attach()
    registration.detach()
    assert not registered(PLAIN)
    registration.close()


def test_what_a_registration_is_and_cannot_do(obj: Object) -> None:
    with obj.struct_ops["plain"].attach() as registration:
        assert isinstance(registration, Registration)
        assert (registration.id, registration.info.name) == (obj.maps["plain"].id, "plain")
        with pytest.raises(NotSupportedError, match="without a link") as refused:
            registration.update(obj.maps["plain"])
        assert ".struct_ops.link" in (refused.value.hint or "")


def test_a_pinned_registration_outlives_its_object(obj: Object, bpffs_dir: Path) -> None:
    obj.attach()
    obj.pin(bpffs_dir / "all")
    obj.close()
    assert registered(PLAIN)
    assert registered(LINKED)
    with Registration.open(bpffs_dir / "all" / "maps" / "plain") as registration:
        assert registration.id > 0
    assert not registered(PLAIN)
    with Link.open(bpffs_dir / "all" / "links" / "linked"):  # closing is over at once, removing a pin is not
        bpffs.remove_tree(bpffs_dir / "all")
    assert not registered(LINKED)


def test_a_link_registers_while_it_lives(obj: Object) -> None:
    ops = obj.struct_ops["linked"]
    with ops.attach() as link:
        assert isinstance(link, Link)
        assert registered(LINKED)
        assert link.info.type == LinkType.STRUCT_OPS
        assert link.info.detail["map_id"] == obj.maps["linked"].id
        assert link.id in [other.id for other in info.links()]
    assert not registered(LINKED)
    with ops.attach():  # a second time, with the value that is set already
        assert registered(LINKED)


def test_another_value_in_its_place(obj: Object) -> None:
    first = obj.struct_ops["linked"]
    with executor.load(rawbpf.make_plan(rawbpf.open(OBJECT), attach=True)) as other, first.attach() as link:
        second = other.struct_ops["linked"]
        assert isinstance(link, Link)
        with pytest.raises(KernelError) as wrong:
            second.replace(link, old=second)
        assert wrong.value.errno == errno.EPERM
        second.replace(link, old=first)
        assert link.info.detail["map_id"] == other.maps["linked"].id
        assert registered(LINKED)
        first.replace(link)
        assert link.info.detail["map_id"] == obj.maps["linked"].id
    assert not registered(LINKED)


def test_a_pinned_link_lives_on(obj: Object, bpffs_dir: Path) -> None:
    link = obj.struct_ops["linked"].attach()
    link.pin(bpffs_dir / "link")
    link.close()
    obj.close()
    assert registered(LINKED)
    with Link.open(bpffs_dir / "link") as again:
        again.detach()
        assert not registered(LINKED)
    assert [pin.kind for pin in bpffs.pins(bpffs_dir)] == ["link"]


def test_attach_all_or_none(obj: Object) -> None:
    links = obj.attach()
    assert {link.name for link in links} == {"plain", "linked"}
    assert set(obj.links) == {"plain", "linked"}
    assert obj.attach() == []
    assert obj.skipped == {}
    obj.close()
    assert not registered(PLAIN)
    assert not registered(LINKED)


def test_attaching_is_undone_if_one_fails(obj: Object) -> None:
    plan = rawbpf.make_plan(rawbpf.open(OBJECT), attach=True)
    with executor.load(plan) as other, other.struct_ops["linked"].attach():
        with pytest.raises(KernelError) as taken:
            obj.attach()
        assert taken.value.errno == errno.EEXIST
        assert taken.value.symbol == "linked"
        assert "has a tcp_congestion_ops" in taken.value.message
        assert obj.links == {}
        assert not registered(PLAIN)


def test_a_name_that_is_taken(obj: Object) -> None:
    with obj.struct_ops["plain"].attach():
        with executor.load(rawbpf.make_plan(rawbpf.open(OBJECT), attach=True)) as other:
            with pytest.raises(KernelError) as taken:
                other.struct_ops["plain"].attach()
            assert taken.value.errno == errno.EEXIST
        assert registered(PLAIN)


def test_a_whole_plan_attaches_and_pins(bpffs_dir: Path) -> None:
    plan = rawbpf.make_plan(rawbpf.open(OBJECT), attach=True, pin_dir=str(bpffs_dir / "all"))
    with executor.execute(plan) as made:
        assert set(made.links) == {"plain", "linked"}
        assert registered(PLAIN)
        assert registered(LINKED)
    assert registered(PLAIN)
    assert registered(LINKED)
    loaded.unload(str(bpffs_dir / "all"))
    assert not registered(PLAIN)
    assert not registered(LINKED)


def test_what_others_have_pinned_is_not_unloaded(bpffs_dir: Path) -> None:
    mine = str(bpffs_dir / "mine")
    executor.execute(rawbpf.make_plan(rawbpf.open(OBJECT), pin_dir=mine)).close()
    pins = list(bpffs.pins(bpffs_dir))
    with pytest.raises(SpecError, match="there is 'mine' in it"):
        loaded.unload(str(bpffs_dir))
    assert list(bpffs.pins(bpffs_dir)) == pins
    assert registered(LINKED)
    loaded.unload(mine)
    assert not registered(LINKED)


def test_a_plan_that_fails_at_the_end_registers_nothing(bpffs_dir: Path) -> None:
    plan = rawbpf.make_plan(rawbpf.open(OBJECT), attach=True, pin_dir=str(bpffs_dir / "all"))
    (bpffs_dir / "all" / "links").mkdir(parents=True)
    with Program(syscall.prog_load({"prog_type": ProgType.SOCKET_FILTER}, asm.RETURN_0, license="GPL"), "x") as other:
        other.pin(bpffs_dir / "all" / "links" / "linked")
    with pytest.raises(KernelError, match="already"):
        executor.execute(plan)
    assert not registered(PLAIN)
    assert not registered(LINKED)
    assert [pin.path for pin in bpffs.pins(bpffs_dir)] == [str(bpffs_dir / "all" / "links" / "linked")]


def test_whatever_call_fails_nothing_stays_registered(bpffs_dir: Path, no_leaks: None) -> None:
    where = str(bpffs_dir / "all")
    plan = rawbpf.make_plan(rawbpf.open(OBJECT), attach=True, pin_dir=where)
    complete = False
    for number in range(200):
        counter = FailAt(number, None)
        with contextlib.suppress(KernelError), gate.replace(counter), executor.execute(plan) as made:
            complete = counter.left >= 0
            assert set(made.links) == {"plain", "linked"}
        if bpffs.is_bpffs(where):
            loaded.unload(where)
        assert not registered(PLAIN)
        assert not registered(LINKED)
        assert list(bpffs_dir.iterdir()) == []
        if complete:
            break
    assert complete
    assert number > 15


# -- control groups


@pytest.fixture
def filters() -> Iterator[list[Program]]:
    """Two programs that let every packet pass."""
    insns = asm.mov(0, 1) + asm.EXIT
    fields = {"prog_type": ProgType.CGROUP_SKB, "expected_attach_type": AttachType.CGROUP_INET_INGRESS}
    programs = [
        Program(syscall.prog_load(fields | {"prog_name": name}, insns, license="GPL"), name) for name in ("a", "b")
    ]
    yield programs
    for program in programs:
        program.close()


def test_a_cgroup_link(cgroup: Path, filters: list[Program], bpffs_dir: Path) -> None:
    first, second = filters
    with attach_cgroup(first, cgroup) as link:
        assert isinstance(link, Link)
        assert cgroups.attached(cgroup, AttachType.CGROUP_INET_INGRESS) == [first.id]
        assert link.info.type == LinkType.CGROUP
        assert link.info.prog_id == first.id
        assert link.info.detail["attach_type"] == AttachType.CGROUP_INET_INGRESS
        with pytest.raises(KernelError):
            link.update(second, old=second)
        link.update(second, old=first)
        assert cgroups.attached(cgroup, AttachType.CGROUP_INET_INGRESS) == [second.id]
        link.pin(bpffs_dir / "link")
        link.unpin()
        link.detach()
        assert cgroups.attached(cgroup, AttachType.CGROUP_INET_INGRESS) == []


def test_a_plan_with_a_cgroup(cgroup: Path) -> None:
    insns = asm.mov(0, 1) + asm.EXIT
    kind, where = ProgType.CGROUP_SKB, AttachType.CGROUP_INET_EGRESS
    steps = [
        s.LoadProgram("prog:pass", "pass", "cgroup_skb/egress", kind, where, insns, license="GPL"),
        s.Attach("link:pass", "prog:pass", "cgroup", {"cgroup": str(cgroup)}),
    ]
    with executor.execute(asm.plan(steps)) as made:
        assert cgroups.attached(cgroup, where) == [made.programs["pass"].id]
    assert cgroups.attached(cgroup, where) == []


def test_a_cgroup_without_links(cgroup: Path, filters: list[Program], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "probe", lambda name: name != "bpf_link")
    real = gate._kernel()

    def old_kernel(command: int, *arguments: int) -> int:
        return real(99 if command == 28 else command, *arguments)  # no LINK_CREATE

    with gate.replace(old_kernel):
        attachment = attach_cgroup(filters[0], cgroup)
        assert isinstance(attachment, Attachment)
        with attachment:
            assert cgroups.attached(cgroup, AttachType.CGROUP_INET_INGRESS) == [filters[0].id]
            assert attachment.id == filters[0].id
    assert cgroups.attached(cgroup, AttachType.CGROUP_INET_INGRESS) == []


def test_what_has_no_link_is_left_out_of_pinning(
    obj: Object, cgroup: Path, filters: list[Program], bpffs_dir: Path
) -> None:
    obj.links["filter"] = attach_cgroup(filters[0], cgroup, link=False)
    paths = obj.pin(bpffs_dir / "all")
    assert [Path(path).parent.name for path in paths].count("links") == 0
    assert str(bpffs_dir / "all" / "maps" / "plain") in paths
    obj.close()
    assert cgroups.attached(cgroup, AttachType.CGROUP_INET_INGRESS) == []


def test_a_cgroup_that_is_none(filters: list[Program], tmp_path: Path) -> None:
    with pytest.raises(KernelError) as missing:
        attach_cgroup(filters[0], tmp_path / "nothing")
    assert missing.value.errno == errno.ENOENT
    with pytest.raises(KernelError) as other:
        attach_cgroup(filters[0], tmp_path)
    assert other.value.path == str(tmp_path)


@pytest.fixture
def iterator() -> Iterator[Link]:
    """A link to an iterator over maps, which does nothing until somebody reads from it."""
    btf = host.vmlinux_btf()
    assert btf is not None
    fields = {
        "prog_type": ProgType.TRACING,
        "expected_attach_type": AttachType.TRACE_ITER,
        "attach_btf_id": btf.find("bpf_iter_bpf_map", BtfKind.FUNC),
    }
    with syscall.prog_load(fields, asm.RETURN_0, license="GPL") as program:
        link = Link(syscall.link_create(program.fileno(), 0, AttachType.TRACE_ITER), "iterator")
    with link:
        yield link


def test_what_cannot_be_detached_says_so(iterator: Link) -> None:
    with pytest.raises(NotSupportedError, match="detach") as error:
        iterator.detach()
    assert error.value.symbol == "iterator"


def test_a_program_of_another_type_in_its_place(iterator: Link, filters: list[Program]) -> None:
    with pytest.raises(KernelError, match="what would take its place is of another type") as error:
        iterator.update(filters[0])
    assert not isinstance(error.value, NotSupportedError)
    assert error.value.errno == errno.EINVAL


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOENT])
def test_a_link_that_is_not_there_yet_or_any_more_is_passed_over(iterator: Link, number: int) -> None:
    mine, real = iterator.id, gate._kernel()
    assert mine in [link.id for link in info.links()]

    def passing(command: int, attr: int, *arguments: int) -> int:
        if command == Cmd.LINK_GET_FD_BY_ID and ctypes.c_uint32.from_address(attr).value == mine:
            ctypes.set_errno(number)
            return -1
        return real(command, attr, *arguments)

    with gate.replace(passing):
        assert mine not in [link.id for link in info.links()]


def test_an_iterator_is_read_from_its_descriptor(iterator: Link) -> None:
    assert iterator.info.type == LinkType.ITER
    assert iterator.info.detail["target_name"] == "bpf_map"
    with syscall.iter_create(iterator.fileno()) as output:
        assert output.read() == b""


def test_a_plan_for_another_kernel_is_refused() -> None:
    plan = rawbpf.make_plan(rawbpf.open(OBJECT))
    assert plan.kernel
    with pytest.raises(TargetError, match="made for another kernel"):
        executor.load(plan._replace(kernel="1-00000000"))
    with executor.load(plan):
        pass
