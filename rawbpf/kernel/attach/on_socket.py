# SPDX-License-Identifier: BSD-2-Clause
"""Programs that are attached by an option of a socket."""

from __future__ import annotations

import os
import socket
from errno import EBADF, ENOENT, ENOTSOCK
from typing import TYPE_CHECKING, Any, ClassVar

from rawbpf.errors import KernelError, errno_name, errno_text
from rawbpf.kernel.aside import aside
from rawbpf.kernel.attach.attachment import Attachment

if TYPE_CHECKING:
    from rawbpf.kernel.netns import HasFileno
    from rawbpf.kernel.pinnable import Pinnable


class OnSocket(Attachment):
    """A program on a socket. It ends with the socket, which it does not hold.

    Attributes:
        sock: the socket.
    """

    _set: ClassVar[int]  # the options of SOL_SOCKET
    _unset: ClassVar[int]
    _reasons: ClassVar[dict[int, tuple[str, str]]]

    def __init__(self, program: Pinnable, name: str, sock: HasFileno, **detail: Any) -> None:
        self.sock = sock
        super().__init__(program, name, **detail)

    def _attach(self) -> None:
        self._option(self._set, self.program.fileno())

    def _detach(self) -> None:
        self._option(self._unset, 0)

    def _replace(self, new: int, old: int | None) -> None:
        if old is not None:
            super()._replace(new, old)
        self._option(self._set, new)  # it replaces what is there

    def _option(self, name: int, value: int) -> None:
        aside(lambda: self._set_option(name, value))  # where no interrupt comes between dup and close

    def _set_option(self, name: int, value: int) -> None:
        number = self.sock.fileno()
        if number < 0:
            raise KernelError("the socket is closed", errno=ENOENT, command="setsockopt")
        copy = os.dup(number)
        try:
            sock = socket.socket(fileno=copy)  # for its method
        except OSError as failure:
            os.close(copy)
            raise self._error(failure.errno or EBADF) from failure
        with sock:
            try:
                sock.setsockopt(socket.SOL_SOCKET, name, value)
            except OSError as failure:
                raise self._error(failure.errno or 0) from failure

    def _error(self, number: int) -> KernelError:
        said = f"{errno_text(number)} ({errno_name(number)})"
        if number in (EBADF, ENOTSOCK):
            return KernelError(f"this is no socket: {said}", errno=number, command="setsockopt")
        reason, hint = self._reasons.get(number, ("", ""))
        return KernelError(
            f"{reason}: {said}" if reason else f"setsockopt: {said}",
            errno=number,
            command="setsockopt",
            hint=hint or None,
        )
