# SPDX-License-Identifier: BSD-2-Clause
"""Ring buffers (``BPF_MAP_TYPE_RINGBUF``): what programs write, read in order and without loss while there is room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.kernel.streams.reader import Reader
from rawbpf.kernel.streams.ring import Ring
from rawbpf.kernel.streams.source import codec_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from typing_extensions import Self

    from rawbpf.btf.parse import Btf
    from rawbpf.kernel.maps import Map


class RingBuffer(Reader):
    """The reader of one ring buffer, or of several.

    >>> with rawbpf.RingBuffer(obj.maps["events"], type="struct event") as ring:
    ...     for event in ring:
    ...         print(event.pid, event.comm)

    ``for`` and ``async for`` give record after record; `poll` and `consume` hand them to a callback; `read` lists all
    that are there; `batches` gives the memory itself, many records at once, which is by far the fastest.

    A ring buffer has one reader. The position is in the kernel: a new reader goes on where the last one stopped.

    Args:
        map: a map of type RINGBUF.
        type: the C name of the records' type, such as ``struct event``; without it they are bytes.
        btf: where that type is; by default the BTF of the map's object, or of the programs that use the map.
        callback: for `poll` and `consume`.
        busy_poll: seconds to look again and again before sleeping.

    Raises:
        SpecError: another type of map; no such type.
        KernelError: it cannot be mapped.

    Requires Linux 5.8.
    """

    def __init__(
        self,
        map: Map,
        type: str | None = None,
        *,
        btf: Btf | None = None,
        callback: Callable[[Any], object] | None = None,
        busy_poll: float = 0.0,
    ) -> None:
        super().__init__(busy_poll=busy_poll)
        try:
            self.add(map, type, btf=btf, callback=callback)
        except BaseException:
            self.close()
            raise

    def add(
        self,
        map: Map,
        type: str | None = None,
        *,
        btf: Btf | None = None,
        callback: Callable[[Any], object] | None = None,
    ) -> Self:
        """Read another ring buffer too; records of the two come in turns. Arguments and errors as of the class."""
        self._add(Ring(map, codec=codec_for(map, type, btf), callback=callback))
        return self
