# SPDX-License-Identifier: BSD-2-Clause
"""tests/mptcp in the test kernel: the subtests, and path managers that behave badly, in a kernel of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.vm

ROOT = Path(__file__).resolve().parent.parent.parent
VM = [sys.executable, str(ROOT / "tools" / "vm")]
SUBTESTS = {
    *("base", "mptcpify", "subflow", "iters_subflow", "netlink_pm", "bpf_netlink_pm", "userspace_pm"),
    *("bpf_userspace_pm", "iters_netlink_address", "iters_userspace_address", "bpf_hashmap_pm", "sockopt"),
    *("default", "first", "bkup", "rr", "red", "burst", "stale"),
}


def run(*arguments: str) -> list[str]:
    """pytest in the test kernel; the lines that it prints."""
    done = subprocess.run(
        [*VM, "--", sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env=os.environ | {"RAWBPF_REQUIRE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout.splitlines()[-1]
    return done.stdout.splitlines()


@pytest.fixture(autouse=True)
def _built(require: Callable[[object, str], None]) -> None:
    from tools.lib import kernel

    require(kernel.find(), "the test kernel is not built: tools/vm --build-only")


@pytest.mark.timeout(1200)
def test_subtests() -> None:
    passed = [line for line in run("tests/mptcp", "--ignore=tests/mptcp/test_misbehaviour.py") if "PASSED" in line]
    names = {line.split("::test_")[1].partition(" ")[0].partition("[")[0] for line in passed}
    assert names >= SUBTESTS


@pytest.mark.timeout(1200)
def test_misbehaviour() -> None:
    run("tests/mptcp/test_misbehaviour.py")
