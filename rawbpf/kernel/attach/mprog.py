# SPDX-License-Identifier: BSD-2-Clause
"""tcx and netkit: ordered programs on a device, by link or by ``BPF_PROG_ATTACH``."""

from __future__ import annotations

from errno import EBUSY, EEXIST, ENOENT, ERANGE, ESTALE
from typing import TYPE_CHECKING

from rawbpf.errors import SpecError, where
from rawbpf.kernel import syscall
from rawbpf.kernel.attach.holding import OnDevice
from rawbpf.kernel.attach.refusal import need_type, told
from rawbpf.kernel.devices import device
from rawbpf.kernel.links import Link
from rawbpf.kernel.netns import open_netns
from rawbpf.uapi import AttachFlag, AttachType, ProgType

if TYPE_CHECKING:
    from rawbpf.kernel.attach.attachment import Attachment
    from rawbpf.kernel.attach.order import Order
    from rawbpf.kernel.attach.refusal import Reasons
    from rawbpf.kernel.devices import Device
    from rawbpf.kernel.netns import NetNs
    from rawbpf.kernel.programs import Program

REASONS: Reasons = {
    ENOENT: ("before or after what is not attached here, or attached by link and named as a program", ""),
    EEXIST: ("the program is attached here already", "without a link, replace=PROGRAM exchanges one for another"),
    ESTALE: ("something was attached or detached since that revision", "ask for the revision again: attach.query"),
    EBUSY: ("a link holds the place", "update the link"),
    ERANGE: ("too many programs are attached here", ""),
}


def attach_ordered(
    program: Program,
    attach_type: AttachType,
    dev: Device,
    netns: NetNs | None,
    place: Order,
    *,
    link: bool,
    replace: Program | None,
    reasons: Reasons,
) -> Link | Attachment:
    """Attach to a device's hook, at a place among what is there."""
    need_type(program, attach_type.name.partition("_")[0].lower(), ProgType.SCHED_CLS)
    if replace is not None and link:
        raise SpecError("a link replaces nothing", symbol=program.name, hint="link=False, or update the other link")
    with (
        where(symbol=program.name),
        open_netns(netns) as home,
        device(dev, home) as found,
        told({**REASONS, **reasons}, found.name),
    ):
        if not link:
            return MprogAttachment(
                program, program.name, found, attach_type=attach_type, order=place, replace=replace
            ).begin()
        fd = program.fileno()
        return found.call(
            lambda: Link(
                syscall.link_create(fd, found.ifindex, attach_type, flags=place.flags, extra=place.extra), program.name
            )
        )


class MprogAttachment(OnDevice):
    """A program on a tcx or netkit hook without a link: until it is detached or the device is gone."""

    def _attach_here(self) -> None:
        place, replaced = self.detail.pop("order"), self.detail.pop("replace")
        syscall.prog_attach(
            self.program.fileno(),
            self.index,
            self.detail["attach_type"],
            flags=place.flags | (AttachFlag.REPLACE if replaced else 0),
            replace_fd=replaced.fileno() if replaced else 0,
            relative_fd=place.relative_fd,
            expected_revision=place.revision,
        )

    def _detach_here(self) -> None:
        syscall.prog_detach(self.program.fileno(), self.index, self.detail["attach_type"])

    def _replace(self, new: int, old: int | None) -> None:
        replaced = self.program.fileno() if old is None else old
        self._there(
            lambda: syscall.prog_attach(
                new, self.index, self.detail["attach_type"], flags=AttachFlag.REPLACE, replace_fd=replaced
            )
        )
