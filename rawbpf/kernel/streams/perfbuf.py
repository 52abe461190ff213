# SPDX-License-Identifier: BSD-2-Clause
"""Perf buffers (``BPF_MAP_TYPE_PERF_EVENT_ARRAY``): one buffer for each CPU, and counts of what found no room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from rawbpf.errors import MapKeyError, SpecError, where
from rawbpf.kernel import host, perf_event
from rawbpf.kernel.streams import perf_output
from rawbpf.kernel.streams.perf_ring import PerfRing
from rawbpf.kernel.streams.reader import Reader
from rawbpf.kernel.streams.source import codec_for, expect_type
from rawbpf.uapi import MapType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rawbpf.btf.parse import Btf
    from rawbpf.kernel.maps import Map


class PerfBuffer(Reader):
    """The reader of what programs write with ``bpf_perf_event_output``. A `RingBuffer` is read in the same ways.

    >>> with rawbpf.PerfBuffer(obj.maps["events"], type="struct event") as events:
    ...     for event in events:
    ...         print(event.pid)
    ...     print(events.lost)

    Records of one CPU are in order, those of different CPUs come as they are found. perf pads a record to a multiple of
    8 bytes less 4. A batch knows its CPU. The map has one reader for each CPU, and none when that is closed.

    Args:
        map: a map of type PERF_EVENT_ARRAY.
        type: the C name of the records' type; without it they are bytes.
        btf: where that type is; by default the BTF of the map's object, or of the programs that use the map.
        pages: of each CPU's buffer, a power of two.
        callback: for `poll` and `consume`.
        on_lost: called with a CPU and the number of its records that were lost since the last time.
        cpus: which CPUs, by default all that are on; as a mapping, each with its key in the map, which is otherwise
            the CPU's own number. A CPU that is off is left out: see `add_cpus`.
        wakeup_events: wake the reader after so many records of a CPU.
        wakeup_bytes: wake it after so many bytes instead.
        busy_poll: seconds to look again and again before sleeping.

    Raises:
        SpecError: another type of map; no such type; not a power of two of pages; a CPU for which the map has no place.
        KernelError: perf_event_open(2) or mmap(2) said no.

    Requires Linux 4.4.
    """

    def __init__(
        self,
        map: Map,
        type: str | None = None,
        *,
        btf: Btf | None = None,
        pages: int = 64,
        callback: Callable[[Any], object] | None = None,
        on_lost: Callable[[int, int], object] | None = None,
        cpus: Iterable[int] | Mapping[int, int] | None = None,
        wakeup_events: int = 1,
        wakeup_bytes: int = 0,
        busy_poll: float = 0.0,
    ) -> None:
        expect_type(map, MapType.PERF_EVENT_ARRAY)
        if pages < 1 or pages & (pages - 1):
            raise SpecError(f"a perf buffer of {pages} pages cannot be: it takes a power of two")
        super().__init__(busy_poll=busy_poll)
        self._map = map
        self._pages = pages
        self._wakeup = {"wakeup_events": wakeup_events, "wakeup_bytes": wakeup_bytes}
        self._keys: dict[int, int] = {}
        self._wanted = dict(cpus) if isinstance(cpus, Mapping) else None if cpus is None else {cpu: cpu for cpu in cpus}
        try:
            codec = codec_for(map, type, btf)
            self._more: dict[str, Any] = {"name": map.name, "codec": codec, "callback": callback, "lost": on_lost}
            self.add_cpus()
        except BaseException:
            self.close()
            raise

    def add_cpus(self) -> list[int]:
        """Open the buffers of CPUs that were off until now, or at some time since. What they wrote meanwhile is lost.

        Returns:
            The CPUs that are new.
        """
        for ring in self._rings():  # when a CPU is on again the kernel does not go on with the event that it had before
            if ring.cpu in self._keys and not perf_output.is_running(ring.fd):
                del self._keys[ring.cpu]
        wanted = self._wanted
        if wanted is None:
            wanted = {cpu: cpu for cpu in host.online_cpus() if cpu < self._map.max_entries}
        new = [cpu for cpu in wanted if cpu not in self._keys]
        return [cpu for cpu in new if self._open_cpu(cpu, wanted[cpu])]

    def _rings(self) -> list[PerfRing]:
        return cast("list[PerfRing]", self._sources)

    def _open_cpu(self, cpu: int, key: int) -> bool:
        if not 0 <= cpu < host.possible_cpus() or not 0 <= key < self._map.max_entries:
            raise SpecError(
                f"{self._map.name} has {self._map.max_entries} places, and the machine {host.possible_cpus()} CPUs: "
                f"there is no CPU {cpu} with key {key}"
            )
        fd = perf_output.open_output(cpu, **self._wakeup)
        if fd is None:
            return False
        try:
            ring = PerfRing(fd, cpu, self._pages, **self._more)
        except BaseException:
            fd.close()
            raise
        self._add(ring)
        with where(symbol=self._map.name):
            self._keys[cpu] = key
            self._map[key] = fd
            perf_event.enable(fd)
        return True

    @property
    def cpus(self) -> list[int]:
        """The CPUs whose buffers are open."""
        return sorted(self._keys)

    @property
    def lost(self) -> dict[int, int]:
        """Records lost for want of room, by CPU. The kernel tells when a record of that CPU finds room again."""
        counts = dict.fromkeys(sorted(ring.cpu for ring in self._rings()), 0)
        for ring in self._rings():
            counts[ring.cpu] += ring.lost
        return counts

    def close(self) -> None:
        """Close it. The map's places for it become empty."""
        for key in self._keys.values():
            if not self._map.closed:
                try:
                    del self._map[key]
                except MapKeyError:
                    pass
        self._keys = {}
        super().close()
