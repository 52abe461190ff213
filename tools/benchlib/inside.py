# SPDX-License-Identifier: BSD-2-Clause
"""The child process of tools/bench: looks at rawbpf from within one fresh interpreter, and prints what it took as JSON.

It uses nothing but rawbpf and what rawbpf imports anyway: each import more would be counted as the library's.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rawbpf

if TYPE_CHECKING:
    from collections.abc import Callable

CPU, BPF = "CPU ms", "in bpf(2) ms"
NAMES = ("task_struct", "bpf_struct_ops_tcp_congestion_ops", "tcp_sock", "no_such_name")
"""What is looked up: a struct with hundreds of members, two that programs need, and one that is not there."""


class Clock:
    """CPU time of this process by phase, in the order in which the phases were."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, float]] = {}

    def __call__(self, phase: str, work: Callable[[], Any]) -> Any:
        """Do the work; what it returned."""
        start = time.process_time()
        result = work()
        self.rows[phase] = {CPU: 1000 * (time.process_time() - start)}
        return result


def phases(path: str) -> dict[str, dict[str, float]]:
    """What a load is made of."""
    clock = Clock()
    clock("import", _import)
    spec = clock("open: ELF, BTF, instructions", lambda: rawbpf.open(path))
    target = rawbpf.host_target()
    clock("index the kernel's BTF", lambda: target.btf)
    plan = clock("plan, first names of the kernel", lambda: rawbpf.make_plan(spec, target))
    fresh = rawbpf.open(path)
    clock("plan, names known", lambda: rawbpf.make_plan(fresh, target))
    _execute(clock, "execute", plan)
    _execute(clock, "execute the same plan again", plan)
    import json

    text = clock("plan to JSON", lambda: json.dumps(plan.to_json()))
    again = clock("JSON to plan", lambda: rawbpf.Plan.from_json(text))
    assert again == plan
    return clock.rows


def _import() -> None:
    import rawbpf.kernel.executor
    import rawbpf.kernel.host
    import rawbpf.objfile.reader
    import rawbpf.plan.planner  # noqa: F401


def _execute(clock: Clock, phase: str, plan: rawbpf.Plan) -> None:
    from rawbpf.kernel import gate

    seconds: list[float] = []
    with gate.observe(lambda call: seconds.append(call.seconds)):
        clock(phase, lambda: rawbpf.load(plan).close())
    clock.rows[phase][BPF] = 1000 * sum(seconds)


def btf(path: str) -> dict[str, dict[str, float]]:
    """What it takes to know a kernel's types."""
    from rawbpf.btf.parse import Btf

    clock = Clock()
    data = clock("read", Path(path).read_bytes)
    kernel = clock("index", lambda: Btf(data, name="vmlinux"))
    clock("first name", lambda: kernel.find_all(NAMES[0]))
    clock(f"{len(NAMES) - 1} names more", lambda: [kernel.find_all(name) for name in NAMES[1:]])
    clock("decode a large struct", lambda: kernel.type(kernel.find(NAMES[0]) or 0))
    return clock.rows


def curve(path: str) -> dict[str, dict[str, float]]:
    """What planning an object takes for the running kernel, and for each thousand of its instructions."""
    clock = Clock()
    _import()
    target = rawbpf.host_target()
    clock("index", lambda: target.btf)
    spec = clock("open", lambda: rawbpf.open(path))
    clock("first", lambda: rawbpf.make_plan(spec, target))
    fresh = rawbpf.open(path)
    clock("warm", lambda: rawbpf.make_plan(fresh, target))
    insns = sum(len(program.insns) for program in spec.programs.values())
    ms = {phase: row[CPU] for phase, row in clock.rows.items()}
    return {
        f"{len(spec.programs)} programs, {insns:,} insns": {
            "open ms": ms["open"],
            "plan, index cold ms": ms["index"] + ms["first"],
            "plan, index warm ms": ms["warm"],
            "warm, of 1,000 insns ms": 1000 * ms["warm"] / insns,
            "peak MiB": _peak_mib(),
        }
    }


def _peak_mib() -> float:
    with open("/proc/self/status", encoding="ascii") as status:
        return int(status.read().partition("VmHWM:")[2].split()[0]) / 1024


def kept(path: str) -> dict[str, dict[str, float]]:
    """Load a plan from a file that ``rawbpf plan --json`` wrote."""
    import json

    with open(path, encoding="utf-8") as file:
        plan = rawbpf.Plan.from_json(json.load(file)["plan"])
    rawbpf.load(plan).close()
    return {}


def main() -> None:
    work, path = sys.argv[1:]
    rows = {"phases": phases, "btf": btf, "curve": curve, "kept": kept}[work](path)
    import json

    print(json.dumps(rows))


if __name__ == "__main__":
    main()
