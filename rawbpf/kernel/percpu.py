# SPDX-License-Identifier: BSD-2-Clause
"""Global variables of which each CPU has its own (``SEC(".percpu")``), live."""

from __future__ import annotations

from typing import Any

from rawbpf.errors import SpecError, where
from rawbpf.kernel import host
from rawbpf.kernel.object import Variable


class PerCpuVariable(Variable):
    """A global per-CPU variable: `value` is a list with one value for each possible CPU. Requires Linux 7.3."""

    @property
    def raw(self) -> bytes:
        """Its bytes now, those of all CPUs one behind the other."""
        return b"".join(section[self.offset : self.offset + self.size] for section in self._sections())

    @property
    def value(self) -> Any:
        """Its values now, one for each possible CPU, typed by BTF. They are set by such a list.

        Setting rewrites the whole section: what programs write to it in that moment may be lost.
        Raises `SpecError` for a list of another length, and for what the type cannot hold.
        """
        from rawbpf.btf import value as typed

        raw = self.raw
        parts = [raw[at : at + self.size] for at in range(0, len(raw), self.size)]
        btf = self._btf() if self.type_id else None
        return parts if btf is None else [typed.decode(btf, self.type_id, part) for part in parts]

    @value.setter
    def value(self, new: Any) -> None:
        with where(symbol=self.name):
            cpus = host.possible_cpus()
            if not isinstance(new, list | tuple) or len(new) != cpus:
                raise SpecError(f"a per-CPU variable is set by a list of {cpus} values, one for each possible CPU")
            sections = self._sections()
            for section, one in zip(sections, new, strict=True):
                section[self.offset : self.offset + self.size] = self._encode(one)
            self.map.update(bytes(4), [bytes(section) for section in sections])

    def _sections(self) -> list[bytearray]:
        raw = self.map.raw_value(bytes(4))
        step = len(raw) // host.possible_cpus()
        return [bytearray(raw[at : at + self.map.value_size]) for at in range(0, len(raw), step)]
