# SPDX-License-Identifier: BSD-2-Clause
"""The memory of an arena (``BPF_MAP_TYPE_ARENA``, since Linux 6.9), shared with programs that point into it."""

from __future__ import annotations

import ctypes
import mmap

from rawbpf.errors import KernelError, errno_name, errno_text

_MAP_FIXED = 0x10


class ArenaMemory:
    """An arena, mapped. Pages come into being when they are touched, here or by a program.

    Python's mmap cannot ask for an address, and an arena made with one (``map_extra``) takes no other.

    Args:
        fd: the map.
        size: of the arena, in bytes.
        address: where it is to be, 0 for anywhere.

    Raises:
        KernelError: mmap(2) said no.
    """

    def __init__(self, fd: int, size: int, address: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        flags = mmap.MAP_SHARED | (_MAP_FIXED if address else 0)
        where = libc.mmap(address or None, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, fd, 0)
        if where is None or where == ctypes.c_void_p(-1).value:
            number = ctypes.get_errno()
            raise KernelError(
                f"the arena cannot be mapped: {errno_text(number)} ({errno_name(number)})",
                errno=number,
                command="mmap",
            )
        self._munmap = libc.munmap
        self._where = where
        self._size = size
        self._view = memoryview((ctypes.c_char * size).from_address(where)).cast("B")

    def __getitem__(self, part: slice) -> bytes:
        return bytes(self._view[part])

    def __setitem__(self, part: slice, data: bytes) -> None:
        self._view[part] = data

    def __len__(self) -> int:
        return self._size

    def close(self) -> None:
        """Unmap it. The map keeps its pages."""
        if self._size:
            self._view.release()
            self._munmap(self._where, self._size)
            self._size = 0
