# SPDX-License-Identifier: BSD-2-Clause
"""What is attached to a hook, by whomever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.errors import where
from rawbpf.kernel import syscall
from rawbpf.kernel.attach import _cgroup
from rawbpf.kernel.devices import device
from rawbpf.kernel.netns import open_netns
from rawbpf.uapi import F_QUERY_EFFECTIVE

if TYPE_CHECKING:
    import os

    from rawbpf.kernel.devices import Device
    from rawbpf.kernel.netns import NetNs
    from rawbpf.kernel.syscall import QueryResult
    from rawbpf.uapi import AttachType


def query(
    attach_type: AttachType | int,
    *,
    cgroup: str | os.PathLike[str] | None = None,
    dev: Device | None = None,
    netns: NetNs | None = None,
    effective: bool = False,
) -> QueryResult:
    """What is attached to a control group, to a device (tcx, netkit), or else to a network namespace.

    The ids of the programs, in the order in which they run, the flags, and the revision that tcx, netkit (both Linux
    6.6) and control groups (6.16) count: ``expected_revision`` of what is attached next.

    Args:
        attach_type: the hook, such as ``AttachType.TCX_INGRESS``.
        cgroup: the control group's directory.
        dev: the device's name or index; `netns` is where it is.
        netns: the network namespace: name, path, process id, or an open file; by default this thread's own.
        effective: for control groups: with what the groups above have, as it runs in this one.

    Raises:
        KernelError: EINVAL: this target has no such hook, or the kernel does not know it.
    """
    flags = F_QUERY_EFFECTIVE if effective else 0
    if cgroup is not None:
        with where(path=cgroup):
            return _cgroup.query(cgroup, attach_type, flags)
    with open_netns(netns) as home:
        if dev is None:
            return syscall.prog_query(home.fileno(), attach_type)
        with device(dev, home) as found:
            return found.call(lambda: syscall.prog_query(found.ifindex, attach_type))
