# SPDX-License-Identifier: BSD-2-Clause
"""A program that chooses among the sockets that share a port (SO_ATTACH_REUSEPORT_EBPF)."""

from __future__ import annotations

from errno import EINVAL, ENOMEM
from typing import TYPE_CHECKING

from rawbpf.errors import where
from rawbpf.kernel.attach.on_socket import OnSocket
from rawbpf.kernel.attach.refusal import need_type
from rawbpf.uapi import ProgType

if TYPE_CHECKING:
    from rawbpf.kernel.attach.attachment import Attachment
    from rawbpf.kernel.netns import HasFileno
    from rawbpf.kernel.programs import Program


def reuseport(program: Program, sock: HasFileno) -> Attachment:
    """Attach an SK_REUSEPORT or SOCKET_FILTER program to the group of sockets that share a port with this one.

    Args:
        sock: a socket with SO_REUSEPORT; it is not kept open. The program stays with the group, also when it is closed.

    Raises:
        KernelError: EINVAL: the socket has no SO_REUSEPORT; ENOTSOCK: it is no socket.
        SpecError: the program is of another type.
    """
    need_type(program, "reuseport", ProgType.SK_REUSEPORT, ProgType.SOCKET_FILTER)
    with where(symbol=program.name):
        return ReuseportAttachment(program, program.name, sock).begin()


class ReuseportAttachment(OnSocket):
    """A program on a group of sockets: until it is detached (Linux 5.3), replaced, or all of them are closed."""

    _set, _unset = 52, 68  # SO_ATTACH_REUSEPORT_EBPF, SO_DETACH_REUSEPORT_BPF
    _reasons = {
        EINVAL: ("the socket does not share its port", "setsockopt(SOL_SOCKET, SO_REUSEPORT, 1) before bind"),
        ENOMEM: ("the socket has no room for a program (net.core.optmem_max)", ""),
    }
