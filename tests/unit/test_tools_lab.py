# SPDX-License-Identifier: BSD-2-Clause
"""The laboratory's pure parts: what a path is asked to be, which object a name means, how traffic is shared out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.lab import links, objects, transfer
from tools.lab.links import Shape
from tools.lab.objects import Role
from tools.lab.subflows import Subflow
from tools.lab.transfer import Direction, Traffic
from tools.lib import place
from tools.lib.report import ToolError


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
    assert links.parse_shape(text) == shape


@pytest.mark.parametrize(
    "text", ["", "100", "10ms", "100mbit,", "100mbit,5mbit", "1mbit,-1ms", "1mbit,101%", "1mbit,5h", "0mbit"]
)
def test_what_is_no_path_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="100mbit"):
        links.parse_shape(text)


def test_a_path_in_words() -> None:
    assert str(Shape(100, 5, 0.1)) == "100 Mbit/s, 5 ms, 0.1 % loss"
    assert str(Shape(0.5)) == "0.5 Mbit/s"


@pytest.fixture
def role(tmp_path: Path) -> Role:
    (tmp_path / "available").write_text("default other\n")
    for name in ("mptcp_bpf_rr", "mptcp_bpf_netlink_pm"):
        (tmp_path / f"{name}.o").touch()
    return Role("scheduler", tmp_path / "available", ("mptcp_bpf_{}_pm", "mptcp_bpf_{}"))


def test_a_name_is_the_kernels_or_that_of_an_object(role: Role, tmp_path: Path) -> None:
    assert objects.find(role, "default", tmp_path) is None
    assert objects.find(role, "rr", tmp_path) == objects.find(role, "bpf_rr", tmp_path) == tmp_path / "mptcp_bpf_rr.o"
    assert objects.find(role, "netlink", tmp_path) == tmp_path / "mptcp_bpf_netlink_pm.o"
    own = tmp_path / "mptcp_bpf_rr.o"
    assert objects.find(role, str(own), tmp_path / "elsewhere") == own


def test_a_name_that_nothing_has(role: Role, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="there is no scheduler red: the kernel has default, other") as caught:
        objects.find(role, "red", tmp_path)
    assert "mptcp_bpf_rr.o" in caught.value.hint
    with pytest.raises(ToolError, match=r"gone\.o: no such object"):
        objects.find(role, str(tmp_path / "gone.o"), tmp_path)


def test_a_kernel_without_mptcp(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="this kernel has no"):
        objects.find(Role("scheduler", tmp_path / "none", ()), "default", tmp_path)


def test_streams_share_the_traffic() -> None:
    assert transfer._shares(Traffic(10, 3)) == [4, 3, 3]
    assert transfer._shares(Traffic(10, 2, Direction.BOTH)) == [5, 5, 5, 5]


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
