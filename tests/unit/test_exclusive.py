# SPDX-License-Identifier: BSD-2-Clause
"""Maps for one program: the hash of the program; and what kernels say that know neither them nor signatures."""

from __future__ import annotations

from errno import E2BIG
from hashlib import sha256
from pathlib import Path

import pytest
from elfwriter import EXIT, MOV_R0, ld_imm64
from kernelkit import kernel_for

import rawbpf
from rawbpf.errors import KernelError, NotSupportedError
from rawbpf.kernel import creation, verifier
from rawbpf.objfile.insn import Insn, encode
from rawbpf.plan.exclusive import program_hash
from rawbpf.plan.plan import Plan
from rawbpf.plan.planner import make_plan
from rawbpf.uapi import MapType, ProgType, PseudoSrc

OBJS = Path(__file__).parents[1] / "objs"


def load(src: int, imm: int, second: int) -> list[Insn]:
    return [Insn(0x18, dst=1, src=src, imm=imm), Insn(0, imm=second)]


@pytest.mark.parametrize("little", [True, False])
def test_references_to_maps_count_as_zero(little: bool) -> None:
    tail = [MOV_R0, EXIT]
    expected = sha256(encode([*load(PseudoSrc.MAP_VALUE, 0, 0), *tail], little=little)).digest()
    assert program_hash([*load(PseudoSrc.MAP_VALUE, 7, 64), *tail], little=little) == expected
    number = [*ld_imm64(imm=7), *tail]
    assert program_hash(number, little=little) == sha256(encode(number, little=little)).digest()


@pytest.mark.parametrize("order", ["el", "eb"])
def test_plan(order: str) -> None:
    spec = rawbpf.open(OBJS / f"subprograms.{order}.o")
    spec.maps["totals"].exclusive_program = "alone"
    spec.programs["first"].signature, spec.programs["first"].keyring_id = b"signed", 1
    plan = make_plan(spec, kernel_for(spec))
    hashes = {step.handle: step.excl_prog_hash for step in plan.maps}
    assert len(hashes.pop("map:totals")) == 32
    assert not any(hashes.values())
    assert {step.name: (step.signature, step.keyring_id) for step in plan.programs}["first"] == (b"signed", 1)
    assert Plan.from_json(plan.to_json()) == plan
    assert "for one program" in str(plan)


def test_kernels_before() -> None:
    failure = KernelError("too big", errno=E2BIG, command="BPF_MAP_CREATE")
    refused = creation._refusal(failure, {"map_type": MapType.ARRAY, "excl_prog_hash": 1})
    assert isinstance(refused, NotSupportedError)
    assert "6.18" in str(refused)
    refused = verifier._failure(failure, "", {"prog_type": ProgType.XDP, "signature": 1})
    assert isinstance(refused, NotSupportedError)
    assert "6.18" in str(refused)
