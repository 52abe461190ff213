# SPDX-License-Identifier: BSD-2-Clause
"""Objects that outlive their loader: what is pinned below a directory, and how to take it away again."""

from __future__ import annotations

import os
from typing import NamedTuple

from rawbpf.errors import KernelError, PermissionDeniedError, SpecError
from rawbpf.kernel import bpffs, syscall
from rawbpf.kernel.links import Link
from rawbpf.kernel.maps import Map
from rawbpf.pins import FOLDERS, PIN_ROOT
from rawbpf.uapi import MapType


class Loaded(NamedTuple):
    """An object: its name, its directory, and its pins."""

    name: str
    path: str
    pins: tuple[bpffs.PinnedFile, ...]

    def of_kind(self, kind: str) -> list[bpffs.PinnedFile]:
        """The pins of a kind: ``map``, ``program`` or ``link``."""
        return [pin for pin in self.pins if pin.kind == kind]


def loaded(path: str) -> Loaded:
    """The object whose pins are below a directory. Raises `SpecError` where there is none."""
    if not os.path.isdir(path) or not bpffs.is_bpffs(path):
        names = [other.name for other in loaded_objects()]
        raise SpecError(
            f"nothing is loaded at {path}",
            hint=f"loaded are: {', '.join(names)}" if names else f"nothing is loaded below {PIN_ROOT}",
        )
    return Loaded(os.path.basename(path.rstrip("/")), path, tuple(bpffs.pins(path)))


def loaded_objects(root: str = PIN_ROOT) -> list[Loaded]:
    """All objects below a directory."""
    try:
        names = sorted(os.listdir(root))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError as failure:
        number = failure.errno or 0
        raise PermissionDeniedError(f"{root} may not be read", errno=number, hint="run as root") from failure
    paths = [f"{root}/{name}" for name in names]
    return [loaded(path) for path in paths if os.path.isdir(path) and bpffs.is_bpffs(path)]


def unload(path: str) -> list[str]:
    """Detach and remove an object: its links first, then struct_ops without links, then everything else.

    Returns:
        The paths of the pins that were removed.

    Raises:
        SpecError: nothing is loaded there, or there is more than one object's pins.
        KernelError: something could not be removed.
    """
    found = loaded(path)
    if strange := sorted(set(os.listdir(path)) - set(FOLDERS)):
        raise SpecError(
            f"{path} is not where one object was pinned: there is {strange[0]!r} in it",
            hint="name an object, or its directory, as `rawbpf list` shows them",
        )
    for pin in found.of_kind("link"):
        # the descriptor is the last reference: its close(2) detaches before it returns, which unlink(2) does not
        with Link.open(pin.path):
            bpffs.unpin(pin.path)
    for pin in found.of_kind("map"):
        _unregister(pin.path)
    bpffs.remove_tree(path)
    _remove_empty_root(path)
    return [pin.path for pin in found.pins]


def _unregister(path: str) -> None:
    with Map.open(path) as map_:
        if map_.type != MapType.STRUCT_OPS:
            return
        try:
            syscall.map_delete_elem(map_.fileno(), bytes(4))
        except KernelError:
            # one that had a link cannot be deleted, and is out of use without it; the other was not registered
            return


def _remove_empty_root(path: str) -> None:
    parent = os.path.dirname(path.rstrip("/"))
    if parent == PIN_ROOT:
        bpffs.remove_directories([parent])
