# SPDX-License-Identifier: BSD-2-Clause
"""The newest libbpf that Debian's suites have, built once from its source package and kept in the cache.

It is never installed: apt works here with a configuration, lists and archives of its own, and the library is loaded by
its path. Building from source makes it independent of the C library that the newest suite was built for.

``RAWBPF_LIBBPF`` names a shared library to use instead. To look for a newer version, remove the directory
``oracle/libbpf-*`` from the cache.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from .recorder import OracleUnavailable, cache_directory

SUITES = ("trixie", "trixie-backports", "sid", "experimental")
MIRROR = os.environ.get("RAWBPF_DEBIAN_MIRROR", "http://deb.debian.org/debian")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


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
    for tool, package in (("apt-get", "apt"), ("make", "make"), ("gcc", "gcc"), ("tar", "tar")):
        if not shutil.which(tool):
            raise OracleUnavailable(f"{tool} is needed to build libbpf: apt install {package}, or set RAWBPF_LIBBPF")
    with tempfile.TemporaryDirectory(prefix="libbpf-", dir=cache_directory()) as directory:
        work = Path(directory)
        archive = _download(work)
        _run(["tar", "-xf", str(archive), "--one-top-level=source", "--strip-components=1"], work)
        version = archive.name.split("_")[1].split(".orig.")[0]
        built = work / "built"
        built.mkdir()
        _run(
            ["make", "-s", "-C", str(work / "source/src"), f"OBJDIR={built}", "CFLAGS=-g -O1 -w", f"{built}/libbpf.so"],
            work,
            hint="apt install gcc make pkg-config libelf-dev zlib1g-dev, or set RAWBPF_LIBBPF",
        )
        target = cache_directory() / f"libbpf-{version}"
        target.mkdir(exist_ok=True)
        os.replace((built / "libbpf.so").resolve(), target / "libbpf.so")
    return target / "libbpf.so"


def _download(work: Path) -> Path:
    """The upstream archive of the newest source package, checked by apt against the archive's key."""
    signed = f"[signed-by={KEYRING}] " if os.path.exists(KEYRING) else ""
    sources = work / "sources.list"
    sources.write_text("".join(f"deb-src {signed}{MIRROR} {suite} main\n" for suite in SUITES))
    for name in ("lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True)
    options = {
        "Dir::Etc::SourceList": str(sources),
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State::Lists": str(work / "lists"),
        "Dir::Cache": str(work / "cache"),
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb-src::Contents-dsc::DefaultEnabled": "false",
    }
    apt = ["apt-get", "-q", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
    hint = "is the Debian archive reachable? RAWBPF_DEBIAN_MIRROR names another mirror, RAWBPF_LIBBPF a library"
    _run([*apt, "update"], work, hint)
    _run([*apt, "source", "--download-only", "--only-source", "libbpf"], work, hint)
    archives = [path for path in work.glob("libbpf_*.orig.tar.*") if path.suffix != ".asc"]
    if len(archives) != 1:
        raise OracleUnavailable(f"apt-get source libbpf left {[path.name for path in work.iterdir()]}")
    return archives[0]


def _run(command: list[str], directory: Path, hint: str = "") -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise OracleUnavailable(f"{command[0]} failed: {' | '.join(said[-3:])}" + (f" ({hint})" if hint else ""))
