# SPDX-License-Identifier: BSD-2-Clause
"""Programs as they are, in a namespace and a cgroup, and what the kernel tells of their connections.

The connections of another process are looked at through a duplicate of its descriptor, with the socket options that
the process itself could read. Requires Linux 5.6 (commit "pid: Implement pidfd_getfd syscall").
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tools.lab.transfer import IPPROTO_MPTCP
from tools.lib.report import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tools.lab.netns import Namespace

SOL_MPTCP = 284
MPTCP_INFO = 1
INFO = struct.Struct("=8B I")
"""C: struct mptcp_info of linux/mptcp.h, up to `mptcpi_flags`; the first byte is the number of further subflows."""
FALLBACK, REMOTE_KEY = 1, 2
"""C: MPTCP_INFO_FLAG_*."""
SYS_PIDFD_GETFD = 438
CGROUPS = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
PATIENCE = 30.0
"""Seconds for a server to listen, for a process to end."""
LISTENING = re.compile(r"^ *\d+: \S+:([0-9A-F]{4}) \S+ 0A ", re.MULTILINE)

_libc = ctypes.CDLL(None, use_errno=True)


class Connection(NamedTuple):
    """A connected TCP or MPTCP socket of a process."""

    mptcp: bool
    subflows: int
    """1 for plain TCP."""
    fallback: bool
    """Asked to be MPTCP, and is TCP."""


@contextlib.contextmanager
def own_cgroup() -> Iterator[Path]:
    """A new cgroup, below the one at the top; empty again when it is left."""
    top = next((path for path in CGROUPS if (path / "cgroup.procs").exists()), None)
    if not top:
        raise ToolError("no cgroup v2 is mounted", hint=f"mount -t cgroup2 none {CGROUPS[-1]}")
    group = top / f"mptcp-lab-{os.getpid()}"
    group.mkdir()
    try:
        yield group
    finally:
        _until(lambda: _removed(group), f"{group} is empty")


@contextlib.contextmanager
def started(
    namespace: Namespace, command: Sequence[str], group: Path | None, *, output: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    """A process in the namespace, and in the cgroup from its first instruction on. It is ended, if it does not end."""
    words = ["/bin/sh", "-c", 'echo 0 >"$0" && exec "$@"', str(group / "cgroup.procs"), *command] if group else command
    with namespace.entered():
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def wait_for_port(namespace: Namespace, port: int) -> None:
    """Return when something in the namespace listens there. Raises ToolError."""

    def listens() -> bool:
        with namespace.entered():
            tables = "".join(Path(f"/proc/thread-self/net/{name}").read_text() for name in ("tcp", "tcp6"))
        return port in (int(found, 16) for found in LISTENING.findall(tables))

    _until(listens, f"something listens at port {port}")


def connections(pid: int) -> list[Connection]:
    """The connections that a process has now."""
    found = []
    try:
        descriptors = [int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir() if _is_socket(path)]
        holder = os.pidfd_open(pid)
    except (ProcessLookupError, FileNotFoundError):
        return []
    try:
        for descriptor in descriptors:
            duplicate = _libc.syscall(SYS_PIDFD_GETFD, holder, descriptor, 0)
            if duplicate >= 0:
                with socket.socket(fileno=duplicate) as sock:
                    found += _connection(sock)
    finally:
        os.close(holder)
    return found


def _connection(sock: socket.socket) -> list[Connection]:
    """What it is, in a list; nothing for a socket that is not connected, or of another family."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
        return []
    try:
        sock.getpeername()
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) != IPPROTO_MPTCP:
            return [Connection(False, 1, False)]
        *counts, flags = INFO.unpack(sock.getsockopt(SOL_MPTCP, MPTCP_INFO, INFO.size))
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:  # there is nothing to tell of MPTCP after a fallback
            return [Connection(True, 1, True)]
        return []
    return [Connection(True, counts[0] + 1, bool(flags & FALLBACK) or not flags & REMOTE_KEY)]


def _is_socket(descriptor: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.readlink(descriptor).startswith("socket:")
    return False


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise ToolError(f"not within {PATIENCE:g} s: {what}")
        time.sleep(0.02)


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True
