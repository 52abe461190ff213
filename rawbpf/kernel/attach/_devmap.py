# SPDX-License-Identifier: BSD-2-Clause
"""A program that sees the packets that are redirected to a device of a devmap."""

from __future__ import annotations

from errno import E2BIG, EINVAL
from typing import TYPE_CHECKING, Any

from rawbpf.errors import where
from rawbpf.kernel.attach.in_map import InMap, check
from rawbpf.kernel.attach.refusal import told
from rawbpf.kernel.devices import device
from rawbpf.kernel.netns import open_netns
from rawbpf.uapi import AttachType, MapType

if TYPE_CHECKING:
    from rawbpf.kernel.attach.attachment import Attachment
    from rawbpf.kernel.devices import Device
    from rawbpf.kernel.maps import Map
    from rawbpf.kernel.netns import NetNs
    from rawbpf.kernel.programs import Program

_REASONS = {
    EINVAL: ("the program is not for this map (frags have to agree), or a kernel before 5.8", ""),
    E2BIG: ("the map has no such element, or no room for one more", ""),
}


def devmap(program: Program, map: Map, key: Any, dev: Device, *, netns: NetNs | None = None) -> Attachment:
    """Put a device and a program into an element of a devmap. Detaching removes the element. Requires Linux 5.8.

    Args:
        map: a DEVMAP or DEVMAP_HASH whose values are ``struct bpf_devmap_val``.
        key: of the element, which has to be empty.
        dev: the name or the index of the device that packets are redirected to.
        netns: the device's network namespace: name, path, process id, or an open file; by default this thread's own.

    Raises:
        KernelError: ENODEV: no such device; EEXIST: the element is in use; E2BIG: there is no such element.
        SpecError: the map's values have no place for a program, or the program is not SEC("xdp/devmap").
    """
    check(program, "devmap", AttachType.XDP_DEVMAP, map, MapType.DEVMAP, MapType.DEVMAP_HASH)
    with where(symbol=program.name), told(_REASONS), open_netns(netns) as home, device(dev, home) as found:
        return InMap(program, map, key, found.ifindex, home.duplicate(), dev=found.name).begin()
