# SPDX-License-Identifier: BSD-2-Clause
"""Programs on control groups (cgroup v2): they see the sockets and packets of the processes in a group and below it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from errno import EBADF, EINVAL
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, errno_name, errno_text, where
from rawbpf.kernel import features, syscall
from rawbpf.kernel.attach.attachment import Attachment
from rawbpf.kernel.links import Link
from rawbpf.uapi import AttachFlag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.kernel.programs import Program


def cgroup(
    program: Program, cgroup: str | os.PathLike[str], *, attach_type: int | None = None, flags: int = 0
) -> Link | Attachment:
    """Attach a program to the control group whose directory is `cgroup`, beside the programs that are there.

    The answer is a `Link`. A kernel before 5.7 has none for control groups: there it is an `Attachment`, which
    stays when this process ends. `attach_type` is the program's own unless another is named.

    Raises:
        KernelError: ENOENT where there is no such group, EPERM where a group above allows no programs below.
    """
    kind = program.expected_attach_type if attach_type is None else attach_type
    with where(symbol=program.name, path=cgroup), directory(cgroup) as group:
        try:
            return Link(syscall.link_create(program.fileno(), group, kind, flags=flags), program.name)
        except KernelError as failure:
            if failure.errno == EBADF:
                failure.message = "this is no directory of a cgroup (version 2)"
                failure.hint = "make one: mkdir /sys/fs/cgroup/NAME"
            if failure.errno != EINVAL or features.probe("bpf_link") is not False:
                raise
        return CgroupAttachment(
            program, program.name, cgroup=os.fspath(cgroup), attach_type=kind, flags=flags | AttachFlag.ALLOW_MULTI
        ).begin()


def attached(path: str | os.PathLike[str], attach_type: int) -> list[int]:
    """The ids of the programs that are attached to a control group itself, in the order in which they run."""
    with where(path=path), directory(path) as group:
        return syscall.prog_query(group, attach_type)[0]


class CgroupAttachment(Attachment):
    """A program attached without a link: until it is detached or the control group is removed."""

    def _attach(self) -> None:
        with directory(self.detail["cgroup"]) as group:
            syscall.prog_attach(self.program.fileno(), group, self.detail["attach_type"], flags=self.detail["flags"])

    def _detach(self) -> None:
        with where(path=self.detail["cgroup"]), directory(self.detail["cgroup"]) as group:
            syscall.prog_detach(self.program.fileno(), group, self.detail["attach_type"])


@contextmanager
def directory(path: str | os.PathLike[str]) -> Iterator[int]:
    """The descriptor of a control group's directory, for as long as the block runs."""
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
