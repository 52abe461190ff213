# SPDX-License-Identifier: BSD-2-Clause
"""Maps for one program alone, and signed programs (Linux 6.18)."""

from __future__ import annotations

import sys
from errno import EACCES
from pathlib import Path

import pytest

import rawbpf
from rawbpf.errors import KernelError, NotSupportedError, SpecError, VerifierError

OBJECT = Path(__file__).parents[1] / f"objs/subprograms.{'el' if sys.byteorder == 'little' else 'eb'}.o"

pytestmark = pytest.mark.usefixtures("root", "no_leaks")


def test_a_map_for_one_program() -> None:
    spec = rawbpf.open(OBJECT)
    spec.only(["alone"])
    spec.maps["totals"].exclusive_program = "alone"
    with rawbpf.load(spec) as obj:
        assert obj.programs["alone"].test_run().retval == 0
    spec.only(["alone", "first"])
    with pytest.raises(VerifierError, match="hash doesn't match") as error:
        rawbpf.load(spec)
    assert (error.value.errno, error.value.symbol) == (EACCES, "first")


def test_a_map_for_a_program_that_is_not_loaded() -> None:
    spec = rawbpf.open(OBJECT)
    spec.maps["totals"].exclusive_program = "alone"
    spec.only(["first"])
    with pytest.raises(SpecError, match="for the program 'alone' alone, which is not loaded"):
        rawbpf.load(spec)
    spec.maps["totals"].exclusive_program = "alnoe"
    with pytest.raises(SpecError, match="no program named 'alnoe'") as error:
        rawbpf.load(spec)
    assert error.value.hint == "near names: alone"


def test_a_bad_signature() -> None:
    spec = rawbpf.open(OBJECT)
    spec.only(["alone"])
    spec.programs["alone"].signature = b"\x30\x03bad"
    with pytest.raises(KernelError) as error:
        rawbpf.load(spec)
    assert not isinstance(error.value, NotSupportedError)
    assert error.value.symbol == "alone"
    # a kernel with keyrings says what is wrong in the verifier's log
    said = error.value.log if isinstance(error.value, VerifierError) else str(error.value)
    assert "sign" in said
