# SPDX-License-Identifier: BSD-2-Clause
"""What is attached without a link: by an ioctl, a socket option, netlink, ``BPF_PROG_ATTACH``."""

from __future__ import annotations

from errno import ENOENT, EOPNOTSUPP
from typing import TYPE_CHECKING, Any, NoReturn

from rawbpf.errors import KernelError, NotSupportedError, RawbpfError, where
from rawbpf.kernel import info
from rawbpf.kernel.log import debug

if TYPE_CHECKING:
    import os

    from typing_extensions import Self

    from rawbpf.kernel.pinnable import Pinnable


class Attachment:
    """A program attached without a link, with the face of a `Link`.

    A kind is a subclass with `_attach`, `_detach` and, where the kernel can exchange programs, `_replace`; its function
    returns ``KindAttachment(program, …).begin()``. A kind that keeps descriptors closes them in `_detach`.

    Attributes:
        name: the program's name.
        program: a descriptor of the program, owned.
        detail: what it is attached to, by parameter names.
        pins: empty: only links can be pinned.
    """

    def __init__(self, program: Pinnable, name: str, **detail: Any) -> None:
        self._begun = False
        self.name = name
        self.detail = detail
        self.pins: list[str] = []
        self.program = program.fd.duplicate()

    # -- what a kind does

    def _attach(self) -> None:
        """Attach `program`."""
        raise NotImplementedError

    def _detach(self) -> None:
        """End it, but only what is this program's; raise `KernelError` with ENOENT where it is attached no more."""
        raise NotImplementedError

    def _replace(self, new: int, old: int | None) -> None:
        """Put the program with the descriptor `new` in the place of the one that is there (of `old`, if given)."""
        raise NotSupportedError(
            "exchange of programs that are attached this way", symbol=self.name, hint="detach, and attach the other"
        )

    # -- the face

    def begin(self) -> Self:
        """Attach. If that fails, or is interrupted, nothing stays attached and nothing open."""
        try:
            self._begun = True
            self._attach()
        except KernelError:  # it was not attached: what is there is not ours
            self._begun = False
            self.close()
            raise
        except BaseException:
            self._end_quietly()
            raise
        return self

    @property
    def id(self) -> int:
        """The kernel's number of the program."""
        return info.prog_info(self.program.fileno()).id

    @property
    def info(self) -> dict[str, Any]:
        """What is known of it: the program's id, and to what it is attached."""
        return {"prog_id": self.id, **self.detail}

    @property
    def closed(self) -> bool:
        return self.program.closed

    def update(self, new: Pinnable, old: Pinnable | None = None) -> None:
        """Put another program in the place of what it has, at once. With `old`, only if that is what it has now.

        Raises:
            NotSupportedError: the kernel has no way to do that here.
        """
        with where(symbol=self.name):
            self._replace(new.fileno(), None if old is None else old.fileno())
            self.program.close()
            self.program = new.fd.duplicate()

    def detach(self) -> None:
        """End the attachment now. Raises `KernelError`, ENOENT where it has ended already."""
        self.program.fileno()  # a closed one says so
        with where(symbol=self.name):
            self._detach()
        self._begun = False

    def release(self) -> None:
        """Give up the ownership: what does not hang on a descriptor stays attached when this object is gone."""
        self._begun = False
        self.program.close()

    def pin(self, path: str | os.PathLike[str]) -> NoReturn:
        """Raise `NotSupportedError`: only links can be pinned."""
        raise NotSupportedError(
            "pins of what is attached without a link",
            errno=EOPNOTSUPP,
            symbol=self.name,
            message=f"{self.name} is attached without a link, and only links can be pinned",
            hint="a newer kernel has links for this; or keep the process that attached it",
        )

    def close(self) -> None:
        """End the attachment, unless that was done or somebody else did it, and close what it holds."""
        try:
            self._end()
        except KeyboardInterrupt:
            self._end()  # who interrupts wants all the more that nothing stays
            raise
        finally:
            self._begun = False
            self.program.close()

    def _end(self) -> None:
        if not self._begun or self.closed:
            return
        try:
            self.detach()
        except KernelError as failure:
            if failure.errno != ENOENT:
                raise

    def _end_quietly(self) -> None:
        try:
            self.close()
        except (RawbpfError, OSError) as failure:
            debug("%r: %s", self, failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_begun", False):
            from warnings import warn

            warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self._end_quietly()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}{' closed' if self.closed else ''}>"
