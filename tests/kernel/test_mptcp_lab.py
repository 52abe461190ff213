# SPDX-License-Identifier: BSD-2-Clause
"""tools/mptcp-lab on the running kernel, and what it tells of the connections of a process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.lab import programs
from tools.lab.programs import Connection
from tools.lab.transfer import IPPROTO_MPTCP
from tools.lib.report import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("root")]


@pytest.fixture(autouse=True)
def mptcp(require: Callable[[object, str], None]) -> None:
    require(Path("/proc/sys/net/mptcp/available_schedulers").exists(), "the kernel has no MPTCP")


def lab(*arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(ROOT / "tools" / "mptcp-lab"), "--here", *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=120)


def test_the_kernels_own_scheduler(tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    done = lab("--rate", "max", "--paths", "2", "--size", "8", "--streams", "2", "--json", "--plot", str(plot))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    (run,) = result["runs"]
    assert (run["scheduler"], run["object"], run["received"]) == ("default", None, 8 << 20)
    assert [subflow["remote"] for subflow in run["subflows"]] == ["10.0.1.2", "10.0.2.2"]
    assert sum(subflow["bytes_sent"] for subflow in run["subflows"]) >= 8 << 20
    assert plot.read_text().count("<polyline") == 2


def test_both_ends_send(tmp_path: Path) -> None:
    done = lab("--rate", "max", "--paths", "1", "--size", "2", "--direction", "both")
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if ">" in line]
    assert [row.split()[1:4] for row in rows] == [["10.0.1.1", ">", "10.0.1.2"], ["10.0.1.2", ">", "10.0.1.1"]]
    assert all(float(row.split()[4]) >= 2 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--scheduler", "no_such"], 125, "there is no scheduler no_such: the kernel has default"),
        (["--scheduler", "/no/such.o"], 125, "/no/such.o: no such object"),
        (["--path", "fast"], 125, "'fast' is no rate (100mbit), delay (10ms) or loss (1%)"),
        (["--paths", "2", "--backup", "3"], 2, "2 to 2 can be backups"),
        (["--path", "max"] * 9, 2, "at most 8 paths"),
        (["--size", "0"], 2, "--size: 1 at least"),
    ],
)
def test_what_cannot_be_is_told(arguments: list[str], code: int, message: str) -> None:
    done = lab(*(arguments if "--path" in arguments else ["--rate", "max", *arguments]))
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def connected() -> Iterator[Callable[[int, int], socket.socket]]:
    """Connects a client to a server, each with its protocol; gives the client."""
    with ExitStack() as stack:

        def connect(server: int, client: int) -> socket.socket:
            listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, server))
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            near = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, client))
            near.connect(listener.getsockname())
            far = stack.enter_context(listener.accept()[0])
            near.sendall(b"?")
            far.recv(1)
            far.sendall(b"!")
            near.recv(1)
            return near

        yield connect


@pytest.mark.parametrize(
    ("server", "client", "expected"),
    [
        (socket.IPPROTO_TCP, socket.IPPROTO_TCP, {Connection(False, 1, False)}),
        (IPPROTO_MPTCP, IPPROTO_MPTCP, {Connection(True, 1, False)}),
        (socket.IPPROTO_TCP, IPPROTO_MPTCP, {Connection(True, 1, True), Connection(False, 1, False)}),
    ],
    ids=["tcp", "mptcp", "fallback"],
)
@pytest.mark.usefixtures("no_leaks")
def test_connections_of_a_process(
    connected: Callable[[int, int], socket.socket], server: int, client: int, expected: set[Connection]
) -> None:
    before = programs.connections(os.getpid())
    connected(server, client)
    found = programs.connections(os.getpid())
    for connection in before:
        found.remove(connection)
    assert set(found) == expected


def test_a_process_that_is_gone_has_none() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert programs.connections(gone.pid) == []


def test_a_port_that_nothing_listens_at(monkeypatch: pytest.MonkeyPatch) -> None:
    from tools.lab.netns import Namespace

    monkeypatch.setattr(programs, "PATIENCE", 0.1)
    with Namespace() as namespace:
        with pytest.raises(ToolError, match=r"not within 0.1 s: something listens at port 4000"):
            programs.wait_for_port(namespace, 4000)
        with namespace.entered():
            listener = socket.create_server(("0.0.0.0", 4000))
        with listener:
            programs.wait_for_port(namespace, 4000)
