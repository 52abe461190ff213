# SPDX-License-Identifier: BSD-2-Clause
"""What every map is: a descriptor, a shape, and the forms of its keys and values."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from rawbpf.kernel import host, info, syscall
from rawbpf.kernel.info import kind_name
from rawbpf.kernel.maps.batch import Batch
from rawbpf.kernel.maps.elements import Elements
from rawbpf.kernel.maps.refusals import refusal
from rawbpf.kernel.pinnable import Named
from rawbpf.uapi import Cmd, MapType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from typing_extensions import Self

    from rawbpf.btf.codec import Codec
    from rawbpf.btf.parse import Btf
    from rawbpf.errors import KernelError, RawbpfError
    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.info import MapInfo

    BtfSource: TypeAlias = "Callable[[], Btf | None]"


class MapBase(Named):
    """A map, without its elements."""

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

    @classmethod
    def _adopt(cls, fd: Fd) -> Self:
        about = info.map_info(fd.fileno())
        of_kernel = about.btf_vmlinux_value_type_id  # of a struct_ops
        return cls(
            fd,
            about.name,
            type=about.type,
            key_size=about.key_size,
            value_size=about.value_size,
            max_entries=about.max_entries,
            map_flags=about.map_flags,
            map_extra=about.map_extra,
            btf=lambda: _kernel_btf(about.btf_vmlinux_id if of_kernel else about.btf_id),
            key_type_id=about.btf_key_type_id,
            value_type_id=of_kernel or about.btf_value_type_id,
        )

    @classmethod
    def _all(cls) -> Iterable[MapInfo]:
        return info.maps()

    @property
    def info(self) -> MapInfo:
        """What the kernel knows of it."""
        return info.map_info(self.fileno())

    @property
    def id(self) -> int:
        """The kernel's number of it."""
        return self.info.id

    @property
    def frozen(self) -> bool:
        """Whether it can no more be written by system call."""
        with open(f"/proc/self/fdinfo/{self.fileno()}", encoding="ascii") as lines:
            return "frozen:\t1\n" in lines

    @property
    def btf(self) -> Btf | None:
        """The BTF of its keys and values, if it has any."""
        return self._btf() if self._btf and (self.key_type_id or self.value_type_id) else None

    @property
    def object_btf(self) -> Btf | None:
        """The BTF that it came with, whether or not its keys and values have types; None if there is none."""
        return self._btf() if self._btf else None

    @property
    def per_cpu(self) -> bool:
        """Whether each CPU has a value of its own."""
        return self.type in _PER_CPU

    # -- how keys and values look

    @cached_property
    def key_codec(self) -> Codec:
        """What turns keys into bytes and back, and reads them from a command line: a `rawbpf.btf.codec.Codec`."""
        from rawbpf.kernel.maps.forms import key_form

        return key_form(self, self._typed(self.key_type_id, self.key_size))

    @cached_property
    def value_codec(self) -> Codec:
        """The same for values; for a per-CPU map for the list of them."""
        from rawbpf.kernel.maps.forms import PerCpuForm

        return PerCpuForm(self._one, host.possible_cpus(), self._step) if self.per_cpu else self._one

    @cached_property
    def _one(self) -> Codec:
        # the value of a single CPU
        from rawbpf.kernel.maps.forms import value_form

        return value_form(self, self._typed(self.value_type_id, self.value_size))

    def _typed(self, type_id: int, size: int) -> Codec | None:
        btf = self._btf() if type_id and self._btf else None
        if btf is None:
            return None
        from rawbpf.btf.value import codec

        found = codec(btf, type_id)
        return found if found.size == size else None

    def encode_key(self, key: Any) -> bytes:
        """The bytes of a key. Raises `SpecError`."""
        return key if isinstance(key, bytes) and len(key) == self.key_size else self.key_codec.encode(key)

    def decode_key(self, raw: bytes) -> Any:
        """The key of its bytes."""
        return self.key_codec.decode(raw)

    def encode_value(self, value: Any) -> bytes:
        """The bytes of a value: for a per-CPU map of a list with a value for each possible CPU. Raises `SpecError`."""
        return value if isinstance(value, bytes) and len(value) == self._room else self.value_codec.encode(value)

    def decode_value(self, raw: bytes) -> Any:
        """The value of its bytes."""
        return self.value_codec.decode(raw)

    def new_key(self, **members: Any) -> Any:
        """A key of the map's type with these members, the others zero. Raises `SpecError` for one that is none."""
        return self.key_codec.new(**members)

    def new_value(self, **members: Any) -> Any:
        """A value of the map's type with these members, the others zero; for a per-CPU map a list of such."""
        return self.value_codec.new(**members)

    # -- for the parts that are built on this

    @cached_property
    def _step(self) -> int:
        # how far values of CPUs, or of an array in memory, are apart
        return (self.value_size + 7) // 8 * 8

    @cached_property
    def _room(self) -> int:
        # what the kernel writes for a value
        return self._step * host.possible_cpus() if self.per_cpu else self.value_size

    @cached_property
    def _elements(self) -> Elements:
        return Elements(self.fd, self.key_size, self._room, self._refuse)

    @cached_property
    def _batch(self) -> Batch:
        return Batch(self.fd, self.key_size, self._room, self.max_entries, self._refuse)

    def _refuse(self, command: Cmd, number: int, key: bytes) -> KernelError:
        return refusal(self, command, number, key)

    def _place(self, error: RawbpfError) -> None:
        # `where` is a context manager, which would take longer than a system call
        if error.symbol is None:
            error.symbol = self.name

    def __repr__(self) -> str:
        return f"<Map {self.name!r} {kind_name(self.type)}{' closed' if self.closed else ''}>"


_PER_CPU = frozenset(
    {
        MapType.PERCPU_HASH,
        MapType.PERCPU_ARRAY,
        MapType.LRU_PERCPU_HASH,
        MapType.PERCPU_CGROUP_STORAGE,
    }
)


def _kernel_btf(number: int) -> Btf | None:
    # The BTF blob with that id, parsed
    if not number:
        return None
    from rawbpf.btf.parse import Btf

    with syscall.get_fd_by_id(Cmd.BTF_GET_FD_BY_ID, number) as fd:
        about = info.btf_info(fd.fileno())
        base = host.vmlinux_btf() if about.kernel else None
        if about.name == "vmlinux":
            return base
        return Btf(info.btf_data(fd.fileno()), base=base, name=f"BTF id {number}")
