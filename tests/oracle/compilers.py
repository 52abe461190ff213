# SPDX-License-Identifier: BSD-2-Clause
"""The project's BPF sources, built by other compilers than the one that the committed objects are from.

A compiler and all that it needs come from a Debian suite into a root of their own in the cache, where it runs by
chroot: this machine's packages stay as they are. A clang takes 430 MB there. What it built is kept until a source
changes. Debug information is left in, which the committed objects lack.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tools.lib.apt_source import fetch_root
from tools.lib.oracle.recorder import OracleUnavailable, cache_directory
from tools.lib.report import ToolError

ROOT = Path(__file__).resolve().parents[2]
ALL_SOURCES = sorted(path for folder in ("objs", "tests/objs") for path in (ROOT / folder).glob("*.c"))
# but those that name the one compiler which can build them
SOURCES = [path.relative_to(ROOT) for path in ALL_SOURCES if " * compiler: " not in path.read_text()]
HEADERS = sorted(path.relative_to(ROOT) for folder in ("objs", "tests/objs") for path in (ROOT / folder).rglob("*.h"))
FLAGS = ("-O2", "-g", "-std=gnu17", "-w", "-Iobjs/include")
OPTIONS = re.compile(r"^ \* clang: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Compiler:
    """A compiler, the Debian suite and package that have it, and how it is called for BPF."""

    name: str
    suite: str
    package: str
    command: tuple[str, ...]


COMPILERS = (
    Compiler("clang-14", "bookworm", "clang-14", ("clang-14", "-target", "bpfel", "-mcpu=v3")),
    Compiler("clang-16", "bookworm", "clang-16", ("clang-16", "-target", "bpfel", "-mcpu=v3")),
    Compiler("clang-19-v1", "trixie", "clang-19", ("clang-19", "-target", "bpfel", "-mcpu=v1")),
    Compiler("clang-19-v4", "trixie", "clang-19", ("clang-19", "-target", "bpfel", "-mcpu=v4")),
    Compiler("gcc-14", "trixie", "gcc-bpf", ("bpf-gcc", "-gbtf", "-fpermissive", "-mcpu=v3")),
    Compiler("gcc-newest", "sid", "gcc-bpf", ("bpf-gcc", "-gbtf", "-fpermissive", "-mcpu=v3")),
)


@dataclass(frozen=True)
class Built:
    """The objects, and of each source that the compiler cannot build what it says."""

    objects: list[Path]
    refused: dict[str, str]


def build(compiler: Compiler) -> Built:
    """The objects of all sources by one compiler: kept from an earlier run, or built now.

    Raises:
        OracleUnavailable: the compiler cannot be fetched.
    """
    digest = hashlib.sha256(repr(compiler).encode() + repr(FLAGS).encode())
    for path in (*SOURCES, *HEADERS):
        digest.update(str(path).encode() + (ROOT / path).read_bytes())
    kept = cache_directory() / "objects" / f"{compiler.name}-{digest.hexdigest()[:16]}"
    if not kept.exists():
        for old in kept.parent.glob(f"{compiler.name}-*"):
            shutil.rmtree(old)
        _build_all(compiler, _toolchain(compiler), kept)
    return Built(sorted(kept.glob("*.o")), json.loads((kept / "refused.json").read_text()))


def _build_all(compiler: Compiler, root: Path, kept: Path) -> None:
    kept.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=root) as directory:
        work = Path(directory)
        for path in (*SOURCES, *HEADERS):
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, work / path)
        (work / "out").mkdir()
        refused = {source.name: reason for source in SOURCES if (reason := _compile(compiler, root, work, source))}
        (work / "out" / "refused.json").write_text(json.dumps(refused))
        os.replace(work / "out", kept)


def _compile(compiler: Compiler, root: Path, work: Path, source: Path) -> str:
    """What the compiler has against it; empty if it built the object."""
    options = OPTIONS.search((work / source).read_text())
    command = [*compiler.command, *FLAGS, *(options[1].split() if options else ())]
    words = [*command, "-c", str(source), "-o", f"out/{source.stem}.o"]
    enter = ["chroot", str(root), "/bin/sh", "-c", 'cd "$0" && exec "$@"', f"/{work.name}"]
    done = subprocess.run(
        [*enter, *words], env={"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C"}, capture_output=True, text=True
    )
    if not done.returncode:
        return ""
    errors = [line for line in done.stderr.splitlines() if "error" in line] or [done.stderr.strip()]
    return errors[0]


def _toolchain(compiler: Compiler) -> Path:
    """A root directory with the compiler in it."""
    root = cache_directory() / "toolchains" / f"{compiler.package}-{compiler.suite}"
    try:
        fetch_root(compiler.suite, (compiler.package, "dash"), root)
    except (ToolError, OSError) as error:
        raise OracleUnavailable(f"{compiler.package} cannot be fetched: {error}") from error
    return root
