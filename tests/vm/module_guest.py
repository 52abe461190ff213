# SPDX-License-Identifier: BSD-2-Clause
"""In the test kernel with its module: use each thing that the module has from BPF, and report what came of it.

Prints one JSON object. The module is unloaded on the way.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rawbpf
from rawbpf import cli
from rawbpf.kernel import syscall
from rawbpf.kernel.info import ids
from rawbpf.uapi import Cmd

if TYPE_CHECKING:
    from collections.abc import Callable

OBJECTS = Path(__file__).resolve().parent.parent / "objs"
FILES = Path("/sys/kernel/debug/rawbpf_test")
MODULE = "rawbpf_test"
SYS_DELETE_MODULE = 176
REFUSED = 13
COUNTERS = ("entered", "left", "asked", "raw", "traced")
SEEN = ("result", "value", "first", "initial", "level", "is_odd", "size")


def run(value: int) -> int:
    """Let the module run what is attached; its result."""
    with open(FILES / "run", "wb", buffering=0) as file:  # a buffered one would try again when it is closed
        file.write(str(value).encode())
    return number("run")


def number(file: str) -> int:
    return int((FILES / file).read_text())


def registered() -> str:
    return (FILES / "name").read_text().strip()


def spec(name: str) -> rawbpf.ObjectSpec:
    return rawbpf.open(OBJECTS / f"{name}.el.o")


def rawbpf_says(*arguments: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.main(list(arguments))
    return f"{code} {said.getvalue()}"


def after_a_while(probe: Callable[[], Any], wanted: object) -> Any:
    """What `probe` says, once it is what is wanted, or after five seconds: the kernel frees things when it has time."""
    deadline = time.monotonic() + 5
    while probe() != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return probe()


def kfuncs() -> dict[str, Any]:
    with rawbpf.load(spec("module_kfuncs")) as obj:
        returned = {name: program.test_run().retval for name, program in obj.programs.items()}
        held = number("holders")
    return {"returned": returned, "held": held, "held_afterwards": after_a_while(lambda: number("holders"), 0)}


def ksyms() -> dict[str, Any]:
    with rawbpf.load(spec("module_ksyms")) as obj:
        returned = obj.programs["read"].test_run().retval
        return {"returned": returned, **{name: obj.variables[name].value for name in ("runs", "answer")}}


def tracing() -> dict[str, Any]:
    with rawbpf.load(spec("module_tracing")) as obj, contextlib.ExitStack() as links:
        for name, program in obj.programs.items():
            tracepoint = "rawbpf_test_ran" if name == "ran_raw" else ""
            links.enter_context(syscall.raw_tracepoint_open(program.fileno(), tracepoint))
        obj.variables["refused"].value = REFUSED
        run(21)
        seen = {name: obj.variables[name].value for name in (*COUNTERS, *SEEN)}
        try:
            refusal = run(REFUSED)
        except OSError as error:
            refusal = error.errno or 0
        counted = {name: obj.variables[name].value for name in COUNTERS}
    return {"seen": seen, "refusal": refusal, "counted": counted}


def struct_ops() -> dict[str, Any]:
    spec_ = spec("module_struct_ops")
    spec_.maps["lean"].autocreate = True
    report: dict[str, Any] = {"before": [registered(), run(7)]}
    with rawbpf.load(spec_) as obj:
        full, lean, plain = (obj.struct_ops[name] for name in ("full", "lean", "plain"))
        with full.attach() as link:
            report["full"] = [registered(), run(7)]
            try:
                plain.attach()
            except rawbpf.KernelError as error:
                report["second"] = str(error)
            lean.set_value()
            assert isinstance(link, rawbpf.Link)
            link.update(lean.map)
            report["lean"] = [registered(), run(7)]
        report["unlinked"] = registered()
        with plain.attach():
            report["plain"] = [registered(), run(7)]
        report["calls"] = [obj.variables[name].value for name in ("runs", "bonuses")]
    report["after"] = registered()
    return report


def kernel_objects() -> dict[str, int]:
    return {
        command.name: len(list(ids(command)))
        for command in (Cmd.PROG_GET_NEXT_ID, Cmd.MAP_GET_NEXT_ID, Cmd.LINK_GET_NEXT_ID, Cmd.BTF_GET_NEXT_ID)
    }


def unload_module() -> str:
    """Empty if it worked, which takes that nobody holds it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(SYS_DELETE_MODULE, MODULE.encode(), os.O_NONBLOCK):
        return os.strerror(ctypes.get_errno())
    return ""


def users() -> int:
    return int(Path(f"/sys/module/{MODULE}/refcnt").read_text())


def main() -> None:
    objects, files = kernel_objects(), sorted(os.listdir("/proc/self/fd"))
    report: dict[str, Any] = {part.__name__: part() for part in (kfuncs, ksyms, tracing, struct_ops)}
    report["left_behind"] = {
        "objects": after_a_while(kernel_objects, objects) != objects,
        "files": sorted(os.listdir("/proc/self/fd")) != files,
        "users": after_a_while(users, 0),
    }
    report["unloading"] = unload_module()
    names = ("kfuncs", "ksyms", "tracing", "struct_ops")
    report["without"] = {name: rawbpf_says("plan", str(OBJECTS / f"module_{name}.el.o")) for name in names}
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
