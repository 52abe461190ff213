# SPDX-License-Identifier: BSD-2-Clause
"""Building the test kernel and its module: fetch Debian's source, patch, configure, compile, keep what is needed.

One build at a time (a lock). An interrupted one leaves its tree and continues there. The result appears whole, at once.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from tools.lib import kernel, kernel_source, machine
from tools.lib.apt_source import PACKAGES as APT_PACKAGES
from tools.lib.apt_source import fetch_root
from tools.lib.report import Progress, ToolError, note

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PACKAGES = (
    *APT_PACKAGES,
    *("gcc", "make", "libc6-dev", "flex", "bison", "bc", "perl", "patch", "tar", "xz-utils", "dpkg"),
    *("libelf-dev", "libssl-dev", "dwarves", "binutils"),
)
DISK_NEEDED = 5 * 10**9
"""The source takes 1.9 GB, what is compiled 2.1 GB, the package 170 MB."""
STEPS = 2400
"""What a whole build prints in lines; how far it is, is judged by that."""


def build(result: Path, configs: Sequence[Path], *, keep_tree: bool = False) -> None:
    """Build the test kernel, configured by these files, into the directory `result`. Raises ToolError."""
    base = machine.cache_dir() / "kernel"
    with machine.locked(base / "lock", "waiting for another process that builds the test kernel"):
        if result.is_dir():
            return
        note(f"building the test kernel, once for this source, patches and configuration, into {result}")
        _check_disk(base)
        machine.ensure_debian(PACKAGES)
        tree = base / "tree"
        package, version = _prepare_tree(base, tree)
        pahole = _pahole(tree)
        make = _make_command(tree, pahole)
        _configure(tree, make, configs)
        _compile(make, base / "build.log")
        _compile_module(tree, make)
        _publish(tree, f"{package} {version}, {_version_of(pahole)}\n", result)
        if not keep_tree:
            shutil.rmtree(tree)


def _check_disk(base: Path) -> None:
    free = shutil.disk_usage(base).free
    if free < DISK_NEEDED and not (base / "tree").exists():
        raise ToolError(
            f"{base}: {free / 1e9:.1f} GB free, building the test kernel takes {DISK_NEEDED / 1e9:.1f} GB for a while",
            hint="make room, or name another place in RAWBPF_CACHE",
        )


def _prepare_tree(base: Path, tree: Path) -> tuple[str, str]:
    """Make the tree, patched, unless it is there. Returns the package and version that it is made from."""
    stamp = tree / ".rawbpf-tree"
    recipe = hashlib.sha256(b"".join(path.read_bytes() for path in (kernel.RECIPE / "source", *kernel.patches())))
    if stamp.exists():
        found, package, version = stamp.read_text().split()
        if found == recipe.hexdigest():
            note(f"continuing in {tree}")
            return package, version
    package, version, archive = kernel_source.fetch()
    note(f"unpacking {package} {version}")
    shutil.rmtree(tree, ignore_errors=True)
    kernel_source.unpack(archive, package, tree)
    _patch(tree, f"{package} {version}")
    stamp.write_text(f"{recipe.hexdigest()} {package} {version}\n")
    return package, version


def _patch(tree: Path, source: str) -> None:
    for patch in kernel.patches():
        command = ["patch", "--strip=1", "--batch", "--forward", f"--input={patch}"]
        done = subprocess.run(command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            note(done.stdout.rstrip())
            raise ToolError(f"{patch.name} does not apply to {source}")


def _pahole(tree: Path) -> str:
    """The command that writes BTF: of the suite that the recipe names, below the tree, or else this machine's.

    Newer ones write what Debian 12's does not know: 64-bit enums as kernels of our days have them, and more.
    """
    root = tree / ".rawbpf-pahole"
    suite = kernel_source.pin()["pahole"]
    try:
        fetch_root(suite, ("pahole",), root)
    except ToolError as error:
        note(f"taking this machine's pahole: {error}")
        return "pahole"
    command = root / "pahole"
    libraries = root / "usr" / "lib" / "x86_64-linux-gnu"  # the C library among them
    start = f'"{libraries}/ld-linux-x86-64.so.2" --library-path "{libraries}"'
    command.write_text(f'#!/bin/sh\nexec {start} "{root}/usr/bin/pahole" "$@"\n')
    command.chmod(0o755)
    return str(command)


def _version_of(pahole: str) -> str:
    return f"pahole {subprocess.run([pahole, '--version'], stdout=subprocess.PIPE, text=True).stdout.strip()}"


def _configure(tree: Path, make: list[str], configs: Sequence[Path]) -> None:
    """allnoconfig plus our options; each must survive the dependencies of the kernel's options."""
    wanted = tree / ".rawbpf-config"
    wanted.write_text("".join(config.read_text() for config in configs))
    _run([*make, "allnoconfig", f"KCONFIG_ALLCONFIG={wanted}"])
    result = (tree / ".config").read_text()
    lines = (line for line in wanted.read_text().splitlines() if line.startswith("CONFIG_"))
    last = {line.partition("=")[0]: line for line in lines}  # the second file may say otherwise than the first
    lost = [line for line in last.values() if not _holds(line, result)]
    if lost:
        files = " and ".join(map(str, configs))
        raise ToolError(f"this kernel source does not take these lines of {files}: {', '.join(lost)}")


def _holds(line: str, config: str) -> bool:
    option, _, value = line.partition("=")
    if value == "n":
        return not re.search(rf"^{option}=", config, re.MULTILINE)
    return f"\n{line}\n" in config


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        note(done.stdout.rstrip())
        raise ToolError(f"{' '.join(command)} failed, see above")


def _make_command(tree: Path, pahole: str) -> list[str]:
    """make, told the same on every machine: with a time of its own, pahole too gives the same result each time."""
    same = ("USER=rawbpf", "HOST=rawbpf", "VERSION=1", "TIMESTAMP=1970-01-01")
    return ["nice", "make", f"--directory={tree}", f"PAHOLE={pahole}", *(f"KBUILD_BUILD_{setting}" for setting in same)]


def _compile(make: list[str], log: Path) -> None:
    jobs = len(os.sched_getaffinity(0))
    progress = Progress(f"compiling the test kernel with {jobs} jobs")
    with log.open("w", buffering=1) as output:
        command = [*make, f"--jobs={jobs}", "bzImage", "modules"]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert running.stdout
        try:
            for count, line in enumerate(running.stdout, 1):
                output.write(line)
                progress.update(f"{min(99, count * 100 // STEPS)} %")
        except BaseException:
            running.terminate()
            raise
        finally:
            running.wait()
    if running.returncode != 0:
        progress.finish("failed")
        note("".join(log.read_text().splitlines(keepends=True)[-25:]).rstrip())
        raise ToolError(f"the test kernel did not compile, see above and {log}")
    progress.finish("done")


def _compile_module(tree: Path, make: list[str]) -> None:
    """Our module, as those outside of the kernel's tree: its BTF is split, and has what it needs of its base too."""
    directory = tree / "rawbpf_test"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(kernel.RECIPE / "module", directory)
    _run([*make, f"M={directory}", "modules"])
    _run(["objcopy", "--strip-debug", str(directory / kernel.MODULE)])


def _publish(tree: Path, source: str, result: Path) -> None:
    """Put what is to be kept into a new directory, and give it its name when it is complete."""
    new = result.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    shutil.copy(tree / kernel.IMAGE_IN_TREE, new / "bzImage")
    shutil.copy(tree / "rawbpf_test" / kernel.MODULE, new / kernel.MODULE)
    shutil.copy(tree / ".config", new / "config")
    (new / "source").write_text(source)
    kernel.extract_btf(tree / "vmlinux", new / "vmlinux.btf")
    new.rename(result)
