# SPDX-License-Identifier: BSD-2-Clause
"""Where a program goes among those that are attached to the same hook, as tcx, netkit and cgroups know it (mprog)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from rawbpf.errors import SpecError
from rawbpf.kernel.attach.attachment import Attachment
from rawbpf.kernel.links import Link
from rawbpf.uapi import AttachFlag

if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    from rawbpf.kernel.programs import Program

    Anchor: TypeAlias = Program | Link | Attachment | Literal["all"]
    """A program or link that is attached to the same hook, or all of them."""


class Order(NamedTuple):
    """A place in the order in which programs run.

    Attributes:
        flags: BPF_F_BEFORE or BPF_F_AFTER, and BPF_F_LINK where `relative_fd` is of a link.
        relative_fd: of what it is before or after, 0 for all.
        revision: only if nothing has been attached or detached since the hook had this one; 0 for any.
    """

    flags: int = 0
    relative_fd: int = 0
    revision: int = 0

    @property
    def extra(self) -> bytes:
        """What LINK_CREATE is told of it, beside the flags; nothing to a kernel that knows nothing of it."""
        return struct.pack("=I4xQ", self.relative_fd, self.revision) if any(self[1:]) else b""


def order(before: Anchor | None, after: Anchor | None, revision: int = 0) -> Order:
    """The place before or after an anchor. Raises `SpecError` if both are asked for."""
    if before is not None and after is not None:
        raise SpecError("either before or after, not both")
    anchor = after if before is None else before
    if anchor is None:
        return Order(revision=revision)
    flags = AttachFlag.AFTER if before is None else AttachFlag.BEFORE
    if isinstance(anchor, str):
        if anchor != "all":
            raise SpecError(f'a program, a link or "all" is what it can be before or after, not {anchor!r}')
        return Order(flags, 0, revision)
    if isinstance(anchor, Link):
        return Order(flags | AttachFlag.LINK, anchor.fileno(), revision)
    program = anchor.program if isinstance(anchor, Attachment) else anchor  # it is known by its program
    return Order(flags, program.fileno(), revision)
