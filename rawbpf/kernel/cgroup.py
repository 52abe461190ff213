# SPDX-License-Identifier: BSD-2-Clause
"""Programs on control groups (cgroup v2): they see the sockets and packets of the processes in a group and below it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from errno import EBADF, EINVAL
from typing import TYPE_CHECKING, Any

from rawbpf.errors import KernelError, errno_name, errno_text, where
from rawbpf.kernel import features, info, syscall
from rawbpf.kernel.links import Link
from rawbpf.uapi import AttachFlag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.kernel.programs import Program


def attach_cgroup(
    program: Program, path: str | os.PathLike[str], *, attach_type: int | None = None, flags: int = 0
) -> Link | CgroupAttachment:
    """Attach a program to the control group whose directory is `path`, beside the programs that are there.

    The answer is a `Link`. A kernel before 5.7 has none for control groups: there it is a `CgroupAttachment`, which
    stays when this process ends. `attach_type` is the program's own unless another is named.

    Raises:
        KernelError: ENOENT where there is no such group, EPERM where a group above allows no programs below.
    """
    kind = program.expected_attach_type if attach_type is None else attach_type
    with where(symbol=program.name, path=path), _directory(path) as group:
        try:
            return Link(syscall.link_create(program.fileno(), group, kind, flags=flags), program.name)
        except KernelError as failure:
            if failure.errno == EBADF:
                failure.message = "this is no directory of a cgroup (version 2)"
                failure.hint = "make one: mkdir /sys/fs/cgroup/NAME"
            if failure.errno != EINVAL or features.probe("bpf_link") is not False:
                raise
        syscall.prog_attach(program.fileno(), group, kind, flags=flags | AttachFlag.ALLOW_MULTI)
        return CgroupAttachment(program, os.fspath(path), kind)


def attached(path: str | os.PathLike[str], attach_type: int) -> list[int]:
    """The ids of the programs that are attached to a control group itself, in the order in which they run."""
    with where(path=path), _directory(path) as group:
        return syscall.prog_query(group, attach_type)[0]


class CgroupAttachment:
    """A program attached without a link: until it is detached or the control group is removed."""

    def __init__(self, program: Program, path: str, attach_type: int) -> None:
        self.program = program.fd.duplicate()
        self.name = program.name
        self.path = path
        self.attach_type = attach_type

    @property
    def id(self) -> int:
        """The kernel's number of the program."""
        return info.prog_info(self.program.fileno()).id

    def detach(self) -> None:
        """End the attachment."""
        with where(symbol=self.name, path=self.path), _directory(self.path) as group:
            syscall.prog_detach(self.program.fileno(), group, self.attach_type)

    def close(self) -> None:
        """End the attachment, unless that was done."""
        if not self.program.closed:
            with self.program:
                self.detach()

    def __enter__(self) -> CgroupAttachment:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()


@contextmanager
def _directory(path: str | os.PathLike[str]) -> Iterator[int]:
    try:
        group = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as failure:
        number = failure.errno or 0
        raise KernelError(
            f"no control group to be opened: {errno_text(number)} ({errno_name(number)})",
            errno=number,
            hint="mkdir makes one below /sys/fs/cgroup",
        ) from failure
    try:
        yield group
    finally:
        os.close(group)
