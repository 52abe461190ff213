# SPDX-License-Identifier: BSD-2-Clause
"""Programs attached to perf events: by a link where the kernel has such links (Linux 5.15), else by an ioctl."""

from __future__ import annotations

import struct
from contextlib import ExitStack
from errno import EINVAL, ENOENT
from typing import TYPE_CHECKING, Any

from rawbpf.errors import KernelError, NotSupportedError, SpecError
from rawbpf.kernel import features, perf_event, syscall
from rawbpf.kernel.attach.attachment import Attachment
from rawbpf.kernel.links import Link
from rawbpf.uapi import AttachType

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.pinnable import Pinnable
    from rawbpf.kernel.programs import Program
    from rawbpf.kernel.tracefs import Probe

PMUS = "/sys/bus/event_source/devices"
MODES = ("", "link", "ioctl", "tracefs")
"""How to attach: by the newest way that the kernel has, or by a certain one."""


def check_mode(mode: str) -> None:
    """Raise `SpecError` for what is none of `MODES`."""
    if mode not in MODES:
        raise SpecError(f"no way to attach is called {mode!r}", hint=f"there are {', '.join(MODES[1:])}")


def pmu_type(pmu: str) -> int | None:
    """The number of a PMU, such as ``kprobe``; None if the kernel has it not (before 4.17)."""
    text = _read(f"{PMUS}/{pmu}/type")
    return int(text) if text else None


def return_bit(pmu: str) -> int:
    """The bit of perf_event_attr.config that makes a probe a return probe."""
    return 1 << int((_read(f"{PMUS}/{pmu}/format/retprobe") or "config:0").rpartition(":")[2])


def reference_shift() -> int | None:
    """Where in config the offset of a uprobe's reference counter begins; None before Linux 4.20."""
    text = _read(f"{PMUS}/uprobe/format/ref_ctr_offset")
    return int(text.rpartition(":")[2].split("-")[0]) if text else None


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def attach_event(
    program: Program, open_event: Callable[[], Fd], *, cookie: int = 0, mode: str = "", **detail: Any
) -> Link | Attachment:
    """Let a program run at a perf event that `open_event` opens.

    Raises:
        KernelError: what `open_event` raises; EINVAL for a program of another type than the event wants.
        NotSupportedError: a cookie, and the kernel has none (before 5.15).
    """
    if mode in ("", "link") and (mode == "link" or features.probe("perf_link") is not False):
        with open_event() as event:
            link = Link(_link(program.fileno(), event, cookie), program.name)
            try:
                perf_event.enable(event)
            except BaseException:
                link.close()
                raise
            return link
    if cookie:
        raise NotSupportedError("cookies of attached programs", min_version="5.15", errno=EINVAL, symbol=program.name)
    return EventAttachment(program, program.name, open_event, **detail).begin()


def _link(program: int, event: Fd, cookie: int) -> Fd:
    extra = struct.pack("=Q", cookie) if cookie else b""
    return syscall.link_create(program, event.fileno(), AttachType.PERF_EVENT, extra=extra)


class EventAttachment(Attachment):
    """A program at a perf event, by ioctl: until the event is closed.

    Attributes:
        event: the event's descriptor, owned.
        probe: the event in tracefs that was made for it, or None.
    """

    def __init__(
        self, program: Pinnable, name: str, open_event: Callable[[], Fd], probe: Probe | None = None, **detail: Any
    ) -> None:
        super().__init__(program, name, **detail)
        self.open_event = open_event
        self.event: Fd | None = None
        self.probe = probe

    def _attach(self) -> None:
        try:
            self.event = self.open_event()
            perf_event.set_bpf(self.event, self.program.fileno())
            perf_event.enable(self.event)
        except BaseException:
            self._end()
            raise

    def _detach(self) -> None:
        if self.event is None:
            raise KernelError("it is not attached", errno=ENOENT)
        self._end()

    def _end(self) -> None:
        with ExitStack() as stack:
            if self.probe is not None:
                stack.callback(self.probe.remove)  # when the event is closed: before, it is in use
            if self.event is not None:
                stack.callback(self.event.close)
                self.event = None

    def release(self) -> None:
        """Raise `NotSupportedError`: it hangs on a descriptor of this process."""
        raise NotSupportedError(
            "release", symbol=self.name, message="what is attached to a perf event ends with its descriptor"
        )
