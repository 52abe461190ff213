# SPDX-License-Identifier: BSD-2-Clause
"""Network namespaces: found by name, path or process, and entered without this thread leaving its own."""

from __future__ import annotations

import ctypes
import os
from fcntl import ioctl
from typing import TYPE_CHECKING, Protocol, TypeVar

from rawbpf.errors import KernelError, TargetError, errno_name, errno_text
from rawbpf.kernel.aside import aside
from rawbpf.kernel.fd import own

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from rawbpf.kernel.fd import Fd

    class HasFileno(Protocol):
        """An open file."""

        def fileno(self) -> int: ...

    NetNs: TypeAlias = str | os.PathLike[str] | int | HasFileno
    """A network namespace: its name (``ip netns``), its path, the id of a process in it, or an open file of it."""

_T = TypeVar("_T")

NAMED = "/run/netns"
"""Where ip-netns(8) keeps those that have a name."""
_FORMS = "name one (ip netns), its path, or a process id"
_OWN = "/proc/thread-self/ns/net"
_NEWNET = 0x40000000  # CLONE_NEWNET of linux/sched.h
_GET_NSTYPE = 0xB703  # NS_GET_NSTYPE of linux/nsfs.h


def open_netns(netns: NetNs | None) -> Fd:
    """A descriptor of a network namespace; of this thread's own for None.

    Raises:
        TargetError: there is no such namespace or process, or it is something else.
    """
    if netns is not None and not isinstance(netns, (str, int, os.PathLike)):
        fd = own(os.dup, netns.fileno())
        path = f"descriptor {netns.fileno()}"
    else:
        path = _path(netns)
        if os.path.isdir(path):  # of which `Fd` is no owner
            raise TargetError(f"{path} is no network namespace", hint=_FORMS)
        try:
            fd = own(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as failure:
            raise _missing(netns, path, failure) from failure
    assert fd is not None  # both raise where they cannot
    try:
        right = ioctl(fd.fileno(), _GET_NSTYPE) == _NEWNET
    except OSError:
        right = False
    if not right:
        fd.close()
        raise TargetError(f"{path} is no network namespace", hint=_FORMS)
    return fd


def _path(netns: str | os.PathLike[str] | int | None) -> str:
    if netns is None:
        return _OWN
    if isinstance(netns, int):
        return f"/proc/{netns}/ns/net"
    name = os.fspath(netns)
    return name if "/" in name else f"{NAMED}/{name}"


def _missing(netns: object, path: str, failure: OSError) -> TargetError:
    from difflib import get_close_matches

    number = failure.errno or 0
    if isinstance(netns, int):
        return TargetError(f"no network namespace of process {netns}: {errno_text(number)} ({errno_name(number)})")
    there = names()
    near = get_close_matches(os.path.basename(path), there) or there[:5]
    return TargetError(
        f"no network namespace {os.fspath(netns) if isinstance(netns, (str, os.PathLike)) else path!r}:"
        f" {errno_text(number)} ({errno_name(number)})",
        hint=f"there are: {', '.join(near)}"
        if near
        else f"none has a name below {NAMED}; a path or a process id will do",
    )


def names() -> list[str]:
    """The network namespaces that have a name."""
    try:
        return sorted(os.listdir(NAMED))
    except OSError:
        return []


def call_in(netns: Fd | None, function: Callable[[], _T]) -> _T:
    """Call a function in a network namespace (None: here), on a thread of its own: this one stays where it is.

    Raises:
        KernelError: the namespace may not be entered.
    """
    if netns is None:
        return function()

    def there() -> _T:
        _enter(netns.fileno())
        return function()

    return aside(there)


def _enter(fd: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, _NEWNET) != 0:
        number = ctypes.get_errno()
        raise KernelError(
            f"the network namespace may not be entered: {errno_text(number)} ({errno_name(number)})",
            errno=number,
            command="setns",
            hint="this needs CAP_SYS_ADMIN",
        )
