# SPDX-License-Identifier: BSD-2-Clause
"""Loads an object with libbpf, or with the installed bpftool, in a child process and records what it hands over."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from . import debian
from .recorder import Call, OracleUnavailable, Run, run

if TYPE_CHECKING:
    from collections.abc import Iterable

DRIVER = Path(__file__).with_name("drive_libbpf.py")
LIMIT = 60.0
"""Seconds that a load may take."""


@dataclass
class Recording:
    """What a loader did with an object.

    Attributes:
        obj: the object file.
        calls: each bpf(2) call, probes too.
        errno: of the load as a whole; 0 when it succeeded, -1 where no errno is known.
        stage: ``open`` if the object was refused before any call for it, ``load``, or where the loader came to no end
            ``crash`` (the log's last line says of what) or ``hang``.
        programs: whether each program got loaded, by name; empty if the loader does not tell.
        log: what the loader wrote to its standard error.
    """

    obj: Path
    calls: list[Call]
    errno: int
    stage: str
    programs: dict[str, bool] = field(default_factory=dict)
    log: str = ""

    @property
    def broke(self) -> bool:
        """Whether the loader crashed, or took too long."""
        return self.stage in ("crash", "hang")


Recordings = dict[tuple[Path, str], Recording]
"""By the object, and a program that was loaded alone or ''."""


@dataclass(frozen=True)
class Driver:
    """A command that loads objects as drive_libbpf.py does, with the same options and the same output.

    ``limit`` is the seconds that each load may take.
    """

    command: tuple[str, ...]
    limit: float = LIMIT

    def record(
        self,
        obj: Path,
        *,
        programs: Iterable[str] | None = None,
        attach: bool = False,
        btf: Path | None = None,
        resize: dict[str, int] | None = None,
        exclusive: dict[str, str] | None = None,
        edits: Iterable[tuple[str, str, str]] = (),
    ) -> Recording:
        """Loads an object.

        Args:
            obj: the object file.
            programs: load these alone; the default is what the loader does by itself.
            attach: also attach the struct_ops maps, and detach them: nothing else is ever attached.
            btf: a BTF file for CO-RE in place of the running kernel's.
            resize: sections of variables, with the size that they get before.
            exclusive: maps, with the one program that each is for.
            edits: what is changed before, as of the drivers' option --edit.

        Raises:
            OracleUnavailable: the loader cannot be had.
        """
        options = [word for name in programs or () for word in ("--program", name)]
        options += [word for name, size in (resize or {}).items() for word in ("--resize", name, str(size))]
        options += [word for name, program in (exclusive or {}).items() for word in ("--exclusive", name, program)]
        options += [word for change in edits for word in ("--edit", *change)]
        options += ["--attach", str(obj)] * attach
        return self._record([obj], options, btf)[obj, ""]

    def record_all(
        self,
        objs: Iterable[Path],
        *,
        each: bool = True,
        programs: Iterable[str] | None = None,
        attach: Iterable[Path] = (),
        btf: Path | None = None,
    ) -> Recordings:
        """Loads each object, then (``each``) each of its programs alone, all in one process as long as that lives.

        The recordings are by the object and '', or the program's name. Where a load breaks the process, those of the
        object's programs that would have come after are missing. ``attach`` has the objects whose struct_ops maps are
        attached for a moment. The others, and what is raised, as of ``record``.
        """
        options = ["--each"] * each
        options += [word for name in programs or () for word in ("--program", name)]
        options += [word for obj in attach for word in ("--attach", str(obj))]
        return self._record(list(objs), options, btf)

    def _record(self, objs: list[Path], options: list[str], btf: Path | None) -> Recordings:
        options = [*options, "--limit", str(self.limit), *(("--btf", str(btf)) if btf else ())]
        recordings: Recordings = {}
        while objs:
            done = run([*self.command, *map(str, objs), *options])
            recordings |= _told(done)
            if not done.returncode:
                break
            if not done.last:
                raise OracleUnavailable(f"{' '.join(self.command)} ended with {done.returncode}: {done.stderr.strip()}")
            path, program = done.last
            broken = Path(path)
            recordings[broken, program] = _broken(done, broken)
            objs = objs[objs.index(broken) + 1 :]
        return recordings


def _told(done: Run) -> Recordings:
    """What the process said of each load that it finished."""
    logs = _split_log(done.stderr)
    recordings = {}
    for line in done.stdout.splitlines():
        told = json.loads(line)
        mark = told["object"], told["program"]
        obj = Path(mark[0])
        recordings[obj, mark[1]] = Recording(
            obj, done.marked[mark], told["errno"], told["stage"], told["programs"], logs[mark]
        )
    return recordings


def _broken(done: Run, obj: Path) -> Recording:
    """The load in the midst of which the process ended."""
    calls, log = done.marked[done.last], _split_log(done.stderr)[done.last]
    if done.returncode == -signal.SIGALRM:
        return Recording(obj, calls, -1, "hang", log=log)
    end = signal.strsignal(-done.returncode) if done.returncode < 0 else f"exit code {done.returncode}"
    return Recording(obj, calls, -1, "crash", log=f"{log}{end}\n")


def _split_log(text: str) -> dict[tuple[str, ...], str]:
    logs: dict[tuple[str, ...], str] = {}
    for part in text.split('{"mark": ')[1:]:
        mark, log = part.split("}\n", 1)
        logs[tuple(json.loads(mark))] = log
    return logs


def driver(library: Path | None = None, *, limit: float = LIMIT) -> Driver:
    """libbpf's driver: of the newest libbpf, or of another shared library."""
    return Driver((sys.executable, str(DRIVER), str(library or debian.libbpf())), limit)


def record_bpftool(obj: Path) -> Recording:
    """Loads an object with ``bpftool prog loadall``, pinned in a BPF file system of its own."""
    bpftool = shutil.which("bpftool") or shutil.which("bpftool", path="/usr/sbin:/sbin")
    if not bpftool:
        raise OracleUnavailable("bpftool is not installed: apt install bpftool")
    pins = "/sys/fs/bpf"
    enter = ["unshare", "--mount", "sh", "-c", f'mount -t bpf bpf {pins} && exec "$@"', "bpftool"]
    done = run([*enter, bpftool, "prog", "loadall", str(obj), f"{pins}/programs", "pinmaps", f"{pins}/maps"])
    return Recording(obj=obj, calls=done.calls, errno=-1 if done.returncode else 0, stage="load", log=done.stderr)
