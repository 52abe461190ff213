# SPDX-License-Identifier: BSD-2-Clause
"""Loading a program past the verifier, or with its log as the reason why not."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import contextmanager
from errno import E2BIG, EACCES, EINVAL, ENOSPC, EPERM
from typing import TYPE_CHECKING, Any, NamedTuple

from rawbpf.errors import KernelError, NotSupportedError, VerifierError, errno_name, errno_text
from rawbpf.kernel import features, known_types, memlock, syscall
from rawbpf.kernel.log import debug

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.kernel.fd import Fd

_FIRST_LOG = (1 << 24) - 1  # the largest that kernels before 5.2 take
_BTF_LOG = 1 << 20
_LAST_LOG = (1 << 32) - 1 >> 2  # the largest that any kernel takes


class Loaded(NamedTuple):
    """A program that the verifier let pass, and its log if a log level asked for one."""

    fd: Fd
    log: str


def load(fields: dict[str, Any], insns: bytes, **more: Any) -> Loaded:
    """``BPF_PROG_LOAD`` (arguments as of `syscall.prog_load`); the log is only asked for when it is needed.

    Raises:
        VerifierError: the verifier refused the program and said why.
        NotSupportedError, KernelError: it came not so far.
    """
    if not fields.get("log_level"):
        try:
            return Loaded(_load_named(fields, insns, (0, 0), more), "")
        except KernelError as failure:
            debug("program %s: %s; again with a log", fields.get("prog_name"), failure)
        fields = fields | {"log_level": 1}
    size = _FIRST_LOG
    while True:
        with _log_buffer(size) as (buffer, where):
            try:
                fd = _load_named(fields, insns, (where, size), more)
                return Loaded(fd, _read(buffer))
            except KernelError as failure:
                if failure.errno != ENOSPC or size >= _LAST_LOG:
                    raise _failure(failure, _read(buffer), fields) from None
        size = min(2 * size, _LAST_LOG)


def _load_named(fields: dict[str, Any], insns: bytes, log: tuple[int, int], more: dict[str, Any]) -> Fd:
    try:
        return syscall.prog_load(fields, insns, log=log, **more)
    except KernelError as failure:
        if failure.errno == EPERM and memlock.lift():
            return syscall.prog_load(fields, insns, log=log, **more)
        if failure.errno == E2BIG and fields.get("prog_name") and features.probe("prog_name") is False:
            return syscall.prog_load(fields | {"prog_name": ""}, insns, log=log, **more)
        raise


def load_btf(data: bytes) -> Fd:
    """``BPF_BTF_LOAD``. Raises `VerifierError` with the kernel's log, or as `load` does."""
    try:
        return syscall.btf_load(data)
    except KernelError as failure:
        first = failure
    log = bytearray(_BTF_LOG)
    try:
        if first.errno == EPERM:
            memlock.lift()
        return syscall.btf_load(data, log, log_level=1)
    except KernelError as failure:
        said = log.split(b"\0", 1)[0].decode(errors="replace")
        if not said.strip():
            raise
        text = said.strip().splitlines()[-1].strip()
        raise VerifierError(
            f"the kernel refused the BTF: {text} ({errno_name(failure.errno or 0)})",
            log=said,
            summary=text,
            errno=failure.errno or 0,
            command="BPF_BTF_LOAD",
        ) from None


@contextmanager
def _log_buffer(size: int) -> Iterator[tuple[mmap.mmap, int]]:
    # Anonymous memory: only what the kernel writes to becomes real, whatever the size
    with mmap.mmap(-1, size) as buffer:
        anchor = ctypes.c_char.from_buffer(buffer)
        try:
            yield buffer, ctypes.addressof(anchor)
        finally:
            del anchor  # it keeps the memory from being unmapped


def _read(buffer: mmap.mmap) -> str:
    end = buffer.find(b"\0")
    return buffer[: end if end >= 0 else len(buffer)].decode(errors="replace")


def _failure(failure: KernelError, log: str, fields: dict[str, Any]) -> KernelError:
    number = failure.errno or 0
    attach_type = fields.get("expected_attach_type", 0)
    if number != EPERM and (missing := known_types.missing_attach_type(fields["prog_type"], attach_type)):
        return missing  # of which the verifier says nothing, or something else
    if log.strip():
        from rawbpf.kernel.verifier_log import suggestion, summary

        text = summary(log)
        return VerifierError(
            f"the verifier refused it: {text} ({errno_name(number)})",
            log=log,
            summary=text,
            errno=number,
            hint=suggestion(log) or None,
        )
    if number == EPERM:
        return memlock.explain(failure)
    if isinstance(failure, NotSupportedError):
        return failure
    if fields.get("signature"):
        return _refused_signature(number)
    if number == EINVAL and (missing := known_types.missing_prog_type(fields["prog_type"])):
        return missing
    message = f"the kernel refused to load it, without a word of the verifier: {errno_text(number)}"
    hint = None
    if number in (EINVAL, EACCES):
        hint = "attach type, attach target, flags or license are what the kernel looks at before the verifier"
    return KernelError(f"{message} ({errno_name(number)})", errno=number, command="BPF_PROG_LOAD", hint=hint)


def _refused_signature(number: int) -> KernelError:
    if number == E2BIG:
        return NotSupportedError("signed programs", min_version="6.18", errno=number, command="BPF_PROG_LOAD")
    return KernelError(
        f"the kernel does not accept the program's signature: {errno_text(number)} ({errno_name(number)})",
        errno=number,
        command="BPF_PROG_LOAD",
        hint="it needs CONFIG_SYSTEM_DATA_VERIFICATION, the signer's key in the keyring, and the same instructions",
    )
