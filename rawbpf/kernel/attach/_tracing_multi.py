# SPDX-License-Identifier: BSD-2-Clause
"""Tracing programs at many functions of the kernel at once, by one link."""

from __future__ import annotations

import struct
from errno import EINVAL, ENOENT, EOPNOTSUPP
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, NotSupportedError, SpecError, where
from rawbpf.kernel import syscall
from rawbpf.kernel.attach._kprobe_multi import matching
from rawbpf.kernel.attach.near import near_hint
from rawbpf.kernel.attach.refusal import need_type
from rawbpf.kernel.gate import address
from rawbpf.kernel.host import vmlinux_btf
from rawbpf.kernel.links import Link
from rawbpf.uapi import AttachType, BtfKind, ProgType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rawbpf.btf.parse import Btf
    from rawbpf.kernel.programs import Program

_TYPES = (AttachType.TRACE_FENTRY_MULTI, AttachType.TRACE_FEXIT_MULTI, AttachType.TRACE_FSESSION_MULTI)


def tracing_multi(program: Program, functions: str | Iterable[str], *, cookies: Sequence[int] | None = None) -> Link:
    """Run a program of ``fentry.multi``, ``fexit.multi`` or ``fsession.multi`` at many kernel functions.

    Requires a very recent kernel: Linux 7.3 has it.

    Args:
        functions: names, or a pattern with ``*`` and ``?``; functions of modules are not among them.
        cookies: one number for each of the functions, which ``bpf_get_attach_cookie`` answers.

    Raises:
        SpecError: the program is of another type, or the cookies are not as many as the functions.
        KernelError: ENOENT: no such function in the kernel's BTF, or the pattern matches none.
        NotSupportedError: the kernel has no such links.
    """
    need_type(program, "tracing_multi", ProgType.TRACING)
    if program.expected_attach_type not in _TYPES:
        raise SpecError("the program is for one function", symbol=program.name, hint='SEC("fentry.multi/…")')
    with where(symbol=program.name):
        numbers = _numbers(functions)
        if not numbers:
            raise SpecError("no functions are named")
        if cookies is not None and len(cookies) != len(numbers):
            raise SpecError(f"{len(cookies)} cookies for {len(numbers)} functions")
        ids = struct.pack(f"={len(numbers)}I", *numbers)
        marks = struct.pack(f"={len(cookies)}Q", *cookies) if cookies is not None else b""
        extra = struct.pack("=QQI", address(ids), address(marks) if cookies is not None else 0, len(numbers))
        try:
            return Link(
                syscall.link_create(program.fileno(), 0, program.expected_attach_type, extra=extra), program.name
            )
        except KernelError as failure:
            if failure.errno == EOPNOTSUPP:
                raise NotSupportedError("links of tracing programs to many functions", errno=EOPNOTSUPP) from failure
            if failure.errno == EINVAL:
                failure.message = f"one of the functions cannot be traced: {failure.message}"
            raise


def _numbers(functions: str | Iterable[str]) -> list[int]:
    btf = vmlinux_btf()
    if btf is None:
        raise KernelError("the kernel shows no BTF", errno=ENOENT, hint="it needs CONFIG_DEBUG_INFO_BTF")
    if isinstance(functions, str) and set("*?") & set(functions):
        found = [_find(btf, str(name)) for name in matching(functions)]
        return [number for number in found if number]  # what is traceable is not all in BTF
    names = [functions] if isinstance(functions, str) else list(functions)
    numbers = []
    for name in names:
        number = _find(btf, name)
        if not number:
            stem = name[: max(3, len(name) // 2)]
            hint = near_hint(name, {btf.name_of(i) for i in btf.find_prefix(stem) if btf.kind(i) == BtfKind.FUNC})
            raise KernelError(f"the kernel's BTF has no function {name!r}", errno=ENOENT, hint=hint)
        numbers.append(number)
    return numbers


def _find(btf: Btf, name: str) -> int:
    return btf.find(name, BtfKind.FUNC) or 0
