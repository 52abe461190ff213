# SPDX-License-Identifier: BSD-2-Clause
"""Programs at many places of one binary of user space at once, by one link."""

from __future__ import annotations

import os
import struct
from errno import EINVAL, ENOENT, EOPNOTSUPP, ESRCH
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, NotSupportedError, SpecError, where
from rawbpf.kernel import features, syscall
from rawbpf.kernel.attach.near import near_hint
from rawbpf.kernel.attach.refusal import need_type
from rawbpf.kernel.gate import address
from rawbpf.kernel.links import Link
from rawbpf.kernel.userspace import check_process, find_binary, find_function, open_image
from rawbpf.uapi import AttachType, ProgType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.programs import Program

_RETURN = 1  # BPF_F_UPROBE_MULTI_RETURN


def uprobe_multi(
    program: Program,
    binary: str | os.PathLike[str],
    symbols: str | Iterable[str | int],
    *,
    pid: int | None = None,
    cookies: Sequence[int] | None = None,
    ref_ctr_offsets: Sequence[int] | None = None,
    retprobe: bool | None = None,
    session: bool | None = None,
) -> Link:
    """Run a program at the entry, or at the return, of many functions of a binary. Requires Linux 6.6.

    Args:
        binary, pid: as for `uprobe`.
        symbols: names as for `uprobe`, or a pattern with ``*`` and ``?``, or offsets in the file.
        cookies: one number for each of the symbols, which ``bpf_get_attach_cookie`` answers.
        ref_ctr_offsets: one offset of a counter for each of the symbols.
        retprobe: at the returns; by default what the program's SEC() says.
        session: at both, for programs loaded so (``uprobe.session``, Linux 6.13); by default what its SEC() says.

    Raises:
        SpecError: the program is not for this; cookies or counters are not as many as the symbols.
        KernelError: as `uprobe`. NotSupportedError: the kernel has no such links.
    """
    need_type(program, "uprobe_multi", ProgType.KPROBE)
    is_return = program.section.startswith("uret") if retprobe is None else retprobe
    is_session = program.expected_attach_type == AttachType.TRACE_UPROBE_SESSION if session is None else session
    kind = AttachType.TRACE_UPROBE_SESSION if is_session else AttachType.TRACE_UPROBE_MULTI
    with where(symbol=program.name):
        process = check_process(pid)
        path = find_binary(binary, process)
        offsets = _offsets(path, symbols)
        if not offsets:
            raise SpecError("no functions are named")
        for what, given in (("cookies", cookies), ("counters", ref_ctr_offsets)):
            if given is not None and len(given) != len(offsets):
                raise SpecError(f"{len(given)} {what} for {len(offsets)} places")
        flags = _RETURN if is_return else 0
        return Link(create(program, kind, path, offsets, process, flags, cookies, ref_ctr_offsets), program.name)


def create(
    program: Program,
    kind: AttachType,
    path: str,
    offsets: Sequence[int],
    process: int | None,
    flags: int = 0,
    cookies: Sequence[int] | None = None,
    ref_ctr_offsets: Sequence[int] | None = None,
) -> Fd:
    """The descriptor of a link to places of a file. Raises as `uprobe_multi`."""
    name = os.fsencode(path) + b"\0"
    tables = [b"" if t is None else struct.pack(f"={len(t)}Q", *t) for t in (offsets, ref_ctr_offsets, cookies)]
    places = [address(table) if table else 0 for table in tables]
    extra = struct.pack("=QQQQIIII", address(name), *places, len(offsets), flags, process or 0, 0)
    try:
        return syscall.link_create(program.fileno(), 0, kind, extra=extra)
    except KernelError as failure:
        _explain(failure, path, program, kind)
        raise


def _offsets(path: str, symbols: str | Iterable[str | int]) -> list[int]:
    if not isinstance(symbols, str):
        names = list(symbols)
        if all(isinstance(symbol, int) for symbol in names):
            return [symbol for symbol in names if isinstance(symbol, int)]
    elif not set("*?") & set(symbols):
        names = [symbols]
    else:
        return _matching(path, symbols)
    with open_image(path) as image:
        return [s if isinstance(s, int) else find_function(image, s).offset for s in names]


def _matching(path: str, pattern: str) -> list[int]:
    import re
    from fnmatch import translate

    match = re.compile(translate(pattern.replace("[", "[[]"))).match
    with open_image(path) as image:
        found = {function.offset for function in image.functions() if match(function.name)}
        if found:
            return sorted(found)
        names = {function.name for function in image.functions()}
        hint = near_hint(pattern.replace("*", "").replace("?", ""), names)
        raise KernelError(f"no function of {path} matches {pattern!r}", errno=ENOENT, hint=hint)


def _explain(failure: KernelError, path: str, program: Program, kind: AttachType) -> None:
    if failure.errno == ESRCH:
        failure.message = "the process has gone"
    elif failure.errno in (EINVAL, EOPNOTSUPP) and features.probe("uprobe_multi_link") is False:
        raise NotSupportedError(
            "links to many user-space probes", min_version="6.6", errno=failure.errno or 0, command=failure.command
        ) from failure
    elif failure.errno == EINVAL and program.expected_attach_type != kind:
        failure.message = f"the program was not loaded for {kind.name}: {failure.message}"
        failure.hint = 'SEC("uprobe.multi"), or SEC("uprobe.session")'
    elif failure.errno == EINVAL:
        failure.message = f"one of the places of {path} may not be probed: {failure.message}"
        failure.hint = "an instruction must begin there"
