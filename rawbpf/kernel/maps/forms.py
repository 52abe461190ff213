# SPDX-License-Identifier: BSD-2-Clause
"""What keys and values are in Python, by the type of map: BTF's types where it has them, and what the kernel says.

A form is a codec (`rawbpf.btf.codec`), so that it encodes, decodes, does so by the thousand, and reads a command line.
"""

from __future__ import annotations

import os
import re
import struct
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from rawbpf.btf.codec import Codec, IntCodec, Misfit, raw_bytes, whole_cell
from rawbpf.btf.compound import RecordCodec
from rawbpf.errors import SpecError
from rawbpf.kernel.maps.refusals import INDEXED, STORAGES
from rawbpf.uapi import MapFlag, MapType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Buffer

    from rawbpf.kernel.maps.base import MapBase

PER_CPU = frozenset(
    {
        MapType.PERCPU_HASH,
        MapType.PERCPU_ARRAY,
        MapType.LRU_PERCPU_HASH,
        MapType.PERCPU_CGROUP_STORAGE,
    }
)
"""Where a value is one for each possible CPU."""
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
_LITTLE = sys.byteorder == "little"


def key_form(map_: MapBase, typed: Codec | None) -> Codec:
    """The form of a map's keys; `typed` is the codec of their BTF type."""
    if map_.type in STORAGES:
        return DescriptorForm("key", map_.key_size, paths=map_.type in (MapType.INODE_STORAGE, MapType.CGRP_STORAGE))
    if map_.type == MapType.LPM_TRIE and _is_network(map_.key_size, typed):
        from rawbpf.kernel.maps.networks import NetworkForm

        return NetworkForm(map_.key_size, typed)
    if typed is not None:
        return typed
    if map_.type in INDEXED:
        return IntCodec("an index", 4, whole_cell(4, False, _LITTLE))
    return RawForm("key", map_.key_size)


def value_form(map_: MapBase, typed: Codec | None) -> Codec:
    """The form of a map's values, for a per-CPU map that of one CPU's."""
    size = map_.value_size
    if map_.type in _OF_FDS:
        return DescriptorForm("value", size, paths=map_.type == MapType.CGROUP_ARRAY)
    if map_.type in (MapType.DEVMAP, MapType.DEVMAP_HASH, MapType.CPUMAP) and size in (4, 8):
        return RedirectForm(DevmapValue if map_.type != MapType.CPUMAP else CpumapValue, size)
    if map_.type == MapType.STACK_TRACE and not map_.map_flags & MapFlag.STACK_BUILD_ID:
        return StackForm(size)
    return typed or RawForm("value", size)


def _is_network(size: int, typed: Codec | None) -> bool:
    # 4 bytes of prefix length and an IPv4 or IPv6 address, which BTF knows as one member, or not at all
    if size not in (8, 20):
        return False
    if not isinstance(typed, RecordCodec):
        return typed is None
    fields = list(typed.fields.values())
    return len(fields) == 2 and [field.codec.size for field in fields] == [4, size - 4]


class RawForm(Codec):
    """What has no type: `bytes`."""

    def __init__(self, what: str, size: int) -> None:
        super().__init__(f"the {what}", size)
        self._what = what

    def read(self, data: Any, offset: int) -> Any:
        return bytes(data[offset : offset + self.size])

    def write(self, buffer: bytearray, offset: int, value: Any) -> None:
        raw = raw_bytes(value)
        if raw is None:
            kind = type(value).__name__
            raise Misfit(f"the map has no type for its {self._what}: give {self.size} bytes, not {kind}")
        if len(raw) != self.size:
            raise Misfit(f"the {self._what} has {len(raw)} bytes; the map's have {self.size}")
        buffer[offset : offset + self.size] = raw

    def encode_many(self, values: Sequence[Any]) -> bytes:
        try:
            if set(map(len, values)) == {self.size}:
                return b"".join(values)
        except TypeError:  # it is not all bytes, which is told in words
            pass
        return super().encode_many(values)

    def decode_many(self, data: Buffer, step: int = 0) -> list[Any]:
        pad = (step or self.size) - self.size
        return [raw for (raw,) in struct.iter_unpack(f"{self.size}s{pad}x", data)]

    def from_text(self, text: str) -> Any:
        """Bytes as pairs of hex digits, with blanks between them; otherwise a number in the machine's byte order."""
        if re.fullmatch(r"[0-9a-fA-F]{2}(\s+[0-9a-fA-F]{2})+", text.strip()):
            return bytes.fromhex(text)
        try:
            number = int(text, 0)
            return number.to_bytes(self.size, sys.byteorder, signed=number < 0)
        except (ValueError, OverflowError):
            raise Misfit(f"{text!r} is neither {self.size} bytes in hex (01 02 …) nor a number that fits") from None

    def from_json(self, value: Any) -> Any:
        return self.from_text(str(value))


class HeldDescriptor(bytes):
    """The bytes of a descriptor that was opened for them, and is open as long as they are."""

    _fd = -1

    @classmethod
    def of(cls, fd: int, size: int) -> HeldDescriptor:
        """Those of a descriptor, which is theirs from now on."""
        self = cls(fd.to_bytes(size, sys.byteorder))
        self._fd = fd
        return self

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


class DescriptorForm(Codec):
    """Descriptors: written from a number or whatever has a ``fileno()``; read as the id that the kernel tells.

    Args:
        what: key or value.
        size: 4 or 8 bytes.
        paths: whether a path stands for a descriptor of what is there.
    """

    def __init__(self, what: str, size: int, *, paths: bool) -> None:
        super().__init__(f"the {what}", size)
        self._paths = paths

    def read(self, data: Any, offset: int) -> Any:
        return int.from_bytes(data[offset : offset + self.size], sys.byteorder)

    def encode(self, value: Any) -> bytes:
        if self._paths and isinstance(value, (str, os.PathLike)):
            try:
                return HeldDescriptor.of(os.open(value, os.O_PATH | os.O_CLOEXEC), self.size)
            except OSError as failure:
                raise SpecError(f"{self.label}: {failure.strerror}", path=os.fspath(value)) from None
        return super().encode(value)

    def write(self, buffer: bytearray, offset: int, value: Any) -> None:
        number = value if isinstance(value, int) else getattr(value, "fileno", lambda: None)()
        if not isinstance(number, int) or not 0 <= number < 1 << 31:
            what = "a descriptor, a path" if self._paths else "a descriptor"
            raise Misfit(f"{self.label} is {what} or what has a fileno(), not {value!r}")
        buffer[offset : offset + self.size] = number.to_bytes(self.size, sys.byteorder)

    def from_text(self, text: str) -> Any:
        return int(text) if text.isdecimal() else super().from_text(text) if not self._paths else text


class DevmapValue(NamedTuple):
    """A value of a devmap: `ifindex` of a device, and the program that runs there on what is redirected to it.

    `prog` is written as a program or a descriptor and read as an id; 0 or negative is none.
    """

    ifindex: int
    prog: Any = 0


class CpumapValue(NamedTuple):
    """A value of a cpumap: `qsize`, how many packets may wait for the CPU, and the program that runs there on them.

    `prog` is written as a program or a descriptor and read as an id; 0 or negative is none.
    """

    qsize: int
    prog: Any = 0


class RedirectForm(Codec):
    """Values of devmaps and cpumaps: a number, or with 8 bytes a tuple; a device may be told by its name."""

    def __init__(self, kind: type[DevmapValue] | type[CpumapValue], size: int) -> None:
        super().__init__(f"the value of a {kind.__name__.removesuffix('Value').lower()}", size)
        self._kind = kind

    def read(self, data: Any, offset: int) -> Any:
        words = struct.unpack_from(f"={self.size // 4}I", data, offset)
        return self._kind(*words) if self.size == 8 else words[0]

    def write(self, buffer: bytearray, offset: int, value: Any) -> None:
        first, prog = self._parts(value)
        number = prog if isinstance(prog, int) else prog.fileno()
        if number > 0 and self.size == 4:
            raise Misfit(f"{self.label} has 4 bytes here, and no room for a program")
        try:
            words = (first,) if self.size == 4 else (first, number if number > 0 else -1)
            struct.pack_into("=I" if self.size == 4 else "=Ii", buffer, offset, *words)
        except struct.error:
            raise Misfit(f"{self.label} takes {', '.join(self._kind._fields)}, not {value!r}") from None

    def _parts(self, value: Any) -> tuple[int, Any]:
        if isinstance(value, dict):
            value = tuple(value.get(name, 0) for name in self._kind._fields)
        first, prog = (*value, 0)[:2] if isinstance(value, tuple) else (value, 0)
        if isinstance(first, str) and self._kind is DevmapValue:
            import socket

            try:
                first = socket.if_nametoindex(first)
            except OSError:
                raise Misfit(f"there is no device {first!r} here") from None
        if not isinstance(first, int) or not (isinstance(prog, int) or hasattr(prog, "fileno")):
            raise Misfit(f"{self.label} takes {', '.join(self._kind._fields)}, not {value!r}")
        return first, prog

    def from_text(self, text: str) -> Any:
        if text.isdecimal():
            return int(text)
        return super().from_text(text) if text[:1] == "{" else text


class StackForm(Codec):
    """Stacks: a list of addresses, the innermost first."""

    def __init__(self, size: int) -> None:
        super().__init__("the stack", size)

    def read(self, data: Any, offset: int) -> Any:
        addresses = struct.unpack_from(f"={self.size // 8}Q", data, offset)
        return [address for address in addresses if address]


class PerCpuForm(Codec):
    """One value for each possible CPU: a list. `one` is the form of each, `step` how many bytes they are apart."""

    def __init__(self, one: Codec, cpus: int, step: int) -> None:
        super().__init__(f"{one.label} of each CPU", cpus * step)
        self.one = one
        self._cpus = cpus
        self._step = step

    def read(self, data: Any, offset: int) -> Any:
        return self.one.decode_many(memoryview(data)[offset : offset + self.size], self._step)

    def write(self, buffer: bytearray, offset: int, value: Any) -> None:
        if not isinstance(value, (list, tuple)) or len(value) != self._cpus:
            raise Misfit(f"the value of a per-CPU map is a list of {self._cpus} values, one for each possible CPU")
        for cpu, one in enumerate(value):
            try:
                self.one.write(buffer, offset + cpu * self._step, one)
            except Misfit as misfit:
                raise misfit.within(f"[{cpu}]") from None

    def new(self, **members: Any) -> Any:
        return [self.one.new(**members) for _ in range(self._cpus)]

    def from_text(self, text: str) -> Any:
        """A list in JSON, or one value for all CPUs."""
        if text.lstrip()[:1] == "[":
            return super().from_text(text)
        return [self.one.from_text(text)] * self._cpus

    def from_json(self, value: Any) -> Any:
        each: Callable[[Any], Any] = self.one.from_json
        return list(map(each, value)) if isinstance(value, list) else [each(value)] * self._cpus
