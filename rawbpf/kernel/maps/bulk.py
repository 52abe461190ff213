# SPDX-License-Identifier: BSD-2-Clause
"""Many elements of a map: going through them, setting, deleting and taking them by the thousand."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from rawbpf.errors import NotSupportedError, RawbpfError, SpecError
from rawbpf.kernel.info import kind_name
from rawbpf.kernel.maps.base import MapBase
from rawbpf.kernel.maps.batch import WALKED, WRITTEN, NoBatch
from rawbpf.kernel.maps.refusals import ARRAYS, missing
from rawbpf.uapi import Cmd, MapType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from typing_extensions import Buffer

    from rawbpf.btf.codec import Codec


class BulkMap(MapBase):
    """A map, with what concerns many of its elements.

    Where the kernel has batches for the type of map (hash maps and arrays), thousands of elements are a system call.
    """

    def __iter__(self) -> Iterator[Any]:
        return self.keys()

    def __len__(self) -> int:
        """The number of elements there are now, counted one by one (an array always has all of them)."""
        if self.type in ARRAYS:
            return self.max_entries
        try:
            return sum(len(keys) for keys, _ in self._walk()) // self.key_size
        except NoBatch:
            return sum(1 for _ in self._single_keys())

    def keys(self) -> Iterator[Any]:
        """The keys. Each comes once, also when elements are deleted meanwhile, here or by programs."""
        try:
            for keys, _ in self._walk():
                yield from self.key_codec.decode_many(keys)
        except NoBatch:
            yield from map(self.decode_key, self._single_keys())

    def values(self) -> Iterator[Any]:
        """The values."""
        return (value for _, value in self.items())

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Keys with values. What is set or deleted meanwhile may or may not be among them."""
        return chain.from_iterable(self._pairs(Cmd.MAP_LOOKUP_BATCH, self._single_items))

    def raw_items(self) -> Iterator[tuple[bytes, bytes]]:
        """As `items`, in bytes: of a per-CPU map each value is rounded up to 8 bytes."""
        try:
            for keys, values in self._walk():
                yield from zip(_split(keys, self.key_size), _split(values, self._room), strict=True)
        except NoBatch:
            yield from self._single_items()

    def take_all(self) -> Iterator[tuple[Any, Any]]:
        """Take the elements out: keys with values. They are deleted while one goes through them, chunk by chunk.

        Hash maps; requires Linux 5.6 (`PERCPU_HASH` and `LRU` ones too), and 5.14 for what has no batches.
        """
        return chain.from_iterable(self._pairs(Cmd.MAP_LOOKUP_AND_DELETE_BATCH, self._single_takes))

    def clear(self) -> None:
        """Delete all elements. Those of arrays cannot be deleted: `KernelError`."""
        if self.type in (MapType.QUEUE, MapType.STACK):
            while self._elements.take(b"") is not None:
                pass
            return
        try:
            for _ in self._walk(Cmd.MAP_LOOKUP_AND_DELETE_BATCH):
                pass
        except NoBatch:
            for key in self._single_keys():
                self._elements.delete(key)

    def update_many(self, items: Mapping[Any, Any] | Iterable[tuple[Any, Any]], flags: int = 0) -> None:
        """Set many values, from a mapping or from pairs. Those before one that is refused are set.

        Args:
            items: keys with values.
            flags: as for `update`.

        Raises:
            SpecError, KernelError: as `update`.
        """
        try:
            for keys, values in _columns(items, self._batch.chunk):
                self._update_chunk(keys, values, flags)
        except RawbpfError as error:
            self._place(error)
            raise

    def _update_chunk(self, keys: Sequence[Any], values: Sequence[Any], flags: int) -> None:
        if self.type in WRITTEN:
            raw_keys = _encode_many(self.key_codec, keys, self.encode_key)
            raw_values = _encode_many(self.value_codec, values, self.encode_value)
            try:
                return self._batch.update(raw_keys, raw_values, len(keys), flags)
            except NoBatch:
                pass
        for key, value in zip(keys, values, strict=True):
            self._elements.set_by(flags, self.encode_key(key), self.encode_value(value))
        return None

    def delete_many(self, keys: Iterable[Any], *, missing_ok: bool = False) -> int:
        """Delete many elements: how many there were.

        Args:
            keys: their keys.
            missing_ok: go on where there is no such key.

        Raises:
            MapKeyError: a key is missing; those before it are deleted.
        """
        given, deleted = iter(keys), 0
        try:
            while chunk := list(islice(given, self._batch.chunk)):
                raw = _encode_many(self.key_codec, chunk, self.encode_key)
                deleted += self._delete_chunk(raw, missing_ok)
        except RawbpfError as error:
            self._place(error)
            raise
        return deleted

    def _delete_chunk(self, keys: bytes, missing_ok: bool) -> int:
        at = deleted = 0
        while at < len(keys):
            done = self._delete_run(keys, at)
            deleted += done
            at += done * self.key_size
            if at < len(keys):
                if not missing_ok:
                    raise missing(self, Cmd.MAP_DELETE_ELEM, keys[at : at + self.key_size])
                at += self.key_size
        return deleted

    def _delete_run(self, keys: bytes, start: int) -> int:
        # how many were deleted before the first that is missing
        size = self.key_size
        if self.type in WRITTEN:
            try:
                return self._batch.delete(keys, start)
            except NoBatch:
                pass
        for at in range(start, len(keys), size):
            if not self._elements.delete(keys[at : at + size]):
                return (at - start) // size
        return (len(keys) - start) // size

    # -- buffers: elements one behind the other, which nothing converts

    def chunks(self, *, take: bool = False) -> Iterator[tuple[memoryview, memoryview]]:
        """All elements in buffers: keys and values one behind the other, thousands at a time, good until the next ones.

        ``array.array`` and NumPy read them; values of a per-CPU map are rounded up to 8 bytes each.

        Args:
            take: delete the elements that are handed out.

        Raises:
            NotSupportedError: the kernel has no batches for this type of map. Hash maps and arrays, requires Linux 5.6.
        """
        command = Cmd.MAP_LOOKUP_AND_DELETE_BATCH if take else Cmd.MAP_LOOKUP_BATCH
        try:
            yield from self._walk(command)
        except NoBatch:
            raise self._no_batch(command) from None

    def update_batch(self, keys: Buffer, values: Buffer, flags: int = 0) -> None:
        """Set elements whose keys and values are in buffers, one behind the other, in one system call.

        Args:
            keys, values: bytes, ``array.array``, a NumPy array, …
            flags: ``F_LOCK``, as for `update`: kernels take no others here.

        Raises:
            SpecError: the buffers' sizes do not fit the map, or each other.
            NotSupportedError: the kernel has no batches for this type of map.
            KernelError: as `update`; the elements before the one at fault are set.
        """
        raw_keys, raw_values = memoryview(keys).tobytes(), memoryview(values).tobytes()
        count = self._count(raw_keys)
        if len(raw_values) != count * self._room:
            text = f"{count} values take {count * self._room} bytes; there are {len(raw_values)}"
            raise SpecError(text, symbol=self.name)
        try:
            self._batch.update(raw_keys, raw_values, count, flags)
        except NoBatch:
            raise self._no_batch(Cmd.MAP_UPDATE_BATCH, " with these flags" if flags else "") from None

    def delete_batch(self, keys: Buffer) -> int:
        """Delete elements whose keys are in a buffer, up to the first that is missing: how many. Raises as above."""
        raw = memoryview(keys).tobytes()
        self._count(raw)
        try:
            return self._batch.delete(raw)
        except NoBatch:
            raise self._no_batch(Cmd.MAP_DELETE_BATCH) from None

    def _count(self, keys: bytes) -> int:
        if not self.key_size or len(keys) % self.key_size:
            raise SpecError(f"keys of {self.key_size} bytes do not fill {len(keys)} bytes", symbol=self.name)
        return len(keys) // self.key_size

    def _no_batch(self, command: Cmd, flags: str = "") -> NotSupportedError:
        message = f"{kind_name(self.type)} maps have no batches{flags} in this kernel"
        hint = "items, update_many and delete_many do without"
        feature = f"BPF_{command.name}"
        return NotSupportedError(feature, command=feature, message=message, symbol=self.name, hint=hint)

    # -- the ways to the elements

    def _walk(self, command: Cmd = Cmd.MAP_LOOKUP_BATCH) -> Iterator[tuple[memoryview, memoryview]]:
        if self.type not in WALKED:
            raise NoBatch
        return self._batch.walk(command)

    def _pairs(
        self, command: Cmd, single: Callable[[], Iterator[tuple[bytes, bytes]]]
    ) -> Iterator[Iterable[tuple[Any, Any]]]:
        # chunks of typed elements: from a batch, or where there is none from single ones
        try:
            for keys, values in self._walk(command):
                yield zip(self.key_codec.decode_many(keys), self.value_codec.decode_many(values), strict=True)
        except NoBatch:
            yield ((self.decode_key(key), self.decode_value(value)) for key, value in single())

    def _single_takes(self) -> Iterator[tuple[bytes, bytes]]:
        for key in self._single_keys():
            raw = self._elements.take(key)
            if raw is not None:
                yield key, raw

    def _single_items(self) -> Iterator[tuple[bytes, bytes]]:
        for key in self._single_keys():
            raw = self._elements.find(key)
            if raw is not None:
                yield key, raw

    def _single_keys(self) -> Iterator[bytes]:
        # The next key is asked for before one is handed out, so the user may delete that one. When somebody deletes
        # the key on which the walk stands, the kernel starts again at the first: what was seen is not told twice, and
        # the walk ends after so many steps that only a map that changes all the time can have caused them.
        seen: set[bytes] = set()
        held = None
        for key in islice(self._elements.keys(), 4 * self.max_entries + 64):
            if held is not None:
                yield held
            held = None if key in seen else key
            seen.add(key)
        if held is not None:
            yield held


def _columns(
    items: Mapping[Any, Any] | Iterable[tuple[Any, Any]], size: int
) -> Iterator[tuple[Sequence[Any], Sequence[Any]]]:
    # keys and values of so many items at a time
    if isinstance(items, dict):
        keys, values = list(items), list(items.values())
        for at in range(0, len(keys), size):
            yield keys[at : at + size], values[at : at + size]
        return
    pairs = iter(items.items() if isinstance(items, Mapping | BulkMap) else items)
    while chunk := list(islice(pairs, size)):
        first, second = zip(*chunk, strict=True)
        yield first, second


def _encode_many(codec: Codec, values: Sequence[Any], one: Callable[[Any], bytes]) -> bytes:
    try:
        return codec.encode_many(values)
    except SpecError:
        if not any(isinstance(value, bytes) for value in values):
            raise
        return b"".join(map(one, values))  # bytes of the right size are taken whatever the type


def _split(data: memoryview, size: int) -> Iterator[bytes]:
    return (bytes(data[at : at + size]) for at in range(0, len(data), size))
