# SPDX-License-Identifier: BSD-2-Clause
"""XDP programs in the elements of maps of redirection targets (``struct bpf_devmap_val``, ``bpf_cpumap_val``)."""

from __future__ import annotations

import struct
from errno import EEXIST, ENOENT
from typing import TYPE_CHECKING, Any

from rawbpf.errors import KernelError, MapKeyError, SpecError
from rawbpf.kernel import info, syscall
from rawbpf.kernel.attach.holding import Holding
from rawbpf.kernel.attach.refusal import need_type
from rawbpf.kernel.netns import call_in
from rawbpf.uapi import ProgType

if TYPE_CHECKING:
    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.maps import Map
    from rawbpf.kernel.programs import Program
    from rawbpf.uapi import AttachType, MapType

_VALUE = struct.Struct("=Ii")  # where to, and the program's descriptor (when it is read: its id)


def check(program: Program, kind: str, attach_type: AttachType, map: Map, *types: MapType) -> None:
    """Raise `SpecError` if the program is not for such a map, or the map's elements take no program."""
    need_type(program, kind, ProgType.XDP)
    if program.expected_attach_type not in (0, attach_type):
        raise SpecError(
            f'{kind} takes programs that were loaded for it, and this one is SEC("{program.section}")',
            symbol=program.name,
            hint=f'SEC("xdp/{kind}")',
        )
    if map.type not in types:
        name = getattr(map.type, "name", map.type)
        raise SpecError(f"the map {map.name!r} is {name}, no {' or '.join(types_.name for types_ in types)}")
    if map.value_size != _VALUE.size:
        raise SpecError(
            f"the elements of the map {map.name!r} have no place for a program: {map.value_size} bytes",
            hint=f"struct bpf_{kind}_val as its value has one (8 bytes)",
        )


class InMap(Holding):
    """A program in a map's element, which is removed with it."""

    def __init__(self, program: Program, map: Map, key: Any, number: int, netns: Fd | None, **detail: Any) -> None:
        self.key = map.encode_key(key)
        self.number = number
        self.netns = netns
        super().__init__(program, program.name, map.fd.duplicate(), map=map.name, key=key, **detail)

    def _attach(self) -> None:
        if self._read() is not None:
            raise KernelError("there is something in this element already", errno=EEXIST, hint="delete it first")
        self._write(self.program.fileno())

    def _detach(self) -> None:
        if self._read() != self.id:
            raise KernelError("the program is not in this element any more", errno=ENOENT)
        syscall.map_delete_elem(self.target.fileno(), self.key)

    def _replace(self, new: int, old: int | None) -> None:
        expected = self.id if old is None else info.prog_info(old).id
        if self._read() != expected:  # the kernel does not compare; somebody may come in between
            raise KernelError("another program is in this element", errno=ENOENT)
        self._write(new)

    def _read(self) -> int | None:
        # the id of the program; 0 for none; None for an empty element
        try:
            raw = syscall.map_lookup_elem(self.target.fileno(), self.key, _VALUE.size)
        except MapKeyError:
            return None
        number, prog_id = _VALUE.unpack(raw)
        return int(prog_id) if number else None

    def _write(self, fd: int) -> None:
        value = _VALUE.pack(self.number, fd)
        call_in(self.netns, lambda: syscall.map_update_elem(self.target.fileno(), self.key, value))

    def release(self) -> None:
        super().release()
        self._let_go()

    def close(self) -> None:
        try:
            super().close()
        finally:
            if self.closed:
                self._let_go()

    def _let_go(self) -> None:
        if self.netns is not None:
            self.netns.close()
