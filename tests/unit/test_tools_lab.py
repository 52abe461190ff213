# SPDX-License-Identifier: BSD-2-Clause
"""The laboratory's pure parts: what a path is asked to be, which object a name means, how traffic is shared out."""

from __future__ import annotations

import errno
import shutil
import socket
from pathlib import Path

import pytest

from tools.lab import objects, shapes, transfer
from tools.lab.mptcp import Endpoints
from tools.lab.netns import Namespace
from tools.lab.objects import PATH_MANAGER, SCHEDULER, Role
from tools.lab.shapes import Shape
from tools.lab.subflows import Subflow
from tools.lab.transfer import Direction, Traffic
from tools.lib import place
from tools.lib.report import ToolError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("100mbit", Shape(100)),
        ("1gbit,20ms", Shape(1000, 20)),
        ("500kbit,1s,0.5%", Shape(0.5, 1000, 0.5)),
        ("10mbit,2%,250us", Shape(10, 0.25, 2)),
        ("2.5Mbit, 3ms", Shape(2.5, 3)),
        ("max", None),
    ],
)
def test_a_path_is_what_is_written(text: str, shape: Shape | None) -> None:
    assert shapes.parse_shape(text) == shape


@pytest.mark.parametrize(
    "text", ["", "100", "10ms", "100mbit,", "100mbit,5mbit", "1mbit,-1ms", "1mbit,101%", "1mbit,5h", "0mbit"]
)
def test_what_is_no_path_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="100mbit"):
        shapes.parse_shape(text)


def test_a_path_in_words() -> None:
    assert str(Shape(100, 5, 0.1)) == "100 Mbit/s, 5 ms, 0.1 % loss"
    assert str(Shape(0.5)) == "0.5 Mbit/s"


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A directory with two schedulers, a path manager, and an object that is neither."""
    for name in ("mptcp_bpf_rr", "mptcp_bpf_first", "mptcp_bpf_netlink_pm", "mptcp_bpf_iters"):
        shutil.copy(ROOT / "objs" / f"{name}.o", tmp_path)
    return tmp_path


def with_list(role: Role, directory: Path, names: str) -> Role:
    (directory / "available").write_text(names)
    return role._replace(available=directory / "available")


def test_a_name_is_the_kernels_or_that_of_an_object(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = with_list(SCHEDULER, ours, "default other\n")
    own = ours / "mptcp_bpf_rr.o"
    assert objects.find(scheduler, "default", ours) == ("default", None)
    assert objects.find(scheduler, "rr", ours).object == objects.find(scheduler, "bpf_rr", ours).object == own
    assert objects.find(scheduler, str(own), ours / "elsewhere").object == own
    monkeypatch.chdir(ours)
    assert objects.named("mptcp_bpf_rr.o") == Path("mptcp_bpf_rr.o")  # as it is in the command line
    assert objects.find(scheduler, "mptcp_bpf_rr.o", ours / "elsewhere").object == own
    path_manager = with_list(PATH_MANAGER, ours, "kernel userspace\n")
    assert objects.find(path_manager, "netlink", ours).object == ours / "mptcp_bpf_netlink_pm.o"
    assert objects.find(path_manager, "userspace", ours).object is None


def test_a_name_that_nothing_has_is_told_with_what_there_is(ours: Path) -> None:
    scheduler = with_list(SCHEDULER, ours, "default lowrtt\n")
    with pytest.raises(ToolError, match="there is no scheduler red: the kernel has default, lowrtt") as caught:
        objects.find(scheduler, "red", ours)
    assert "has mptcp_bpf_first.o, mptcp_bpf_rr.o; an object" in caught.value.hint
    with pytest.raises(ToolError, match="there is no path manager rr: the kernel has kernel") as caught:
        objects.find(with_list(PATH_MANAGER, ours, "kernel"), "rr", ours)
    assert "has mptcp_bpf_netlink_pm.o; an object" in caught.value.hint
    assert "did you mean" not in caught.value.hint
    with pytest.raises(ToolError, match=r"gone\.o: no such object"):
        objects.find(scheduler, str(ours / "gone.o"), ours)


@pytest.mark.parametrize(
    ("role", "name", "near"),
    [(SCHEDULER, "lowrt", "lowrtt"), (SCHEDULER, "frist", "first"), (PATH_MANAGER, "netlnk", "netlink")],
)
def test_a_name_that_is_mistyped(role: Role, name: str, near: str, ours: Path) -> None:
    with pytest.raises(ToolError, match=f"no {role.what} {name}") as caught:
        objects.find(with_list(role, ours, "default lowrtt"), name, ours)
    assert caught.value.hint.startswith(f"did you mean {near}? ")


def test_an_object_that_is_something_else(ours: Path) -> None:
    scheduler, path_manager = ours / "mptcp_bpf_rr.o", ours / "mptcp_bpf_netlink_pm.o"
    with pytest.raises(ToolError, match=r"_pm\.o is a path manager \(bpf_netlink\): use --path-manager$"):
        objects.find(SCHEDULER, str(path_manager))
    with pytest.raises(ToolError, match=r"_rr\.o is a scheduler \(bpf_rr\): use --scheduler$"):
        objects.find(PATH_MANAGER, str(scheduler))
    with pytest.raises(ToolError, match=r"mptcp_bpf_iters\.o has no scheduler") as caught:
        objects.find(SCHEDULER, str(ours / "mptcp_bpf_iters.o"))
    assert "struct mptcp_sched_ops" in caught.value.hint
    (ours / "text.o").write_text("no ELF")
    with pytest.raises(ToolError, match=r"text\.o"):
        objects.find(SCHEDULER, str(ours / "text.o"))


def test_a_kernel_without_mptcp(tmp_path: Path) -> None:
    none = SCHEDULER._replace(available=tmp_path / "mptcp" / "available_schedulers")
    with pytest.raises(ToolError, match="this kernel has no") as caught:
        objects.find(none, "default", tmp_path)
    assert caught.value.hint == "it needs CONFIG_MPTCP"


class OldNamespace(Namespace):
    """Of a kernel without the sysctls that name a scheduler and a path manager, or with one that takes `takes`."""

    takes: tuple[str, ...] | None = None

    def __init__(self) -> None:
        self.descriptor = -1
        self.written: list[tuple[str, str]] = []

    def sysctl(self, name: str, value: str | None = None) -> str:
        assert value
        if self.takes is None or ("*" not in self.takes and value not in self.takes):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        self.written.append((name, value))
        return value


@pytest.mark.parametrize("role", [SCHEDULER, PATH_MANAGER], ids=["scheduler", "path manager"])
def test_a_kernel_that_has_nothing_to_choose(role: Role, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "Namespace", OldNamespace)
    old = role._replace(available=tmp_path / "available")
    assert old.in_kernel() == [role.default]
    assert objects.find(old, role.default, tmp_path).object is None
    with pytest.raises(ToolError, match=f"there is no {role.what} other: the kernel has {role.default}"):
        objects.find(old, "other", tmp_path)
    namespace = OldNamespace()
    old.choose(namespace, role.default)
    assert namespace.written == []
    with pytest.raises(ToolError, match=f"this kernel does not take {role.sysctl}=other") as caught:
        old.choose(namespace, "other")
    assert caught.value.hint == f"{role.sysctl} is there since {role.since}"


@pytest.mark.parametrize(
    ("takes", "name", "there"),
    [
        (("default", "other"), "default", True),
        (("default", "other"), "other", True),
        (("default", "other"), "nope", False),
        (("*",), "nope", False),  # what takes any name says nothing of them
    ],
)
def test_a_kernel_without_a_list_is_asked(
    takes: tuple[str, ...], name: str, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "Namespace", OldNamespace)
    monkeypatch.setattr(OldNamespace, "takes", takes)
    assert SCHEDULER._replace(available=tmp_path / "available").has(name) is there


@pytest.mark.parametrize(
    ("endpoints", "subflows"),
    [(Endpoints.SIGNAL, [1, 2, 3, 8]), (Endpoints.SUBFLOW, [1, 2, 3, 8]), (Endpoints.FULLMESH, [1, 4, 8, 8])],
)
def test_subflows_by_paths(endpoints: Endpoints, subflows: list[int]) -> None:
    assert [endpoints.subflows(paths) for paths in (1, 2, 3, 8)] == subflows


def test_streams_share_the_traffic() -> None:
    assert transfer._shares(Traffic(10, 3)) == [4, 3, 3]
    assert transfer._shares(Traffic(10, 2, Direction.BOTH)) == [5, 5, 5, 5]


def test_a_sender_that_falls_silent_is_waited_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "STALL_SECONDS", 0.05)
    near, far = socket.socketpair()
    with near, far:
        near.sendall(b"12")
        transfer._receive(far, 2)
        near.sendall(b"3")
        with pytest.raises(transfer.Stalled):
            transfer._receive(far, 2)


def test_streams_over_one_path_are_counted_together() -> None:
    one = Subflow(1, "10.0.1.1", "10.0.1.2", 5, True)
    two = Subflow(2, "10.0.2.1", "10.0.2.2", 7, True)
    merged = transfer.merge([one, two, one._replace(bytes_sent=10)])
    assert [(subflow.id, subflow.bytes_sent) for subflow in merged] == [(1, 15), (2, 7)]


def test_files_that_the_guest_does_not_see() -> None:
    paths = [Path("/tmp/mine.o"), Path("/usr/lib/mine.o"), Path("/run/x/mine.o")]
    assert place.unseen(paths) == [paths[0], paths[2]]
    moved = {"/tmp/mine.o": "/build/mine.o"}
    assert place._replaced("/tmp/mine.o", moved) == "/build/mine.o"
    assert place._replaced("--scheduler=/tmp/mine.o", moved) == "--scheduler=/build/mine.o"
    assert place._replaced("--set=a=b", moved) == "--set=a=b"
