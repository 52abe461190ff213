# SPDX-License-Identifier: BSD-2-Clause
"""In the test kernel: loads the objects whose maps the running kernel may lack; says in JSON what their programs do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import rawbpf

OBJS = Path(__file__).resolve().parent.parent / "objs"


def results(name: str) -> dict[str, int]:
    """What each program of an object returns."""
    with rawbpf.load(OBJS / f"{name}.el.o") as obj:
        return {name: program.test_run().retval for name, program in obj.programs.items()}


def main() -> None:
    told: dict[str, Any] = {"jump_tables": results("jump_tables")}
    json.dump(told, sys.stdout)


main()
