# SPDX-License-Identifier: BSD-2-Clause
"""Tables of functions of the kernel that are made of programs: `rawbpf.kernel.struct_ops` does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rawbpf.kernel.links import Link, Registration
    from rawbpf.kernel.struct_ops import StructOps


def struct_ops(ops: StructOps) -> Link | Registration:
    """Register a struct_ops value (of ``obj.struct_ops``): the same as ``ops.attach()``.

    ``other.replace(link)`` puts another value of the same type in its place (Linux 6.4).
    """
    return ops.attach()
