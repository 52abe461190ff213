# SPDX-License-Identifier: BSD-2-Clause
"""tcx: ordered programs on a device's ingress and egress, without queueing disciplines."""

from __future__ import annotations

from errno import EINVAL
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

_TYPES = {"ingress": AttachType.TCX_INGRESS, "egress": AttachType.TCX_EGRESS}


def tcx(
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
    """Attach a SCHED_CLS program to a device. Requires Linux 6.6.

    Args:
        dev: the device's name or index.
        direction: ``ingress`` or ``egress``; by default what the program's SEC() says.
        netns: the device's network namespace: name, path, process id, or an open file; by default this thread's own.
        before, after: what it runs before or after: a program, a link, or ``"all"``. By default it runs last.
        expected_revision: only if the hook's revision is this (`attach.query`).
        link: by a `Link`; otherwise it stays when this process ends.
        replace: without a link: the program whose place it takes.

    Raises:
        KernelError: ENODEV: no such device; ENOENT, EEXIST, ESTALE: what is attached there is not as expected.
        SpecError: the program is of another type.
    """
    kind = attach_type_of(program, _TYPES, direction)
    place = order(before, after, expected_revision)
    reasons = {EINVAL: ("a kernel before 6.6 has no tcx, or these arguments do not go together", "attach.tc is older")}
    return attach_ordered(program, kind, dev, netns, place, link=link, replace=replace, reasons=reasons)
