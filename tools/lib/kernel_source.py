# SPDX-License-Identifier: BSD-2-Clause
"""The kernel's source as Debian packages it: the pinned version, kept in the cache, or else the newest there is."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tools.lib import kernel, machine
from tools.lib.apt_source import AptSource, downloaded
from tools.lib.report import ToolError, note

if TYPE_CHECKING:
    from pathlib import Path

FALLBACK = r"linux-source-7\.[0-9]+"


def fetch() -> tuple[str, str, Path]:
    """Download the pinned package, or the next best, and drop others downloaded before. Returns name, version, file."""
    wanted = pin()
    base = machine.cache_dir() / "kernel"
    downloads = base / "download"
    present = downloaded(wanted["package"], wanted["version"], downloads)
    if present:
        return wanted["package"], wanted["version"], present
    apt = AptSource(wanted["suite"], base / "apt")
    apt.update()
    package, version = choose(apt, wanted)
    note(f"downloading {package} {version} of Debian's {wanted['suite']}")
    archive = apt.download(package, version, downloads)
    for old in downloads.glob("*.deb"):
        if old != archive:
            old.unlink()
    return package, version, archive


def pin() -> dict[str, str]:
    """What tools/kernel/source says, by its words."""
    lines = (kernel.RECIPE / "source").read_text().splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines if line[:1] != "#")}


def choose(apt: AptSource, pin: dict[str, str]) -> tuple[str, str]:
    """The pinned package and version, or the newest version of it, or the newest package of the same series."""
    wanted = (pin["package"], pin["version"])
    newest_first = sorted(apt.names(FALLBACK), key=lambda name: int(name.rpartition(".")[2]), reverse=True)
    for package in dict.fromkeys((pin["package"], *newest_first)):
        versions = apt.versions(package)
        if (package, pin["version"]) == wanted and pin["version"] in versions:
            return wanted
        if versions:
            note(f"{' '.join(wanted)} has left Debian's {pin['suite']}: taking {package} {versions[0]} instead")
            return package, versions[0]
    raise ToolError(
        f"Debian's {pin['suite']} has no {FALLBACK.replace(chr(92), '')}",
        hint=f"name a kernel of your own in {kernel.VARIABLE}, or another source in {kernel.RECIPE / 'source'}",
    )


def unpack(archive: Path, package: str, tree: Path, *members: str) -> None:
    """The source tree out of the .deb, which holds it as one compressed tar file; or only what is below `members`."""
    inner = f"./usr/src/{package}.tar.xz"
    tree.mkdir(parents=True)
    steps = (
        ["dpkg-deb", "--fsys-tarfile", str(archive)],
        ["tar", "--extract", "--to-stdout", inner],
        [
            "tar",
            "--extract",
            "--xz",
            "--strip-components=1",
            f"--directory={tree}",
            *(f"{package}/{member}" for member in members),
        ],
    )
    running: list[subprocess.Popen[bytes]] = []
    for step in steps:
        source = running[-1].stdout if running else None
        running.append(subprocess.Popen(step, stdin=source, stdout=subprocess.PIPE if step is not steps[-1] else None))
        if source:
            source.close()
    if any([process.wait() for process in running]):
        raise ToolError(f"{archive}: could not unpack {inner}", hint=f"remove the file, and try again: {archive}")
