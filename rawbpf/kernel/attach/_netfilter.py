# SPDX-License-Identifier: BSD-2-Clause
"""netfilter: a program on a hook of the IPv4 or IPv6 packet path of a network namespace."""

from __future__ import annotations

import struct
from errno import EAFNOSUPPORT, EBUSY, EINVAL, ERANGE
from typing import TYPE_CHECKING

from rawbpf.errors import SpecError, where
from rawbpf.kernel import syscall
from rawbpf.kernel.attach.refusal import need_type, told
from rawbpf.kernel.links import Link
from rawbpf.kernel.netns import call_in, open_netns
from rawbpf.uapi import F_NETFILTER_IP_DEFRAG, AttachType, ProgType

if TYPE_CHECKING:
    from rawbpf.kernel.netns import NetNs
    from rawbpf.kernel.programs import Program

FAMILIES = {"ipv4": 2, "ipv6": 10}
"""``NFPROTO_*`` of linux/netfilter.h."""
HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
"""``enum nf_inet_hooks``."""

_REASONS = {
    EINVAL: ("a kernel before 6.4 or without CONFIG_NETFILTER_BPF_LINK, or no such hook", ""),
    EAFNOSUPPORT: ("the kernel has no defragmentation, or no netfilter, for this family", ""),
    EBUSY: ("another BPF program has this priority on the hook", "choose another priority"),
    ERANGE: ("the first and the last priority are taken; with defrag it has to be above -400", ""),
}


def netfilter(
    program: Program,
    pf: str,
    hook: str,
    *,
    priority: int = 0,
    defrag: bool = False,
    netns: NetNs | None = None,
) -> Link:
    """Attach a NETFILTER program to a hook. Requires Linux 6.4.

    Args:
        pf: ``ipv4`` or ``ipv6``.
        hook: ``prerouting``, ``input``, ``forward``, ``output`` or ``postrouting``.
        priority: programs and the kernel's own hooks run from the lowest to the highest; no two programs share one.
        defrag: put fragments together before (Linux 6.6).
        netns: the network namespace: name, path, process id, or an open file; by default this thread's own.

    Raises:
        KernelError: EBUSY: the priority is taken; ERANGE: it cannot be had.
        SpecError: no such family or hook, or the program is of another type.
    """
    need_type(program, "netfilter", ProgType.NETFILTER)
    for name, given, known in (("protocol family", pf, FAMILIES), ("hook", hook, HOOKS)):
        if given not in known:
            raise SpecError(f"no {name} {given!r}", symbol=program.name, hint=f"there are: {', '.join(known)}")
    if not -(1 << 31) <= priority < 1 << 31:
        raise SpecError(f"the priority {priority} has more than 32 bits", symbol=program.name)
    extra = struct.pack("=IIiI", FAMILIES[pf], HOOKS[hook], priority, F_NETFILTER_IP_DEFRAG if defrag else 0)
    with where(symbol=program.name), told(_REASONS), open_netns(netns) as home:
        return call_in(
            None if netns is None else home,
            lambda: Link(syscall.link_create(program.fileno(), 0, AttachType.NETFILTER, extra=extra), program.name),
        )
