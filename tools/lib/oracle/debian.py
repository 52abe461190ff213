# SPDX-License-Identifier: BSD-2-Clause
"""The newest libbpf that Debian has, built once from its source package and kept in the cache.

It is never installed, but loaded by its path. Building it from source makes it independent of the C library that the
newest suite was built for.

``RAWBPF_LIBBPF`` names a shared library to use instead. To look for a newer version, remove the directory
``oracle/libbpf-*`` from the cache.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

from tools.lib.apt_source import AptSource
from tools.lib.report import ToolError

from .recorder import OracleUnavailable, cache_directory

SUITE = "sid"
HINT = "or RAWBPF_LIBBPF=FILE names a library to use instead"


def libbpf() -> Path:
    """The shared library: named by the user, kept from an earlier run, or fetched and built now (about 10 s)."""
    named = os.environ.get("RAWBPF_LIBBPF")
    if named:
        return Path(named)
    kept = sorted(cache_directory().glob("libbpf-*/libbpf.so"), key=_version)
    return kept[-1] if kept else _fetch_and_build()


def _version(library: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", library.parent.name)]


def _fetch_and_build() -> Path:
    with tempfile.TemporaryDirectory(prefix="building-", dir=cache_directory()) as directory:
        work = Path(directory)
        archive = _download(work)
        version = archive.name.split("_")[1].split(".orig.")[0]
        target = cache_directory() / f"libbpf-{version}"
        _run("tar", "-xf", str(archive), "--one-top-level=source", "--strip-components=1", directory=work)
        library = work / "built" / "libbpf.so"
        library.parent.mkdir()
        make = ["make", "-s", "-C", str(work / "source/src"), f"OBJDIR={library.parent}", "CFLAGS=-g -O1 -w"]
        _run(*make, str(library), directory=work)
        target.mkdir(exist_ok=True)
        os.replace(library.resolve(), target / "libbpf.so")
    return target / "libbpf.so"


def _download(work: Path) -> Path:
    apt = AptSource(SUITE, work / "apt", "deb-src")
    try:
        apt.update()
        files = apt.download_source("libbpf", work / "files")
    except (ToolError, OSError) as error:
        raise OracleUnavailable(f"libbpf's source package cannot be fetched: {error}; {HINT}") from error
    return next(path for path in files if ".orig.tar." in path.name and path.suffix != ".asc")


def _run(*command: str, directory: Path) -> None:
    try:
        subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-3:]
        packages = "gcc make pkg-config libelf-dev zlib1g-dev"
        raise OracleUnavailable(
            f"libbpf does not build: {' | '.join(said)} (apt install {packages}; {HINT})"
        ) from error
