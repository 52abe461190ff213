# SPDX-License-Identifier: BSD-2-Clause
"""Objects of any size for the curve of what planning costs: programs of a hundred instructions, ten of them CO-RE."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tools.lib.report import ToolError

if TYPE_CHECKING:
    from pathlib import Path

SIZES = (10, 50, 100, 250, 500, 1000)
"""Programs. 50 are the object that the goal names: 5,000 instructions with 500 CO-RE relocations."""
CLANG = ("clang-19", "-target", "bpfel", "-mcpu=v3", "-O2", "-g", "-c", "-x", "c", "-")
FIELDS = ("pid", "tgid", "prio", "static_prio", "flags", "exit_code", "exit_signal", "policy", "normal_prio", "on_cpu")
PADDING = 2  # volatile stores, which fill a program up to a hundred instructions

_HEAD = """
struct task_struct { int FIELDS; } __attribute__((preserve_access_index));
static unsigned long (*const get_task)(void) = (void *)35;
static long (*const probe_read)(void *to, unsigned size, const void *from) = (void *)113;
char LICENSE[] __attribute__((section("license"))) = "GPL";
"""


def build(programs: int, directory: Path) -> Path:
    """The object with so many programs, compiled now."""
    output = directory / f"curve_{programs}.o"
    done = subprocess.run(
        [*CLANG, "-o", str(output)], input=source(programs), capture_output=True, text=True, cwd=directory
    )
    if done.returncode:
        raise ToolError(f"clang-19 cannot build {output.name}: {done.stderr.strip()}", hint="apt install clang-19")
    return output


def source(programs: int) -> str:
    """Its C source."""
    return _HEAD.replace("FIELDS", ", ".join(FIELDS)) + "".join(map(_program, range(programs)))


def _program(number: int) -> str:
    reads = "".join(f"  value = (long)&task->{field}; sum += value - (long)task;\n" for field in FIELDS)
    stores = "".join(f"  at = {number + step};\n" for step in range(1, PADDING + 1))
    return (
        f'__attribute__((section("raw_tp/sys_enter"), used)) int curve_{number}(void *ctx)\n{{\n'
        f"  struct task_struct *task = (void *)get_task();\n  volatile long sum = 0, value, at;\n{reads}{stores}"
        f"  return sum + at;\n}}\n"
    )
