# SPDX-License-Identifier: BSD-2-Clause
"""What maps, programs and links have in common: a descriptor that they own, an id, and pins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rawbpf.kernel import bpffs, syscall

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from typing_extensions import Self

    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.info import MapInfo, ProgInfo
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


class Named(Pinnable):
    """What the kernel also knows by a name that its maker gave it: maps and programs."""

    @classmethod
    def by_name(cls, name: str) -> Self:
        """The one that the kernel knows by that name, of which it keeps 15 bytes (as root).

        Raises:
            SpecError: there is none, or there are several: their ids are told.
        """
        from rawbpf.errors import SpecError
        from rawbpf.kernel.info import kind_name

        kept = syscall.kernel_name(name).decode(errors="replace")
        there = list(cls._all())
        found = [about for about in there if about.name == kept]
        if len(found) == 1:
            return cls.by_id(found[0].id)
        if found:
            ids = ", ".join(f"{about.id} ({kind_name(about.type)})" for about in found)
            raise SpecError(f"{len(found)} {cls._kind}s are named {name}", hint=f"choose by id: {ids}")
        from difflib import get_close_matches

        near = get_close_matches(kept, {about.name for about in there})
        raise SpecError(f"no {cls._kind} is named {name}", hint=f"did you mean {' or '.join(near)}?" if near else None)

    @classmethod
    def _all(cls) -> Iterable[MapInfo | ProgInfo]:
        # of the kernel
        raise NotImplementedError
