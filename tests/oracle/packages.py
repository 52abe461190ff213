# SPDX-License-Identifier: BSD-2-Clause
"""BPF objects that Debian's packages ship, as files or within programs, fetched once and kept in the cache."""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tools.lib.apt_source import AptSource
from tools.lib.oracle.recorder import OracleUnavailable, cache_directory
from tools.lib.report import ToolError

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = {
    "bookworm": ("libbpf-tools", "xdp-tools", "libxdp1", "ir-keytable", "qemu-system-x86"),
    "trixie": (
        *("libbpf-tools", "xdp-tools", "libxdp1", "ir-keytable", "qemu-system-x86"),
        *("systemd", "systemd-container", "opensnitch-ebpf-modules", "bpftop"),
    ),
    "sid": (
        *("libbpf-tools", "xdp-tools", "libxdp1", "ir-keytable", "qemu-system-x86"),
        *("systemd", "systemd-container", "opensnitch-ebpf-modules", "bpftop"),
        *("udev-hid-bpf", "suricata", "pwru"),
    ),
}
"""By suite, those that are known to have BPF objects."""

# struct elf64_hdr and elf64_shdr of a little-endian file
_MAGIC = b"\x7fELF\x02\x01"
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_ET_REL, _EM_BPF, _SHT_NOBITS = 1, 247, 8


def shipped(suite: str, package: str) -> list[Path]:
    """The objects of a package: kept from an earlier run, or fetched now.

    Raises:
        OracleUnavailable: the package cannot be fetched.
    """
    kept = cache_directory() / "packages" / suite / package
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetching-", dir=kept.parent) as directory:
            fresh = Path(directory) / "objects"
            fresh.mkdir()
            for name, data in _objects(_download(suite, package, Path(directory)), Path(directory) / "root"):
                (fresh / name).write_bytes(data)
            os.replace(fresh, kept)
    return sorted(kept.iterdir())


def embedded(data: bytes) -> Iterator[bytes]:
    """The relocatable BPF objects for 64 bits, little-endian, that a file consists of or contains."""
    at = data.find(_MAGIC)
    while at >= 0:
        found = _object_at(data, at)
        if found:
            yield found
        at = data.find(_MAGIC, at + max(len(found), 1))


def _object_at(data: bytes, at: int) -> bytes:
    """The object whose header is there, up to the last byte that it mentions; empty if there is none."""
    if at + _HEADER.size > len(data):
        return b""
    fields = _HEADER.unpack_from(data, at)
    kind, machine, sections, section_size, count = fields[1], fields[2], fields[6], fields[11], fields[12]
    end = sections + section_size * count
    if kind != _ET_REL or machine != _EM_BPF or section_size != _SECTION.size or at + end > len(data):
        return b""
    for offset in range(at + sections, at + end, _SECTION.size):
        section = _SECTION.unpack_from(data, offset)
        if section[1] != _SHT_NOBITS:
            end = max(end, section[4] + section[5])
    return data[at : at + end]


def _objects(package: Path, root: Path) -> Iterator[tuple[str, bytes]]:
    """Each object once, named after its file."""
    subprocess.run(["dpkg-deb", "--extract", package, root], check=True)
    seen: set[bytes] = set()
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        for number, data in enumerate(embedded(path.read_bytes())):
            if data not in seen:
                seen.add(data)
                yield f"{path.name.removesuffix('.o')}{f'.{number}' if number else ''}.o", data


def _download(suite: str, package: str, directory: Path) -> Path:
    try:
        apt = _suite(suite)
        versions = apt.versions(package)
        if not versions:
            raise OracleUnavailable(f"Debian's {suite} has no package {package}")
        return apt.download(package, versions[0], directory)
    except (ToolError, OSError) as error:
        raise OracleUnavailable(f"{package} cannot be fetched: {error}") from error


@lru_cache
def _suite(suite: str) -> AptSource:
    apt = AptSource(suite, cache_directory() / "apt" / suite)
    apt.update()
    return apt
