# SPDX-License-Identifier: BSD-2-Clause
"""tools/vm itself: what a command sees in the test kernel, and what its caller gets back, however it ends."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from in_guest import ROOT, VM

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("built")]

MARK = "1234M"
"""The memory of our guests, by which their QEMU is recognized."""

REPORT = """
import json, os, socket, sys
from pathlib import Path
mounts = dict(line.split()[1:3] for line in open("/proc/mounts"))
listener = socket.create_server(("127.0.0.1", 0))
socket.create_connection(listener.getsockname()).close()
Path("/etc/written-by-the-guest").touch()
Path(sys.argv[1]).write_text("from the guest")
json.dump({
    "release": os.uname().release,
    "name": os.uname().nodename,
    "uid": os.getuid(),
    "directory": os.getcwd(),
    "cpus": os.cpu_count(),
    "environment": [os.environ.get(name) for name in ("RAWBPF_GUEST", "ONLY_FOR_THIS_TEST")],
    "mounts": mounts,
    "empty": [len(os.listdir(name)) for name in ("/tmp", "/sys/fs/bpf")],
    "schedulers": Path("/proc/sys/net/mptcp/available_schedulers").read_text().split(),
    "stdin": sys.stdin.read(),
    "terminals": [os.isatty(number) for number in (0, 1, 2)],
}, sys.stdout)
print("this is stderr", file=sys.stderr)
sys.exit(7)
"""


def qemus() -> list[int]:
    """The QEMU processes of this test."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it ended meanwhile
            continue
        if MARK.encode() in words and b"qemu" in words[0]:
            found.append(int(directory.name))
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 5
    while qemus() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not qemus()


def vm(*command: str, options: tuple[str, ...] = (), **settings: Any) -> subprocess.CompletedProcess[str]:
    words = [*VM, "--memory", MARK, *options, "--", *command]
    return subprocess.run(words, capture_output=True, text=True, timeout=240, **settings)


@pytest.fixture(scope="module")
def written() -> Iterator[Path]:
    path = ROOT / ".written-by-test-vm"
    yield path
    path.unlink(missing_ok=True)


def test_a_command_runs_as_here_but_for_the_kernel(written: Path) -> None:
    here = ROOT / "tests"
    environment = {**os.environ, "ONLY_FOR_THIS_TEST": "some value"}
    guest = vm(
        *(sys.executable, "-c", REPORT, str(written)),
        options=("--cpus", "3"),
        cwd=here,
        env=environment,
        input="from the host",
    )
    assert guest.returncode == 7, guest.stderr
    assert guest.stderr == "this is stderr\n"
    seen = json.loads(guest.stdout)
    assert seen["release"] != os.uname().release
    assert seen["name"] == "rawbpf"
    assert seen["uid"] == 0
    assert seen["directory"] == str(here)
    assert seen["cpus"] == 3
    assert seen["environment"] == ["1", "some value"]
    assert seen["stdin"] == "from the host"
    assert seen["terminals"] == [False, False, False]
    assert seen["empty"] == [0, 0]
    assert "default" in seen["schedulers"]
    expected = {
        "/": "overlay",
        "/sys/fs/bpf": "bpf",
        "/sys/fs/cgroup": "cgroup2",
        "/sys/kernel/debug": "debugfs",
        "/sys/kernel/tracing": "tracefs",
        "/sys/kernel/security": "securityfs",
        str(ROOT): "9p",
    }
    assert {path: seen["mounts"].get(path) for path in expected} == expected
    assert written.read_text() == "from the guest"
    assert not Path("/etc/written-by-the-guest").exists()


def test_a_command_that_does_not_exist() -> None:
    guest = vm("no-such-command")
    assert (guest.returncode, guest.stdout) == (127, "")
    assert guest.stderr == "no-such-command: command not found\n"


def test_a_working_directory_that_is_empty_in_the_guest() -> None:
    with tempfile.TemporaryDirectory(prefix="rawbpf-test-", dir="/tmp") as directory:
        Path(directory, "of-the-host").touch()
        guest = vm("sh", "-c", "pwd; ls -A", cwd=directory)
        assert (guest.returncode, guest.stdout) == (0, f"{directory}\n"), guest.stderr


def test_output_arrives_while_the_command_runs_and_a_timeout_ends_it() -> None:
    words = [*VM, "--memory", MARK, "--timeout", "2", "--", "sh", "-c", "echo early; sleep 1000"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as guest:
        assert guest.stdout
        assert guest.stdout.readline() == "early\n"
        _, errors = guest.communicate(timeout=60)
    assert guest.returncode == 124
    assert "timed out after 2 s" in errors


def test_a_panic_is_told_with_the_last_messages_of_the_kernel() -> None:
    guest = vm("sh", "-c", "echo before; echo c > /proc/sysrq-trigger; echo after")
    assert guest.returncode == 121
    assert guest.stdout == "before\n"
    assert "the kernel died while the command ran" in guest.stderr
    assert "Kernel panic - not syncing" in guest.stderr


WARN = ("sh", "-c", "echo '<4>WARNING: of a test' > /dev/kmsg; echo '<4>and more' > /dev/kmsg; exit 3")


def test_what_the_kernel_complains_of_is_told() -> None:
    guest = vm(*WARN, env={name: value for name, value in os.environ.items() if name != "RAWBPF_REQUIRE"})
    assert guest.returncode == 3
    assert "WARNING: of a test" in guest.stderr
    assert "and more" in guest.stderr


@pytest.mark.parametrize(("options", "environment"), [(("--strict",), {}), ((), {"RAWBPF_REQUIRE": "1"})])
def test_what_the_kernel_complains_of_is_an_error(options: tuple[str, ...], environment: dict[str, str]) -> None:
    guest = vm(*WARN, options=options, env=os.environ | environment)
    assert guest.returncode == 120
    assert "the command's exit code was 3" in guest.stderr
    assert "WARNING: of a test" in guest.stderr


def test_a_kernel_that_is_none() -> None:
    guest = vm("true", options=("--kernel", __file__))
    assert guest.returncode == 125
    assert guest.stderr.splitlines()[-1].startswith("tools/vm: QEMU could not start: qemu")


def test_more_memory_than_there_can_be() -> None:
    guest = vm("true", options=("--memory", "16000000T"))
    assert guest.returncode == 125
    assert guest.stderr.splitlines()[-1].startswith("tools/vm: QEMU could not start: qemu")


def test_a_guest_that_dies_before_the_command() -> None:
    guest = vm("true", options=("--memory", "24M"))
    assert guest.returncode == 121
    assert "the kernel died before it could run the command" in guest.stderr


def test_a_module_that_is_not_there() -> None:
    guest = vm("true", options=("--kernel", __file__, "--module"))
    assert guest.returncode == 125
    assert "there is no rawbpf_test.ko beside it" in guest.stderr


def test_a_module_is_loaded_before_the_command() -> None:
    guest = vm("cat", "/sys/module/rawbpf_test/initstate", options=("--module",))
    assert (guest.returncode, guest.stdout) == (0, "live\n"), guest.stderr


def test_a_terminal_is_a_terminal_and_ctrl_c_ends_the_guest() -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        command = r"test -t 1 && test -t 2 && printf '\033[1mbold\033[0m\n'; sleep 1000"
        os.execv(VM[0], [*VM, "--memory", MARK, "--", "sh", "-c", command])
    output = b""
    while b"bold" not in output:
        output += os.read(terminal, 1000)
    assert output.startswith(b"starting the test kernel\r\n\x1b[1mbold")
    os.write(terminal, b"\x03")
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    os.close(terminal)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_guest_outlives_its_caller(number: signal.Signals) -> None:
    words = [*VM, "--memory", MARK, "--", "sleep", "1000"]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as guest:
        deadline = time.monotonic() + 60
        while not qemus() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert qemus()
        guest.send_signal(number)
        assert guest.wait() in (128 + number, -number)
