# SPDX-License-Identifier: BSD-2-Clause
"""What a command imports, and what that costs, from ``python -X importtime``."""

from __future__ import annotations

import re
import statistics
import subprocess
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_LINE = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)")
DEAREST = 12


class Imports(NamedTuple):
    """The modules that a command imports beyond those of the bare interpreter, each without what it imports in turn."""

    own_ms: dict[str, float]

    @property
    def total_ms(self) -> float:
        """All of it."""
        return sum(self.own_ms.values())

    def dearest(self, count: int = DEAREST) -> list[tuple[str, float]]:
        """The modules that cost the most, the dearest first."""
        return sorted(self.own_ms.items(), key=lambda item: -item[1])[:count]


def parse(text: str) -> dict[str, float]:
    """The milliseconds of each module's own code from what ``-X importtime`` wrote."""
    return {name: int(micros) / 1000 for micros, name in _LINE.findall(text)}


def imports(command: Sequence[str], rounds: int) -> Imports:
    """What a command, ``python ARGUMENTS``, imports: medians of some runs."""
    bare = _run([command[0], "-c", ""])
    _run(command)  # fills the caches
    runs = [_run(command) for _ in range(rounds)]
    names = [name for name in runs[0] if name not in bare]
    return Imports({name: statistics.median(run.get(name, 0.0) for run in runs) for name in names})


def _run(command: Sequence[str]) -> dict[str, float]:
    python, *arguments = command
    done = subprocess.run([python, "-X", "importtime", *arguments], capture_output=True, text=True, check=True)
    return parse(done.stderr)
