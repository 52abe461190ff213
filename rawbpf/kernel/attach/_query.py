# SPDX-License-Identifier: BSD-2-Clause
"""What is attached to a hook, by whomever."""

from __future__ import annotations

from errno import EINVAL
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, where
from rawbpf.kernel import syscall
from rawbpf.kernel.attach import _cgroup
from rawbpf.kernel.attach.refusal import told
from rawbpf.kernel.devices import device
from rawbpf.kernel.netns import open_netns
from rawbpf.uapi import F_QUERY_EFFECTIVE, AttachType

if TYPE_CHECKING:
    import os

    from rawbpf.kernel.attach.refusal import Reasons
    from rawbpf.kernel.devices import Device
    from rawbpf.kernel.netns import NetNs
    from rawbpf.kernel.syscall import QueryResult

_HOOKS = {
    "control group": ("CGROUP_", "LSM_CGROUP"),
    "network device": ("TCX_", "NETKIT_"),
    "network namespace": ("SK_LOOKUP", "FLOW_DISSECTOR"),
}
"""How the names of the attach types begin that a target has."""


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
        with where(path=cgroup), told(_hook_of("control group", attach_type)):
            return _cgroup.query(cgroup, attach_type, flags)
    with open_netns(netns) as home:
        if dev is None:
            with told(_hook_of("network namespace", attach_type)):
                return syscall.prog_query(home.fileno(), attach_type)
        with device(dev, home) as found, told(_hook_of("network device", attach_type), found.name):
            return found.call(lambda: syscall.prog_query(found.ifindex, attach_type))


def _hook_of(target: str, attach_type: int) -> Reasons:
    """What EINVAL means. A hook of another kind of target is refused here: the kernel would take a device's index for a
    descriptor, or a descriptor for an index.
    """
    known = attach_type in AttachType.__members__.values()
    name = AttachType(attach_type).name if known else str(attach_type)
    hint = f"a {target} has {', '.join(f'{word}…' if word[-1] == '_' else word for word in _HOOKS[target])}"
    if known and not name.startswith(_HOOKS[target]):
        raise KernelError(f"a {target} has no hook of attach type {name}", errno=EINVAL, hint=hint)
    return {EINVAL: (f"in this kernel a {target} has no hook of attach type {name}", hint)}
