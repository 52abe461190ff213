# SPDX-License-Identifier: BSD-2-Clause
"""The maps by which programs written with usdt.bpf.h find the arguments of a USDT probe.

``__bpf_usdt_specs`` is an array of ``struct __bpf_usdt_spec``: where each argument is, and a cookie. A program gets the
number of its spec as the cookie of its attachment, or on kernels without cookies from ``__bpf_usdt_ip_to_spec_id``.
"""

from __future__ import annotations

import struct
from _thread import allocate_lock
from errno import E2BIG, ENOENT
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, SpecError
from rawbpf.kernel import info, syscall
from rawbpf.uapi import Cmd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.programs import Program
    from rawbpf.objfile.usdt import Argument

MAX_ARGUMENTS = 12
_KINDS = {"const": 0, "reg": 1, "mem": 2, "sib": 3}
# struct __bpf_usdt_arg_spec as clang lays it out: since libbpf 1.7 with an index register, and the one before. By the
# size of a whole spec: 12 arguments, cookie (u64), number of arguments (s16), and 6 bytes that are not used, of which
# the first tells here whether the spec is: so two users of the same maps do not come into each other's way.
_NEW, _OLD = struct.Struct("=QBxHBxh?b6x"), struct.Struct("=QBxxxh?b")
_TAIL = struct.Struct("=QhB5x")
_LAYOUTS = {MAX_ARGUMENTS * layout.size + _TAIL.size: layout for layout in (_NEW, _OLD)}

_looking = allocate_lock()  # a spec is free until it is written, so one thread at a time looks for one


class Specs:
    """The specs that one attachment uses.

    Raises:
        SpecError: the program has no such maps.
        KernelError: they may not be opened (that takes CAP_SYS_ADMIN).
    """

    def __init__(self, program: Program) -> None:
        self._specs: Fd | None = None
        self._places: Fd | None = None
        self._taken: dict[bytes, int] = {}
        self._named: list[bytes] = []
        about = None
        for number in program.info.map_ids:
            fd = syscall.get_fd_by_id(Cmd.MAP_GET_FD_BY_ID, number)
            found = info.map_info(fd.fileno())
            if found.name == "__bpf_usdt_specs"[:15]:
                self._specs, about = fd, found
            elif found.name == "__bpf_usdt_ip_to_spec_id"[:15]:
                self._places = fd
            else:
                fd.close()
        if self._specs is None or about is None or about.value_size not in _LAYOUTS:
            self.close()
            raise SpecError(
                "the program has no map __bpf_usdt_specs, by which it could read a probe's arguments",
                symbol=program.name,
                hint="include usdt.bpf.h, and use bpf_usdt_arg or bpf_usdt_cookie",
            )
        self._layout, self._count = _LAYOUTS[about.value_size], about.max_entries

    def take(self, arguments: Sequence[Argument], cookie: int) -> int:
        """Write a spec; its number. The same arguments get the same.

        Raises:
            SpecError: they are too many, or need an index register that the program's header does not know.
            KernelError: E2BIG: the map is full.
        """
        value = self._pack(arguments, cookie)
        if value in self._taken:
            return self._taken[value]
        assert self._specs is not None
        with _looking:
            for number in range(self._count):
                key = struct.pack("=I", number)
                if syscall.map_lookup_elem(self._specs.fileno(), key, len(value))[-6] == 0:
                    self._taken[value] = number
                    syscall.map_update_elem(self._specs.fileno(), key, value)
                    return number
        raise KernelError(
            f"all {self._count} specs of __bpf_usdt_specs are in use",
            errno=E2BIG,
            hint="compile with a larger BPF_USDT_MAX_SPEC_CNT",
        )

    def name_places(self, addresses: Sequence[int], numbers: Sequence[int]) -> None:
        """Tell the program which spec is for which address. Raises `KernelError`, E2BIG where there is no room."""
        if self._places is None:
            raise SpecError("the program has no map __bpf_usdt_ip_to_spec_id", hint="include usdt.bpf.h")
        for address, number in zip(addresses, numbers, strict=True):
            key = struct.pack("=q", address - (address >> 63 << 64))
            self._named.append(key)
            syscall.map_update_elem(self._places.fileno(), key, struct.pack("=I", number))

    def _pack(self, arguments: Sequence[Argument], cookie: int) -> bytes:
        if len(arguments) > MAX_ARGUMENTS:
            raise SpecError(f"the probe has {len(arguments)} arguments; programs can read {MAX_ARGUMENTS}")
        data = b""
        for a in arguments:
            if a.kind == "sib" and self._layout is _OLD:
                raise SpecError(
                    "an argument of the probe is found by two registers, which the program cannot do",
                    hint="compile it with usdt.bpf.h of libbpf 1.7 or newer",
                )
            common = (a.value & (1 << 64) - 1, _KINDS[a.kind])
            rest = (a.register, a.signed, 64 - 8 * a.size)
            index = (a.index_register | a.shift << 12, 0) if self._layout is _NEW else ()
            data += self._layout.pack(*common, *index, *rest)
        data = data.ljust(MAX_ARGUMENTS * self._layout.size, b"\0")
        return data + _TAIL.pack(cookie, len(arguments), 1)

    def give_back(self) -> None:
        """Free the specs, and close the maps."""
        if self._specs is not None:
            for value, number in self._taken.items():
                syscall.map_update_elem(self._specs.fileno(), struct.pack("=I", number), bytes(len(value)))
        for key in self._named if self._places is not None else ():
            try:
                syscall.map_delete_elem(self._places.fileno(), key)  # type: ignore[union-attr]  # it is there
            except KernelError as failure:
                if failure.errno != ENOENT:
                    raise
        self._taken, self._named = {}, []
        self.close()

    def close(self) -> None:
        """Close the maps; what was written stays."""
        for fd in (self._specs, self._places):
            if fd is not None:
                fd.close()
        self._specs = self._places = None
