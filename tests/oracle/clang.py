# SPDX-License-Identifier: BSD-2-Clause
"""clang as an oracle: what it says to C, and what it makes of it."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from skips import unavailable

if TYPE_CHECKING:
    from pathlib import Path


def clang(source: str, directory: Path, *options: str, little: bool = True) -> Path:
    """Compile C for BPF, with debug information and all warnings as errors; the object."""
    program = shutil.which("clang-19") or shutil.which("clang")
    if not program:
        unavailable("no clang to compile with (apt install clang-19)")
    path = directory / "source.c"
    path.write_text(source)
    target = directory / "object.o"
    command = [program, "-target", "bpfel" if little else "bpfeb", "-g", "-O2", "-Wall", "-Werror", *options]
    done = subprocess.run([*command, "-c", path, "-o", target], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:5000]
    return target
