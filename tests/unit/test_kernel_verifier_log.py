# SPDX-License-Identifier: BSD-2-Clause
"""What is read out of the verifier's log: logs of Linux 6.18 and of 7.3, which ends its log with a report."""

from __future__ import annotations

import pytest

from rawbpf.kernel.verifier_log import suggestion, summary

TAIL = "processed 9 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0\n"

OLD = {
    "the last line that tells no progress": (
        """\
arg#0 reference type('UNKNOWN ') size cannot be determined: -22
0: R1=ctx() R10=fp0
; return numbers[chosen]; @ rejected.c:38
0: (18) r1 = 0xffffc90001787010       ; R1=map_value(map=rejected.data,ks=4,vs=20,off=16)
2: (61) r1 = *(u32 *)(r1 +0)          ; R1=scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff))
R2 unbounded memory access, make sure to bounds check any such access
""",
        "R2 unbounded memory access, make sure to bounds check any such access",
    ),
    "states are no reason": (
        """\
1: (05) goto pc-1
infinite loop detected at insn 1
cur state: R0=0 R1=ctx() R10=fp0
old state: R0=0 R1=ctx() R10=fp0
""",
        "infinite loop detected at insn 1",
    ),
    "branches are no reason": (
        """\
from 3 to 7: R0=0 R1=ctx() R10=fp0
7: R0=0 R1=ctx() R10=fp0
7: (61) r0 = *(u32 *)(r3 +0)
R3 !read_ok
verification time 31 usec
stack depth 0
""",
        "R3 !read_ok",
    ),
    "before the first instruction": ("last insn is not an exit or jmp\n", "last insn is not an exit or jmp"),
}


@pytest.mark.parametrize("case", OLD)
def test_summary(case: str) -> None:
    log, line = OLD[case]
    assert summary(log + TAIL) == line
    assert suggestion(log + TAIL) == ""


def test_a_log_of_nothing_but_progress() -> None:
    assert summary("0: (b7) r0 = 0\n" + TAIL) == TAIL.strip()


REPORT = """\
7: (61) r0 = *(u32 *)(r2 +0)
R2 unbounded memory access, make sure to bounds check any such access

Verification failed: Memory Safety: Access outside bounds

Reason:
  The verifier cannot prove offset + access_size <= object_size. Here, the maximal bound for a
  memory access is 17179869180 and exceeds maximum allowed offset of 536870912.

At:
  out_of_bounds @ rejected.c:38:9
  Source context:
  >>> 38 |         return numbers[chosen]; /* refused: any u32 may be in the variable */
         |         ^-- error: access may be outside object bounds
  Instruction context:
      6 | (0f) r2 += r1
  >>> 7 | (61) r0 = *(u32 *)(r2 +0)

Causal path:
  no retained diagnostic events on this path

Suggestion:
  Add or adjust a bounds check that proves
  offset + access_size stays within the object.

"""


def test_report_of_newer_kernels() -> None:
    assert summary(REPORT + TAIL) == (
        "Memory Safety: Access outside bounds: The verifier cannot prove offset + access_size <= object_size"
    )
    assert suggestion(REPORT + TAIL) == (
        "Add or adjust a bounds check that proves offset + access_size stays within the object."
    )


@pytest.mark.parametrize(
    "line",
    [
        "cannot call kernel function from non-GPL compatible program",
        "cannot call GPL-restricted function from non-GPL compatible program",
        "struct ops programs must have a GPL compatible license",
    ],
)
def test_the_license_is_the_reason(line: str) -> None:
    assert suggestion(f"0: R1=ctx() R10=fp0\n{line}\n{TAIL}").startswith("let its source have char LICENSE[] SEC")


def test_report_without_a_reason() -> None:
    log = "\nVerification failed: Verifier Error\n\nAt:\n  insn 0\n" + TAIL
    assert summary(log) == "Verifier Error"
    assert suggestion(log) == ""
