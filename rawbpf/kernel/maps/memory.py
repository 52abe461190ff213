# SPDX-License-Identifier: BSD-2-Clause
"""The elements of an array map in memory that is shared with programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rawbpf.errors import MapAccessError, SpecError

if TYPE_CHECKING:
    import mmap

    from rawbpf.btf.codec import Codec


class ArrayMemory(Sequence[Any]):
    """A sequence of typed values. What is read is a copy; programs see at once what is set.

    Values of up to 8 bytes are not torn by a program that writes them meanwhile; longer ones may be.

    Args:
        memory: of the map, `step` bytes for each of its `length` elements.
        codec: of the values.
    """

    def __init__(self, memory: mmap.mmap, codec: Codec, step: int, length: int) -> None:
        self._memory = memory
        self._codec = codec
        self._step = step
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._length))]
        return self._codec.decode(self._memory, self._at(index))

    def __setitem__(self, index: int, value: Any) -> None:
        at = self._at(index)
        data = self._codec.encode(value)
        try:
            self._memory[at : at + len(data)] = data
        except TypeError:
            raise MapAccessError("the map is frozen: its memory is read-only", errno=1, command="mmap") from None

    def _at(self, index: Any) -> int:
        if not isinstance(index, int):
            raise SpecError(f"an index is a number, not {index!r}")
        if not -self._length <= index < self._length:
            raise IndexError(f"there are {self._length} elements, no number {index}")
        return index % self._length * self._step
