# SPDX-License-Identifier: BSD-2-Clause
"""Loads an object with libbpf, or with the installed bpftool, in a child process and records what it hands over."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

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


def record(
    obj: str | os.PathLike[str],
    *,
    programs: Iterable[str] | None = None,
    attach: bool = False,
    btf: str | os.PathLike[str] | None = None,
    library: Path | None = None,
) -> Recording:
    """Loads an object with the newest libbpf.

    Args:
        obj: the object file.
        programs: load these alone; the default is what libbpf does by itself.
        attach: also attach the struct_ops maps, and detach them: nothing else is ever attached.
        btf: a BTF file for CO-RE in place of the running kernel's.
        library: another libbpf shared library.
    Raises:
        OracleUnavailable: libbpf cannot be had, or the child died.
    """
    driver = [sys.executable, str(DRIVER), str(library or debian.libbpf())]
    return record_with(driver, obj, programs=programs, attach=attach, btf=btf)


def record_with(
    driver: list[str],
    obj: str | os.PathLike[str],
    *,
    programs: Iterable[str] | None,
    attach: bool,
    btf: str | os.PathLike[str] | None,
) -> Recording:
    """Runs a driver, drive_libbpf.py or drive_rawbpf.py, on an object under the recorder."""
    command = [*driver, str(obj)]
    for name in programs or ():
        command += ["--program", name]
    if attach:
        command.append("--attach")
    if btf:
        command += ["--btf", str(btf)]
    with tempfile.TemporaryDirectory(prefix="rawbpf-pins-") as pins:
        done = _run_with_bpffs([*command, "--pin-root", pins], Path(pins))
    outcome = _outcome(done)
    return Recording(
        obj=Path(obj),
        calls=done.calls,
        errno=outcome["errno"],
        stage=outcome["stage"],
        programs=outcome.get("programs", {}),
        log=done.stderr,
    )


def record_bpftool(obj: str | os.PathLike[str]) -> Recording:
    """Loads an object with ``bpftool prog loadall``, with pins that go away with it."""
    bpftool = shutil.which("bpftool") or shutil.which("bpftool", path="/usr/sbin:/sbin")
    if not bpftool:
        raise OracleUnavailable("bpftool is not installed: apt install bpftool")
    with tempfile.TemporaryDirectory(prefix="rawbpf-pins-") as pins:
        load = [bpftool, "prog", "loadall", str(obj), f"{pins}/programs", "pinmaps", f"{pins}/maps"]
        done = _run_with_bpffs(load, Path(pins))
    return Recording(obj=Path(obj), calls=done.calls, errno=-1 if done.returncode else 0, stage="load", log=done.stderr)


def _run_with_bpffs(command: list[str], directory: Path) -> Run:
    """Runs a command with a BPF file system of its own mounted on a directory: its pins end with the process."""
    enter = ["unshare", "--mount", "sh", "-c", 'mount -t bpf bpf "$0" && exec "$@"', str(directory)]
    return run([*enter, *command])


def _outcome(done: Run) -> dict:  # type: ignore[type-arg]  # what the child's JSON holds
    if done.returncode:
        raise OracleUnavailable(f"{done.command} ended with {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)  # type: ignore[no-any-return]
