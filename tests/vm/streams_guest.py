# SPDX-License-Identifier: BSD-2-Clause
"""In the test kernel: streams that the running kernel may lack, and a CPU that goes off. Prints one JSON object."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import streamkit

import rawbpf
from rawbpf.kernel.streams.prog_streams import ProgStream
from rawbpf.kernel.streams.trace_pipe import PLACES, TracePipe

OBJS = Path(__file__).resolve().parent.parent / "objs"
CPU = Path("/sys/devices/system/cpu/cpu1/online")


def programs() -> dict[str, Any]:
    with rawbpf.load(OBJS / "prog_streams.el.o") as obj:
        talk = obj.programs["talk"]
        codes = [talk.test_run().retval for _ in range(2)]
        return {"codes": codes, "stdout": list(ProgStream(talk)), "stderr": list(ProgStream(talk, "stderr"))}


def trace_pipe() -> list[str]:
    if not os.path.exists(f"{PLACES[0]}/trace_pipe"):
        assert os.system(f"mount -t tracefs tracefs {PLACES[0]}") == 0
    with TracePipe() as pipe:
        Path(PLACES[0], "trace_marker").write_text("hello\n")
        return [line.rpartition(": ")[2] for line in pipe.lines(timeout=1)]


def a_cpu_that_goes_off() -> dict[str, Any]:
    with streamkit.load() as obj, rawbpf.PerfBuffer(obj.maps["perf"], "struct event") as events:
        streamkit.run(obj, "emit_perf", 3, cpu=1)
        CPU.write_text("0")
        found = {"before": len(events.read())}
        found["new while it is off"] = events.add_cpus()
        found["open while it is off"] = events.cpus
        streamkit.run(obj, "emit_perf", 2, cpu=0)
        found["of the other"] = len(events.read())
        CPU.write_text("1")
        found["new"] = events.add_cpus()
        streamkit.run(obj, "emit_perf", 2, cpu=1)
        found["woken"] = events.wait(5)
        found["after"] = len(events.read())
        return found


def main() -> None:
    json.dump({"programs": programs(), "trace_pipe": trace_pipe(), "cpu": a_cpu_that_goes_off()}, sys.stdout)


if __name__ == "__main__":
    main()
