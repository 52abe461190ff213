# SPDX-License-Identifier: BSD-2-Clause
"""Attaching to what only the test kernel has: netkit, lirc, lsm_cgroup."""

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
FILES = ("tests/kernel/test_attach_net.py", "tests/kernel/test_attach_cgroup.py")
WHAT = "(until_it or its_place or each_attach_type or rounds or interrupted) and (netkit or lirc or lsm)"


def test_in_the_test_kernel(require: Callable[[object, str], None]) -> None:
    sys.path.insert(0, str(ROOT))
    from tools.lib import kernel

    require(kernel.find(), "the test kernel is not built: tools/vm --build-only")
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FILES, "-k", WHAT]
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "vm", "--", *tests],
        cwd=ROOT,
        env=os.environ | {"RAWBPF_REQUIRE": "1", "RAWBPF_ROUNDS": "100"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
