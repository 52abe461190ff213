# SPDX-License-Identifier: BSD-2-Clause
"""What maps, programs and links have in common: a descriptor that they own, an id, and pins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rawbpf.kernel import bpffs, syscall

if TYPE_CHECKING:
    import os

    from typing_extensions import Self

    from rawbpf.kernel.fd import Fd
    from rawbpf.uapi import Cmd


class Pinnable:
    """A kernel object held by a descriptor. It is a context manager: leaving it closes the descriptor.

    Attributes:
        fd: the descriptor, owned.
        pins: where this object was pinned through it.
    """

    _by_id: ClassVar[Cmd]
    _kind: ClassVar[str]

    def __init__(self, fd: Fd) -> None:
        self.fd = fd
        self.pins: list[str] = []

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """What is pinned at `path`.

        Raises:
            SpecError: something else is pinned there.
            KernelError: nothing is, or it may not be opened.
        """
        from rawbpf.errors import SpecError, where

        with where(path=path):
            fd = syscall.obj_get(path)
            kind, _ = bpffs.kind_of(fd)
            if kind != cls._kind:
                fd.close()
                raise SpecError(f"a {kind} is pinned here, not a {cls._kind}")
            return cls._adopt(fd)

    @classmethod
    def by_id(cls, number: int) -> Self:
        """The one with that id (as root). Raises `KernelError` with ENOENT if there is none."""
        return cls._adopt(syscall.get_fd_by_id(cls._by_id, number))

    @classmethod
    def _adopt(cls, fd: Fd) -> Self:
        return cls(fd)

    def fileno(self) -> int:
        """The descriptor's number. Raises `ClosedError` after `close`."""
        return self.fd.fileno()

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Pin it, so that it outlives this process. The directory is made (0700) if need be."""
        bpffs.pin(self.fd.fileno(), path)
        self.pins.append(str(path))

    def unpin(self, path: str | os.PathLike[str] | None = None) -> None:
        """Remove the pin at `path`, or all that were made through this object."""
        for pin in list(self.pins) if path is None else [str(path)]:
            bpffs.unpin(pin)
            if pin in self.pins:
                self.pins.remove(pin)

    def close(self) -> None:
        """Close the descriptor. The kernel keeps what is pinned, attached or used by something else."""
        self.fd.close()

    @property
    def closed(self) -> bool:
        return self.fd.closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()
