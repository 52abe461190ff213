# SPDX-License-Identifier: BSD-2-Clause
"""Programs on control groups (cgroup v2): they see the sockets and packets of the processes in a group and below it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from errno import E2BIG, EBADF, EEXIST, EINVAL, ENOENT, EPERM, ESTALE
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, SpecError, errno_name, errno_text, where
from rawbpf.kernel import features, syscall
from rawbpf.kernel.aside import aside
from rawbpf.kernel.attach.attachment import Attachment
from rawbpf.kernel.attach.order import order
from rawbpf.kernel.attach.refusal import need_type, told
from rawbpf.kernel.links import Link
from rawbpf.uapi import AttachFlag, AttachType, ProgType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.kernel.attach.order import Anchor, Order
    from rawbpf.kernel.programs import Program
    from rawbpf.kernel.syscall import QueryResult

# By type: the attach type, where there is but one
_TYPES = {
    ProgType.CGROUP_SKB: None,
    ProgType.CGROUP_SOCK: None,
    ProgType.CGROUP_SOCK_ADDR: None,
    ProgType.CGROUP_SOCKOPT: None,
    ProgType.CGROUP_DEVICE: AttachType.CGROUP_DEVICE,
    ProgType.CGROUP_SYSCTL: AttachType.CGROUP_SYSCTL,
    ProgType.SOCK_OPS: AttachType.CGROUP_SOCK_OPS,
    ProgType.LSM: AttachType.LSM_CGROUP,
}
MODES = {"multi": AttachFlag.ALLOW_MULTI, "override": AttachFlag.ALLOW_OVERRIDE, "exclusive": AttachFlag(0)}
"""Beside others; alone, but groups below may have another; alone, and groups below have none."""

_REASONS = {
    EPERM: ("the group, or one above it, has programs in another mode", "mode=…; attach.query shows which"),
    EINVAL: ("the attach type is not the program's, or these arguments do not go together", ""),
    ENOENT: ("what it is to be before or after, or to replace, is not attached to the group", ""),
    EEXIST: ("the program is attached to the group already", ""),
    ESTALE: ("something was attached or detached since that revision", "ask for the revision again: attach.query"),
    E2BIG: ("64 programs are attached to the group", ""),
}


def cgroup(
    program: Program,
    cgroup: str | os.PathLike[str],
    *,
    attach_type: AttachType | int | None = None,
    mode: str = "multi",
    preorder: bool = False,
    before: Anchor | None = None,
    after: Anchor | None = None,
    expected_revision: int = 0,
    link: bool | None = None,
    replace: Program | None = None,
) -> Link | Attachment:
    """Attach a program to a control group, beside the programs that are there unless `mode` says otherwise.

    Args:
        cgroup: the group's directory.
        attach_type: the hook; by default the program's own, as its SEC() says.
        mode: ``multi``; ``override`` or ``exclusive`` (both without a link): the only one, of which groups below may
            have another or not.
        preorder: it runs before those of groups below, not after them (Linux 6.15).
        before, after: what it runs before or after in the group: a link for a link, a program for one without a link,
            or ``"all"`` (Linux 6.16). By default it runs last.
        expected_revision: only if the group's revision is this (`attach.query`; Linux 6.16).
        link: True: by a `Link` (Linux 5.7). False: without, so that it stays as long as the group does. By default a
            link where the kernel and `mode` allow it.
        replace: without a link: the program whose place it takes (Linux 5.6).

    Raises:
        KernelError: ENOENT: no such group; EBADF: it is no cgroup; EPERM: its mode, or one above, forbids that.
        SpecError: the program is of another type, or the arguments do not go together.
    """
    kind = need_type(program, "cgroup", *_TYPES)
    hook = _attach_type(program, kind, attach_type)
    if mode not in MODES:
        raise SpecError(f"no mode {mode!r}", symbol=program.name, hint=f"there are: {', '.join(MODES)}")
    without = mode != "multi" or replace is not None
    if link and without:
        raise SpecError("a link is multi and replaces nothing", symbol=program.name, hint="link=False")
    place = order(before, after, expected_revision)
    if preorder:
        place = place._replace(flags=place.flags | AttachFlag.PREORDER)
    with where(symbol=program.name, path=cgroup), told(_REASONS):
        if link is not False and not without:
            try:
                return aside(lambda: _link(program, cgroup, hook, place))
            except KernelError as failure:
                if link or failure.errno != EINVAL or features.probe("bpf_link") is not False:
                    raise
        made = CgroupAttachment(
            program,
            program.name,
            cgroup=os.fspath(cgroup),
            attach_type=hook,
            mode=mode,
        )
        made.place, made.replace = place, replace
        return made.begin()


def _attach_type(program: Program, kind: ProgType, asked: int | None) -> int:
    if asked is not None:
        return asked
    only = _TYPES[kind]
    if only is not None:
        return only
    if not program.section and not program.expected_attach_type and kind != ProgType.CGROUP_SKB:
        raise SpecError("it is not known for which hook the program is", symbol=program.name, hint="attach_type=…")
    if program.section == "cgroup/skb":
        raise SpecError(
            'SEC("cgroup/skb") does not say the direction',
            symbol=program.name,
            hint="attach_type=AttachType.CGROUP_INET_INGRESS, or …_EGRESS",
        )
    return program.expected_attach_type


def _link(program: Program, path: str | os.PathLike[str], hook: int, place: Order) -> Link:
    try:
        with directory(path) as group:
            fd = syscall.link_create(program.fileno(), group, hook, flags=place.flags, extra=place.extra)
    except KernelError as failure:
        _no_cgroup(failure)
        raise
    return Link(fd, program.name)


def _no_cgroup(failure: KernelError) -> None:
    if failure.errno == EBADF:
        failure.message = "this is no directory of a cgroup (version 2)"
        failure.hint = "make one: mkdir /sys/fs/cgroup/NAME"


def attached(path: str | os.PathLike[str], attach_type: int) -> list[int]:
    """The ids of the programs that are attached to a control group itself, in the order in which they run."""
    with where(path=path):
        return query(path, attach_type).prog_ids


def query(path: str | os.PathLike[str], attach_type: int, flags: int = 0) -> QueryResult:
    """What is attached to a control group."""

    def ask() -> QueryResult:
        with directory(path) as group:
            return syscall.prog_query(group, attach_type, flags=flags)

    return aside(ask)


class CgroupAttachment(Attachment):
    """A program attached without a link: until it is detached or the control group is removed."""

    place: Order
    replace: Program | None

    def _attach(self) -> None:
        replaced, self.replace = self.replace, None
        flags = self.place.flags | (AttachFlag.REPLACE if replaced else 0)
        try:
            self._put(self.program.fileno(), flags, replaced.fileno() if replaced else 0, self.place)
        except KernelError as failure:
            _no_cgroup(failure)
            raise

    def _detach(self) -> None:
        def detach() -> None:
            with directory(self.detail["cgroup"]) as group:
                syscall.prog_detach(self.program.fileno(), group, self.detail["attach_type"])

        with where(path=self.detail["cgroup"]):
            aside(detach)

    def _replace(self, new: int, old: int | None) -> None:
        if self.detail["mode"] == "multi":
            self._put(new, AttachFlag.REPLACE, self.program.fileno() if old is None else old)
        elif old is None:
            self._put(new)  # in the other modes it replaces whatever is there
        else:
            super()._replace(new, old)

    def _put(self, fd: int, flags: int = 0, replaced: int = 0, place: Order | None = None) -> None:
        def put() -> None:
            with directory(self.detail["cgroup"]) as group:
                syscall.prog_attach(
                    fd,
                    group,
                    self.detail["attach_type"],
                    flags=flags | MODES[self.detail["mode"]],
                    replace_fd=replaced,
                    relative_fd=place.relative_fd if place else 0,
                    expected_revision=place.revision if place else 0,
                )

        aside(put)


@contextmanager
def directory(path: str | os.PathLike[str]) -> Iterator[int]:
    """The descriptor of a control group's directory, for as long as the block runs. Raises `KernelError`.

    `Fd` owns no directories, so this is for threads that nothing interrupts (`aside`).
    """
    try:
        group = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as failure:
        number = failure.errno or 0
        raise KernelError(
            f"no control group to be opened: {errno_text(number)} ({errno_name(number)})",
            errno=number,
            hint=_groups_near(os.fspath(path)),
        ) from failure
    try:
        yield group
    finally:
        os.close(group)


def _groups_near(path: str) -> str:
    from difflib import get_close_matches

    parent, name = os.path.split(path.rstrip("/"))
    try:
        there = [entry.name for entry in os.scandir(parent or ".") if entry.is_dir()]
    except OSError:
        there = []
    near = get_close_matches(name, there)
    return (
        f"there are: {', '.join(f'{parent}/{found}' for found in near)}" if near else f"mkdir makes one below {_top()}"
    )


def _top() -> str:
    # where the control groups of version 2 are: not the usual place where version 1 is in use as well
    try:
        with open("/proc/self/mounts") as mounts:
            places = [words[1] for words in map(str.split, mounts) if words[2] == "cgroup2"]
    except OSError:
        places = []
    return (places or ["/sys/fs/cgroup"])[0]
