# SPDX-License-Identifier: BSD-2-Clause
"""A program that decodes what an infrared receiver sees."""

from __future__ import annotations

import os
from errno import EEXIST, EINVAL
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, errno_name, errno_text, where
from rawbpf.kernel import syscall
from rawbpf.kernel.attach.holding import Holding
from rawbpf.kernel.attach.refusal import need_type, told
from rawbpf.kernel.fd import own
from rawbpf.uapi import AttachType, ProgType

if TYPE_CHECKING:
    from rawbpf.kernel.attach.attachment import Attachment
    from rawbpf.kernel.programs import Program

_REASONS = {
    EINVAL: ("this is no infrared receiver, or the kernel is built without CONFIG_BPF_LIRC_MODE2", "/dev/lirc0"),
    EEXIST: ("the program decodes for this receiver already", ""),
}


def lirc(program: Program, path: str | os.PathLike[str]) -> Attachment:
    """Attach a LIRC_MODE2 program to an infrared receiver, beside those that are there. There is no link for it.

    Args:
        path: of the device, such as /dev/lirc0.

    Raises:
        KernelError: ENOENT: no such device; EINVAL: it is no infrared receiver; EEXIST: it has the program already.
        SpecError: the program is of another type.
    """
    need_type(program, "lirc", ProgType.LIRC_MODE2)
    with where(symbol=program.name, path=path), told(_REASONS):
        try:
            device = own(os.open, path, os.O_RDWR | os.O_CLOEXEC)  # attaching takes the right to write
        except OSError as failure:
            number = failure.errno or 0
            raise KernelError(
                f"no infrared receiver to be opened: {errno_text(number)} ({errno_name(number)})",
                errno=number,
                command="open",
                hint=_receivers(),
            ) from failure
        assert device is not None  # os.open raises where it cannot
        return LircAttachment(program, program.name, device, path=os.fspath(path)).begin()


def _receivers() -> str:
    there = sorted(name for name in os.listdir("/dev") if name.startswith("lirc"))
    return f"there are: {', '.join('/dev/' + name for name in there)}" if there else "this machine has none"


class LircAttachment(Holding):
    """A program on an infrared receiver: until it is detached or the receiver is gone."""

    def _attach(self) -> None:
        syscall.prog_attach(self.program.fileno(), self.target.fileno(), AttachType.LIRC_MODE2)

    def _detach(self) -> None:
        syscall.prog_detach(self.program.fileno(), self.target.fileno(), AttachType.LIRC_MODE2)
