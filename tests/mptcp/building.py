# SPDX-License-Identifier: BSD-2-Clause
"""The objects that tests here make for themselves, of the C files beside them.

They are built where the checkout is, once: for the test kernel that is before it boots, as a compiler is slow there.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
REFUSED = range(1, 10)
"""Path managers in bad_path_managers.c that the kernel must refuse, an object each."""


def build_all() -> None:
    for source in ("scheduler_of_6_12", "subflow_sockets"):
        compiled(source)
    for number in (0, *REFUSED):
        bad_path_managers(number)


def bad_path_managers(refused: int = 0) -> Path:
    """Those that load; or the one of that number, which does not."""
    choice = [f"-DREFUSED={refused}"] if refused else []
    return compiled("bad_path_managers", *choice, name=f"bad_path_managers-{refused}")


def compiled(source: str, *options: str, name: str = "") -> Path:
    """The object of a C file, built if it is older than what it is built from."""
    path = ROOT / "build" / HERE.name / f"{name or source}.o"
    path.parent.mkdir(parents=True, exist_ok=True)
    sources = [HERE / f"{source}.c", *(ROOT / "objs" / "include").glob("*.h")]
    if path.exists() and path.stat().st_mtime > max(each.stat().st_mtime for each in sources):
        return path
    words = ["clang-19", "-O2", "-g", "-mcpu=v3", "-std=gnu17", "-target", "bpfel", f"-I{ROOT}/objs/include"]
    subprocess.run([*words, *options, "-c", sources[0], "-o", path], check=True)
    return path
