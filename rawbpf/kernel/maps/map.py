# SPDX-License-Identifier: BSD-2-Clause
"""`Map`: a map in the kernel as a Python mapping."""

from __future__ import annotations

import mmap
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rawbpf.errors import KernelError, NotSupportedError, RawbpfError, SpecError, where
from rawbpf.kernel import host, syscall
from rawbpf.kernel.maps.bulk import BulkMap
from rawbpf.kernel.maps.refusals import missing
from rawbpf.uapi import Cmd, MapFlag, MapType, MapUpdateFlag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TypeAlias

    from rawbpf.kernel.arena import ArenaMemory
    from rawbpf.kernel.maps.memory import ArrayMemory

    Shape: TypeAlias = "int | str | Mapping[str, str]"

_ONE_CPU = MapUpdateFlag.F_CPU | MapUpdateFlag.F_ALL_CPUS


class Map(BulkMap):
    """A map. ``m[key]``, ``m[key] = value``, ``del m[key]``, ``key in m``, ``for key in m``, ``len(m)`` work.

    Keys and values are typed where the map has BTF, else bytes (docs/maps.md). What is read is a copy: changing it
    changes nothing in the map until it is set again, see `edit`. A per-CPU map's value is a list with one value for
    each possible CPU. Values of maps in maps, program arrays and other maps of descriptors are written as the thing
    itself (or its descriptor) and read as its id.

    Attributes:
        name: its name: that of the C variable, or from the kernel (15 bytes of it).
        type: a `MapType`, or a number that this version does not know.
        key_size, value_size, max_entries, map_flags, map_extra: as it was created; sizes in bytes.
        key_type_id, value_type_id: in its BTF, 0 for no type.
    """

    _memory: mmap.mmap | ArenaMemory | None = None

    @classmethod
    def create(
        cls,
        type: MapType | str,
        key: Shape = 0,
        value: Shape = 0,
        max_entries: int = 0,
        *,
        name: str = "",
        flags: int = 0,
        extra: int = 0,
        inner: Map | None = None,
    ) -> Map:
        """Make a map without an object file. It is closed, and gone, with this `Map`, unless it is pinned or used.

        Args:
            type: a `MapType`, or its name, such as ``"hash"``.
            key, value: a size in bytes, a C type (``"u32"``, ``"s64"``, ``"char[16]"``, ``"u8[6]"``), or a struct as
                a dict of its members' types by name. 0 where the type of map has none.
            max_entries: how many elements there may be.
            name: for the kernel, which keeps 15 bytes of it.
            flags: of `MapFlag`.
            extra: ``map_extra``, such as a bloom filter's number of hash functions.
            inner: for a map of maps: what its maps are like.

        Raises:
            SpecError: no such type of map, or of C.
            KernelError: the kernel refused, `NotSupportedError` if it has no such maps.
        """
        from rawbpf.kernel.maps.making import create

        return create(type, key, value, max_entries, name, flags, extra, inner)

    # -- the mapping

    def __getitem__(self, key: Any) -> Any:
        try:
            raw_key = self.encode_key(key)
            raw = self._elements.find(raw_key)
            if raw is None:
                raise missing(self, Cmd.MAP_LOOKUP_ELEM, raw_key)
            return self.value_codec.decode(raw)
        except RawbpfError as error:
            self._place(error)
            raise

    def __setitem__(self, key: Any, value: Any) -> None:
        try:
            self._elements.set(self.encode_key(key), self.encode_value(value))
        except RawbpfError as error:
            self._place(error)
            raise

    def __delitem__(self, key: Any) -> None:
        try:
            raw_key = self.encode_key(key)
            if not self._elements.delete(raw_key):
                raise missing(self, Cmd.MAP_DELETE_ELEM, raw_key)
        except RawbpfError as error:
            self._place(error)
            raise

    def __contains__(self, key: object) -> bool:
        """Whether there is such a key; for a bloom filter, whether there (probably) is such a value."""
        try:
            if self.type == MapType.BLOOM_FILTER:
                return self._elements.contains(self.encode_value(key))
            return self._find(self.encode_key(key)) is not None
        except RawbpfError as error:
            self._place(error)
            raise

    def __bool__(self) -> bool:
        return True  # a map that is empty is no less a map

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a key, or `default`."""
        try:
            raw = self._find(self.encode_key(key))
            return default if raw is None else self.value_codec.decode(raw)
        except RawbpfError as error:
            self._place(error)
            raise

    def _find(self, key: bytes) -> bytes | None:
        try:
            return self._elements.find(key)
        except KeyError:  # an index behind the end of an array, for some types of map
            return None

    def lookup(self, key: Any, flags: int = 0, *, cpu: int | None = None) -> Any:
        """As ``m[key]``, with flags.

        Args:
            key: the key.
            flags: `MapUpdateFlag.F_LOCK` to read a value with a ``bpf_spin_lock`` under that lock.
            cpu: of a per-CPU map, the value of this CPU alone. Requires Linux 7.0.
        """
        with where(symbol=self.name):
            flags, codec, size = self._by_cpu(flags, cpu)
            raw_key = self.encode_key(key)
            with self._cpu_flags(flags):
                raw = self._elements.find_by(flags, raw_key, size)
            if raw is None:
                raise missing(self, Cmd.MAP_LOOKUP_ELEM, raw_key)
            return codec.decode(raw)

    def update(self, key: Any, value: Any, flags: int = 0, *, cpu: int | None = None) -> None:
        """As ``m[key] = value``, with flags.

        Args:
            key, value: what to set.
            flags: `MapUpdateFlag`: ``NOEXIST`` for only a new element, ``EXIST`` for only one that is there, ``F_LOCK``
                to take the value's ``bpf_spin_lock``, ``F_ALL_CPUS`` to set one value for all CPUs of a per-CPU map
                (requires Linux 7.0).
            cpu: of a per-CPU map, set the value of this CPU alone. Requires Linux 7.0.

        Raises:
            SpecError: key or value does not fit its type.
            MapFullError, MapKeyExistsError, MapKeyError, MapAccessError: E2BIG, EEXIST, ENOENT, EPERM.
            KernelError: the kernel refused otherwise.
        """
        with where(symbol=self.name):
            flags, codec, size = self._by_cpu(flags, cpu)
            raw = value if isinstance(value, bytes) and len(value) == size else codec.encode(value)
            with self._cpu_flags(flags):
                self._elements.set_by(flags, self.encode_key(key), raw)

    def _by_cpu(self, flags: int, cpu: int | None) -> tuple[int, Any, int]:
        # flags, and the codec and size of the value that goes with them
        if cpu is None and not flags & _ONE_CPU:
            return flags, self.value_codec, self._room
        if not self.per_cpu:
            raise SpecError("the map has no values of CPUs", hint="leave cpu= and the flags F_CPU, F_ALL_CPUS away")
        if cpu is not None:
            if not 0 <= cpu < host.possible_cpus():
                raise SpecError(f"there is no CPU {cpu}: there are {host.possible_cpus()}, from 0")
            flags |= MapUpdateFlag.F_CPU | cpu << 32
        return flags, self._one, self.value_size

    @contextmanager
    def _cpu_flags(self, flags: int) -> Iterator[None]:
        # EINVAL is how kernels say that they do not know these flags
        try:
            yield
        except KernelError as error:
            from errno import EINVAL

            if flags & _ONE_CPU and error.errno == EINVAL:
                hint = "the values of all CPUs are read and set as a list: m[key]"
                what = "access to the value of one CPU"
                raise NotSupportedError(what, min_version="7.0", command=error.command, hint=hint) from None
            raise

    def lookup_and_delete(self, key: Any, flags: int = 0) -> Any:
        """Take a value out, in one step. Hash maps, requires Linux 5.14. Raises `MapKeyError`."""
        with where(symbol=self.name):
            return self._take(self.encode_key(key), flags)

    @contextmanager
    def edit(self, key: Any) -> Iterator[Any]:
        """``with m.edit(key) as value: value.packets = 0``: read a value, and set it when the block is left.

        What programs write meanwhile is overwritten: for that there is shared memory (`array`), or a lock in the value.
        Nothing is set when the block raises. Raises `MapKeyError`, also when the element is gone at the end.
        """
        value = self[key]
        yield value
        self.update(key, value, MapUpdateFlag.EXIST)

    def inner(self, key: Any) -> Map:
        """The map that a map of maps holds, opened: close it. Requires root. Raises `MapKeyError`."""
        if self.type not in (MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS):
            raise SpecError("the map holds no maps", symbol=self.name)
        return Map.by_id(self[key])

    # -- queues, stacks, bloom filters

    def push(self, value: Any, *, drop_oldest: bool = False) -> None:
        """Put a value into a queue, a stack or a bloom filter.

        Raises `MapFullError` when a queue or stack is full, unless the oldest value is to go.
        """
        flags = MapUpdateFlag.EXIST if drop_oldest else MapUpdateFlag.ANY
        with where(symbol=self.name):
            self._elements.set_by(flags, b"", self.encode_value(value))

    def pop(self) -> Any:
        """Take the next value out of a queue or stack. Raises `MapKeyError` when it is empty."""
        with where(symbol=self.name):
            return self._take(b"")

    def peek(self) -> Any:
        """The next value, which stays. Raises `MapKeyError` when there is none."""
        return self[b""]

    def _take(self, key: bytes, flags: int = 0) -> Any:
        raw = self._elements.take(key, flags)
        if raw is None:
            raise missing(self, Cmd.MAP_LOOKUP_AND_DELETE_ELEM, key)
        return self.value_codec.decode(raw)

    # -- the rest

    def raw_value(self, key: bytes) -> bytes:
        """The bytes of a value, by the bytes of its key. Raises `MapKeyError`."""
        raw = self._elements.find(key)
        if raw is None:
            raise missing(self, Cmd.MAP_LOOKUP_ELEM, key)
        return raw

    def memory(self) -> mmap.mmap | ArenaMemory | None:
        """The values of an array map, or an arena, as memory shared with the programs; None if it is not MMAPABLE.

        Element i is at ``i * value_size`` rounded up to 8 bytes. The memory is read-only when the map is frozen, and
        belongs to the map: it goes when the map is closed. Requires Linux 5.5.
        """
        if self._memory is None and self.type == MapType.ARENA:
            from rawbpf.kernel.arena import ArenaMemory

            with where(symbol=self.name):
                self._memory = ArenaMemory(self.fileno(), self.max_entries * mmap.PAGESIZE, self.map_extra)
        elif self._memory is None and self.map_flags & MapFlag.MMAPABLE:
            size = self._step * self.max_entries
            try:
                self._memory = mmap.mmap(self.fileno(), size)
            except PermissionError:
                self._memory = mmap.mmap(self.fileno(), size, prot=mmap.PROT_READ)
        return self._memory

    @property
    def array(self) -> ArrayMemory:
        """The elements of an array map in the memory that it shares with the programs: no system call is made.

        ``m.array[i]`` and ``m.array[i] = value`` are typed as ``m[i]`` is. Raises `SpecError` if it is not MMAPABLE.
        """
        from rawbpf.kernel.maps.memory import ArrayMemory

        memory = self.memory() if self.type == MapType.ARRAY else None
        if not isinstance(memory, mmap.mmap):
            hint = "give the array map_flags BPF_F_MMAPABLE"
            raise SpecError("the map shares no memory with this process", symbol=self.name, hint=hint)
        return ArrayMemory(memory, self.value_codec, self._step, self.max_entries)

    def close(self) -> None:
        """Close the descriptor, and the shared memory."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None
        super().close()

    def freeze(self) -> None:
        """No more writes by system call, for good. Requires Linux 5.2."""
        with where(symbol=self.name):
            syscall.map_freeze(self.fileno())
