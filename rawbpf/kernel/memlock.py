# SPDX-License-Identifier: BSD-2-Clause
"""RLIMIT_MEMLOCK, to which BPF memory was charged before Linux 5.11 (the memory cgroup since)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.kernel import features

if TYPE_CHECKING:
    from rawbpf.errors import KernelError


def lift() -> bool:
    """Lift the limit, if this kernel charges to it and it is not lifted yet; True if trying again makes sense.

    The default of 64 KiB (8 MiB later) makes map creation and program loads fail with EPERM. Lifting it takes
    CAP_SYS_RESOURCE and holds for the process.
    """
    if features.probe("memcg_accounting") is not False:
        return False
    import resource

    endless = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    if resource.getrlimit(resource.RLIMIT_MEMLOCK) == endless:
        return False
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, endless)
    except (ValueError, OSError):
        return False
    return True


def explain(failure: KernelError) -> KernelError:
    """An EPERM of a kernel that charges to the limit: the limit is a likely reason, as it could not be lifted."""
    if features.probe("memcg_accounting") is False:
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        if soft != resource.RLIM_INFINITY:
            failure.hint = f"RLIMIT_MEMLOCK is {soft} bytes, which may be too few: ulimit -l unlimited (as root)"
    return failure
