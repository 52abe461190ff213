# SPDX-License-Identifier: BSD-2-Clause
"""The BPF programs that the kernel's source brings along for its own tests: about a thousand objects, built here.

They are compiled with clang-19 against the test kernel's types and kept in the cache; nothing of them is in this
repository. Some of them are there to show faults of a verifier, and bring down a kernel that has the fault: load them
in the test kernel only::

    tools/compare-libbpf --vm --each $(python -m tests.oracle.kernel_programs)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.lib import kernel, kernel_source
from tools.lib.oracle.recorder import OracleUnavailable, cache_directory
from tools.lib.report import ToolError

TESTS = "tools/testing/selftests/bpf"
MEMBERS = (TESTS, "tools/lib/bpf", "tools/include", "include/uapi/linux/bpf.h", "scripts/bpf_doc.py")
CLANG = (
    *("clang-19", "--target=bpfel", "-mcpu=v3", "-O2", "-g", "-w", "-std=gnu11", "-fms-extensions"),
    *("-D__TARGET_ARCH_x86", "-DENABLE_ATOMICS_TESTS", "-Imade", f"-I{TESTS}", f"-I{TESTS}/progs"),
    *(f"-I{TESTS}/libarena/include", "-Itools/include/uapi", "-Itools/include", "-Itools/lib"),
    *("-idirafter", "/usr/include/x86_64-linux-gnu", "-idirafter", "/usr/include"),
)
NO_PROGRAMS = "btf_dump_test_case_"  # how the files begin that are input of tests of another kind
MOST = 0.9  # of the sources compile; what does not wants another compiler, or types that the test kernel is without


def built() -> list[Path]:
    """The objects: kept from an earlier run, or built now, in about three minutes.

    Raises:
        OracleUnavailable: the source cannot be fetched, or there is no compiler.
    """
    types = kernel.ensure().btf
    if types is None:
        raise OracleUnavailable("the types of the kernel that RAWBPF_KERNEL names are not known")
    try:
        package, version, archive = kernel_source.fetch()
    except (ToolError, OSError) as error:
        raise OracleUnavailable(f"the kernel's source cannot be fetched: {error}") from error
    key = hashlib.sha256(repr((version, CLANG)).encode() + types.read_bytes()).hexdigest()[:16]
    kept = cache_directory() / "kernel-programs" / key
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="building-", dir=cache_directory()) as directory:
            tree = Path(directory) / "tree"
            kernel_source.unpack(archive, package, tree, *MEMBERS)
            _build(tree, types)
            for old in kept.parent.iterdir():
                shutil.rmtree(old)
            os.replace(tree / "out", kept)
    return sorted(kept.glob("*.o"))


def _build(tree: Path, types: Path) -> None:
    headers = tree / "made" / "bpf"
    headers.mkdir(parents=True)
    for header in (tree / "tools/lib/bpf").glob("*.h"):
        shutil.copy(header, headers)
    generate = [sys.executable, "scripts/bpf_doc.py", "--header", "--file", "include/uapi/linux/bpf.h"]
    (headers / "bpf_helper_defs.h").write_text(_run(generate, tree))
    (headers.parent / "vmlinux.h").write_text(_run([sys.executable, "-m", "rawbpf", "btf", "dump", str(types)], tree))
    (tree / "out").mkdir()
    sources = [path for path in (tree / TESTS / "progs").glob("*.c") if not path.name.startswith(NO_PROGRAMS)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = sum(pool.map(lambda source: _compile(tree, source), sources))
    if done < MOST * len(sources):
        raise OracleUnavailable(f"clang-19 builds {done} of the kernel's {len(sources)} BPF sources")


def _compile(tree: Path, source: Path) -> bool:
    command = [*CLANG, "-c", str(source.relative_to(tree)), "-o", f"out/{source.stem}.o"]
    return subprocess.run(command, cwd=tree, stderr=subprocess.DEVNULL).returncode == 0


def _run(command: list[str], directory: Path) -> str:
    try:
        return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True).stdout
    except subprocess.CalledProcessError as error:
        raise OracleUnavailable(f"{' '.join(command)}: {error.stderr.strip()}") from error


if __name__ == "__main__":
    print(*built())
