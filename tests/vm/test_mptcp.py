# SPDX-License-Identifier: BSD-2-Clause
"""tests/mptcp in the test kernel: the subtests, and path managers that behave badly, in a kernel of their own."""

from __future__ import annotations

import pytest
from in_guest import run_tests

from tests.mptcp.building import build_all
from tests.mptcp.subtests import SUBTESTS

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("built", "objects")]


@pytest.fixture(scope="module")
def objects() -> None:
    """What the tests in the guest would have to build there."""
    build_all()


@pytest.mark.timeout(1200)
def test_subtests() -> None:
    lines = run_tests("tests/mptcp", "--ignore=tests/mptcp/test_misbehaviour.py")
    passed = [line for line in lines if "PASSED" in line]
    names = [line.split("::test_")[1].partition(" ")[0].partition("[")[0] for line in passed]
    assert tuple(dict.fromkeys(name for name in names if name in SUBTESTS)) == SUBTESTS, "all, in the talk's order"


@pytest.mark.timeout(1200)
def test_misbehaviour() -> None:
    run_tests("tests/mptcp/test_misbehaviour.py")
