# SPDX-License-Identifier: BSD-2-Clause
"""Loads an object with libbpf, or with the installed bpftool, in a child process and records what it hands over."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from . import debian
from .recorder import Call, OracleUnavailable, run

if TYPE_CHECKING:
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
    """A command that loads objects as drive_libbpf.py does, with the same options and the same output."""

    command: tuple[str, ...]

    def record(
        self,
        obj: Path,
        *,
        programs: Iterable[str] | None = None,
        attach: bool = False,
        btf: Path | None = None,
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
        options += ["--attach", str(obj)] * attach
        return self._record([obj], options, btf)[obj, ""]

    def record_all(
        self, objs: Iterable[Path], *, attach: Iterable[Path] = (), btf: Path | None = None
    ) -> dict[tuple[Path, str], Recording]:
        """Loads each object, then each of its programs alone, all in one process.

        The recordings are by the object and '', or the program's name. ``attach`` has the objects whose struct_ops maps
        are attached for a moment. ``btf``, and what is raised, as of ``record``.
        """
        return self._record(objs, ["--each", *(word for obj in attach for word in ("--attach", str(obj)))], btf)

    def _record(self, objs: Iterable[Path], options: list[str], btf: Path | None) -> dict[tuple[Path, str], Recording]:
        done = run([*self.command, *map(str, objs), *options, *(("--btf", str(btf)) if btf else ())])
        if done.returncode:
            raise OracleUnavailable(f"{' '.join(self.command)} ended with {done.returncode}: {done.stderr.strip()}")
        logs = _split_log(done.stderr)
        recordings = {}
        for line in done.stdout.splitlines():
            told = json.loads(line)
            mark = told["object"], told["program"]
            recordings[Path(mark[0]), mark[1]] = Recording(
                Path(mark[0]), done.marked[mark], told["errno"], told["stage"], told["programs"], logs[mark]
            )
        return recordings


def _split_log(text: str) -> dict[tuple[str, str], str]:
    logs: dict[tuple[str, str], str] = {}
    for part in text.split('{"mark": ')[1:]:
        mark, log = part.split("}\n", 1)
        path, program = json.loads(mark)
        logs[path, program] = log
    return logs


def driver(library: Path | None = None) -> Driver:
    """libbpf's driver: of the newest libbpf, or of another shared library."""
    return Driver((sys.executable, str(DRIVER), str(library or debian.libbpf())))


def record_bpftool(obj: Path) -> Recording:
    """Loads an object with ``bpftool prog loadall``, pinned in a BPF file system of its own."""
    bpftool = shutil.which("bpftool") or shutil.which("bpftool", path="/usr/sbin:/sbin")
    if not bpftool:
        raise OracleUnavailable("bpftool is not installed: apt install bpftool")
    pins = "/sys/fs/bpf"
    enter = ["unshare", "--mount", "sh", "-c", f'mount -t bpf bpf {pins} && exec "$@"', "bpftool"]
    done = run([*enter, bpftool, "prog", "loadall", str(obj), f"{pins}/programs", "pinmaps", f"{pins}/maps"])
    return Recording(obj=obj, calls=done.calls, errno=-1 if done.returncode else 0, stage="load", log=done.stderr)
