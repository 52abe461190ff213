# SPDX-License-Identifier: BSD-2-Clause
"""Programs on a network namespace: sk_lookup (which socket gets a connection) and the flow dissector."""

from __future__ import annotations

from errno import E2BIG, EEXIST, EINVAL
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, where
from rawbpf.kernel import features, syscall
from rawbpf.kernel.attach.holding import Holding
from rawbpf.kernel.attach.refusal import need_type, told
from rawbpf.kernel.links import Link
from rawbpf.kernel.netns import call_in, open_netns
from rawbpf.uapi import AttachType, ProgType

if TYPE_CHECKING:
    from rawbpf.kernel.attach.attachment import Attachment
    from rawbpf.kernel.netns import NetNs
    from rawbpf.kernel.programs import Program

_TYPES = {ProgType.SK_LOOKUP: AttachType.SK_LOOKUP, ProgType.FLOW_DISSECTOR: AttachType.FLOW_DISSECTOR}
_REASONS = {
    EEXIST: ("a flow dissector is there, without a link, or on the initial network namespace, whose is for all", ""),
    E2BIG: ("the network namespace has a flow dissector, or 64 programs that look up sockets", ""),
    EINVAL: ("a kernel before 5.8 (flow dissector) or 5.9 (sk_lookup)", ""),
}


def netns(program: Program, netns: NetNs | None = None, *, link: bool | None = None) -> Link | Attachment:
    """Attach an SK_LOOKUP (Linux 5.9) or FLOW_DISSECTOR program to a network namespace.

    Args:
        netns: the network namespace: name, path, process id, or an open file; by default this thread's own.
        link: False: a flow dissector without a link, which stays when this process ends. By default a `Link` where the
            kernel has it (5.8).

    Raises:
        KernelError: E2BIG, EEXIST: there is a flow dissector.
        TargetError: there is no such network namespace.
        SpecError: the program is of another type.
    """
    kind = need_type(program, "netns", *_TYPES)
    with where(symbol=program.name), told(_REASONS), open_netns(netns) as home:
        if link is not False:
            try:
                fd = syscall.link_create(program.fileno(), home.fileno(), _TYPES[kind])
                return Link(fd, program.name)
            except KernelError as failure:
                if link or failure.errno != EINVAL or features.probe("netns_link") is not False:
                    raise
        return FlowDissectorAttachment(program, program.name, home.duplicate(), attach_type=_TYPES[kind]).begin()


class FlowDissectorAttachment(Holding):
    """A flow dissector without a link: until it is detached or the network namespace is gone."""

    # the kernel takes the namespace of the calling thread, whatever the target

    def _attach(self) -> None:
        self._there(self.program.fileno())

    def _detach(self) -> None:
        fd = self.program.fileno()
        call_in(self.target, lambda: syscall.prog_detach(fd, 0, self.detail["attach_type"]))

    def _replace(self, new: int, old: int | None) -> None:
        if old is None:
            self._there(new)  # attaching replaces
        else:
            super()._replace(new, old)

    def _there(self, fd: int) -> None:
        call_in(self.target, lambda: syscall.prog_attach(fd, 0, self.detail["attach_type"]))
