# SPDX-License-Identifier: BSD-2-Clause
"""Programs that know since they were loaded what they attach to, by its BTF: tracing, security hooks, replacements."""

from __future__ import annotations

import struct
from errno import EBUSY, EINVAL, ENOENT
from typing import TYPE_CHECKING

from rawbpf.errors import ENOTSUPP, KernelError, where
from rawbpf.kernel import syscall
from rawbpf.kernel.attach.near import near_hint
from rawbpf.kernel.attach.refusal import need_type, told
from rawbpf.kernel.links import Link
from rawbpf.kernel.target_program import btf_of
from rawbpf.uapi import BtfKind, ProgType

if TYPE_CHECKING:
    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.programs import Program

_REASONS = {
    EBUSY: ("it is attached already, or its target is full", ""),
    ENOTSUPP: ("the kernel cannot do that to this function", "it needs BPF trampolines: x86-64, arm64, s390x, …"),
}


def tracing(program: Program, *, cookie: int = 0) -> Link:
    """Attach a program of ``fentry``, ``fexit``, ``fmod_ret``, ``fsession`` or ``tp_btf`` to what it was loaded for.

    Requires Linux 5.5 (fmod_ret: 5.7; fsession: 7.0).

    Args:
        cookie: what ``bpf_get_attach_cookie`` answers to the program. Requires Linux 5.19.

    Raises:
        SpecError: the program is of another type.
        KernelError: EBUSY: it is attached already.
    """
    need_type(program, "tracing", ProgType.TRACING)
    return _attach(program, cookie)


def lsm(program: Program, *, cookie: int = 0) -> Link:
    """Let a program decide at the security hook that it was loaded for. Requires Linux 5.7, with bpf in its ``lsm=``.

    Raises:
        SpecError: the program is of another type.
        KernelError: EBUSY: it is attached already.
    """
    need_type(program, "lsm", ProgType.LSM)
    return _attach(program, cookie)


def freplace(program: Program, target: Program | None = None, function: str = "", *, cookie: int = 0) -> Link:
    """Put a program in the place of a function of another program. Requires Linux 5.6.

    Args:
        target, function: another program than the one that it was loaded for, and its function (Linux 5.10): the
            function must have the same arguments.
        cookie: what ``bpf_get_attach_cookie`` answers to the program. Requires Linux 5.19.

    Raises:
        SpecError: the program is of another type, or the target has no such function.
        KernelError: EBUSY: the function is replaced already.
    """
    need_type(program, "freplace", ProgType.EXT)
    if target is None:
        return _attach(program, cookie)
    with where(symbol=program.name), told(_REASONS):
        type_id = _function(target, function or program.target)
        extra = struct.pack("=I4xQ", type_id, cookie) if cookie else struct.pack("=I", type_id)
        return Link(syscall.link_create(program.fileno(), target.fileno(), 0, extra=extra), program.name)


def _attach(program: Program, cookie: int) -> Link:
    with where(symbol=program.name), told(_REASONS):
        return Link(_link(program, cookie), program.name)


def _link(program: Program, cookie: int) -> Fd:
    extra = struct.pack("=I4xQ", 0, cookie) if cookie else b""
    try:
        return syscall.link_create(program.fileno(), 0, program.expected_attach_type, extra=extra)
    except KernelError as failure:
        if failure.errno != EINVAL or cookie:
            failure.hint = failure.hint or ("cookies of such programs need Linux 5.19" if cookie else None)
            raise
    # a kernel before 5.19; or what the program was loaded for is not known, because it was opened by its pin or id
    return syscall.raw_tracepoint_open(program.fileno())


def _function(target: Program, function: str) -> int:
    btf = btf_of(target.fileno())
    found = btf.find(function, BtfKind.FUNC)
    if found is None:
        names = [btf.name_of(number) for number in btf.ids() if btf.kind(number) == BtfKind.FUNC]
        raise KernelError(
            f"the program {target.name} has no function {function!r}",
            errno=ENOENT,
            hint=near_hint(function, names, f"there are: {', '.join(names[:8])}"),
        )
    return found
