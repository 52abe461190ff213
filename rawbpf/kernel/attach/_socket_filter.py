# SPDX-License-Identifier: BSD-2-Clause
"""A program that filters what a socket receives (SO_ATTACH_BPF)."""

from __future__ import annotations

from errno import ENOMEM, EPERM
from typing import TYPE_CHECKING

from rawbpf.errors import where
from rawbpf.kernel.attach.on_socket import OnSocket
from rawbpf.kernel.attach.refusal import need_type
from rawbpf.uapi import ProgType

if TYPE_CHECKING:
    from rawbpf.kernel.attach.attachment import Attachment
    from rawbpf.kernel.netns import HasFileno
    from rawbpf.kernel.programs import Program


def socket_filter(program: Program, sock: HasFileno) -> Attachment:
    """Attach a SOCKET_FILTER program to a socket: what it returns is how many bytes of a packet get in.

    Args:
        sock: a socket; it is not kept open.

    Raises:
        KernelError: EPERM: the socket's filter is locked; ENOTSOCK: it is no socket.
        SpecError: the program is of another type.
    """
    need_type(program, "socket_filter", ProgType.SOCKET_FILTER)
    with where(symbol=program.name):
        return SocketFilterAttachment(program, program.name, sock).begin()


class SocketFilterAttachment(OnSocket):
    """A filter on a socket: until it is detached, replaced, or the socket is closed."""

    _set, _unset = 50, 27  # SO_ATTACH_BPF, SO_DETACH_BPF
    _reasons = {
        EPERM: ("the socket's filter is locked (SO_LOCK_FILTER)", ""),
        ENOMEM: ("the socket has no room for a filter's memory (net.core.optmem_max)", ""),
    }
