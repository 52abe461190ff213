# SPDX-License-Identifier: BSD-2-Clause
"""The steps that create maps: their attributes, initial contents, and the maps and programs that other maps hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.errors import SpecError, where
from rawbpf.objfile.spec import DATA_KINDS
from rawbpf.pins import BPFFS
from rawbpf.plan import steps as s
from rawbpf.plan.exclusive import program_hash
from rawbpf.plan.kconfig import kconfig_contents
from rawbpf.uapi import MapFlag, MapType, MapUpdateFlag

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from rawbpf.objfile.spec import MapSpec, ObjectSpec
    from rawbpf.plan.relocate import Linked
    from rawbpf.plan.struct_ops import Prepared
    from rawbpf.plan.target import Features, Target

BTF = "btf"
"""The handle of the object's BTF."""

NO_BTF_TYPES = frozenset(
    {
        MapType.PERF_EVENT_ARRAY,
        MapType.CGROUP_ARRAY,
        MapType.STACK_TRACE,
        MapType.ARRAY_OF_MAPS,
        MapType.HASH_OF_MAPS,
        MapType.DEVMAP,
        MapType.DEVMAP_HASH,
        MapType.CPUMAP,
        MapType.XSKMAP,
        MapType.SOCKMAP,
        MapType.SOCKHASH,
        MapType.QUEUE,
        MapType.STACK,
        MapType.ARENA,
    }
)
"""The types of maps for which the kernel refuses BTF of keys and values."""


class MapPlanner:
    """Plans the maps of one object for one kernel.

    Args:
        spec: the object.
        target: the kernel.
        kconfig: lines ``CONFIG_X=y`` that win over the kernel's configuration.

    Attributes:
        created: the maps that are created, in order.
        linked: the programs that are loaded, which exclusive maps are for.
    """

    def __init__(self, spec: ObjectSpec, target: Target, kconfig: str) -> None:
        self.spec = spec
        self.target = target
        self.kconfig = kconfig
        self.created: list[MapSpec] = []
        self.linked: Mapping[str, Linked] = {}

    def create(self, prepared: Mapping[str, Prepared]) -> Iterator[s.Step]:
        """The steps that create the maps; of the struct_ops maps those in `prepared`, by name."""
        names: set[str] = set()
        waiting: list[MapSpec] = []  # for the maps that they are to hold, if any: they are pinned when they hold them
        for map_ in self.spec.maps.values():
            if why_not_created(map_, self.target.features):
                continue
            if map_.kind == "struct_ops" and map_.name not in prepared:
                continue
            with where(symbol=map_.name):
                yield from self._create_map(map_, prepared.get(map_.name))
            self.created.append(map_)
            names.add(map_.name)
            waiting.append(map_)
            for filled in [map_ for map_ in waiting if names.issuperset(_inner_maps(map_).values())]:
                waiting.remove(filled)
                yield from self._slot_steps(filled)
                if path := pin_path(filled):
                    yield s.PinMap(f"map:{filled.name}", path, "shared by its name, with what it holds")
        for outer in waiting:
            index, name = next((index, name) for index, name in _inner_maps(outer).items() if name not in names)
            raise SpecError(
                f"slot {index} is to hold the map {name!r}, which is not created",
                symbol=outer.name,
                hint=f"create it as well, or empty the slot: del spec.maps[{outer.name!r}].slots[{index}]",
            )

    def _create_map(self, map_: MapSpec, ops: Prepared | None) -> Iterator[s.Step]:
        handle, inner = f"map:{map_.name}", ""
        if map_.inner is not None:
            inner = f"map:{map_.inner.name}"
            yield self._map(map_.inner, inner, "template of the maps in " + map_.name)
        step = self._map(map_, handle, _map_reason(map_))
        if ops is not None:
            module = ops.module
            step = step._replace(
                value_size=len(ops.value),
                btf_vmlinux_value_type_id=ops.value_type_id,
                value_type_btf=module.handle if module else "",
                map_flags=step.map_flags | (MapFlag.VTYPE_BTF_OBJ_FD if module else 0),
                btf_key_type_id=0,
                btf_value_type_id=0,
                reason=f"struct {ops.spec.type_name}, which {module.name if module else self.target.name} calls",
            )
        yield step._replace(inner_map=inner)
        if inner:
            yield s.Close(inner, "the template is not needed any more")
        if map_.kind in DATA_KINDS:
            yield from self._contents(map_, handle)
        elif map_.map_type == MapType.ARENA and map_.contents:
            yield s.FillArena(handle, self.arena_offset(), bytes(map_.contents), "initial values of its variables")

    def _map(self, map_: MapSpec, handle: str, reason: str) -> s.CreateMap:
        _check(map_)
        max_entries = map_.max_entries
        if map_.map_type == MapType.PERF_EVENT_ARRAY and not max_entries:
            max_entries = self.target.cpus
        elif map_.map_type in (MapType.RINGBUF, MapType.USER_RINGBUF) and max_entries:
            max_entries = round_ring_size(max_entries, self.target.page_size)
        with_btf = self.spec.btf is not None and map_.map_type not in NO_BTF_TYPES
        return s.CreateMap(
            handle,
            map_.kernel_name,
            int(map_.map_type),
            map_.key_size,
            map_.value_size,
            max_entries,
            self._flags(map_),
            map_.map_extra,
            map_.numa_node,
            btf=BTF if with_btf else "",
            btf_key_type_id=map_.btf_key_type_id if with_btf else 0,
            btf_value_type_id=map_.btf_value_type_id if with_btf else 0,
            map_ifindex=map_.ifindex,
            pin_path=pin_path(map_),
            kind=map_.kind,
            excl_prog_hash=self._exclusive(map_.exclusive_program),
            reason=reason,
        )

    def _flags(self, map_: MapSpec) -> int:
        mappable = map_.kind in DATA_KINDS and map_.map_flags & MapFlag.MMAPABLE
        if mappable and not self.target.features.has("array_mmap"):
            return int(map_.map_flags & ~MapFlag.MMAPABLE)  # variables are then read by element
        return int(map_.map_flags)

    def _exclusive(self, program: str) -> bytes:
        if not program:
            return b""
        if program not in self.spec.programs:
            raise self.spec.no_such("program", program, list(self.spec.programs))
        if program not in self.linked:
            raise SpecError(f"the map is for the program {program!r} alone, which is not loaded")
        return program_hash(self.linked[program].insns, little=self.spec.little)

    def _contents(self, map_: MapSpec, handle: str) -> Iterator[s.Step]:
        if map_.kind == "kconfig":
            data = kconfig_contents(self.spec, self.target, self.kconfig)
        else:
            data = bytes(map_.contents or b"")
        if len(data) != map_.value_size:
            raise SpecError(
                f"the section has {len(data)} bytes of contents, its map values of {map_.value_size}",
                symbol=map_.name,
                hint=f"to make it larger or smaller: spec.resize_section({map_.name!r}, SIZE)",
            )
        flags = MapUpdateFlag.F_ALL_CPUS if map_.kind == "percpu" else 0
        yield s.UpdateMap(handle, bytes(4), data, flags=int(flags), reason=f"initial contents of {map_.name}")
        if map_.kind in ("rodata", "kconfig"):
            yield s.FreezeMap(handle, "constants: the verifier may rely on their values")

    def _slot_steps(self, outer: MapSpec) -> Iterator[s.Step]:
        for index, name in sorted(_inner_maps(outer).items()):
            _check_slot(outer, index)
            yield s.UpdateMap(
                f"map:{outer.name}",
                self._u32(index),
                bytes(4),
                (s.Slot(0, f"map:{name}"),),
                reason=f"{outer.name}[{index}] = &{name}",
            )

    def fill_prog_arrays(self, loaded: Collection[str]) -> Iterator[s.Step]:
        """The steps that put loaded programs (their names) into program arrays."""
        for map_ in self.created:
            if map_.map_type == MapType.PROG_ARRAY:
                for index, name in sorted(map_.slots.items()):
                    _check_slot(map_, index)
                    if name not in loaded:
                        raise SpecError(
                            f"slot {index} is to hold the program {name!r}, which is not loaded",
                            symbol=map_.name,
                            hint=f"load it as well, or empty the slot: del spec.maps[{map_.name!r}].slots[{index}]",
                        )
                    value = s.Slot(0, f"prog:{name}")
                    reason = f"{map_.name}[{index}] = &{name}"
                    yield s.UpdateMap(f"map:{map_.name}", self._u32(index), bytes(4), (value,), reason=reason)

    def arena_offset(self) -> int:
        """Where in the object's arena its variables begin, in bytes: at its end, if instructions can name that."""
        arena = next((m for m in self.spec.maps.values() if m.map_type == MapType.ARENA), None)
        if arena is None or not arena.contents:
            return 0
        page = self.target.page_size
        size, room = -(-len(arena.contents) // page) * page, arena.max_entries * page
        if size > room:
            raise SpecError(
                f"its variables need {size} bytes, it has {room}",
                symbol=arena.name,
                hint=f"max_entries is in pages: __uint(max_entries, {size // page}) at least",
            )
        return room - size if self.target.features.has("ldimm64_full_range") else 0

    def _u32(self, value: int) -> bytes:
        return value.to_bytes(4, "little" if self.spec.little else "big")


_WIDTHS = {"map_type": 32, "key_size": 32, "value_size": 32, "max_entries": 32, "map_flags": 32, "map_extra": 64}
_WIDTHS |= {"numa_node": 32, "ifindex": 32, "btf_key_type_id": 32, "btf_value_type_id": 32}


def _check(map_: MapSpec) -> None:
    # what a user wrote into the blueprint
    for name, bits in _WIDTHS.items():
        value = getattr(map_, name)
        if not isinstance(value, int) or not 0 <= value < 1 << bits:
            raise SpecError(f"{name} is {value!r}, which is no number of {bits} bits", symbol=map_.name)


def _check_slot(map_: MapSpec, index: int) -> None:
    if map_.map_type != MapType.HASH_OF_MAPS and index >= map_.max_entries:
        raise SpecError(
            f"slot {index} is behind its last one: max_entries is {map_.max_entries}",
            symbol=map_.name,
            hint=f"__uint(max_entries, {index + 1}) at least",
        )


def why_not_created(map_: MapSpec, features: Features) -> str:
    """Why a map is not to be created: the user does not want it, or the kernel has no such variables; else empty.

    Objects whose loaded programs use no variables can be loaded into such kernels as well (as with libbpf): compilers
    make sections for string literals that nothing refers to.
    """
    if not map_.autocreate:
        return "its autocreate is False"
    if map_.kind == "percpu":
        return "" if features.has("percpu_data") else "the kernel has no per-CPU variables (Linux 7.3)"
    if map_.kind in DATA_KINDS:
        return "" if features.has("global_data") else "the kernel has no global variables (Linux 5.2)"
    return ""


def pin_path(map_: MapSpec) -> str:
    """Where a map is pinned, and reused from if it is there; empty if nowhere."""
    return map_.pin_path or (f"{BPFFS}/{map_.name}" if map_.pin_by_name else "")


def _inner_maps(map_: MapSpec) -> dict[int, str]:
    # the maps that it holds from the beginning; a program array's programs come when they are loaded
    return {} if map_.map_type == MapType.PROG_ARRAY else map_.slots


def round_ring_size(size: int, page_size: int) -> int:
    """The size of a ring buffer as the kernel wants it, in bytes: the next power of two of pages."""
    rounded = page_size
    while rounded < size and rounded < 1 << 31:
        rounded <<= 1
    return rounded if rounded >= size else size


def _map_reason(map_: MapSpec) -> str:
    words = {"map": f"map {map_.name} of {map_.section}", "bss": "variables that start as zero", "data": "variables"}
    words["percpu"] = "variables of which each CPU has its own"
    words |= {"rodata": "constants", "kconfig": "values of the kernel's configuration"}
    return words.get(map_.kind, "")
