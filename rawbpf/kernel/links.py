# SPDX-License-Identifier: BSD-2-Clause
"""Links: a program attached, for as long as somebody holds the link or a pin does."""

from __future__ import annotations

from errno import EINVAL, ENOENT, EOPNOTSUPP, EPERM
from typing import TYPE_CHECKING, NoReturn

from rawbpf.errors import KernelError, NotSupportedError, where
from rawbpf.kernel import info, syscall
from rawbpf.kernel.pinnable import Pinnable
from rawbpf.uapi import AttachFlag, Cmd, LinkType

if TYPE_CHECKING:
    from typing_extensions import Self

    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.info import LinkInfo, MapInfo

# The links whose program can be exchanged. The kernel says EINVAL for all others, as for a program of another type.
_EXCHANGE = frozenset(
    {
        LinkType.CGROUP,
        LinkType.ITER,
        LinkType.NETKIT,
        LinkType.NETNS,
        LinkType.SOCKMAP,
        LinkType.STRUCT_OPS,
        LinkType.TCX,
        LinkType.XDP,
    }
)


class Link(Pinnable):
    """A link (``BPF_LINK_CREATE``). The attachment ends when its last descriptor and its last pin are gone.

    Attributes:
        name: what it attaches: a program's name, or a struct_ops value's.
    """

    _by_id = Cmd.LINK_GET_FD_BY_ID
    _kind = "link"

    def __init__(self, fd: Fd, name: str = "") -> None:
        super().__init__(fd)
        self.name = name

    @classmethod
    def _adopt(cls, fd: Fd) -> Self:
        return cls(fd)

    @property
    def info(self) -> LinkInfo:
        """What the kernel knows of it now."""
        return info.link_info(self.fileno())

    @property
    def id(self) -> int:
        """The kernel's number of it."""
        return self.info.id

    def update(self, new: Pinnable, old: Pinnable | None = None) -> None:
        """Put another program (for struct_ops: another map) in the place of what it has, at once.

        With `old`, only if that is what it has now.

        Raises:
            KernelError: EPERM: it has another one than `old`; ENOLINK: what it was attached to is gone; EINVAL: the
                other program is of another type.
            NotSupportedError: links of this type keep their program (tracing, perf events, netfilter).
        """
        with where(symbol=self.name or None):
            try:
                syscall.link_update(
                    self.fileno(),
                    new.fileno(),
                    flags=AttachFlag.REPLACE if old is not None else 0,
                    old_fd=old.fileno() if old is not None else 0,
                )
            except KernelError as failure:
                keeps = failure.errno == EINVAL and self.info.type not in _EXCHANGE
                if keeps or failure.errno == EOPNOTSUPP:
                    raise NotSupportedError(
                        "update of links of this type",
                        errno=failure.errno or 0,
                        command="BPF_LINK_UPDATE",
                        hint="attach the other program, then close this link",
                    ) from failure
                if failure.errno == EPERM and old is not None:
                    failure.message = f"it has another program than the expected one: {failure.message}"
                if failure.errno == EINVAL:
                    failure.message = f"what would take its place is of another type: {failure.message}"
                raise

    def detach(self) -> None:
        """End the attachment now, whoever else holds the link; the link itself stays until it is closed.

        Raises:
            NotSupportedError: links of this type cannot be detached by force (tracing, for example): close and unpin.
        """
        try:
            syscall.link_detach(self.fileno())
        except OSError as failure:
            if failure.errno != EOPNOTSUPP:
                raise
            raise NotSupportedError(
                "detach of links of this type",
                errno=EOPNOTSUPP,
                command="BPF_LINK_DETACH",
                symbol=self.name or None,
                hint="close the link and remove its pins",
            ) from failure

    def __repr__(self) -> str:
        return f"<Link {self.name!r}{' closed' if self.closed else ''}>"


class Registration(Pinnable):
    """A struct_ops value that is registered without a link (``SEC(".struct_ops")``).

    It outlives this process, pinned or not: only the deletion of its map's element ends it. `close` does that, unless
    the map is pinned, by which somebody can find it again. What is pinned is the map.

    Attributes:
        name: the value's name.
    """

    _by_id = Cmd.MAP_GET_FD_BY_ID
    _kind = "map"

    def __init__(self, fd: Fd, name: str = "", pins: list[str] | None = None) -> None:
        super().__init__(fd)
        self.name = name
        self.pins = [] if pins is None else pins
        self._ended = False

    @property
    def info(self) -> MapInfo:
        """What the kernel knows of the map now."""
        return info.map_info(self.fileno())

    @property
    def id(self) -> int:
        """The kernel's number of the map."""
        return self.info.id

    def update(self, new: Pinnable, old: Pinnable | None = None) -> NoReturn:
        """Raise `NotSupportedError`: only a link can take another value."""
        raise NotSupportedError(
            "exchange of a struct_ops that is registered without a link",
            errno=EOPNOTSUPP,
            symbol=self.name or None,
            hint='SEC(".struct_ops.link") has a link (Linux 6.4); or detach, and attach the other',
        )

    def detach(self) -> None:
        """Unregister it. Raises `KernelError`, such as ENOENT if it is not registered."""
        with where(symbol=self.name or None):
            syscall.map_delete_elem(self.fileno(), bytes(4))
        self._ended = True

    def close(self) -> None:
        """Unregister it, unless its map is pinned or it was done before."""
        if self.closed:
            return
        try:
            if not self.pins and not self._ended:
                self.detach()
        except KernelError as failure:
            self.fd.close()
            if failure.errno != ENOENT:  # somebody else has unregistered it
                raise
        self.fd.close()

    def __repr__(self) -> str:
        return f"<Registration {self.name!r}{' closed' if self.closed else ''}>"
