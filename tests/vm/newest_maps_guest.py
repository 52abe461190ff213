# SPDX-License-Identifier: BSD-2-Clause
"""In the test kernel: loads the objects whose maps the running kernel may lack; says in JSON what their programs do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import rawbpf
from rawbpf.errors import SpecError

OBJS = Path(__file__).resolve().parent.parent / "objs"


def results(name: str) -> dict[str, int]:
    """What each program of an object returns."""
    with rawbpf.load(OBJS / f"{name}.el.o") as obj:
        return {name: program.test_run().retval for name, program in obj.programs.items()}


def percpu() -> dict[str, Any]:
    """Variables before and after one CPU changed its own, and after all are set."""
    with rawbpf.load(OBJS / "percpu_data.el.o") as obj:
        history = obj.variables["history"]
        told: dict[str, Any] = {"returned": obj.programs["initial_values"].test_run().retval, "before": history.value}
        obj.programs["count"].test_run()
        told["counted"] = sorted(obj.variables["counter"].value)
        told["raw"] = len(history.raw)
        values = [[cpu, 1, 2, 3] for cpu in range(len(told["before"]))]
        history.value = values
        told["set"] = history.value == values
        try:
            history.value = [1, 2, 3, 4, 5, 6, 7]
        except SpecError as error:
            told["refused"] = str(error)
        return told


def main() -> None:
    told: dict[str, Any] = {name: results(name) for name in ("jump_tables", "map_types", "map_types_newer")}
    told["percpu"] = percpu()
    json.dump(told, sys.stdout)


main()
