# SPDX-License-Identifier: BSD-2-Clause
"""Programs at the entry or the return of many functions of the kernel at once, by one link."""

from __future__ import annotations

import struct
from errno import EINVAL, ENOENT, EOPNOTSUPP, ESRCH
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, NotSupportedError, SpecError, where
from rawbpf.kernel import features, syscall, tracefs
from rawbpf.kernel.attach.near import near_hint
from rawbpf.kernel.attach.refusal import need_type
from rawbpf.kernel.gate import address
from rawbpf.kernel.host import kernel_functions
from rawbpf.kernel.links import Link
from rawbpf.uapi import AttachType, ProgType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.programs import Program

_RETURN = 1  # BPF_F_KPROBE_MULTI_RETURN


def kprobe_multi(
    program: Program,
    symbols: str | Iterable[str | int],
    *,
    cookies: Sequence[int] | None = None,
    retprobe: bool | None = None,
    session: bool | None = None,
) -> Link:
    """Run a program at the entry, or at the return, of many kernel functions. Requires Linux 5.18.

    Args:
        symbols: names, or a pattern with ``*`` and ``?`` (``tcp_*``), or addresses.
        cookies: one number for each of the symbols, which ``bpf_get_attach_cookie`` answers.
        retprobe: at the returns; by default what the program's SEC() says.
        session: at both, for programs loaded so (``kprobe.session``, Linux 6.10); by default what its SEC() says.

    Raises:
        SpecError: the program is not for this, or the cookies are not as many as the symbols.
        KernelError: ENOENT: no such function, or the pattern matches none; ESRCH: one of them cannot be traced.
        NotSupportedError: the kernel has no such links.
    """
    need_type(program, "kprobe_multi", ProgType.KPROBE)
    is_return = program.section.startswith("kret") if retprobe is None else retprobe
    is_session = program.expected_attach_type == AttachType.TRACE_KPROBE_SESSION if session is None else session
    kind = AttachType.TRACE_KPROBE_SESSION if is_session else AttachType.TRACE_KPROBE_MULTI
    with where(symbol=program.name):
        found = matching(symbols) if isinstance(symbols, str) else list(symbols)
        if not found:
            raise SpecError("no functions are named")
        if cookies is not None and len(cookies) != len(found):
            raise SpecError(f"{len(cookies)} cookies for {len(found)} functions")
        try:
            return Link(_create(program, found, cookies, kind, is_return), program.name)
        except KernelError as failure:
            _explain(failure, found, program, kind)
            raise


def matching(pattern: str) -> list[str | int]:
    """The functions that match a pattern and can be traced; a name without ``*`` and ``?`` is itself.

    Raises:
        KernelError: ENOENT: there is none.
    """
    if not set("*?") & set(pattern):
        return [pattern]
    import re
    from fnmatch import translate

    match = re.compile(translate(pattern.replace("[", "[[]"))).match
    traceable = tracefs.traceable_functions()
    names = sorted(kernel_functions() if traceable is None else traceable)
    found: list[str | int] = [name for name in names if match(name)]
    if not found:
        hint = near_hint(pattern.replace("*", "").replace("?", ""), names)
        raise KernelError(f"no function of the kernel matches {pattern!r}", errno=ENOENT, hint=hint)
    return found


def _create(
    program: Program, found: list[str | int], cookies: Sequence[int] | None, kind: AttachType, is_return: bool
) -> Fd:
    # symbols are an array of pointers to strings, addresses an array of numbers
    by_name = all(isinstance(symbol, str) for symbol in found)
    if not by_name and any(isinstance(symbol, str) for symbol in found):
        raise SpecError("names and addresses cannot be mixed")
    texts = b"".join(str(symbol).encode(errors="surrogateescape") + b"\0" for symbol in found) if by_name else b""
    numbers, at = [], address(texts) if by_name else 0
    for symbol in found:
        numbers.append(at if isinstance(symbol, str) else symbol)
        at += len(symbol.encode(errors="surrogateescape")) + 1 if isinstance(symbol, str) else 0
    table = struct.pack(f"={len(numbers)}Q", *numbers)
    marks = struct.pack(f"={len(cookies)}Q", *cookies) if cookies is not None else b""
    extra = struct.pack(
        "=IIQQQ",
        _RETURN if is_return else 0,
        len(found),
        address(table) if by_name else 0,
        0 if by_name else address(table),
        address(marks) if cookies is not None else 0,
    )
    return syscall.link_create(program.fileno(), 0, kind, extra=extra)


def _explain(failure: KernelError, found: list[str | int], program: Program, kind: AttachType) -> None:
    if failure.errno not in (EINVAL, ENOENT, EOPNOTSUPP, ESRCH):
        return
    if features.probe("kprobe_multi_link") is False:
        raise NotSupportedError(
            "links to many kernel functions", min_version="5.18", errno=failure.errno or 0, command=failure.command
        ) from failure
    traceable = tracefs.traceable_functions()
    names = kernel_functions() if traceable is None else traceable
    missing = [symbol for symbol in found if isinstance(symbol, str) and symbol not in names]
    if missing:
        failure.message = f"the kernel has no function {missing[0]!r} that can be traced"
        failure.hint = near_hint(str(missing[0]), names)
    elif failure.errno == EINVAL and program.expected_attach_type != kind:
        failure.message = f"the program was not loaded for {kind.name}: {failure.message}"
        failure.hint = 'SEC("kprobe.multi"), or SEC("kprobe.session")'
