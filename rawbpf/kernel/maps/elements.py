# SPDX-License-Identifier: BSD-2-Clause
"""The elements of a map as bytes, one at a time, on the shortest way to the kernel.

A call takes a *desk*: the attr of a call and the buffers that it points to, made once and used again. Each call has a
desk of its own while it lasts, so threads and signal handlers do not meet there.
"""

from __future__ import annotations

import struct
from errno import ENOENT
from typing import TYPE_CHECKING

from rawbpf.kernel.gate import Prepared, address
from rawbpf.uapi import Cmd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from rawbpf.errors import KernelError
    from rawbpf.kernel.fd import Fd

    Refuse: TypeAlias = Callable[[Cmd, int, bytes], KernelError]
    """Makes the error of a command, an errno and the bytes of a key."""

_ELEM = struct.Struct("=I4xQQQ")  # map_fd, key, value or next_key, flags
_FLAGS = struct.Struct("=Q")
_TO_KEY, _TO_VALUE, _TO_FLAGS = 16, 24, 32
"""How much of it a command may be shown: the kernel refuses bytes behind a command's last field that are not 0."""


class _Desk:
    __slots__ = ("_attr", "delete", "key", "lookup", "take", "update", "value")

    def __init__(self, fd: int, key_size: int, room: int) -> None:
        key, value = bytearray(key_size), bytearray(room)
        self._attr = bytearray(_ELEM.pack(fd, address(key), address(value), 0))
        self.key, self.value = memoryview(key), memoryview(value)  # which cannot be resized
        self.lookup = Prepared(Cmd.MAP_LOOKUP_ELEM, self._attr, _TO_FLAGS)
        self.take = Prepared(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, self._attr, _TO_FLAGS)
        self.update = Prepared(Cmd.MAP_UPDATE_ELEM, self._attr, _TO_FLAGS)
        self.delete = Prepared(Cmd.MAP_DELETE_ELEM, self._attr, _TO_KEY)

    def flags(self, flags: int) -> None:
        _FLAGS.pack_into(self._attr, _TO_VALUE, flags)


class Elements:
    """The elements of a map, as bytes of the right size (others are a `ValueError`).

    Args:
        fd: the map.
        key_size: bytes of a key, 0 for queues, stacks and bloom filters.
        room: bytes that the kernel writes for a value.
        refuse: makes the error of a command that failed.
    """

    def __init__(self, fd: Fd, key_size: int, room: int, refuse: Refuse) -> None:
        self._fd = fd
        self._key_size = key_size
        self._room = room
        self._refuse = refuse
        self._desks: list[_Desk] = []

    def _desk(self) -> _Desk:
        if self._fd.closed:
            self._fd.fileno()  # says so
        try:
            return self._desks.pop()
        except IndexError:
            return _Desk(self._fd.fileno(), self._key_size, self._room)

    def find(self, key: bytes) -> bytes | None:
        """A value, None if there is none."""
        desk = self._desk()
        try:
            desk.key[:] = key
            number = desk.lookup()
            if not number:
                return bytes(desk.value)
        finally:
            self._desks.append(desk)
        if number == ENOENT:
            return None
        raise self._refuse(Cmd.MAP_LOOKUP_ELEM, number, key)

    def set(self, key: bytes, value: bytes) -> None:
        """Set a value, whether there is one or not."""
        desk = self._desk()
        try:
            desk.key[:] = key
            desk.value[:] = value
            number = desk.update()
        finally:
            self._desks.append(desk)
        if number:
            raise self._refuse(Cmd.MAP_UPDATE_ELEM, number, key)

    def delete(self, key: bytes) -> bool:
        """Delete an element; whether there was one."""
        desk = self._desk()
        try:
            desk.key[:] = key
            number = desk.delete()
        finally:
            self._desks.append(desk)
        if number and number != ENOENT:
            raise self._refuse(Cmd.MAP_DELETE_ELEM, number, key)
        return not number

    def contains(self, value: bytes) -> bool:
        """Whether a bloom filter has a value."""
        desk = self._desk()
        try:
            desk.value[:] = value
            number = desk.lookup()
        finally:
            self._desks.append(desk)
        if number and number != ENOENT:
            raise self._refuse(Cmd.MAP_LOOKUP_ELEM, number, b"")
        return not number

    # -- with flags, which are not what a program does all the time

    def find_by(self, flags: int, key: bytes, size: int) -> bytes | None:
        """As `find`: the first `size` bytes of the value."""
        desk = self._desk()
        desk.flags(flags)
        try:
            desk.key[:] = key
            number = desk.lookup()
            if not number:
                return bytes(desk.value[:size])
        finally:
            desk.flags(0)
            self._desks.append(desk)
        if number == ENOENT:
            return None
        raise self._refuse(Cmd.MAP_LOOKUP_ELEM, number, key)

    def set_by(self, flags: int, key: bytes, value: bytes) -> None:
        """As `set`; the value may be shorter than the room."""
        desk = self._desk()
        desk.flags(flags)
        try:
            desk.key[:] = key
            desk.value[: len(value)] = value
            number = desk.update()
        finally:
            desk.flags(0)
            self._desks.append(desk)
        if number:
            raise self._refuse(Cmd.MAP_UPDATE_ELEM, number, key)

    def take(self, key: bytes, flags: int = 0) -> bytes | None:
        """A value, which is deleted; None if there is none."""
        desk = self._desk()
        desk.flags(flags)
        try:
            desk.key[:] = key
            number = desk.take()
            if not number:
                return bytes(desk.value)
        finally:
            desk.flags(0)
            self._desks.append(desk)
        if number == ENOENT:
            return None
        raise self._refuse(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, number, key)

    # -- all keys

    def keys(self) -> Iterator[bytes]:
        """The keys as the kernel goes through them.

        When the key is deleted on which the walk stands, the kernel starts again at the first: the walk may be longer
        than the map, and a key may come twice.
        """
        key, following = bytearray(self._key_size), bytearray(self._key_size)
        attr = bytearray(_ELEM.pack(self._fd.fileno(), 0, address(following), 0))
        number = Prepared(Cmd.MAP_GET_NEXT_KEY, attr, _TO_VALUE)()
        attr[:] = _ELEM.pack(self._fd.fileno(), address(key), address(following), 0)
        step = Prepared(Cmd.MAP_GET_NEXT_KEY, attr, _TO_VALUE)
        while not number:
            key[:] = following
            yield bytes(key)
            if self._fd.closed:
                self._fd.fileno()
            number = step()
        if number != ENOENT:  # which is the end
            raise self._refuse(Cmd.MAP_GET_NEXT_KEY, number, bytes(key))
