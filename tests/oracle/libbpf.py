# SPDX-License-Identifier: BSD-2-Clause
"""Loads an object with libbpf, or with the installed bpftool, in a child process and records what it hands over."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import debian
from .recorder import Call, OracleUnavailable, Run, run

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

DRIVER = Path(__file__).with_name("drive_libbpf.py")


@dataclass
class Recording:
    """What a loader did with an object.

    Attributes:
        obj: the object file.
        calls: each bpf(2) call, probes too.
        errno: of the load as a whole; 0 when it succeeded.
        stage: ``open`` if the object was refused before any call for it, else ``load``.
        programs: whether each program got loaded, by name; empty if the loader does not tell.
        log: what the loader wrote to its standard error.
    """

    obj: Path
    calls: list[Call]
    errno: int
    stage: str
    programs: dict[str, bool] = field(default_factory=dict)
    log: str = ""


@dataclass(frozen=True)
class Driver:
    """A command that loads an object as drive_libbpf.py does, with the same options and the same output."""

    command: tuple[str, ...]

    def record(
        self,
        obj: str | os.PathLike[str],
        *,
        programs: Iterable[str] | None = None,
        attach: bool = False,
        btf: str | os.PathLike[str] | None = None,
    ) -> Recording:
        """Loads an object.

        Args:
            obj: the object file.
            programs: load these alone; the default is what the loader does by itself.
            attach: also attach the struct_ops maps, and detach them: nothing else is ever attached.
            btf: a BTF file for CO-RE in place of the running kernel's.
        Raises:
            OracleUnavailable: the loader cannot be had, or the child died.
        """
        options = [word for name in programs or () for word in ("--program", name)]
        options += ["--attach"] * attach
        options += ["--btf", str(btf)] if btf else []
        done, outcome = self._run(obj, options)
        return _recording(obj, outcome, done.calls, done.stderr)

    def record_each(self, obj: str | os.PathLike[str]) -> dict[str, Recording]:
        """Loads each program of an object alone, all in one process: by name. Raises as ``record`` does."""
        done, outcomes = self._run(obj, ["--each"])
        return {name: _recording(obj, found, done.marked[name], done.stderr) for name, found in outcomes.items()}

    def _run(self, obj: str | os.PathLike[str], options: list[str]) -> tuple[Run, dict[str, Any]]:
        command = [*self.command, str(obj), *options]
        done = run(command)
        if done.returncode:
            raise OracleUnavailable(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
        return done, json.loads(done.stdout)


def driver(library: str | os.PathLike[str] | None = None) -> Driver:
    """libbpf's driver: of the newest libbpf, or of another shared library."""
    return Driver((sys.executable, str(DRIVER), str(library or debian.libbpf())))


def record_bpftool(obj: str | os.PathLike[str]) -> Recording:
    """Loads an object with ``bpftool prog loadall``, pinned in a BPF file system of its own."""
    bpftool = shutil.which("bpftool") or shutil.which("bpftool", path="/usr/sbin:/sbin")
    if not bpftool:
        raise OracleUnavailable("bpftool is not installed: apt install bpftool")
    pins = "/sys/fs/bpf"
    enter = ["unshare", "--mount", "sh", "-c", f'mount -t bpf bpf {pins} && exec "$@"', "bpftool"]
    done = run([*enter, bpftool, "prog", "loadall", str(obj), f"{pins}/programs", "pinmaps", f"{pins}/maps"])
    return Recording(obj=Path(obj), calls=done.calls, errno=-1 if done.returncode else 0, stage="load", log=done.stderr)


def _recording(obj: str | os.PathLike[str], outcome: dict[str, Any], calls: list[Call], log: str) -> Recording:
    return Recording(Path(obj), calls, outcome["errno"], outcome["stage"], outcome["programs"], log)
