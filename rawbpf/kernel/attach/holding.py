# SPDX-License-Identifier: BSD-2-Clause
"""Attachments that keep descriptors of what they are attached to."""

from __future__ import annotations

from errno import ENODEV, ENOENT
from typing import TYPE_CHECKING, Any, TypeVar

from rawbpf.errors import KernelError
from rawbpf.kernel.attach.attachment import Attachment
from rawbpf.kernel.netns import call_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawbpf.kernel.devices import Place
    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.pinnable import Pinnable

T = TypeVar("T")


class Holding(Attachment):
    """An attachment with a descriptor of its target, `target`, which is closed with it."""

    def __init__(self, program: Pinnable, name: str, target: Fd, **detail: Any) -> None:
        self.target = target
        super().__init__(program, name, **detail)

    def release(self) -> None:
        super().release()
        self.target.close()

    def close(self) -> None:
        try:
            super().close()
        finally:
            if self.closed:  # and was not interrupted before it came to that
                self.target.close()


class OnDevice(Holding):
    """An attachment to a network device. `target` is the device's network namespace, wherever this thread is later."""

    def __init__(self, program: Pinnable, name: str, place: Place, **detail: Any) -> None:
        assert place.netns is not None
        self.index = place.ifindex
        super().__init__(program, name, place.netns.duplicate(), dev=place.name, **detail)

    def _attach(self) -> None:
        self._there(self._attach_here)

    def _detach(self) -> None:
        try:
            self._there(self._detach_here)
        except KernelError as failure:
            if failure.errno == ENODEV:  # the device has gone, and what was on it with it
                failure.errno = ENOENT
            raise

    def _there(self, function: Callable[[], T]) -> T:
        # on another thread, which no KeyboardInterrupt reaches: what is half done is never left
        return call_in(self.target, function)

    def _attach_here(self) -> None:
        """Attach, in the device's network namespace."""
        raise NotImplementedError

    def _detach_here(self) -> None:
        """Detach, in the device's network namespace: raise as `_detach`, or ENODEV."""
        raise NotImplementedError
