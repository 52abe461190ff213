# SPDX-License-Identifier: BSD-2-Clause
"""Iterators: a program runs for each map, task, socket, element …, and what it writes can be read."""

from __future__ import annotations

import struct
from contextlib import contextmanager
from errno import EBADF, EINVAL
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, SpecError, where
from rawbpf.kernel import syscall
from rawbpf.kernel.attach.refusal import need_type
from rawbpf.kernel.gate import address
from rawbpf.kernel.links import Link
from rawbpf.kernel.userspace import check_process
from rawbpf.uapi import AttachType, ProgType

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.maps import Map
    from rawbpf.kernel.programs import Program

ORDERS = ("self", "pre", "post", "up", "children")
"""``enum bpf_cgroup_iter_order`` from 1 on: the group itself, those below it before or after their parents, those above
it, its children (Linux 7.1)."""


class IteratorLink(Link):
    """A link to an iterator. Each reading is a run over all there is at that time.

    >>> for line in link.lines():
    ...     print(line)

    Pinned, it is a file that anybody who may can read: ``cat /sys/fs/bpf/NAME``.
    """

    def open_output(self) -> Fd:
        """A new run (``BPF_ITER_CREATE``), to be read like a file."""
        return syscall.iter_create(self.fileno())

    def read(self) -> bytes:
        """All that the program writes in one run.

        Raises:
            KernelError: the run was ended by an error.
        """
        return b"".join(self)

    def lines(self, encoding: str = "utf-8") -> Iterator[str]:
        """The lines that the program writes in one run, without their ends, as they come."""
        rest = b""
        for chunk in self:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.decode(encoding, errors="surrogateescape")
        if rest:
            yield rest.decode(encoding, errors="surrogateescape")

    def __iter__(self) -> Iterator[bytes]:
        """The output of one run in pieces, as the kernel hands it over (a page or less)."""
        with self.open_output() as output:
            while True:
                try:
                    chunk = output.read(65536)
                except OSError as failure:
                    raise KernelError(
                        f"the iterator ended with an error: {failure.strerror}",
                        errno=failure.errno or 0,
                        symbol=self.name,
                    ) from failure
                if not chunk:
                    return
                yield chunk


def iterator(
    program: Program,
    *,
    map: Map | None = None,
    cgroup: str | os.PathLike[str] | None = None,
    order: str = "pre",
    pid: int | None = None,
    tid: int | None = None,
    pidfd: int | None = None,
) -> IteratorLink:
    """Attach an iterator program (``SEC("iter/task")``); it runs when somebody reads. Requires Linux 5.8.

    Args:
        map: for iterators over the elements of a map: which.
        cgroup, order: for iterators over control groups: where to begin, and one of `ORDERS`; by default from the group
            down. Requires Linux 6.1.
        pid, tid, pidfd: for iterators over tasks: only those of a process, one thread, or of the process of a pidfd.
            Requires Linux 6.1.

    Raises:
        SpecError: the program is no iterator, or parameters for different kinds of iterators are given.
        KernelError: EINVAL: the iterator takes no such parameter, or needs one; ESRCH: no such process; ENOENT: no
            such control group.
    """
    need_type(program, "iterator", ProgType.TRACING)
    if order not in ORDERS:
        raise SpecError(f"no order is called {order!r}", symbol=program.name, hint=f"there are {', '.join(ORDERS)}")
    tasks = [value for value in (pid, tid, pidfd) if value is not None]
    if (map is not None) + (cgroup is not None) + len(tasks) > 1:
        raise SpecError("an iterator is over a map, or a cgroup, or tasks", symbol=program.name)
    with where(symbol=program.name):
        task = (check_process(tid) or 0, check_process(pid) or 0, pidfd or 0)
    with where(symbol=program.name), _info(map, cgroup, order, task) as info:
        try:
            return IteratorLink(_create(program, info), program.name)
        except KernelError as failure:
            _explain(failure, info)
            raise


def _create(program: Program, info: bytes) -> Fd:
    extra = struct.pack("=QI", address(info), len(info)) if info else b""
    return syscall.link_create(program.fileno(), 0, AttachType.TRACE_ITER, extra=extra)


@contextmanager
def _info(
    map: Map | None, cgroup: str | os.PathLike[str] | None, order: str, task: tuple[int, int, int]
) -> Iterator[bytes]:
    # union bpf_iter_link_info; a kernel does not take one that is longer than it knows
    if map is not None:
        yield struct.pack("=I", map.fileno())
    elif cgroup is not None:
        from rawbpf.kernel.attach._cgroup import directory

        with where(path=cgroup), directory(cgroup) as group:
            yield struct.pack("=IIQ", ORDERS.index(order) + 1, group, 0)
    elif any(task):
        yield struct.pack("=III", *task)
    else:
        yield b""


def _explain(failure: KernelError, info: bytes) -> None:
    if failure.errno in (EINVAL, EBADF) and not info:
        failure.message = f"it is no iterator, or one that needs a parameter: {failure.message}"
        failure.hint = "attach(map=…) for bpf_map_elem, attach(cgroup=…, order=…) for cgroup"
    elif failure.errno in (EINVAL, EBADF):
        failure.message = f"the iterator does not take this: {failure.message}"
        failure.hint = "map= is for elements of maps of the type that it was written for, pid= and tid= for tasks"
