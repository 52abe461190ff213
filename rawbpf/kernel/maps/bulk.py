# SPDX-License-Identifier: BSD-2-Clause
"""Many elements of a map: going through them, setting, deleting and taking them by the thousand."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from rawbpf.errors import RawbpfError
from rawbpf.kernel.maps.base import MapBase
from rawbpf.kernel.maps.batch import WALKED, WRITTEN, NoBatch
from rawbpf.kernel.maps.refusals import ARRAYS, missing
from rawbpf.uapi import Cmd, MapType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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
        try:
            yield from self._pairs()
        except NoBatch:
            yield from ((self.decode_key(key), self.decode_value(value)) for key, value in self._single_items())

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
        try:
            yield from self._pairs(Cmd.MAP_LOOKUP_AND_DELETE_BATCH)
        except NoBatch:
            for key in self._single_keys():
                raw = self._elements.take(key)
                if raw is not None:
                    yield self.decode_key(key), self.decode_value(raw)

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
        pairs = iter(items.items() if isinstance(items, Mapping | BulkMap) else items)
        try:
            while chunk := list(islice(pairs, self._batch.chunk)):
                self._update_chunk(chunk, flags)
        except RawbpfError as error:
            self._place(error)
            raise

    def _update_chunk(self, chunk: list[tuple[Any, Any]], flags: int) -> None:
        if self.type in WRITTEN:
            keys = _encode_many(self.key_codec, [key for key, _ in chunk], self.key_size, self.encode_key)
            values = _encode_many(self.value_codec, [value for _, value in chunk], self._room, self.encode_value)
            try:
                return self._batch.update(keys, values, len(chunk), flags)
            except NoBatch:
                pass
        for key, value in chunk:
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
                raw = _encode_many(self.key_codec, chunk, self.key_size, self.encode_key)
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

    def _walk(self, command: Cmd = Cmd.MAP_LOOKUP_BATCH) -> Iterator[tuple[memoryview, memoryview]]:
        if self.type not in WALKED:
            raise NoBatch
        return self._batch.walk(command)

    def _pairs(self, command: Cmd = Cmd.MAP_LOOKUP_BATCH) -> Iterator[tuple[Any, Any]]:
        for keys, values in self._walk(command):
            yield from zip(self.key_codec.decode_many(keys), self.value_codec.decode_many(values), strict=True)

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


def _encode_many(codec: Codec, values: list[Any], size: int, one: Callable[[Any], bytes]) -> bytes:
    if any(
        issubclass(kind, bytes) for kind in set(map(type, values))
    ):  # bytes of the right size are taken whatever the type
        return b"".join(map(one, values))
    return codec.encode_many(values)


def _split(data: memoryview, size: int) -> Iterator[bytes]:
    return (bytes(data[at : at + size]) for at in range(0, len(data), size))
