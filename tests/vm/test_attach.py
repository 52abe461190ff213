# SPDX-License-Identifier: BSD-2-Clause
"""tests/attach in the test kernel, where programs may be attached to everything."""

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


@pytest.mark.timeout(1800)
def test_every_kind(require: Callable[[object, str], None]) -> None:
    sys.path.insert(0, str(ROOT))
    from tools.lib import kernel

    require(kernel.find(), "the test kernel is not built: tools/vm --build-only")
    done = subprocess.run(
        [*VM, "--", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/attach"],
        cwd=ROOT,
        env=os.environ | {"RAWBPF_REQUIRE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout.splitlines()[-1]
