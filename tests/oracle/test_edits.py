# SPDX-License-Identifier: BSD-2-Clause
"""Objects that are edited before the load, or changed for an older kernel: the same as libbpf hands over."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

import rawbpf
from rawbpf.uapi import AttachType, ProgFlag, ProgType
from tools.lib.oracle import libbpf, ours
from tools.lib.oracle.compare import compare
from tools.lib.oracle.normalise import normalise

pytestmark = [pytest.mark.oracle, pytest.mark.kernel]

OBJS = Path(__file__).parents[1] / "objs"


class Case(NamedTuple):
    obj: str
    edits: list[tuple[str, str, str]]
    programs: list[str] | None = None  # that are loaded; None for those of the object's own choice
    attach: bool = False  # the struct_ops, which shows their values


FROM_SYSCALL, BIND4, TARGET = "from_syscall", "do_cgroup_bind4", "ext_target"
CASES = {
    "another type": Case("arg_tags", [("type", FROM_SYSCALL, str(int(ProgType.SOCKET_FILTER)))], [FROM_SYSCALL]),
    "another attach type": Case(
        "sections", [("attach-type", BIND4, str(int(AttachType.CGROUP_INET4_CONNECT)))], [BIND4]
    ),
    "flags": Case(TARGET, [("flags", TARGET, str(int(ProgFlag.XDP_HAS_FRAGS)))], [TARGET]),
    "flags that are refused": Case(TARGET, [("flags", TARGET, str(int(ProgFlag.SLEEPABLE)))], [TARGET]),
    "a number in a struct": Case("struct_ops", [("member", "linked", "flags:8:3")], attach=True),
    "another function": Case("struct_ops", [("member", "plain", "release:48:only_for_optional")], attach=True),
    "a function that is used no more": Case(
        "struct_ops", [("member", "linked", "undo_cwnd:0:null"), ("member", "plain", "undo_cwnd:16:null")]
    ),
}


def same(case: Case) -> libbpf.Recording:
    """libbpf's recording, which is the same as ours."""
    mine, theirs = (recorded(driver, case) for driver in (ours.driver(), libbpf.driver()))
    assert compare(mine, theirs) == [], theirs.log
    return theirs


def recorded(driver: libbpf.Driver, case: Case) -> libbpf.Recording:
    path = OBJS / f"{case.obj}.el.o"
    return driver.record(path, programs=case.programs, edits=case.edits, attach=case.attach)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_edited(libbpf_library: Path, case: Case) -> None:
    edited = normalise(same(case))
    assert edited.programs
    assert edited != normalise(recorded(libbpf.driver(), case._replace(edits=[])))


@pytest.mark.parametrize(("program", "function"), [("other_verdict", "verdict"), ("on_exit", "doubled")])
def test_a_function_of_another_program(libbpf_library: Path, program: str, function: str) -> None:
    with rawbpf.load(OBJS / "ext_target.el.o") as target:
        number = target.programs["ext_target"].id
        handed = normalise(same(Case("ext", [("target", program, f"{number}:{function}")], [program])))
    assert handed.programs[program].attr["attach_btf_id"]


def test_contexts_for_a_kernel_that_does_not_know_the_tag(
    libbpf_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untouched = normalise(same(Case("arg_tags", [])))
    monkeypatch.setenv("RAWBPF_REFUSE", "det_arg_ctx rawbpf_arg_ctx")  # their probe, and ours
    fixed = normalise(same(Case("arg_tags", [])))
    assert b"\0__sk_buff\0" in fixed.btf[0]
    assert len(fixed.btf[0]) > len(untouched.btf[0])
