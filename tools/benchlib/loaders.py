# SPDX-License-Identifier: BSD-2-Clause
"""Whole loads of an object, by rawbpf and by others, into a bpffs that nobody else sees used."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tools.benchlib import measure
from tools.lib.oracle import debian, recorder
from tools.lib.report import ToolError, note

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tools.benchlib.measure import Contender, Metrics, Results

BPF, CALLS = "in bpf(2) ms", "calls"
INSIDE = Path(__file__).with_name("inside.py")
LIBBPF_LOAD = Path(__file__).with_name("libbpf_load.c")
_DEMO_NAME = b"bpf_demo\0"


@contextmanager
def workplace() -> Iterator[Path]:
    """A temporary directory with a bpffs at ``bpffs``; taking the mount away unloads whatever is still pinned there.

    Raises:
        ToolError: no right to mount.
    """
    with tempfile.TemporaryDirectory(prefix="rawbpf-bench-") as directory:
        work = Path(directory)
        (work / "bpffs").mkdir()
        done = subprocess.run(["mount", "-t", "bpf", "bpf", str(work / "bpffs")], capture_output=True, text=True)
        if done.returncode:
            raise ToolError(f"no bpffs can be mounted: {done.stderr.strip()}", hint="loading BPF programs needs root")
        try:
            yield work
        finally:
            subprocess.run(["umount", "--lazy", str(work / "bpffs")], check=True)


class Loads:
    """The contenders that load one object, each in a process of its own, attached and pinned where struct_ops is.

    Args:
        obj: the object file.
        work: of `workplace`.
        python: the interpreter that has rawbpf.
        bpftool: its path, or None where there is none.
    """

    def __init__(self, obj: Path, work: Path, python: str, bpftool: str | None) -> None:
        self.obj = work / obj.name
        data = obj.read_bytes()
        # a congestion control's name is taken but once: not to be the one that somebody has loaded already
        self.obj.write_bytes(data.replace(_DEMO_NAME, b"b%07d\0" % (os.getpid() % 10**7)))
        self.work = work
        self.rawbpf = [python, "-m", "rawbpf"]
        self.pins = work / "bpffs" / "pins"
        self.commands = self._commands(b".struct_ops" in data, python, bpftool)

    def _commands(self, struct_ops: bool, python: str, bpftool: str | None) -> dict[str, list[str]]:
        obj, pins = str(self.obj), str(self.pins)
        kept = self.work / "plan.json"
        with kept.open("w") as file:
            subprocess.run([*self.rawbpf, "plan", obj, "--pin", pins, "--json"], stdout=file, check=True)
        commands = {
            "rawbpf load": [*self.rawbpf, "load", obj, "--pin", pins],
            "rawbpf, from a kept plan": [python, str(INSIDE), "kept", str(kept)],
        }
        if program := libbpf_program(LIBBPF_LOAD, self.work):
            commands["libbpf in C"] = [program, obj, pins]
        if bpftool and struct_ops:
            commands["bpftool struct_ops register"] = [bpftool, "struct_ops", "register", obj, pins]
        elif bpftool:
            commands["bpftool prog loadall"] = [bpftool, "prog", "loadall", obj, pins, "pinmaps", f"{pins}/maps"]
        return {name: command for name, command in commands.items() if self._works(name, command)}

    def _works(self, name: str, command: Sequence[str]) -> bool:
        # rawbpf has to; one of the others may be too old for the object
        try:
            measure.run(command)
        except measure.CommandFailed as error:
            if name.startswith("rawbpf"):
                raise
            note(f"{self.obj.name}: left out is {name}, which failed: {error.said}")
            return False
        finally:
            self._clean()
        return True

    def contenders(self) -> list[Contender]:
        """One for each command; that of ``rawbpf load`` cleans up with ``rawbpf unload``, which has a row too."""
        return [partial(self._run, name) for name in self.commands]

    def _run(self, name: str) -> Mapping[str, Metrics]:
        try:
            found = {name: measure.run(self.commands[name])}
            if name == "rawbpf load":
                found["rawbpf unload"] = measure.run([*self.rawbpf, "unload", str(self.pins)])
        finally:
            self._clean()
        return found

    def inside_bpf(self, rounds: int) -> Results:
        """The time inside bpf(2), told for all loaders by tools/lib/oracle/recorder.py: a preloaded shim around
        libc's syscall(), which takes the time from right before the call to right after. Empty where it cannot be
        built.
        """
        try:
            recorder.shim()
        except recorder.OracleUnavailable as error:
            note(f"left out is the time inside bpf(2): {error}")
            return {}
        return measure.alternate([partial(self._record, name) for name in self.commands], rounds)

    def _record(self, name: str) -> Mapping[str, Metrics]:
        try:
            done = recorder.run(self.commands[name])
        finally:
            self._clean()
        return {name: {BPF: done.kernel_nanoseconds / 1e6, CALLS: len(done.calls)}}

    def _clean(self) -> None:
        if self.pins.exists():
            shutil.rmtree(self.pins)


def libbpf_program(source: Path, work: Path) -> str | None:
    """A C program, built with the newest libbpf that Debian has; None, which is told, where it cannot be had."""
    library, program = work / "libbpf.so.1", work / source.stem
    if program.exists():
        return str(program)
    command = ["cc", "-O2", "-o", str(program), str(source), str(library), f"-Wl,-rpath,{work}"]
    try:
        library.symlink_to(debian.libbpf())
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError, recorder.OracleUnavailable, ToolError) as error:
        note(f"left out is libbpf in C: {getattr(error, 'stderr', '') or error}")
        library.unlink(missing_ok=True)
        return None
    return str(program)
