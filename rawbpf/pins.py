# SPDX-License-Identifier: BSD-2-Clause
"""Where objects are pinned, and by which names: ``/sys/fs/bpf/rawbpf/OBJNAME/maps/NAME`` and the like."""

from __future__ import annotations

BPFFS = "/sys/fs/bpf"
"""Where a bpffs is mounted as a rule."""

PIN_ROOT = f"{BPFFS}/rawbpf"
"""Below it the command line pins, a directory for each object."""

FOLDERS = MAPS, PROGRAMS, LINKS = "maps", "programs", "links"
"""What the directory of an object has in it."""


def pin_name(name: str) -> str:
    """The name with which a map, program or link is pinned.

    bpffs keeps names with a dot for itself, so ``.rodata`` is called ``_rodata``, as with libbpf.
    """
    return name.replace(".", "_").replace("/", "_")
