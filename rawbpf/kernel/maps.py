# SPDX-License-Identifier: BSD-2-Clause
"""Maps in the kernel, as Python mappings: keys and values are typed where the map has BTF, else bytes."""

from __future__ import annotations

import mmap
import struct
from errno import ENOENT
from typing import TYPE_CHECKING, Any

from rawbpf.errors import KernelError, SpecError, where
from rawbpf.kernel import host, info, syscall
from rawbpf.kernel.pinnable import Pinnable
from rawbpf.uapi import Cmd, MapFlag, MapType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from typing_extensions import Self

    from rawbpf.btf.parse import Btf
    from rawbpf.btf.value import Codec
    from rawbpf.kernel.arena import ArenaMemory
    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.info import MapInfo

    BtfSource: TypeAlias = "Callable[[], Btf | None]"

_PER_CPU = frozenset(
    {
        MapType.PERCPU_HASH,
        MapType.PERCPU_ARRAY,
        MapType.LRU_PERCPU_HASH,
        MapType.PERCPU_CGROUP_STORAGE,
    }
)
# Keys are an index of 32 bits, with or without BTF
_INDEXED = frozenset(
    {
        MapType.ARRAY,
        MapType.PERCPU_ARRAY,
        MapType.PROG_ARRAY,
        MapType.PERF_EVENT_ARRAY,
        MapType.CGROUP_ARRAY,
        MapType.ARRAY_OF_MAPS,
        MapType.DEVMAP,
        MapType.SOCKMAP,
        MapType.CPUMAP,
        MapType.XSKMAP,
        MapType.REUSEPORT_SOCKARRAY,
        MapType.STRUCT_OPS,
        MapType.INSN_ARRAY,
    }
)
# Values are written as a descriptor, and read as an id where the kernel lets them be read
_OF_FDS = frozenset(
    {
        MapType.PROG_ARRAY,
        MapType.PERF_EVENT_ARRAY,
        MapType.CGROUP_ARRAY,
        MapType.ARRAY_OF_MAPS,
        MapType.HASH_OF_MAPS,
        MapType.SOCKMAP,
        MapType.SOCKHASH,
        MapType.XSKMAP,
        MapType.REUSEPORT_SOCKARRAY,
    }
)


class Map(Pinnable):
    """A map. ``m[key]``, ``m[key] = value``, ``del m[key]``, ``key in m``, ``for key in m``, ``len(m)`` work.

    A per-CPU map's value is a list with one value for each possible CPU. Values of maps in maps, program arrays and
    other maps of descriptors are written as the thing itself (or its descriptor) and read as its id.

    Attributes:
        name: its name: that of the C variable, or from the kernel (15 bytes of it).
        type: a `MapType`, or a number that this version does not know.
        key_size, value_size, max_entries, map_flags, map_extra: as it was created; sizes in bytes.
    """

    _by_id = Cmd.MAP_GET_FD_BY_ID
    _kind = "map"

    def __init__(
        self,
        fd: Fd,
        name: str,
        *,
        type: MapType | int,
        key_size: int,
        value_size: int,
        max_entries: int,
        map_flags: int = 0,
        map_extra: int = 0,
        btf: BtfSource | None = None,
        key_type_id: int = 0,
        value_type_id: int = 0,
    ) -> None:
        super().__init__(fd)
        self.name = name
        self.type = type
        self.key_size = key_size
        self.value_size = value_size
        self.max_entries = max_entries
        self.map_flags = map_flags
        self.map_extra = map_extra
        self.key_type_id = key_type_id
        self.value_type_id = value_type_id
        self._btf = btf
        self._codecs: dict[int, Codec | None] = {}
        self._memory: mmap.mmap | ArenaMemory | None = None

    @classmethod
    def _adopt(cls, fd: Fd) -> Self:
        about = info.map_info(fd.fileno())
        return cls(
            fd,
            about.name,
            type=about.type,
            key_size=about.key_size,
            value_size=about.value_size,
            max_entries=about.max_entries,
            map_flags=about.map_flags,
            map_extra=about.map_extra,
            btf=lambda: _kernel_btf(about.btf_id),
            key_type_id=about.btf_key_type_id,
            value_type_id=about.btf_value_type_id,
        )

    @property
    def info(self) -> MapInfo:
        """What the kernel knows of it."""
        return info.map_info(self.fileno())

    @property
    def id(self) -> int:
        """The kernel's number of it."""
        return self.info.id

    @property
    def btf(self) -> Btf | None:
        """The BTF of its keys and values, if it has any."""
        return self._btf() if self._btf and (self.key_type_id or self.value_type_id) else None

    @property
    def per_cpu(self) -> bool:
        """Whether each CPU has a value of its own."""
        return self.type in _PER_CPU

    # -- the mapping

    def __getitem__(self, key: Any) -> Any:
        with where(symbol=self.name):
            return self._read(syscall.map_lookup_elem(self.fileno(), self.encode_key(key), self._room))

    def __setitem__(self, key: Any, value: Any) -> None:
        self.update(key, value)

    def __delitem__(self, key: Any) -> None:
        with where(symbol=self.name):
            syscall.map_delete_elem(self.fileno(), self.encode_key(key))

    def __contains__(self, key: object) -> bool:
        return self.get(key, _MISSING) is not _MISSING

    def __iter__(self) -> Iterator[Any]:
        return map(self.decode_key, self._keys())

    def __len__(self) -> int:
        """The number of elements there are now, counted one by one (an array always has all of them)."""
        return sum(1 for _ in self._keys())

    def __bool__(self) -> bool:
        return True  # a map that is empty is no less a map

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a key, or `default`."""
        try:
            return self[key]
        except KeyError:
            return default

    def keys(self) -> Iterator[Any]:
        """The keys. Each comes once, also when elements are deleted meanwhile."""
        return iter(self)

    def values(self) -> Iterator[Any]:
        """The values."""
        return (value for _, value in self.items())

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Keys with values. What is deleted meanwhile may or may not be among them."""
        for key in self._keys():
            try:
                raw = syscall.map_lookup_elem(self.fileno(), key, self._room)
            except KernelError as failure:
                if failure.errno == ENOENT:
                    continue
                raise
            yield self.decode_key(key), self._read(raw)

    def update(self, key: Any, value: Any, flags: int = 0) -> None:
        """Set a value; with `MapUpdateFlag.NOEXIST` only a new one, with `EXIST` only one that is there.

        Raises:
            SpecError: key or value does not fit its type.
            KernelError: E2BIG when the map is full, EEXIST or ENOENT by the flags, EPERM when it is frozen.
        """
        with where(symbol=self.name):
            syscall.map_update_elem(self.fileno(), self.encode_key(key), self.encode_value(value), flags)

    def lookup_and_delete(self, key: Any) -> Any:
        """Take a value out, in one step. Hash maps, requires Linux 5.14. Raises `MapKeyError`."""
        return self._take(self.encode_key(key))

    def clear(self) -> None:
        """Delete all elements."""
        for key in self._keys():
            try:
                syscall.map_delete_elem(self.fileno(), key)
            except KeyError:
                continue

    def _keys(self) -> Iterator[bytes]:
        # The next key is asked for before one is handed out, so the user may delete that one. When the kernel's side
        # deletes the key that we stand on, the kernel starts again at the first: what was seen is not told twice, and
        # the walk ends after so many steps that only a map that changes all the time can have caused them.
        seen: set[bytes] = set()
        key = syscall.map_get_next_key(self.fileno(), None, self.key_size)
        for _ in range(4 * self.max_entries + 64):
            if key is None:
                return
            following = syscall.map_get_next_key(self.fileno(), key, self.key_size)
            if key not in seen:
                seen.add(key)
                yield key
            key = following

    # -- queues and stacks

    def push(self, value: Any, *, drop_oldest: bool = False) -> None:
        """Put a value into a queue, a stack or a bloom filter. Raises `KernelError` with E2BIG when it is full."""
        with where(symbol=self.name):
            syscall.map_update_elem(self.fileno(), b"", self.encode_value(value), 2 if drop_oldest else 0)

    def pop(self) -> Any:
        """Take the next value out of a queue or stack. Raises `MapKeyError` when it is empty."""
        return self._take(b"")

    def peek(self) -> Any:
        """The next value, which stays. Raises `MapKeyError` when there is none."""
        with where(symbol=self.name):
            return self._read(syscall.map_lookup_elem(self.fileno(), b"", self._room))

    def _take(self, key: bytes) -> Any:
        command = Cmd.MAP_LOOKUP_AND_DELETE_ELEM
        with where(symbol=self.name):
            return self._read(syscall.map_lookup_elem(self.fileno(), key, self._room, command=command))

    # -- bytes and values

    def encode_key(self, key: Any) -> bytes:
        """The bytes of a key. Raises `SpecError`."""
        codec = self._codec(self.key_type_id, self.key_size)
        if codec is None and self.type in _INDEXED and isinstance(key, int) and 0 <= key < 1 << 32:
            return struct.pack("=I", key)
        return self._encode("key", codec, key, self.key_size)

    def decode_key(self, raw: bytes) -> Any:
        """The key of its bytes."""
        codec = self._codec(self.key_type_id, self.key_size)
        if codec is None and self.type in _INDEXED:
            return struct.unpack("=I", raw)[0]
        return codec.decode(raw) if codec else raw

    def encode_value(self, value: Any) -> bytes:
        """The bytes of a value: for a per-CPU map of a list with a value for each possible CPU. Raises `SpecError`."""
        if self.type in _OF_FDS and not isinstance(value, (bytes, bytearray)):
            return struct.pack("=i", value if isinstance(value, int) else value.fileno()).ljust(self.value_size, b"\0")
        codec = self._codec(self.value_type_id, self.value_size)
        if not self.per_cpu:
            return self._encode("value", codec, value, self.value_size)
        cpus = host.possible_cpus()
        if not isinstance(value, (list, tuple)) or len(value) != cpus:
            raise SpecError(f"the value of a per-CPU map is a list of {cpus} values, one for each possible CPU")
        return b"".join(self._encode("value", codec, one, self.value_size).ljust(self._step, b"\0") for one in value)

    def _read(self, raw: bytes) -> Any:
        if self.type in _OF_FDS:
            return struct.unpack_from("=I", raw)[0]
        codec = self._codec(self.value_type_id, self.value_size)
        if not self.per_cpu:
            return codec.decode(raw) if codec else raw
        parts = (raw[at : at + self.value_size] for at in range(0, len(raw), self._step))
        return [codec.decode(part) if codec else part for part in parts]

    def _encode(self, what: str, codec: Codec | None, value: Any, size: int) -> bytes:
        raw = value if codec is None or isinstance(value, (bytes, bytearray, memoryview)) else codec.encode(value)
        if not isinstance(raw, (bytes, bytearray, memoryview)):
            raise SpecError(f"the map has no type for its {what}: give {size} bytes, not {type(value).__name__}")
        if len(raw) != size:
            raise SpecError(f"the {what} has {len(raw)} bytes; the map's have {size}")
        return bytes(raw)

    def _codec(self, type_id: int, size: int) -> Codec | None:
        if type_id not in self._codecs:
            codec = None
            btf = self._btf() if type_id and self._btf else None
            if btf is not None:
                from rawbpf.btf.value import codec as make

                codec = make(btf, type_id)
            self._codecs[type_id] = codec if codec and codec.size == size else None
        return self._codecs[type_id]

    @property
    def _step(self) -> int:
        return (self.value_size + 7) // 8 * 8

    @property
    def _room(self) -> int:
        # what the kernel writes for a value
        return self._step * host.possible_cpus() if self.per_cpu else self.value_size

    def raw_value(self, key: bytes) -> bytes:
        """The bytes of a value, by the bytes of its key. Raises `MapKeyError`."""
        with where(symbol=self.name):
            return syscall.map_lookup_elem(self.fileno(), key, self._room)

    # -- the rest

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

    def __repr__(self) -> str:
        kind = self.type.name.lower() if isinstance(self.type, MapType) else f"type {self.type}"
        return f"<Map {self.name!r} {kind}{' closed' if self.closed else ''}>"


_MISSING = object()


def _kernel_btf(number: int) -> Btf | None:
    # The BTF blob with that id, parsed
    if not number:
        return None
    from rawbpf.btf.parse import Btf

    with syscall.get_fd_by_id(Cmd.BTF_GET_FD_BY_ID, number) as fd:
        return Btf(info.btf_data(fd.fileno()), name=f"BTF id {number}")
