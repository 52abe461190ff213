# SPDX-License-Identifier: BSD-2-Clause
"""A kernel as data: what planning has to know of the kernel that an object is meant for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from zlib import crc32

from rawbpf.btf.parse import Btf
from rawbpf.errors import TargetError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping


NOT_HERE = "it may need another kernel, a CONFIG_, or a module that is not loaded"
"""The hint for what a kernel lacks, where nothing better is known."""


def fingerprint(btf: bytes) -> str:
    """A short word that tells one kernel's BTF from another's: its length and CRC-32."""
    return f"{len(btf):x}-{crc32(btf):08x}"


class Features(Protocol):
    """Answers whether a kernel has a feature, by the names of `rawbpf.kernel.features`, such as ``btf_enum64``."""

    def has(self, name: str) -> bool:
        """Whether the kernel has it; also yes when that could not be told."""
        ...


class Modern:
    """The features of a kernel that is only known by its BTF: all of them."""

    def has(self, name: str) -> bool:
        return True


class Module:
    """A kernel module's BTF, read when it is needed."""

    def __init__(self, name: str, load: Callable[[], Btf]) -> None:
        self.name = name
        self._load = load
        self._btf: Btf | None = None

    @property
    def btf(self) -> Btf:
        """Its BTF, split from vmlinux's."""
        if self._btf is None:
            self._btf = self._load()
        return self._btf

    @property
    def handle(self) -> str:
        """Its handle in a plan's steps."""
        return f"module:{self.name}"


class Target:
    """A kernel: its types, configuration, symbols and features. Everything is fetched when it is first asked for.

    Args:
        name: what to call it in messages.
        btf: gives vmlinux's BTF, or None where the kernel has none.
        modules: gives the modules that have BTF.
        kconfig: gives the text of its .config, or None where that is not to be had.
        ksyms: gives the addresses of symbols by name (each may be there more than once).
        version: ``KERNEL_VERSION(major, minor, patch)`` as a number, 0 where unknown.
        cpus: the number of possible CPUs, which sizes perf event arrays.
        page_size: in bytes, which sizes ring buffers and arenas.
        little: whether it is little-endian; by default its BTF tells.
        features: what it can do.
        programs: gives the BTF of a BPF program that is loaded there, by its handle (``progid:7``, ``pin:PATH``).
    """

    def __init__(
        self,
        name: str,
        *,
        btf: Callable[[], Btf | None],
        modules: Callable[[], Iterable[Module]] = tuple,
        kconfig: Callable[[], str | None] = lambda: None,
        ksyms: Callable[[set[str]], Mapping[str, list[int]]] = lambda names: {},
        version: int = 0,
        cpus: int = 1,
        page_size: int = 4096,
        little: bool | None = None,
        features: Features | None = None,
        programs: Callable[[str], Btf] | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.cpus = cpus
        self.page_size = page_size
        self._little = little
        self.features = features or Modern()
        self.core_btf: Btf | None = None
        """BTF that replaces vmlinux's for CO-RE alone, as for kernels without BTF of their own."""
        self._load_btf = btf
        self._load_modules = modules
        self._load_kconfig = kconfig
        self._ksyms = ksyms
        self._programs = programs
        self._btf: Btf | None = None
        self._btf_known = False
        self._modules: list[Module] | None = None

    @classmethod
    def from_btf(
        cls,
        source: str | os.PathLike[str] | Btf,
        *,
        kconfig: str | None = None,
        ksyms: Mapping[str, list[int]] | None = None,
        version: int = 0,
        cpus: int = 1,
    ) -> Target:
        """A kernel of which there is only its BTF: a file (raw, or ELF with a .BTF section), or a `Btf`.

        Raises:
            ElfError, BtfError: the file cannot be read, or is no BTF.
        """
        if not isinstance(source, Btf):
            from rawbpf.objfile.reader import read_btf

            source = read_btf(source)
        btf, symbols = source, ksyms or {}
        return cls(
            btf.name or "BTF",
            btf=lambda: btf,
            kconfig=lambda: kconfig,
            ksyms=lambda names: {name: symbols[name] for name in names if name in symbols},
            version=version,
            cpus=cpus,
            little=btf.little,
        )

    @property
    def btf(self) -> Btf | None:
        """The BTF of vmlinux, or None."""
        if not self._btf_known:
            self._btf = self._load_btf()
            self._btf_known = True
        return self._btf

    @property
    def little(self) -> bool:
        """Whether it is little-endian."""
        if self._little is None:
            self._little = self.btf.little if self.btf is not None else True
        return self._little

    @property
    def fingerprint(self) -> str:
        """What tells this kernel from others, by its types; empty as long as nobody has asked for them."""
        return fingerprint(self._btf.data) if self._btf is not None else ""

    @property
    def modules(self) -> list[Module]:
        """The modules that have BTF."""
        if self._modules is None:
            self._modules = list(self._load_modules())
        return self._modules

    @property
    def kconfig(self) -> str | None:
        """The text of .config, or None."""
        return self._load_kconfig()

    def ksyms(self, names: set[str]) -> Mapping[str, list[int]]:
        """The addresses of symbols; names that are not there are left out."""
        return self._ksyms(names)

    def program_btf(self, handle: str) -> Btf:
        """The BTF of a BPF program that is loaded there.

        Raises:
            TargetError: there is no such program, it has no BTF, or nothing is known of the programs there.
        """
        if self._programs is None:
            raise TargetError(f"which BPF programs {self.name} has is not known: {handle} cannot be attached to")
        return self._programs(handle)

    def find(self, name: str, *kinds: int) -> tuple[Btf, int, Module | None] | None:
        """A type by name, in vmlinux first, then in the modules: its BTF, its id, and the module or None."""
        for btf, module in self.btfs():
            for type_id in btf.find_all(name):
                if type_id >= btf.start_id and (not kinds or btf.kind(type_id) in kinds):
                    return btf, type_id, module
        return None

    def btfs(self) -> Iterator[tuple[Btf, Module | None]]:
        """The BTF of vmlinux, and then that of each module."""
        if self.btf is not None:
            yield self.btf, None
        for module in self.modules:
            yield module.btf, module
