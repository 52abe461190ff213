# SPDX-License-Identifier: BSD-2-Clause
"""The guest's side of tools/vm: process 1 of the test kernel. Runs one command, reports its exit code, switches off.

The kernel starts it as `init` on the host's root, which is read-only: nothing but the standard library. It makes a
writable root out of an overlay, mounts what BPF work needs, and starts the command as the host described it (`Job`).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import struct
import sys
import termios
import time
import traceback
from pathlib import Path
from typing import NamedTuple

SHARE = "rawbpf"
"""9p tag of the directory that is shared for writing."""
MOUNT_9P = "trans=virtio,version=9p2000.L,msize=512000,cache=loose"
PORTS = Path("/sys/class/virtio-ports")
REPORT, STDIN, STDOUT, STDERR = "report", "stdin", "stdout", "stderr"
"""Names of virtio-serial ports, as QEMU's command line gives them."""
TERMINAL = "/dev/hvc0"
HOST_NAME = "rawbpf"
"""So that a prompt tells where one is."""
PORT_SECONDS = 10.0
"""How long a port may take to appear."""

CANNOT_EXECUTE = 126
NOT_FOUND = 127

# linux/mount.h, linux/reboot.h, linux/sockios.h, linux/if.h
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_MOVE = 2, 4, 8, 8192
RB_AUTOBOOT = 0x01234567
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
SYS_FINIT_MODULE = 313


class Job(NamedTuple):
    """What to run, and how; made by the host, handed over as JSON."""

    command: list[str]
    environment: dict[str, str]
    directory: str
    """The working directory."""
    share: str
    """The directory of the host that may be written to, at the same path here."""
    terminals: list[int]
    """Those of the descriptors 0, 1 and 2 that are a terminal."""
    feeds_stdin: bool
    """Whether there is input for descriptor 0, where that is no terminal."""
    window: list[int]
    """Rows and columns of the terminal."""
    module: str = ""
    """A kernel module that is loaded before."""


class Mount(NamedTuple):
    type: str
    target: str
    options: str = ""
    flags: int = 0
    optional: bool = False  # a user's own kernel may lack it


MOUNTS = (
    Mount("proc", "/proc", flags=MS_NOSUID | MS_NODEV | MS_NOEXEC),
    Mount("sysfs", "/sys", flags=MS_NOSUID | MS_NODEV | MS_NOEXEC),
    Mount("devtmpfs", "/dev", flags=MS_NOSUID),
    Mount("devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=666", MS_NOSUID | MS_NOEXEC),
    Mount("tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV),
    Mount("tmpfs", "/run", "mode=755", MS_NOSUID | MS_NODEV),
    Mount("tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV),
    Mount("bpf", "/sys/fs/bpf", "mode=700", optional=True),
    Mount("cgroup2", "/sys/fs/cgroup", optional=True),
    Mount("debugfs", "/sys/kernel/debug", optional=True),
    Mount("tracefs", "/sys/kernel/tracing", optional=True),
    Mount("securityfs", "/sys/kernel/security", optional=True),
)

_libc = ctypes.CDLL(None, use_errno=True)


def main(job_path: str) -> None:
    job = Job(**json.loads(Path(job_path).read_text()))
    make_root(job.share)
    report = os.open(port(REPORT), os.O_WRONLY)
    os.write(report, b"up\n")
    socket.sethostname(HOST_NAME)
    loopback_up()
    if job.module:
        load_module(job.module)
    code = run(job)
    os.sync()
    os.write(report, f"exit {code}\n".encode())


def make_root(share: str) -> None:
    """Put a writable root over the host's, with the kernel's file systems and the shared directory, and go there."""
    base = "/mnt"  # any directory that the host has; it is hidden for a moment
    mount(Mount("tmpfs", base))
    for part in ("upper", "work", "root"):
        os.mkdir(f"{base}/{part}")
    root = f"{base}/root"
    mount(Mount("overlay", root, f"lowerdir=/,upperdir={base}/upper,workdir={base}/work"))
    for entry in MOUNTS:
        target = Path(root + entry.target)
        if not entry.optional:
            target.mkdir(parents=True, exist_ok=True)  # /dev/pts and /dev/shm are new in each devtmpfs
        if target.is_dir():
            mount(entry._replace(target=str(target)))
    Path(root + share).mkdir(parents=True, exist_ok=True)
    mount(Mount("9p", root + share, MOUNT_9P), source=SHARE)

    os.chdir(root)
    mount(Mount("", "/", flags=MS_MOVE), source=".")
    os.chroot(".")
    Path("/dev/fd").symlink_to("/proc/self/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        Path("/dev", name).symlink_to(f"/proc/self/fd/{number}")


def mount(what: Mount, source: str = "none") -> None:
    arguments = [os.fsencode(text) for text in (source, what.target, what.type)]
    if _libc.mount(*arguments, ctypes.c_ulong(what.flags), os.fsencode(what.options)) != 0:
        number = ctypes.get_errno()
        if not (what.optional and number == errno.ENODEV):
            raise OSError(number, f"mounting {what.type}: {os.strerror(number)}", what.target)


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(sock, SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def load_module(path: str) -> None:
    with open(path, "rb") as file:
        if _libc.syscall(SYS_FINIT_MODULE, file.fileno(), b"", 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"loading a module: {os.strerror(number)}", path)


def port(name: str) -> str:
    """The device of a port to the host; the driver makes them one by one, while the system comes up."""
    deadline = time.monotonic() + PORT_SECONDS
    while time.monotonic() < deadline:
        for directory in PORTS.iterdir() if PORTS.is_dir() else ():
            if (directory / "name").is_file() and (directory / "name").read_text().strip() == name:
                return f"/dev/{directory.name}"
        time.sleep(0.01)
    raise OSError(errno.ENODEV, "no such virtio-serial port", name)


def run(job: Job) -> int:
    """Run the command to its end, and reap what it leaves behind. Returns its exit code as a shell would tell it."""
    descriptors = open_descriptors(job)
    child = os.fork()
    if child == 0:
        start(job, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def open_descriptors(job: Job) -> list[int]:
    """What the command gets as descriptors 0, 1 and 2."""
    wanted = (
        (STDIN if job.feeds_stdin else None, os.O_RDONLY),
        (STDOUT, os.O_WRONLY),
        (STDERR, os.O_WRONLY),
    )
    descriptors = []
    for number, (name, mode) in enumerate(wanted):
        if number in job.terminals:
            descriptors.append(os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY))
        else:
            descriptors.append(os.open(port(name) if name else os.devnull, mode))
    return descriptors


def start(job: Job, descriptors: list[int]) -> None:
    """In the child: become the command. Never returns."""
    try:
        os.setsid()
        if job.terminals:
            terminal = descriptors[job.terminals[0]]
            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", *job.window, 0, 0))
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # which Python ignores, and a command would inherit
        enter(job.directory)
        os.execvpe(job.command[0], job.command, job.environment)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        os.write(2, f"{job.command[0]}: {'command not found' if missing else error.strerror}\n".encode())
        os._exit(NOT_FOUND if missing else CANNOT_EXECUTE)


def enter(directory: str) -> None:
    """Go to the working directory, which is made if it is the caller's alone: /tmp and /run are empty here."""
    try:
        os.makedirs(directory, exist_ok=True)
        os.chdir(directory)
    except OSError as error:  # below /proc, say
        os.write(2, f"{directory}: the command cannot start in this directory: {error.strerror}\n".encode())
        os._exit(CANNOT_EXECUTE)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except BaseException:
        traceback.print_exc()  # to the console, which the host shows when no exit code was reported
    finally:
        _libc.reboot(RB_AUTOBOOT)  # QEMU exits
