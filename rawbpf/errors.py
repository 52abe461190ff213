# SPDX-License-Identifier: BSD-2-Clause
"""Everything that rawbpf raises: one tree, from a bad byte in a file to an errno of the kernel.

An error knows its cause, its place (file, section, symbol, instruction, C source line) and, where there is one, the way
out. ``str(error)`` is one line; ``error.report()`` is all that is known; ``error.to_json()`` is the same as data.
"""

from __future__ import annotations

import errno as _errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENOTSUPP = 524
"""The kernel's own errno (include/linux/errno.h), which no libc names."""


class SourceLine(NamedTuple):
    """A place in the C source, from .BTF.ext line_info."""

    file: str
    line: int
    column: int = 0
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def one_line(text: str) -> str:
    """A text that is printed on one line whatever names are in it: what cannot be printed is escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class RawbpfError(Exception):
    """The root of the tree.

    The place may be filled in while the error travels up (see `where`): who raises need only know what is wrong.

    Attributes:
        message: what is wrong, one line, without place.
        path: the file.
        section: the ELF section.
        symbol: the program, function, map or variable.
        insn: the instruction's slot (8 bytes each) in the program or section.
        source: the line of C.
        hint: the way out.
    """

    code = "error"
    """A short stable name of the kind of error, for programs that read ``--json``."""
    exit_code = 1
    """What the command line returns for it (docs/cli.md)."""

    def __init__(
        self,
        message: str,
        *,
        path: str | os.PathLike[str] | None = None,
        section: str | None = None,
        symbol: str | None = None,
        insn: int | None = None,
        source: SourceLine | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = None if path is None else os.fspath(path)
        self.section = section
        self.symbol = symbol
        self.insn = insn
        self.source = source
        self.hint = hint

    def _place(self) -> str:
        parts = []
        if self.path:
            parts.append(self.path)
        if self.symbol or self.section:
            parts.append(self.symbol or self.section or "")
        if self.insn is not None:
            parts.append(f"insn {self.insn}" + (f" ({self.source})" if self.source else ""))
        elif self.source:
            parts.append(str(self.source))
        return ": ".join(parts)

    def __str__(self) -> str:
        place = self._place()
        return one_line(f"{place}: {self.message}" if place else self.message)

    def details(self) -> list[str]:
        """More lines for `report`: what a subclass knows beside message, place and hint."""
        return []

    def report(self) -> str:
        """The whole story, several lines: message and place, the source line, details, the hint."""
        lines = [str(self)]
        if self.source and self.source.text:
            lines.append(one_line(f"    {self.source}: {self.source.text.strip().expandtabs()}"))
        lines += self.details()
        if self.hint:
            lines.append(one_line(f"hint: {self.hint}"))
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The error as an object of docs/json.md."""
        out: dict[str, Any] = {"code": self.code, "message": self.message}
        for name in ("path", "section", "symbol", "insn", "hint"):
            if getattr(self, name) is not None:
                out[name] = getattr(self, name)
        if self.source:
            out["source"] = self.source._asdict()
        return out

    def _state(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args, self._state()))


def _rebuild(cls: type[RawbpfError], args: tuple[Any, ...], state: dict[str, Any]) -> RawbpfError:
    error = cls.__new__(cls)
    error.args = args
    for name, value in state.items():
        setattr(error, name, value)
    return error


@contextmanager
def where(
    *,
    path: str | os.PathLike[str] | None = None,
    section: str | None = None,
    symbol: str | None = None,
    insn: int | None = None,
    source: SourceLine | Callable[[], SourceLine | None] | None = None,
) -> Iterator[None]:
    """Add the place to a `RawbpfError` that passes, unless it knows a more exact one already.

    `source` may be a function: it is called only if there is an error.
    """
    try:
        yield
    except RawbpfError as error:
        file = None if path is None else os.fspath(path)
        line = source() if callable(source) else source
        context = {"path": file, "section": section, "symbol": symbol, "insn": insn, "source": line}
        for name, value in context.items():
            if value is not None and getattr(error, name) is None:
                setattr(error, name, value)
        raise


class ParseError(RawbpfError):
    """Bytes that are not what they claim to be."""

    code = "parse"
    exit_code = 3


class ElfError(ParseError):
    """The file is no ELF, no BPF object, truncated or corrupted."""

    code = "elf"


class BtfError(ParseError):
    """.BTF or .BTF.ext, or a BTF blob, breaks the format (Documentation/bpf/btf.rst)."""

    code = "btf"


class SpecError(RawbpfError):
    """Well-formed, but nothing that can be loaded: an unknown SEC(), a map without a type, a value out of range."""

    code = "spec"
    exit_code = 4


class ExternError(SpecError):
    """An extern (kconfig, ksym, kfunc) that the kernel of the `Target` does not have, or has with another type."""

    code = "extern"
    exit_code = 5


class TargetError(SpecError):
    """The object does not fit the kernel of the `Target`: its byte order, or what a program is to attach to."""

    code = "target"
    exit_code = 5


class RelocationError(SpecError):
    """A relocation that cannot be applied."""

    code = "relocation"
    exit_code = 5


class CoreRelocationError(RelocationError):
    """A CO-RE relocation that cannot be computed: malformed, or its candidates contradict each other.

    Attributes:
        kind: the relocation's kind, such as ``byte_off``.
        access: what the C source names, such as ``struct sock.sk_mark``.
        candidates: the target's types that were looked at.
    """

    code = "core"

    def __init__(
        self,
        message: str,
        *,
        kind: str = "",
        access: str = "",
        candidates: tuple[str, ...] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.access = access
        self.candidates = candidates

    def details(self) -> list[str]:
        return [f"    candidate: {name}" for name in self.candidates]


class ClosedError(RawbpfError, ValueError):
    """The object was closed by its user before (as a file's ``ValueError``)."""

    code = "closed"


def errno_name(number: int) -> str:
    """The errno's name, with the kernel's own 524 ``ENOTSUPP``."""
    if number == ENOTSUPP:
        return "ENOTSUPP"
    return _errno.errorcode.get(number, f"errno {number}")


def errno_text(number: int) -> str:
    """``strerror``, which knows 524 too."""
    return "Operation is not supported" if number == ENOTSUPP else os.strerror(number)


class KernelError(RawbpfError, OSError):
    """A system call said no. It is an `OSError` too: ``except OSError`` and ``.errno`` work.

    Attributes:
        command: what was asked, such as ``BPF_MAP_CREATE``.
        errno: the errno, positive.
        strerror: its text.
    """

    code = "kernel"
    exit_code = 6

    def __init__(
        self,
        message: str,
        *,
        errno: int = 0,
        command: str = "",
        symbol: str | None = None,
        hint: str | None = None,
    ) -> None:
        RawbpfError.__init__(self, message, symbol=symbol, hint=hint)
        self.errno = errno
        self.strerror = errno_text(errno)
        self.command = command

    def __str__(self) -> str:
        return RawbpfError.__str__(self)

    def to_json(self) -> dict[str, Any]:
        out = super().to_json()
        out["errno"] = self.errno
        out["errno_name"] = errno_name(self.errno or 0)
        if self.command:
            out["command"] = self.command
        return out

    def _state(self) -> dict[str, Any]:
        # OSError keeps errno outside of __dict__: without this it is lost on pickling
        return super()._state() | {"errno": self.errno, "strerror": self.strerror}


class PermissionDeniedError(KernelError):
    """EPERM or EACCES that is about rights: capabilities, lockdown, seccomp, unprivileged_bpf_disabled."""

    code = "permission"
    exit_code = 8


class NotSupportedError(KernelError):
    """The kernel lacks a feature.

    Attributes:
        feature: what is missing.
        min_version: the kernel release that brought it, such as ``5.6``, or empty where it is not in mainline.
    """

    code = "not_supported"
    exit_code = 9

    def __init__(
        self,
        feature: str,
        *,
        min_version: str = "",
        errno: int = ENOTSUPP,
        command: str = "",
        symbol: str | None = None,
        hint: str | None = None,
        message: str = "",
    ) -> None:
        text = message or f"this kernel has no {feature}" + (f" (Linux {min_version} has)" if min_version else "")
        super().__init__(text, errno=errno, command=command, symbol=symbol, hint=hint)
        self.feature = feature
        self.min_version = min_version


class VerifierError(KernelError):
    """The verifier refused a program (or BTF).

    Attributes:
        log: the whole log.
        summary: its decisive line.
    """

    code = "verifier"
    exit_code = 7

    def __init__(
        self,
        message: str,
        *,
        log: str = "",
        summary: str = "",
        errno: int = 0,
        command: str = "BPF_PROG_LOAD",
        symbol: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, errno=errno, command=command, symbol=symbol, hint=hint)
        self.log = log
        self.summary = summary

    def details(self) -> list[str]:
        if not self.log:
            return []
        return ["-- verifier log --", *self.log.rstrip().splitlines(), "-- end of log --"]

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"summary": self.summary, "log": self.log}


class MapKeyError(KernelError, KeyError):
    """No such key in the map."""

    code = "no_key"


class MapKeyExistsError(KernelError):
    """The map has such a key, and a new one was asked for."""

    code = "key_exists"


class MapFullError(KernelError):
    """The map has no room for another element."""

    code = "map_full"


class MapAccessError(KernelError):
    """The map cannot be read, or written, by system call: it is frozen, or was made for one side alone."""

    code = "map_access"
