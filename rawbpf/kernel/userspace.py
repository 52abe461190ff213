# SPDX-License-Identifier: BSD-2-Clause
"""Binaries and processes of user space: found by name, looked into, and told apart."""

from __future__ import annotations

import glob
import os
import re
from contextlib import contextmanager
from errno import EINVAL, ENOENT, ESRCH
from typing import TYPE_CHECKING, NamedTuple

from rawbpf.errors import KernelError, SpecError
from rawbpf.objfile.image import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.objfile.image import Function

_LIBRARIES = ("/usr/lib64", "/usr/lib", "/lib64", "/lib", "/usr/local/lib")
_PROGRAMS = ("/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin", "/sbin")


class Mapping(NamedTuple):
    """A part of a file in a process: from `start` on, its bytes from `offset` on."""

    start: int
    end: int
    offset: int
    executable: bool
    inode: int
    path: str


def check_process(pid: int | None) -> int | None:
    """The process as a number: this one for 0, None for all.

    Raises:
        KernelError: ESRCH: there is none.
    """
    if pid is None:
        return None
    number = pid or os.getpid()
    if number < 0 or not os.path.exists(f"/proc/{number}"):
        raise KernelError(f"there is no process {pid}", errno=ESRCH, hint="leave pid out for all processes")
    return number


def find_binary(name: str | os.PathLike[str], pid: int | None = None) -> str:
    """The path of a program or library.

    A name without ``/`` is looked for as the system does it: libraries (``libc.so.6``) among what the process has
    mapped, in LD_LIBRARY_PATH, in the directories of /etc/ld.so.conf and the usual ones; programs in PATH.

    Raises:
        KernelError: ENOENT: there is none; the hint has near names. EINVAL: it is a directory, for example.
    """
    text = os.fspath(name)
    if "/" in text:
        inside = f"/proc/{pid}/root{text}"
        if not os.path.exists(text) and pid is not None and os.path.exists(inside):
            return inside
        if not os.path.isfile(text):
            if os.path.exists(text):
                raise KernelError(f"{text} is no file", errno=EINVAL)
            raise KernelError(f"there is no binary {text}", errno=ENOENT, hint=_near_files(text))
        return text
    if pid is not None:
        for mapping in mappings(pid):
            if os.path.basename(mapping.path) == text:
                inside = f"/proc/{pid}/root{mapping.path}"
                return mapping.path if os.path.exists(mapping.path) else inside
    places = _library_places() if ".so" in text else _program_places()
    for place in places:
        if os.path.isfile(f"{place}/{text}"):
            return f"{place}/{text}"
    raise KernelError(
        f"no binary {text!r} in {', '.join(places)}",
        errno=ENOENT,
        hint=_near_names(text, [*places, *_library_places()]),
    )


def _library_places() -> list[str]:
    places = [place for place in os.environ.get("LD_LIBRARY_PATH", "").split(":") if place]
    for file in ("/etc/ld.so.conf", *sorted(glob.glob("/etc/ld.so.conf.d/*.conf"))):
        try:
            with open(file) as lines:
                places += [line.strip() for line in lines if line.startswith("/")]
        except OSError:
            continue
    return list(dict.fromkeys([*places, *_LIBRARIES]))


def _program_places() -> list[str]:
    return list(dict.fromkeys([*filter(None, os.environ.get("PATH", "").split(":")), *_PROGRAMS]))


def _near_files(path: str) -> str | None:
    from rawbpf.kernel.attach.near import near_hint

    folder, name = os.path.split(path)
    try:
        return near_hint(name, os.listdir(folder or "."))
    except OSError:
        return f"there is no directory {folder}"


def _near_names(name: str, places: list[str]) -> str | None:
    from rawbpf.kernel.attach.near import near_hint

    names: set[str] = set()
    for place in places:
        if os.path.isdir(place):
            names |= set(os.listdir(place))
    begins = sorted(other for other in names if other.startswith(f"{name}.so") or other.startswith(f"{name}."))
    return f"near names: {', '.join(begins[:3])}" if begins else near_hint(name, names)


@contextmanager
def open_image(path: str) -> Iterator[Image]:
    """A binary to look into, mapped into memory.

    Raises:
        KernelError: it cannot be read.
        ElfError: it is no ELF file.
    """
    import mmap

    try:
        with open(path, "rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as failure:
        number = getattr(failure, "errno", 0) or 0
        raise KernelError(f"{path} cannot be read: {failure}", errno=number) from failure
    with data:
        yield Image(data, path)


def find_function(image: Image, name: str) -> Function:
    """A function by its name: ``puts``, ``memcpy@GLIBC_2.2.5`` (this version), ``memcpy@@GLIBC_2.14`` (the default).

    Raises:
        KernelError: ENOENT: there is none; the hint has near names.
        SpecError: several different functions have the name.
    """
    plain, _, version = name.partition("@")
    named = [function for function in image.functions() if function.name == plain]
    if version:
        found = [function for function in named if function.version == version.lstrip("@")]
    else:
        found = [function for function in named if function.default] or named
    strongest = max((function.strength for function in found), default=0)
    found = [function for function in found if function.strength == strongest]
    if not found:
        raise KernelError(
            f"{image.name} has no function {name!r}", errno=ENOENT, hint=_near_functions(image, name, named)
        )
    if len({function.offset for function in found}) > 1:
        places = ", ".join(f"{function.offset:#x}" for function in found)
        raise SpecError(f"{image.name} has several functions {name!r}", hint=f"attach to an offset: {places}")
    return found[0]


def _near_functions(image: Image, name: str, named: list[Function]) -> str:
    from rawbpf.kernel.attach.near import near_hint

    if named:
        return f"it has the versions {', '.join(sorted({function.version for function in named}))}"
    names = {function.name for function in image.functions()}
    stripped = "" if image.section(".symtab") else ": its symbols were stripped, but for what it exports"
    return near_hint(name, names, f"it has {len(names)} functions{stripped}") or ""


def mappings(pid: int) -> Iterator[Mapping]:
    """What files a process has mapped, from /proc/PID/maps. Raises `KernelError` if it may not be read."""
    try:
        with open(f"/proc/{pid}/maps", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError as failure:
        raise KernelError(f"/proc/{pid}/maps: {failure.strerror}", errno=failure.errno or 0) from failure
    pattern = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) \S+ (\d+) +(/.*)")
    for line in lines:
        found = pattern.fullmatch(line)
        if found:
            start, end, offset = (int(found[number], 16) for number in (1, 2, 4))
            yield Mapping(start, end, offset, "x" in found[3], int(found[5]), found[6])
