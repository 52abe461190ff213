# SPDX-License-Identifier: BSD-2-Clause
"""Runs a command and tells each bpf(2) call that it made, by preloading the shim record.c."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools.lib.machine import cache_dir

from . import attrs
from .attrs import Command

if TYPE_CHECKING:
    from collections.abc import Iterator

# Descriptors that the recorded command finds taken, so that a small number in a map's value is hardly ever also that of
# a program: see normalise.py.
RESERVED_FDS = 200

SHIM_SOURCE = Path(__file__).with_name("record.c")


class OracleUnavailable(Exception):
    """Something that the oracle needs is not on this machine: the message says what, and how to get it."""


@dataclass(frozen=True)
class Handle:
    """An object of the kernel: what a file descriptor stood for.

    Attributes:
        kind: map, prog, btf or link.
        id: the kernel's id.
        name: of a map or program, cut to 15 bytes as the kernel keeps it; of a BTF, the module's name.
        tag: of a program, the kernel's digest of its instructions, 8 bytes as hex.
    """

    kind: str
    id: int
    name: str = ""
    tag: str = ""


@dataclass
class Call:
    """One bpf(2) call.

    Attributes:
        command: a number if this file does not know the command.
        attr: the attribute by field name, or ``{"raw": bytes}`` of an unknown command.
        blobs: what its pointers led to, by the name of the field (``key`` and ``value`` for element commands).
        fds: the objects behind the descriptors that it mentions, by number.
        fd_array: the descriptors in the program's array, as far as instructions or ``fd_array_cnt`` reach.
        result, errno: what the kernel answered.
        made: the object that the call created.
        nanoseconds: time spent in the kernel.
        asks_why: whether it passes the attributes that all commands have in common: a buffer for the kernel's reasons.
    """

    command: Command | int
    attr: dict[str, int | str | bytes]
    blobs: dict[str, bytes]
    fds: dict[int, Handle]
    fd_array: tuple[int, ...]
    result: int
    errno: int
    made: Handle | None
    nanoseconds: int
    pid: int
    asks_why: bool = False

    @property
    def ok(self) -> bool:
        return self.result >= 0

    def number(self, name: str) -> int:
        """A field that is an integer; 0 if the command has none of that name."""
        value = self.attr.get(name, 0)
        assert isinstance(value, int)
        return value

    @property
    def name(self) -> str:
        """The name given to the map or program that is created, else ''."""
        return str(self.attr.get("map_name", self.attr.get("prog_name", "")))


@dataclass
class Run:
    """A finished command: its calls, those after each mark that it wrote into the recording, and what it said."""

    calls: list[Call]
    marked: dict[tuple[str, ...], list[Call]]
    last: tuple[str, ...]  # of the marks; empty without any
    returncode: int
    stdout: str
    stderr: str

    @property
    def kernel_nanoseconds(self) -> int:
        """Time inside bpf(2)."""
        return sum(call.nanoseconds for call in self.calls)


def cache_directory() -> Path:
    """Where what was built or fetched is kept, outside the checkout; a temporary place if that cannot be written."""
    path = cache_dir() / "oracle"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        path = Path(tempfile.gettempdir()) / f"rawbpf-oracle-{os.getuid()}"
        path.mkdir(mode=0o700, exist_ok=True)
    return path


def shim() -> Path:
    """The compiled shim; built when its source is new."""
    digest = hashlib.sha256(SHIM_SOURCE.read_bytes()).hexdigest()[:16]
    library = cache_directory() / f"record-{digest}-{os.uname().machine}.so"
    if library.exists():
        return library
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise OracleUnavailable("no C compiler to build the recorder with: apt install gcc, or set CC")
    with tempfile.TemporaryDirectory(dir=library.parent) as build:
        output = Path(build) / library.name
        flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden"]
        done = subprocess.run(
            [*compiler.split(), *flags, "-o", str(output), str(SHIM_SOURCE), "-ldl"], capture_output=True, text=True
        )
        if done.returncode:
            raise OracleUnavailable(f"{compiler} does not build {SHIM_SOURCE.name}: {done.stderr}")
        os.replace(output, library)
    return library


def run(command: list[str], *, env: dict[str, str] | None = None) -> Run:
    """Runs a command under the recorder. It may fail: look at ``returncode``."""
    with tempfile.TemporaryDirectory(prefix="rawbpf-record-") as directory:
        record = Path(directory) / "calls.jsonl"
        environment = dict(os.environ if env is None else env)
        environment.update(LD_PRELOAD=str(shim()), RAWBPF_RECORD=str(record))
        with _reserved_fds() as reserved:
            done = subprocess.run(
                command,
                env=environment,
                pass_fds=reserved,
                capture_output=True,
                text=True,
                errors="backslashreplace",
            )
        lines = record.read_text().splitlines() if record.exists() else []
    calls: list[Call] = []
    last: tuple[str, ...] = ()
    marked = {last: calls}
    for line in lines:
        if line.startswith('{"mark"'):
            last = tuple(json.loads(line)["mark"])
            calls = marked[last] = []
        else:
            calls.append(parse(line))
    every = [call for some in marked.values() for call in some]
    return Run(every, marked, last, done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def _reserved_fds() -> Iterator[list[int]]:
    opened = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while opened[-1] < RESERVED_FDS:
            opened.append(os.dup(opened[0]))
        yield opened
    finally:
        for fd in opened:
            os.close(fd)


def parse(line: str) -> Call:
    """A line of the shim as a ``Call``."""
    raw = json.loads(line)
    attr = bytes.fromhex(raw["attr"])
    number = raw["command"]
    command: Command | int
    fields: dict[str, int | str | bytes]
    if number in Command._value2member_map_ and Command(number) in attrs.LAYOUTS:
        command = Command(number)
        fields = attrs.decode(command, attr)
    else:
        command, fields = number, {"raw": attr}
    array = bytes.fromhex(raw.get("fd_array") or "")
    return Call(
        command=command,
        attr=fields,
        blobs={name: bytes.fromhex(text) for name, text in raw["blobs"].items() if name and text is not None},
        fds={int(fd): _handle(found) for fd, found in raw["fds"].items()},
        fd_array=tuple(memoryview(array).cast("I")),
        result=raw["result"],
        errno=raw["errno"],
        made=_handle(raw["made"]) if "made" in raw else None,
        nanoseconds=raw["nanoseconds"],
        pid=raw["pid"],
        asks_why=bool(raw["flags"]),
    )


def _handle(raw: dict[str, str | int]) -> Handle:
    name = bytes.fromhex(str(raw["name"])).decode("utf-8", "backslashreplace")
    return Handle(str(raw["kind"]), int(raw["id"]), name, str(raw.get("tag", "")))
