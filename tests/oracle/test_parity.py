# SPDX-License-Identifier: BSD-2-Clause
"""rawbpf hands to the kernel what libbpf hands over, byte for byte, for each object of the project.

Each object is loaded as a whole, with its struct_ops attached for a moment, and then each of its programs alone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import rawbpf
from tools.lib.oracle import libbpf, ours
from tools.lib.oracle.compare import compare
from tools.lib.oracle.normalise import normalise

if TYPE_CHECKING:
    from tools.lib.oracle.libbpf import Recording

    Recordings = dict[tuple[Path, str], Recording]

pytestmark = [pytest.mark.oracle, pytest.mark.kernel]

ROOT = Path(__file__).parents[2]
OURS = sorted((ROOT / "objs").glob("*.o"))
ALL_CASES = sorted((ROOT / "tests/objs").glob("*.el.o" if sys.byteorder == "little" else "*.eb.o"))
NEWER = {"percpu_data"}
"""Objects that only libbpf's next release can open."""
CASES = [case for case in ALL_CASES if case.name.partition(".")[0] not in NEWER]

# Differences that are meant, by object and program ("" for the object as a whole), each with its reason
DECISIONS = {
    # libbpf 1.7 takes just the first variable of a "?" section for optional, rawbpf all
    "struct_ops_mismatch": {"", "ssthresh", "for_new_callback", "for_no_such_ops"},
}

ANYWHERE = {"mptcp_sock", "mptcp_subflow", "tcp_cc_demo"}
"""Those of objs/ that kernels without our patches load; the others want their kfuncs, or tracing."""

ATTACHABLE = {"tcp_congestion_ops", "mptcp_sched_ops"}
"""struct_ops types that can be registered without reaching any process: one has to be asked for by name."""

TOO_OLD = "missing BPF prog type"
"""What libbpf says of a SEC() that only later versions know."""


def struct_ops_types(obj: Path) -> set[str]:
    try:
        return {found.type_name for found in rawbpf.open(obj).struct_ops.values()}
    except rawbpf.RawbpfError:
        return set()


def kernel_has(type_names: set[str]) -> bool:
    btf = Path("/sys/kernel/btf/vmlinux").read_bytes()
    return all(f"\0bpf_struct_ops_{name}\0".encode() in btf for name in type_names)


@pytest.fixture(scope="module")
def recordings(request: pytest.FixtureRequest, libbpf_library: Path) -> tuple[Recordings, Recordings]:
    """Ours and theirs, of all objects that this run of the tests is about."""
    items = (item for item in request.session.items if item.path == request.path and isinstance(item, pytest.Function))
    chosen = {item.callspec.params.get("obj") for item in items}
    objs = [obj for obj in OURS + CASES if obj in chosen]
    attach = [obj for obj in objs if struct_ops_types(obj) <= ATTACHABLE]
    return ours.driver().record_all(objs, attach=attach), libbpf.driver().record_all(objs, attach=attach)


def has_type(obj: Path, program: str) -> bool:
    return rawbpf.open(obj).programs[program].definition is not None


def differences(obj: Path, ours: Recordings, theirs: Recordings) -> dict[str, list[str]]:
    """By program, or '' for the object as a whole, where there are any; not of programs too new for this libbpf."""
    mine = {program: it for (path, program), it in ours.items() if path == obj}
    other = {program: it for (path, program), it in theirs.items() if path == obj}
    assert mine.keys() == other.keys()
    too_new = {program for program, it in other.items() if program and TOO_OLD in it.log and has_type(obj, program)}
    return {
        program: found
        for program in other
        if program not in too_new and (found := compare(mine[program], other[program]))
    }


@pytest.mark.parametrize("obj", OURS + CASES, ids=lambda path: str(path.relative_to(ROOT)))
def test_same_as_libbpf(recordings: tuple[Recordings, Recordings], obj: Path) -> None:
    found = differences(obj, *recordings)
    decided = DECISIONS.get(obj.name.partition(".")[0], set())
    assert {program: lines for program, lines in found.items() if program not in decided} == {}
    assert found.keys() >= decided


@pytest.mark.parametrize("name", sorted(NEWER))
def test_libbpf_cannot_open_it_yet(libbpf_library: Path, name: str) -> None:
    obj = next(case for case in ALL_CASES if case.name.partition(".")[0] == name)
    assert libbpf.driver().record(obj).stage == "open"
    assert ours.driver().record(obj).stage == "load"


@pytest.mark.parametrize(("name", "fits"), [("core", True), ("core_ambiguous", False)])
def test_same_with_the_btf_of_another_kernel(libbpf_library: Path, name: str, fits: bool) -> None:
    obj, target = (
        next(case for case in CASES if case.name.partition(".")[0] == stem) for stem in (name, "core_target")
    )
    mine, theirs = (driver.record_all([obj], btf=target) for driver in (ours.driver(), libbpf.driver()))
    assert differences(obj, mine, theirs) == {}
    assert bool(normalise(theirs[obj, ""]).programs) is fits


@pytest.mark.parametrize("obj", OURS, ids=lambda path: path.name)
def test_the_command_does_the_same(libbpf_library: Path, obj: Path) -> None:
    assert compare(ours.record_command(obj), libbpf.driver().record(obj)) == []


@pytest.mark.parametrize("obj", OURS, ids=lambda path: path.name)
def test_the_comparison_is_not_of_nothing(recordings: tuple[Recordings, Recordings], obj: Path) -> None:
    recording = recordings[1][obj, ""]
    if obj.stem in ANYWHERE or kernel_has({"mptcp_sched_ops"}):
        assert not recording.errno, recording.log
        loaded = sorted(name.partition("#")[0] for name in normalise(recording).programs)
        assert loaded == sorted(name[:15] for name in rawbpf.open(obj).programs)
    else:
        assert recording.errno
