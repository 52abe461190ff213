# SPDX-License-Identifier: BSD-2-Clause
"""One guest while it runs: its QEMU, and what goes in and out.

However it ends, no QEMU is left: it is killed on the way out, and by the host's kernel should this process be killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import socket
import subprocess
import termios
import threading
import time
import tty
from typing import TYPE_CHECKING

from tools.lib import kernel_log, qemu
from tools.lib.report import FAILED, ToolError, note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tools.lib.guest import Job

KERNEL_WARNED = 120
GUEST_DIED = 121
TIMED_OUT = 124

CONSOLE_LINES = 30
"""So many of the kernel's last messages are shown when it died."""

PR_SET_PDEATHSIG = 1


class GuestDied(ToolError):
    """The guest ended without an exit code of the command: a panic."""

    code = GUEST_DIED


class NotUp(GuestDied):
    """The guest does not get as far as to start a command."""


class NotStarted(NotUp):
    """QEMU ends before it runs a kernel."""

    code = FAILED


class KernelWarned(ToolError):
    """The command has ended, and the kernel complained meanwhile."""

    code = KERNEL_WARNED


class TimedOut(ToolError):
    """The command took longer than it was given."""

    code = TIMED_OUT


class Session:
    """A guest that is being started; `relay` sees it through to its end. A context manager, which kills it."""

    def __init__(self, job: Job, hardware: qemu.Machine, directory: Path) -> None:
        self._job = job
        self._console = directory / "console"
        self._complaints = directory / "qemu"
        self._ports: dict[str, socket.socket] = {}
        self._report = b""
        self._process = self._start(hardware)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        for port in self._ports.values():
            port.close()

    def _start(self, hardware: qemu.Machine) -> subprocess.Popen[bytes]:
        theirs: dict[str, socket.socket] = {}
        for name in qemu.PORTS:
            self._ports[name], theirs[name] = socket.socketpair()
        descriptors = {name: end.fileno() for name, end in theirs.items()}
        with self._complaints.open("wb") as complaints:
            process = subprocess.Popen(
                qemu.command_line(hardware, descriptors, self._console),
                stdin=subprocess.DEVNULL,
                stdout=complaints,
                stderr=complaints,
                pass_fds=tuple(descriptors.values()),
                start_new_session=True,  # Ctrl-C is ours
                preexec_fn=_die_with_parent,
            )
        for end in theirs.values():
            end.close()
        return process

    def relay(self, *, boot_seconds: float, timeout: float | None, strict: bool) -> int:
        """Pass everything on until the guest is gone, and return the command's exit code.

        What the kernel complained of is told, or if `strict` an error.
        """
        begun = time.monotonic()  # to boot; later, to run the command
        with selectors.DefaultSelector() as selector, self._keyboard(selector):
            for name, target in (("report", None), ("stdout", 1), ("stderr", 2), ("terminal", 1)):
                selector.register(self._ports[name], selectors.EVENT_READ, target)
            while any(isinstance(key.fileobj, socket.socket) for key in selector.get_map().values()):
                was_up = bool(self._report)
                for key, _ in selector.select(timeout=0.5):
                    self._pass_on(selector, key)
                if not was_up and self._report:
                    begun = time.monotonic()
                self._check_time(time.monotonic() - begun, boot_seconds, timeout)
        code = self._exit_code()
        self._look_for_alarms(code, strict)
        return code

    def _pass_on(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        data = _read(key.fd)
        if not data:
            selector.unregister(key.fileobj)
        elif key.data is None:
            if not self._report and self._job.feeds_stdin:  # the command is about to start
                threading.Thread(target=_pump, args=(0, self._ports["stdin"]), daemon=True).start()
            self._report += data
        elif isinstance(key.data, socket.socket):
            key.data.sendall(data)
        else:
            while data:
                data = data[os.write(key.data, data) :]

    def _check_time(self, elapsed: float, boot_seconds: float, timeout: float | None) -> None:
        if not self._report and elapsed > boot_seconds:
            raise NotUp(f"the kernel does not come up in {boot_seconds:g} s{self._last_messages()}")
        if self._report and timeout is not None and elapsed > timeout:
            raise TimedOut(f"timed out after {timeout:g} s{self._last_messages()}")

    def _exit_code(self) -> int:
        for line in self._report.decode().splitlines():
            word, _, code = line.partition(" ")
            if word == "exit":
                return int(code)
        if self._report:
            raise GuestDied(f"the kernel died while the command ran{self._last_messages()}")
        complaints = self._complaints.read_text(errors="replace").strip()
        status = self._process.wait()
        if status != 0 and not self._log():  # a guest that resets itself ends QEMU with 0
            raise NotStarted(f"QEMU could not start: {complaints or f'exit status {status}'}")
        raise NotUp(f"the kernel died before it could run the command{self._last_messages()}\n{complaints}".rstrip())

    def _look_for_alarms(self, code: int, strict: bool) -> None:
        alarms = kernel_log.alarms(self._log())
        if not alarms:
            return
        message = "\n  ".join([f"the kernel complained; the command's exit code was {code}:", *alarms])
        if strict:
            raise KernelWarned(message)
        note(message)

    def _log(self) -> str:
        return self._console.read_text(errors="replace") if self._console.exists() else ""

    def _last_messages(self) -> str:
        lines = [line.rstrip() for line in self._log().splitlines() if line.strip()][-CONSOLE_LINES:]
        return "\n  ".join([". Its last messages:", *lines]) if lines else ", and said nothing"

    @contextlib.contextmanager
    def _keyboard(self, selector: selectors.BaseSelector) -> Iterator[None]:
        """An interactive command gets every key as it is typed, Ctrl-C included."""
        if 0 not in self._job.terminals:
            yield
            return
        selector.register(0, selectors.EVENT_READ, self._ports["terminal"])
        before = termios.tcgetattr(0)
        tty.setraw(0)
        try:
            yield
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except ConnectionResetError:  # QEMU was killed with input unread
        return b""


def _pump(source: int, port: socket.socket) -> None:
    """Pass input on, in a thread: a file is always ready to be read, and the guest may never take it."""
    with contextlib.suppress(OSError):  # the guest is gone
        while data := os.read(source, 65536):
            port.sendall(data)
        port.shutdown(socket.SHUT_WR)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
