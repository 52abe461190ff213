# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of attaching share: objects, the watched process, and where they run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rounds import rounds

import rawbpf
from rawbpf.kernel import executor

if TYPE_CHECKING:
    from rawbpf.kernel.object import Object

GUEST = bool(os.environ.get("RAWBPF_GUEST"))
"""Whether this is the test kernel, where everything may be attached."""
OBJECTS = Path(__file__).parent.parent / "objs"
ROUNDS = rounds(100 if GUEST else 1000)
"""How often each kind is attached and detached. In the test kernel, whose processor is emulated, 50 take seconds."""
THREADS = 16
"""How many do that at once."""


def load(name: str, *programs: str) -> Object:
    """An object of tests/objs with these of its programs."""
    spec = rawbpf.open(OBJECTS / f"{name}.el.o")
    spec.only(list(programs))
    return executor.load(rawbpf.make_plan(spec))


class Watched:
    """The process that programs are attached to: it does what it is told by a letter."""

    def __init__(self, binary: Path) -> None:
        self.binary = str(binary)
        self.process = subprocess.Popen([self.binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def do(self, letter: str) -> int:
        """What it answers."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(letter)
        self.process.stdin.flush()
        back, number = self.process.stdout.readline().split()
        assert back == letter
        return int(number)

    def close(self) -> None:
        self.process.communicate()


def value(obj: Object, name: str) -> Any:
    """A variable's value now."""
    return obj.variables[name].value
