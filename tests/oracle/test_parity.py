# SPDX-License-Identifier: BSD-2-Clause
"""rawbpf hands to the kernel what libbpf hands over, byte for byte, for each object of the project."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import rawbpf

from . import libbpf, ours
from .compare import compare
from .normalise import normalise

pytestmark = [pytest.mark.oracle, pytest.mark.kernel]

ROOT = Path(__file__).parents[2]
OURS = sorted((ROOT / "objs").glob("*.o"))
CASES = sorted((ROOT / "tests/objs").glob("*.el.o" if sys.byteorder == "little" else "*.eb.o"))

# Differences that are meant, by object and program ("" for the object as a whole). See docs/parity.md.
DECISIONS = {
    # libbpf 1.7 takes just the first variable of a "?" section for optional, rawbpf all
    "struct_ops_mismatch": {"", "ssthresh", "for_new_callback", "for_no_such_ops"},
}

ATTACHABLE = {"tcp_congestion_ops", "mptcp_sched_ops"}
"""struct_ops types that can be registered without reaching any process: one has to be asked for by name."""

each_object = pytest.mark.parametrize("obj", OURS + CASES, ids=lambda path: str(path.relative_to(ROOT)))


TOO_OLD = "missing BPF prog type"
"""What libbpf says of a SEC() that only later versions know."""


def decided(obj: Path, program: str) -> bool:
    return program in DECISIONS.get(obj.name.partition(".")[0], ())


def struct_ops_types(obj: Path) -> set[str]:
    try:
        return {found.type_name for found in rawbpf.open(obj).struct_ops.values()}
    except rawbpf.RawbpfError:
        return set()


def kernel_has(type_names: set[str]) -> bool:
    btf = Path("/sys/kernel/btf/vmlinux").read_bytes()
    return all(f"\0bpf_struct_ops_{name}\0".encode() in btf for name in type_names)


@each_object
def test_same_as_libbpf(libbpf_library: Path, obj: Path) -> None:
    attach = struct_ops_types(obj) <= ATTACHABLE
    theirs = libbpf.driver().record(obj, attach=attach)
    differences = compare(ours.driver().record(obj, attach=attach), theirs)
    assert bool(differences) is decided(obj, ""), differences


@each_object
def test_each_program_alone(libbpf_library: Path, obj: Path) -> None:
    theirs = libbpf.driver().record_each(obj)
    mine = ours.driver().record_each(obj)
    assert mine.keys() == theirs.keys()
    differences = {
        name: compare(mine[name], theirs[name])
        for name in theirs
        if f"prog '{name}': {TOO_OLD}" not in theirs[name].log
    }
    assert {name: found for name, found in differences.items() if bool(found) is not decided(obj, name)} == {}


@pytest.mark.parametrize("obj", OURS, ids=lambda path: path.name)
def test_the_comparison_is_not_of_nothing(libbpf_library: Path, obj: Path) -> None:
    recording = libbpf.driver().record(obj)
    if kernel_has(struct_ops_types(obj)):
        assert not recording.errno, recording.log
        assert set(normalise(recording).programs) == {name[:15] for name in rawbpf.open(obj).programs}
    else:
        assert recording.errno
