# SPDX-License-Identifier: BSD-2-Clause
"""netkit: programs on both ends of a netkit pair, which are attached through its primary device."""

from __future__ import annotations

from errno import EACCES, EINVAL, ENXIO, EOPNOTSUPP
from typing import TYPE_CHECKING

from rawbpf.kernel.attach.direction import attach_type_of
from rawbpf.kernel.attach.mprog import attach_ordered
from rawbpf.kernel.attach.order import order
from rawbpf.uapi import AttachType

if TYPE_CHECKING:
    from rawbpf.kernel.attach.attachment import Attachment
    from rawbpf.kernel.attach.order import Anchor
    from rawbpf.kernel.devices import Device
    from rawbpf.kernel.links import Link
    from rawbpf.kernel.netns import NetNs
    from rawbpf.kernel.programs import Program

_TYPES = {"primary": AttachType.NETKIT_PRIMARY, "peer": AttachType.NETKIT_PEER}
_REASONS = {
    EINVAL: (
        "the kernel has no netkit (before 6.7, or without CONFIG_NETKIT), or these arguments do not go together",
        "attach.tcx takes any device",
    ),
    ENXIO: ("this is no netkit device", "ip link add NAME type netkit makes a pair"),
    EACCES: ("this is the peer's end of the pair", "name the primary device; direction='peer' goes for the other end"),
    EOPNOTSUPP: ("this netkit device has no peer", ""),
}


def netkit(
    program: Program,
    dev: Device,
    *,
    direction: str = "",
    netns: NetNs | None = None,
    before: Anchor | None = None,
    after: Anchor | None = None,
    expected_revision: int = 0,
    link: bool = True,
    replace: Program | None = None,
) -> Link | Attachment:
    """Attach a SCHED_CLS program to a netkit pair. Requires Linux 6.7.

    Args:
        dev: the primary device's name or index.
        direction: ``primary`` or ``peer``: whose outgoing packets it sees; by default what the program's SEC() says.
        netns, before, after, expected_revision, link, replace: as for `tcx`.

    Raises:
        KernelError: ENODEV: no such device; ENXIO: it is no netkit; EACCES: it is the peer; else as `tcx`.
        SpecError: the program is of another type.
    """
    kind = attach_type_of(program, _TYPES, direction)
    place = order(before, after, expected_revision)
    return attach_ordered(program, kind, dev, netns, place, link=link, replace=replace, reasons=_REASONS)
