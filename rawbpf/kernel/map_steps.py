# SPDX-License-Identifier: BSD-2-Clause
"""The steps of a plan that make maps and what they hold: how the executor runs each of them."""

from __future__ import annotations

from errno import EEXIST, EINVAL
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, where
from rawbpf.kernel import creation, syscall
from rawbpf.kernel.gate import address
from rawbpf.kernel.maps import Map
from rawbpf.plan import steps as s
from rawbpf.uapi import MapType, known

if TYPE_CHECKING:
    from rawbpf.kernel.executor import Execution
    from rawbpf.kernel.fd import Fd

_ALIKE = {
    "map": "a map in a slot has to be like `values`: type, key_size, value_size, flags; an array also in max_entries",
    "prog": "all programs of an array have to be of one type",
}


def create_map(execution: Execution, step: s.CreateMap) -> None:
    fields = {
        "map_type": step.map_type,
        "key_size": step.key_size,
        "value_size": step.value_size,
        "max_entries": step.max_entries,
        "map_flags": step.map_flags,
        "inner_map_fd": execution.number(step.inner_map),
        "numa_node": step.numa_node,
        "map_name": step.name,
        "map_ifindex": step.map_ifindex,
        "btf_vmlinux_value_type_id": step.btf_vmlinux_value_type_id,
        "map_extra": step.map_extra,
        "value_type_btf_obj_fd": execution.number(step.value_type_btf),
        "excl_prog_hash": address(step.excl_prog_hash) if step.excl_prog_hash else 0,
        "excl_prog_hash_size": len(step.excl_prog_hash),
    }
    if btf_fd := execution.number(step.btf):
        fields |= {
            "btf_fd": btf_fd,
            "btf_key_type_id": step.btf_key_type_id,
            "btf_value_type_id": step.btf_value_type_id,
        }
    with where(symbol=s.name_of(step.handle)):
        if step.pin_path and _reuse(execution, step):
            return
        map_ = execution.made[step.handle] = _map_of(execution, step, creation.create_map(fields))
        if step.map_type == MapType.ARENA:
            map_.memory()  # the verifier wants to know where processes see it, which the first mapping decides


def _reuse(execution: Execution, step: s.CreateMap) -> bool:
    fd = creation.reuse_map(step.pin_path, step._asdict())
    if fd is None:
        return False
    map_ = execution.made[step.handle] = _map_of(execution, step, fd)
    map_.pins.append(step.pin_path)
    execution.reused.add(step.handle)
    return True


def _map_of(execution: Execution, step: s.CreateMap, fd: Fd) -> Map:
    return Map(
        fd,
        s.name_of(step.handle),
        type=known(MapType, step.map_type),
        key_size=step.key_size,
        value_size=step.value_size,
        max_entries=step.max_entries,
        map_flags=step.map_flags,
        map_extra=step.map_extra,
        btf=execution.btf,
        key_type_id=step.btf_key_type_id,
        value_type_id=step.btf_value_type_id,
    )


def update_map(execution: Execution, step: s.UpdateMap) -> None:
    # a map that is used again keeps what it holds, but leads to the programs of this load (as in libbpf)
    if step.map in execution.reused and all(s.kind_of(slot.handle) != "prog" for slot in step.slots):
        return
    value = execution.fill(step.value, step.slots)
    with where(symbol=s.name_of(step.map)):
        try:
            syscall.map_update_elem(execution.number(step.map), step.key, value, step.flags)
        except KernelError as failure:
            if step.slots and failure.errno == EINVAL:
                failure.hint = f"{step.reason}: {_ALIKE[s.kind_of(step.slots[0].handle)]}"
            raise


def fill_arena(execution: Execution, step: s.FillArena) -> None:
    memory = execution.map(step.map).memory()
    if memory is not None and step.map not in execution.reused:
        memory[step.offset : step.offset + len(step.data)] = step.data


def freeze_map(execution: Execution, step: s.FreezeMap) -> None:
    if step.map not in execution.reused:
        with where(symbol=s.name_of(step.map)):
            syscall.map_freeze(execution.number(step.map))


def pin_map(execution: Execution, step: s.PinMap) -> None:
    if step.map in execution.reused:
        return
    map_ = execution.thing(step.map)
    with where(symbol=s.name_of(step.map)):
        try:
            execution.pin_at(map_, step.path)
        except KernelError as failure:
            # somebody else pinned one meanwhile: then that is the map
            created = next(map_ for map_ in execution.plan.maps if map_.handle == step.map)
            if failure.errno != EEXIST or not _reuse(execution, created):
                raise
            map_.close()
