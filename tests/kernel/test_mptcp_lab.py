# SPDX-License-Identifier: BSD-2-Clause
"""tools/mptcp-lab on the running kernel, and what it tells of the connections of a process."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.lab import experiment, objects, programs, subflows, transfer
from tools.lab.netns import Namespace
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
    assert run["variables"] == result["path_manager_variables"] == {}
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
        (["--path-manager", "no_such"], 125, "there is no path manager no_such: the kernel has kernel"),
        (["--scheduler", "bpf_iters"], 125, "there is no scheduler bpf_iters"),
        (["--scheduler", "default", "--scheduler", "defalt"], 125, "hint: did you mean default?"),
    ],
)
def test_what_the_kernel_has_not_is_told(arguments: list[str], code: int, message: str) -> None:
    done = lab("--rate", "max", *arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""  # nothing has run


@pytest.mark.parametrize(
    ("endpoints", "pairs"),
    [
        ("signal", [(1, 1), (2, 2), (3, 3)]),
        ("subflow", [(1, 1), (2, 1), (3, 1)]),
        ("fullmesh", [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3)]),
    ],
)
def test_endpoints_and_a_backup(endpoints: str, pairs: list[tuple[int, int]]) -> None:
    done = lab("--rate", "max", "--paths", "3", "--endpoints", endpoints, "--backup", "3", "--size", "4", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["endpoints"] == endpoints
    (run,) = result["runs"]
    found = {tuple(int(each[end].split(".")[2]) for end in ("local", "remote")): each for each in run["subflows"]}
    assert len(found) == min(len(pairs), 8)
    assert set(found) <= set(pairs)
    assert all(each["bytes_sent"] == 0 for (local, _), each in found.items() if local == 3)
    assert sum(each["bytes_sent"] for (local, _), each in found.items() if local != 3) >= 4 << 20


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The running kernel, as if it were Linux 5.16: no MPTCP_FULL_INFO, no scheduler or path manager to choose."""

    def refused(sock: socket.socket) -> list[subflows.Subflow]:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(subflows, "read_at_once", refused)
    for name in ("SCHEDULER", "PATH_MANAGER"):
        gone = getattr(objects, name)._replace(available=tmp_path / "none", sysctl="net.mptcp.no_such")
        monkeypatch.setattr(experiment, name, gone)


@pytest.mark.usefixtures("older")
def test_the_laboratory_on_an_older_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    traffic = transfer.Traffic(4 << 20)
    plan = experiment.Plan(["default"], [None, None], traffic, path_manager="kernel", as_json=True)
    assert experiment.run(plan) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert [subflow["remote"] for subflow in run["subflows"]] == ["10.0.1.2", "10.0.2.2"]
    assert sum(subflow["bytes_sent"] for subflow in run["subflows"]) >= 4 << 20
    with pytest.raises(ToolError, match="there is no scheduler no_such: the kernel has default"):
        experiment.run(plan._replace(schedulers=["no_such"]))


def test_both_ways_to_read_subflows_tell_the_same() -> None:
    with ExitStack() as stack:
        client, server = stack.enter_context(Namespace()), stack.enter_context(Namespace())
        ways = experiment.connect(client, server, [None] * 4)
        listener = stack.enter_context(transfer.listener(server))
        near = stack.enter_context(transfer.connected(client, (ways[0].right, listener.getsockname()[1])))
        far = stack.enter_context(listener.accept()[0])
        near.sendall(b"?")
        transfer.wait_for_subflows(near, 4)
        far.sendall(bytes(1 << 16))
        assert len(near.recv(1 << 16, socket.MSG_WAITALL)) == 1 << 16
        for sock in (near, far):
            assert subflows.read_one_by_one(sock) == subflows.read_at_once(sock)
        assert sum(each.bytes_sent for each in subflows.read_one_by_one(far)) >= 1 << 16


@pytest.mark.usefixtures("no_leaks")
def test_variables_of_a_loaded_object(tmp_path: Path) -> None:
    own = tmp_path / "variables_of_the_lab.el.o"
    shutil.copy(ROOT / "tests" / "objs" / "data.el.o", own)
    said: list[str] = []
    with objects.loaded(own, said.append):
        values = objects.variables(own)
        assert experiment._variables(objects.Found("data", own), "data", said.append) == values
    assert (values["an_s16"], values["a_color"], values["bss_number"]) == (-2, "BLUE", 0)
    assert "data_custom" in values
    assert "ro_number" not in values
    assert json.dumps(values)
    assert "data: an_s16 = -2" in said
    assert max(len(text) for text in said if text.startswith("data: ")) <= 250
    assert said[0].startswith("$ rawbpf load ")


def test_a_kernel_without_a_list_of_schedulers_is_asked(tmp_path: Path) -> None:
    unlisted = objects.SCHEDULER._replace(available=tmp_path / "none")
    assert unlisted.has("default")
    assert not unlisted.has("no_such")


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
    monkeypatch.setattr(programs, "PATIENCE", 0.1)
    with Namespace() as namespace:
        with pytest.raises(ToolError, match=r"not within 0.1 s: something listens at port 4000"):
            programs.wait_for_port(namespace, 4000)
        with namespace.entered():
            listener = socket.create_server(("0.0.0.0", 4000))
        with listener:
            programs.wait_for_port(namespace, 4000)
