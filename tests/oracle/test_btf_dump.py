# SPDX-License-Identifier: BSD-2-Clause
"""Raw and JSON dumps against ``bpftool btf dump``: the same text, but for what `without_known_faults` says."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from skips import unavailable

from rawbpf.btf.dump import format_raw, to_json
from rawbpf.objfile.reader import read_btf

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).resolve().parents[2]
OBJECTS = sorted([*ROOT.glob("objs/*.o"), *ROOT.glob("tests/objs/*.o")])
VMLINUX = Path("/sys/kernel/btf/vmlinux")


def bpftool(*arguments: str | Path) -> str:
    """What bpftool prints."""
    program = shutil.which("bpftool", path="/usr/sbin:/sbin:/usr/bin:/bin") or shutil.which("bpftool")
    if not program:
        unavailable("no bpftool to compare with (apt install bpftool)")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def opened(path: Path) -> Btf:
    if not path.exists():
        unavailable(f"{path} is not there")
    return read_btf(path)


@pytest.mark.parametrize("path", [*OBJECTS, VMLINUX], ids=lambda path: path.name)
def test_raw(path: Path) -> None:
    ours = list(format_raw(opened(path)))
    theirs = bpftool("btf", "dump", "file", path, "format", "raw").splitlines()
    assert ours == theirs


@pytest.mark.parametrize("path", [*OBJECTS, VMLINUX], ids=lambda path: path.name)
def test_json(path: Path) -> None:
    ours = to_json(opened(path))["types"]
    theirs = json.loads(bpftool("-j", "btf", "dump", "file", path))["types"]
    assert ours == [without_known_faults(described) for described in theirs]


def without_known_faults(described: dict[str, Any]) -> dict[str, Any]:
    """What bpftool means."""
    if described["kind"] == "ENUM" and described["encoding"] == "UNSIGNED":
        # bpftool 7.1 extends the sign of an unsigned 32-bit enumerator to 64 bits (in JSON only)
        for value in described["values"]:
            value["val"] &= 0xFFFFFFFF
    return described
