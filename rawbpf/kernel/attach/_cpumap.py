# SPDX-License-Identifier: BSD-2-Clause
"""A program that sees the packets that are redirected to a CPU of a cpumap."""

from __future__ import annotations

from errno import E2BIG, EINVAL, ENODEV, EOVERFLOW
from typing import TYPE_CHECKING

from rawbpf.errors import SpecError, where
from rawbpf.kernel.attach.in_map import InMap, check
from rawbpf.kernel.attach.refusal import told
from rawbpf.uapi import AttachType, MapType

if TYPE_CHECKING:
    from rawbpf.kernel.attach.attachment import Attachment
    from rawbpf.kernel.maps import Map
    from rawbpf.kernel.programs import Program

_REASONS = {
    EINVAL: ("the program is not for this map (frags have to agree), or a kernel before 5.9", ""),
    E2BIG: ("the map has no element for this CPU", ""),
    ENODEV: ("this machine has no such CPU", ""),
    EOVERFLOW: ("a queue has 16384 places at most", ""),
}


def cpumap(program: Program, map: Map, cpu: int, *, queue_size: int = 192) -> Attachment:
    """Put a queue and a program into an element of a cpumap. Detaching removes the element. Requires Linux 5.9.

    Args:
        map: a CPUMAP whose values are ``struct bpf_cpumap_val``.
        cpu: the number of the CPU, which is the element's key.
        queue_size: how many packets may wait for it.

    Raises:
        KernelError: ENODEV, E2BIG: no such CPU; EEXIST: the element is in use; EOVERFLOW: too large a queue.
        SpecError: the map's values have no place for a program, or the program is not SEC("xdp/cpumap").
    """
    check(program, "cpumap", AttachType.XDP_CPUMAP, map, MapType.CPUMAP)
    if queue_size < 1:
        raise SpecError("a queue has one place at least", symbol=program.name)
    with where(symbol=program.name), told(_REASONS):
        return InMap(program, map, cpu, queue_size, None, queue_size=queue_size).begin()
