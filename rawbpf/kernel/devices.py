# SPDX-License-Identifier: BSD-2-Clause
"""Network devices, by name or by number, in this network namespace or in another."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from errno import ENODEV
from typing import TYPE_CHECKING, NamedTuple

from rawbpf.errors import KernelError, RawbpfError
from rawbpf.kernel import netns as namespaces
from rawbpf.kernel.netns import call_in, open_netns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias, TypeVar

    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.netns import NetNs

    T = TypeVar("T")
    Device: TypeAlias = str | int
    """A device's name or its index."""


class Place(NamedTuple):
    """A device that was found.

    Attributes:
        netns: a descriptor of its network namespace, or None where that is this thread's own.
    """

    name: str
    ifindex: int
    netns: Fd | None

    def call(self, function: Callable[[], T]) -> T:
        """Call a function where the device is."""
        return call_in(self.netns, function)


@contextmanager
def device(dev: Device, netns: NetNs | None = None) -> Iterator[Place]:
    """The device, for as long as its network namespace has to be held.

    Raises:
        KernelError: ENODEV: there is no such device in that network namespace.
        TargetError: there is no such network namespace.
    """
    fd = None if netns is None else open_netns(netns)
    try:
        yield Place(*call_in(fd, lambda: _find(dev)), fd)
    finally:
        if fd is not None:
            fd.close()


def _find(dev: Device) -> tuple[str, int]:
    try:
        if isinstance(dev, int):
            return socket.if_indextoname(dev), dev
        return dev, socket.if_nametoindex(dev)
    except (OSError, OverflowError, ValueError) as failure:
        from difflib import get_close_matches

        there = {name: index for index, name in socket.if_nameindex()}
        near = get_close_matches(str(dev), list(there)) or list(there)[:8]
        shown = near if isinstance(dev, str) else [f"{name} ({there[name]})" for name in near]
        elsewhere = _elsewhere(dev)
        hint = (
            f"it is in the network namespace {elsewhere}: name that too"
            if elsewhere
            else f"there are: {', '.join(shown)}"
        )
        raise KernelError(f"no network device {dev!r} in this network namespace", errno=ENODEV, hint=hint) from failure


def _elsewhere(dev: Device) -> str:
    # a number says nothing: each namespace counts its own
    for name in namespaces.names() if isinstance(dev, str) else ():
        try:
            with open_netns(name) as other:
                there = call_in(other, socket.if_nameindex)
        except (RawbpfError, OSError):  # gone meanwhile, or not for us
            continue
        if dev in [found for _, found in there]:
            return name
    return ""
