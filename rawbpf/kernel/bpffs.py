# SPDX-License-Identifier: BSD-2-Clause
"""The file system of pins: what is pinned there lives on when the process that made it ends.

A pin is a name below a mounted bpffs (/sys/fs/bpf as a rule); `rawbpf.pins` says what it is called.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from rawbpf.errors import KernelError, NotSupportedError, PermissionDeniedError, errno_name, errno_text
from rawbpf.kernel import syscall
from rawbpf.pins import BPFFS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.kernel.fd import Fd

    AnyPath = str | os.PathLike[str]

_MAGIC = 0xCAFE4A11  # BPF_FS_MAGIC of include/uapi/linux/magic.h


class PinnedFile(NamedTuple):
    """A pin: `kind` is ``map``, ``program`` or ``link``, `id` the kernel's number of it."""

    path: str
    kind: str
    id: int


def is_bpffs(path: AnyPath) -> bool:
    """Whether a path is on a bpffs. False for what does not exist."""
    # statfs(2) by hand: os.statvfs() does not tell f_type, which is the first word (on s390 half a word)
    buffer = bytearray(256)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(os.fsencode(path), (ctypes.c_char * len(buffer)).from_buffer(buffer)) != 0:
        return False
    return _MAGIC in (struct.unpack_from("@L", buffer)[0] & 0xFFFFFFFF, struct.unpack_from("@I", buffer)[0])


def mount(path: AnyPath = BPFFS) -> bool:
    """Make sure that a bpffs is mounted at `path`; True if it had to be done.

    Raises:
        PermissionDeniedError: this process may not mount.
        NotSupportedError: the kernel has no bpffs.
        KernelError: any other reason.
    """
    if is_bpffs(path):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    where = os.fsencode(path)
    if libc.mount(b"bpf", where, b"bpf", ctypes.c_ulong(0), b"mode=0700") == 0:
        return True
    number = ctypes.get_errno()
    text = f"no bpffs is mounted at {os.fspath(path)}, and mounting it failed: {errno_text(number)}"
    hint = f"run as root: mount -t bpf bpf {os.fspath(path)}"
    if number in (errno.EPERM, errno.EACCES):
        raise PermissionDeniedError(text, errno=number, command="mount", hint=hint)
    if number == errno.ENODEV:
        raise NotSupportedError("bpffs", min_version="4.4", errno=number, command="mount")
    raise KernelError(f"{text} ({errno_name(number)})", errno=number, command="mount", hint=hint)


def make_directories(path: AnyPath, made: list[str]) -> None:
    """Make `path` and what is missing above it (0700) on a bpffs, which is mounted at its usual place if need be.

    What is made is added to `made` before it is made, for `remove_directories`.
    """
    path = os.path.abspath(path)
    if os.path.commonpath([path, BPFFS]) == BPFFS:
        mount()
    for directory in _missing(path):
        made.append(directory)
        _mkdir(directory)


def _missing(path: str) -> list[str]:
    missing: list[str] = []
    while not os.path.isdir(path):
        missing.insert(0, path)
        path = os.path.dirname(path)
    if not is_bpffs(path):
        raise KernelError(
            f"{path} is not on a bpffs, where alone things can be pinned",
            errno=errno.EPERM,
            command="BPF_OBJ_PIN",
            hint=f"pin below {BPFFS}, or in a bpffs of your own: mount -t bpf bpf DIR",
        )
    return missing


def _mkdir(directory: str) -> None:
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass
    except OSError as failure:
        raise _failure(failure, f"cannot make the directory {directory}", directory) from failure


def remove_directories(made: list[str]) -> None:
    """Undo `make_directories`; a directory that somebody has used meanwhile stays."""
    for directory in reversed(made):
        try:
            os.rmdir(directory)
        except OSError:
            pass


def pin(fd: int, path: AnyPath) -> None:
    """Pin a map, program or link at `path`, whose directory is made if need be. After a failure nothing is left.

    Raises:
        KernelError: EEXIST where something is there already, or any other reason.
    """
    made: list[str] = []
    try:
        make_directories(os.path.dirname(os.path.abspath(path)), made)
        syscall.obj_pin(fd, path)
    except BaseException as failure:
        remove_directories(made)
        if isinstance(failure, KernelError):
            _explain(failure, os.fspath(path))
        raise


def _explain(failure: KernelError, path: str) -> None:
    if failure.errno == errno.EEXIST:
        failure.message = f"something is pinned at {path} already"
        failure.hint = "unload what is there first, or pin somewhere else"
    elif failure.errno == errno.EPERM and "." in os.path.basename(path):
        failure.hint = "bpffs keeps names with a dot for itself"
    failure.path = failure.path or path


def unpin_own(fd: Fd, path: AnyPath) -> None:
    """Remove the pin at `path` if it is one of what `fd` holds."""
    try:
        there = syscall.obj_get(path)
    except KernelError:
        return
    with there:
        if kind_of(there) == kind_of(fd):
            unpin(path)


def unpin(path: AnyPath) -> None:
    """Remove a pin; what it held goes when nothing else holds it. Not an error if it is gone already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as failure:
        raise _failure(failure, f"cannot remove the pin {os.fspath(path)}", os.fspath(path)) from failure


def kind_of(fd: Fd) -> tuple[str, int]:
    """What a descriptor from bpffs is, and its id, from /proc/self/fdinfo."""
    kinds = {"prog_id": "program", "map_id": "map", "link_id": "link"}
    with open(f"/proc/self/fdinfo/{fd.fileno()}", encoding="ascii", errors="replace") as lines:
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
    # a link's fdinfo names its program as well, so the link is asked for first
    for field in ("link_id", "map_id", "prog_id"):
        if field in fields:
            return kinds[field], int(fields[field])
    return "unknown", 0


def pins(directory: AnyPath) -> Iterator[PinnedFile]:
    """Everything that is pinned below a directory, in the order of the paths."""
    for folder, folders, files in os.walk(directory):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            try:
                fd = syscall.obj_get(path)
            except KernelError as failure:
                if failure.errno in (errno.ENOENT, errno.EACCES, errno.EINVAL):
                    continue  # gone meanwhile; or one of the kernel's own files (maps.debug)
                raise
            with fd:
                kind, number = kind_of(fd)
            yield PinnedFile(path, kind, number)


def remove_tree(directory: AnyPath) -> list[str]:
    """Remove all pins below a directory, and the directory; the paths of the pins."""
    removed = []
    for folder, _, files in os.walk(directory, topdown=False):
        for name in sorted(files):
            path = os.path.join(folder, name)
            unpin(path)
            removed.append(path)
        try:
            os.rmdir(folder)
        except OSError as failure:
            raise _failure(failure, f"cannot remove the directory {folder}", folder) from failure
    return removed


def _failure(failure: OSError, text: str, path: str) -> KernelError:
    number = failure.errno or 0
    kind = PermissionDeniedError if number in (errno.EPERM, errno.EACCES) else KernelError
    error = kind(f"{text}: {errno_text(number)} ({errno_name(number)})", errno=number)
    error.path = path
    return error
