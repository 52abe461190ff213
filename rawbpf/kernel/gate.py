# SPDX-License-Identifier: BSD-2-Clause
"""The one gate to bpf(2): every call of this package passes here.

So this is where calls are retried, where errno becomes an error, where an observer sees what is asked and answered
(`observe`), and where tests put another kernel in the real one's place (`replace`).
"""

from __future__ import annotations

import ctypes
import errno as _errno
import time
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rawbpf.errors import KernelError, MapKeyError, NotSupportedError, PermissionDeniedError, errno_name, errno_text
from rawbpf.kernel import arch
from rawbpf.kernel.attr import Layout, attr_layout
from rawbpf.kernel.fd import Fd, own
from rawbpf.uapi import COMMON_ATTRS, Cmd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    Syscall: TypeAlias = Callable[[int, int, int, int, int], int]

PROG_LOAD_ATTEMPTS = 5
"""How often a program load is tried while the kernel answers EAGAIN (the verifier was interrupted by a signal)."""


class Call(NamedTuple):
    """A call as an observer sees it, after the answer and before the buffers it points to are gone.

    Attributes:
        command: what was asked.
        attr: its part of ``union bpf_attr``, as the kernel left it.
        result: what bpf(2) returned; -1 for an error.
        errno: why it failed, or 0.
        seconds: how long the kernel took.
    """

    command: Cmd
    attr: bytes
    result: int
    errno: int
    seconds: float

    def fields(self) -> dict[str, Any]:
        """The attr by field names; pointers as addresses."""
        return attr_layout(self.command).unpack(self.attr)


_syscall: Syscall | None = None
"""Who answers in the kernel's place (`replace`)."""
_observers: tuple[Callable[[Call], None], ...] = ()


@cache
def _kernel() -> Syscall:
    # The C library's syscall(), bound to bpf(2)'s number: C code all the way, so that `own` works with it.
    function = _libc_syscall()
    function.argtypes = [ctypes.c_long, ctypes.c_long, *[ctypes.c_ulong] * 4]
    return partial(function, arch.bpf_number())


def _libc_syscall() -> Any:
    function = _libc()["syscall"]  # a new one each time, to be given argument types or not
    function.restype = ctypes.c_long
    return function


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@contextmanager
def replace(syscall: Syscall) -> Iterator[None]:
    """Let `syscall` answer in the kernel's place.

    It is called with the command, the address and size of ``union bpf_attr``, the address and size of ``struct
    bpf_common_attr`` (0 and 0 mostly), and answers as syscall(2) does: -1 with ctypes' errno set, a real descriptor, or
    another number.
    """
    global _syscall
    before, _syscall = _syscall, syscall
    try:
        yield
    finally:
        _syscall = before


@contextmanager
def observe(observer: Callable[[Call], None]) -> Iterator[None]:
    """Call `observer` with each `Call`, from all threads."""
    global _observers
    _observers += (observer,)
    try:
        yield
    finally:
        _observers = tuple(other for other in _observers if other is not observer)


def address(buffer: bytearray | bytes) -> int:
    """Where a buffer's bytes are. Whoever asks must keep the buffer, unresized, until the call has returned."""
    if isinstance(buffer, bytes):
        return ctypes.c_void_p.from_buffer(ctypes.c_char_p(buffer)).value or 0
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer)) if buffer else 0


def call(command: Cmd, attr: bytearray, size: int, common: bytearray | None = None) -> int:
    """bpf(2). `size` bytes of `attr` are shown to the kernel; it may write into the rest of it as well.

    Raises:
        KernelError: or one of its kinds, with the errno.
    """
    result: int
    result, number = _attempts(_once, command, attr, size, common)
    if number:
        raise error(command, number, attr)
    return result


class Prepared:
    """One call that is made again and again from the same buffers, without the work that is the same each time.

    Only what is in the buffers may change from call to call; neither they nor `attr` may be resized.

    Args:
        command, attr, size: as for `call`.
    """

    __slots__ = ("_direct", "attr", "command", "size")

    def __init__(self, command: Cmd, attr: bytearray, size: int) -> None:
        self.command = command
        self.attr = attr
        self.size = size
        # ctypes passes numbers that are made already a third faster than those that it has to convert
        numbers = map(ctypes.c_ulong, (arch.bpf_number(), command, address(attr), size))
        self._direct = partial(_libc_syscall(), *numbers)

    def __call__(self) -> int:
        """Make it: the errno, 0 if there is none."""
        if _syscall or _observers:
            return self._in_sight()
        if self._direct() != -1:
            return 0
        number = ctypes.get_errno()
        return self._in_sight() if number == _errno.EINTR else number

    def _in_sight(self) -> int:
        answer: tuple[int, int] = _attempts(_once, self.command, self.attr, self.size, None)
        return answer[1]


def call_fd(command: Cmd, attr: bytearray, size: int, common: bytearray | None = None) -> Fd:
    """bpf(2), for the commands that open a descriptor. Raises as `call` does."""
    fd: Fd | None
    fd, number = _attempts(_once_fd, command, attr, size, common)
    if fd is None:
        raise error(command, number, attr)
    return fd


def _attempts(once: Callable[..., Any], command: Cmd, attr: bytearray, size: int, common: bytearray | None) -> Any:
    attempt = 1
    while True:
        answer = once(command, attr, size, common)
        number = answer[1]
        if number == _errno.EAGAIN and command == Cmd.PROG_LOAD and attempt < PROG_LOAD_ATTEMPTS:
            attempt += 1
        # a test run that was interrupted has run already, as often as it could: its repetition is the caller's decision
        elif number != _errno.EINTR or command == Cmd.PROG_TEST_RUN:
            return answer


def _arguments(command: Cmd, attr: bytearray, size: int, common: bytearray | None) -> tuple[int, int, int, int, int]:
    if common is None:
        return command, address(attr), size, 0, 0
    return command | COMMON_ATTRS, address(attr), size, address(common), len(common)


def _once(command: Cmd, attr: bytearray, size: int, common: bytearray | None) -> tuple[int, int]:
    syscall = _syscall or _kernel()
    arguments = _arguments(command, attr, size, common)
    start = time.perf_counter() if _observers else 0.0
    result = syscall(*arguments)
    number = ctypes.get_errno() if result == -1 else 0
    if _observers:
        _tell(Call(command, bytes(attr), result, number, time.perf_counter() - start))
    return result, number


def _once_fd(command: Cmd, attr: bytearray, size: int, common: bytearray | None) -> tuple[Fd | None, int]:
    syscall = _syscall or _kernel()
    arguments = _arguments(command, attr, size, common)
    start = time.perf_counter() if _observers else 0.0
    fd = own(syscall, *arguments)
    number = ctypes.get_errno() if fd is None else 0
    if _observers:
        _tell(Call(command, bytes(attr), -1 if fd is None else fd.fileno(), number, time.perf_counter() - start))
    return fd, number


def _tell(made: Call) -> None:
    for observer in _observers:
        observer(made)


# Commands whose EPERM is not about rights: a frozen or read-only map, a name with a dot
_EPERM_IS_NO_RIGHT = frozenset(
    {
        Cmd.MAP_LOOKUP_ELEM,
        Cmd.MAP_UPDATE_ELEM,
        Cmd.MAP_DELETE_ELEM,
        Cmd.MAP_LOOKUP_AND_DELETE_ELEM,
        Cmd.MAP_GET_NEXT_KEY,
        Cmd.OBJ_PIN,
        Cmd.LINK_UPDATE,
    }
)
_ENOENT_IS_NO_KEY = frozenset({Cmd.MAP_LOOKUP_ELEM, Cmd.MAP_DELETE_ELEM, Cmd.MAP_LOOKUP_AND_DELETE_ELEM})


def error(command: Cmd, number: int, attr: bytearray | None = None) -> KernelError:
    """The error for an errno."""
    name = f"BPF_{command.name}"
    message = f"{name}: {errno_text(number)} ({errno_name(number)})"
    if number == _errno.ENOSYS:
        hint = "the kernel was built without CONFIG_BPF_SYSCALL, or a seccomp filter hides it"
        return NotSupportedError("bpf(2)", min_version="3.18", errno=number, command=name, hint=hint)
    if number == _errno.ENOENT and command in _ENOENT_IS_NO_KEY:
        return MapKeyError("no such key", errno=number, command=name)
    if number == _errno.EPERM and command not in _EPERM_IS_NO_RIGHT:
        from rawbpf.kernel import advice

        prog_type = attr_layout(command).read(attr, "prog_type") if attr and command == Cmd.PROG_LOAD else None
        return PermissionDeniedError(message, errno=number, command=name, hint=advice.permission(prog_type))
    if number == _errno.EACCES and command in (Cmd.OBJ_GET, Cmd.OBJ_PIN):
        return PermissionDeniedError(message, errno=number, command=name, hint="run as root: the directories are 0700")
    return KernelError(message, errno=number, command=name)


def pack(command: Cmd, **values: Any) -> tuple[bytearray, int]:
    """A command's attr and how many bytes of it are used."""
    layout: Layout = attr_layout(command)
    attr = layout.pack(values)
    return attr, layout.used(attr)
