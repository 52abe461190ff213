# SPDX-License-Identifier: BSD-2-Clause
"""The commands of bpf(2), one function each: Python values in, Python values or an owned `Fd` out.

Descriptors are taken as plain numbers, 0 meaning none. All functions raise `KernelError` or one of its kinds.
"""

from __future__ import annotations

import os
import struct
from array import array
from contextlib import contextmanager
from contextvars import ContextVar
from errno import ENOENT, ENOSPC
from typing import TYPE_CHECKING, Any, NamedTuple

from rawbpf.kernel.attr import COMMON, attr_layout
from rawbpf.kernel.gate import address, call, call_fd, pack
from rawbpf.uapi import OBJ_NAME_LEN, AttachType, Cmd, MapFlag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.kernel.fd import Fd


def kernel_name(name: str) -> bytes:
    """A name for ``union bpf_attr``: 15 bytes at most; bpf_obj_name_cpy takes letters, digits, ``_`` and ``.``."""
    return name.encode(errors="surrogateescape")[: OBJ_NAME_LEN - 1]


# -- making things

_token: ContextVar[int] = ContextVar("token", default=0)


@contextmanager
def with_token(fd: int) -> Iterator[None]:
    """Let BTF, maps and programs be made with the rights of a token (see `rawbpf.kernel.token`), in this thread."""
    before = _token.set(fd)
    try:
        yield
    finally:
        _token.reset(before)


def has_token() -> bool:
    """Whether a token is in use."""
    return bool(_token.get())


def _rights(fields: dict[str, Any], flags: str, token: str) -> dict[str, Any]:
    # the fields, with the token that is in use; the flag is the same for all commands
    fd = _token.get()
    return fields | {flags: fields.get(flags, 0) | MapFlag.TOKEN_FD, token: fd} if fd else fields


def btf_load(data: bytes, log: bytearray | None = None, *, log_level: int = 0) -> Fd:
    """``BPF_BTF_LOAD``. The kernel writes its reasons into `log` (needs a log level)."""
    fields = {
        "btf": address(data),
        "btf_size": len(data),
        "btf_log_buf": address(log) if log is not None else 0,
        "btf_log_size": len(log) if log is not None else 0,
        "btf_log_level": log_level,
    }
    attr, size = pack(Cmd.BTF_LOAD, **_rights(fields, "btf_flags", "btf_token_fd"))
    return call_fd(Cmd.BTF_LOAD, attr, size)


def map_create(fields: dict[str, Any], log: bytearray | None = None) -> Fd:
    """``BPF_MAP_CREATE`` with these fields of ``union bpf_attr``; `map_name` as str.

    With `log`, a kernel that knows BPF_COMMON_ATTRS writes there why it refuses; others refuse that with EINVAL.
    """
    fields = _rights(fields, "map_flags", "map_token_fd")
    attr, size = pack(Cmd.MAP_CREATE, **fields | {"map_name": kernel_name(fields.get("map_name", ""))})
    common = None
    if log is not None:
        common = COMMON.pack({"log_buf": address(log), "log_size": len(log), "log_level": 1})
    return call_fd(Cmd.MAP_CREATE, attr, size, common)


def prog_load(
    fields: dict[str, Any],
    insns: bytes,
    *,
    license: str = "",
    func_info: bytes = b"",
    line_info: bytes = b"",
    fd_array: bytes = b"",
    log: tuple[int, int] = (0, 0),
) -> Fd:
    """``BPF_PROG_LOAD`` with these further fields of ``union bpf_attr``; `prog_name` as str.

    The record sizes among the fields say how many records there are. `log` is the address and the size of the
    verifier's log buffer, which goes with a ``log_level``.
    """
    fields = _rights(fields, "prog_flags", "prog_token_fd")
    terms = license.encode() + b"\0"
    func_size, line_size = fields.get("func_info_rec_size", 0), fields.get("line_info_rec_size", 0)
    attr, size = pack(
        Cmd.PROG_LOAD,
        **fields
        | {
            "prog_name": kernel_name(fields.get("prog_name", "")),
            "insns": address(insns),
            "insn_cnt": len(insns) // 8,
            "license": address(terms),
            "func_info": address(func_info) if func_info else 0,
            "func_info_cnt": len(func_info) // func_size if func_info else 0,
            "line_info": address(line_info) if line_info else 0,
            "line_info_cnt": len(line_info) // line_size if line_info else 0,
            "fd_array": address(fd_array) if fd_array else 0,
            "log_buf": log[0],
            "log_size": log[1],
        },
    )
    return call_fd(Cmd.PROG_LOAD, attr, size)


def raw_tracepoint_open(prog_fd: int, name: str = "", cookie: int = 0) -> Fd:
    """``BPF_RAW_TRACEPOINT_OPEN``; without a name for programs that know their target since they were loaded."""
    text = name.encode(errors="surrogateescape") + b"\0"
    attr, size = pack(Cmd.RAW_TRACEPOINT_OPEN, name=address(text) if name else 0, prog_fd=prog_fd, cookie=cookie)
    return call_fd(Cmd.RAW_TRACEPOINT_OPEN, attr, size)


def link_create(prog_fd: int, target_fd: int, attach_type: int, *, flags: int = 0, extra: bytes = b"") -> Fd:
    """``BPF_LINK_CREATE``; for struct_ops `prog_fd` is the map. `extra` is what the attach type adds behind flags."""
    attr, size = pack(
        Cmd.LINK_CREATE, prog_fd=prog_fd, target_fd=target_fd, attach_type=attach_type, flags=flags, extra=extra
    )
    return call_fd(Cmd.LINK_CREATE, attr, min(size, attr_layout(Cmd.LINK_CREATE).offset("extra") + len(extra)))


def iter_create(link_fd: int) -> Fd:
    """``BPF_ITER_CREATE``: a descriptor to read an iterator's output from."""
    return call_fd(Cmd.ITER_CREATE, *pack(Cmd.ITER_CREATE, link_fd=link_fd))


def token_create(bpffs_fd: int) -> Fd:
    """``BPF_TOKEN_CREATE``: rights that a bpffs delegates. Requires Linux 6.9."""
    return call_fd(Cmd.TOKEN_CREATE, *pack(Cmd.TOKEN_CREATE, bpffs_fd=bpffs_fd))


def enable_stats(kind: int = 0) -> Fd:
    """``BPF_ENABLE_STATS``: count and time runs while the descriptor is open. Requires Linux 5.8."""
    return call_fd(Cmd.ENABLE_STATS, *pack(Cmd.ENABLE_STATS, type=kind))


# -- map elements


_ELEM = struct.Struct("=I4xQQQ")  # the busiest of all layouts: map_fd, key, value, flags


def _elem(command: Cmd, map_fd: int, key: bytes, value: int, flags: int) -> None:
    attr = bytearray(_ELEM.pack(map_fd, address(key) if key else 0, value, flags))
    call(command, attr, len(attr))


def map_lookup_elem(
    map_fd: int, key: bytes, value_size: int, flags: int = 0, *, command: Cmd = Cmd.MAP_LOOKUP_ELEM
) -> bytes:
    """``BPF_MAP_LOOKUP_ELEM`` or ``BPF_MAP_LOOKUP_AND_DELETE_ELEM``. Raises `MapKeyError` for ENOENT."""
    value = array("B", bytes(value_size))
    _elem(command, map_fd, key, value.buffer_info()[0], flags)
    return value.tobytes()


def map_update_elem(map_fd: int, key: bytes, value: bytes, flags: int = 0) -> None:
    """``BPF_MAP_UPDATE_ELEM``; without a key for queues and stacks."""
    _elem(Cmd.MAP_UPDATE_ELEM, map_fd, key, address(value), flags)


def map_delete_elem(map_fd: int, key: bytes) -> None:
    """``BPF_MAP_DELETE_ELEM``. Raises `MapKeyError` for ENOENT."""
    _elem(Cmd.MAP_DELETE_ELEM, map_fd, key, 0, 0)


def map_get_next_key(map_fd: int, key: bytes | None, key_size: int) -> bytes | None:
    """``BPF_MAP_GET_NEXT_KEY``: the key behind `key`; the first for None or a key that is gone; None for the end."""
    following = array("B", bytes(key_size))
    attr, size = pack(
        Cmd.MAP_GET_NEXT_KEY,
        map_fd=map_fd,
        key=0 if key is None else address(key),
        next_key=following.buffer_info()[0],
    )
    try:
        call(Cmd.MAP_GET_NEXT_KEY, attr, size)
    except OSError as failure:
        if failure.errno == ENOENT:  # the end, no failure
            return None
        raise
    return following.tobytes()


def map_freeze(map_fd: int) -> None:
    """``BPF_MAP_FREEZE``: no more writes by system call. Requires Linux 5.2."""
    call(Cmd.MAP_FREEZE, *pack(Cmd.MAP_FREEZE, map_fd=map_fd))


# -- bpffs


def obj_pin(fd: int, path: str | os.PathLike[str]) -> None:
    """``BPF_OBJ_PIN``. Raises for EEXIST as for any other errno."""
    name = os.fsencode(path) + b"\0"
    call(Cmd.OBJ_PIN, *pack(Cmd.OBJ_PIN, pathname=address(name), bpf_fd=fd))


def obj_get(path: str | os.PathLike[str], flags: int = 0) -> Fd:
    """``BPF_OBJ_GET``: the map, program or link that is pinned at `path`."""
    name = os.fsencode(path) + b"\0"
    return call_fd(Cmd.OBJ_GET, *pack(Cmd.OBJ_GET, pathname=address(name), file_flags=flags))


# -- attaching


def prog_attach(
    prog_fd: int,
    target_fd: int,
    attach_type: int,
    *,
    flags: int = 0,
    replace_fd: int = 0,
    relative_fd: int = 0,
    expected_revision: int = 0,
) -> None:
    """``BPF_PROG_ATTACH``: without a link, so it stays until it is detached or its target is gone."""
    attr, size = pack(
        Cmd.PROG_ATTACH,
        target_fd=target_fd,
        attach_bpf_fd=prog_fd,
        attach_type=attach_type,
        attach_flags=flags,
        replace_bpf_fd=replace_fd,
        relative_fd=relative_fd,
        expected_revision=expected_revision,
    )
    call(Cmd.PROG_ATTACH, attr, size)


def prog_detach(prog_fd: int, target_fd: int, attach_type: int) -> None:
    """``BPF_PROG_DETACH``."""
    call(Cmd.PROG_DETACH, *pack(Cmd.PROG_DETACH, target_fd=target_fd, attach_bpf_fd=prog_fd, attach_type=attach_type))


class QueryResult(NamedTuple):
    """What is attached to a target.

    Attributes:
        prog_ids: in the order in which they run.
        attach_flags: how the target takes programs (`AttachFlag`).
        revision: a number that grows with every change; 0 from kernels and targets that do not count them.
    """

    prog_ids: list[int]
    attach_flags: int
    revision: int


def prog_query(target_fd: int, attach_type: int, *, flags: int = 0) -> QueryResult:
    """``BPF_PROG_QUERY``. For LSM_CGROUP: of all hooks of a control group."""
    room = 64
    while True:
        ids, each = array("I", bytes(4 * room)), array("I", bytes(4 * room))
        attr, _ = pack(
            Cmd.PROG_QUERY,
            target_fd=target_fd,
            attach_type=attach_type,
            query_flags=flags,
            prog_ids=ids.buffer_info()[0],
            prog_cnt=room,
            # insisted on where there may be programs of several hooks
            prog_attach_flags=each.buffer_info()[0] if attach_type == AttachType.LSM_CGROUP and not flags else 0,
        )
        layout = attr_layout(Cmd.PROG_QUERY)
        try:
            call(Cmd.PROG_QUERY, attr, layout.used(attr, "revision"))
        except OSError as failure:
            if failure.errno != ENOSPC:  # there are more of them
                raise
            room = max(2 * room, layout.read(attr, "prog_cnt"))
            continue
        there = ids[: layout.read(attr, "prog_cnt")].tolist()
        return QueryResult(there, layout.read(attr, "attach_flags"), layout.read(attr, "revision"))


def link_update(link_fd: int, new_fd: int, *, flags: int = 0, old_fd: int = 0) -> None:
    """``BPF_LINK_UPDATE``: another program (or struct_ops map) in the same link, at once."""
    call(Cmd.LINK_UPDATE, *pack(Cmd.LINK_UPDATE, link_fd=link_fd, new_prog_fd=new_fd, flags=flags, old_prog_fd=old_fd))


def link_detach(link_fd: int) -> None:
    """``BPF_LINK_DETACH``: detach now, whoever else holds the link. Requires Linux 5.9."""
    call(Cmd.LINK_DETACH, *pack(Cmd.LINK_DETACH, link_fd=link_fd))


def prog_bind_map(prog_fd: int, map_fd: int) -> None:
    """``BPF_PROG_BIND_MAP``: let a program keep a map that it does not use. Requires Linux 5.10."""
    call(Cmd.PROG_BIND_MAP, *pack(Cmd.PROG_BIND_MAP, prog_fd=prog_fd, map_fd=map_fd))


# -- running


class RunResult(NamedTuple):
    """What a program did in `prog_test_run`.

    Attributes:
        retval: what it returned.
        data: the packet afterwards.
        context: the context afterwards.
        duration: nanoseconds a run took on average.
    """

    retval: int
    data: bytes
    context: bytes
    duration: int


def prog_test_run(
    prog_fd: int,
    data: bytes = b"",
    context: bytes = b"",
    *,
    data_out: int = 0,
    context_out: int = 0,
    repeat: int = 0,
    flags: int = 0,
    cpu: int = 0,
    batch_size: int = 0,
) -> RunResult:
    """``BPF_PROG_TEST_RUN``: run a program on this packet and this context.

    `data_out` and `context_out` are the room for what it makes of them, where its type takes such. Without
    `context_out` the context is shown as the kernel left it (a SYSCALL program works in place).
    """
    made, made_context = bytearray(data_out), bytearray(context_out)
    given = bytearray(context)
    attr, _ = pack(
        Cmd.PROG_TEST_RUN,
        prog_fd=prog_fd,
        data_size_in=len(data),
        data_in=address(data) if data else 0,
        data_size_out=data_out,
        data_out=address(made),
        repeat=repeat,
        ctx_size_in=len(given),
        ctx_in=address(given),
        ctx_size_out=context_out,
        ctx_out=address(made_context),
        flags=flags,
        cpu=cpu,
        batch_size=batch_size,
    )
    layout = attr_layout(Cmd.PROG_TEST_RUN)
    call(Cmd.PROG_TEST_RUN, attr, layout.used(attr, "duration"))
    return RunResult(
        layout.read(attr, "retval"),
        bytes(made[: layout.read(attr, "data_size_out")]),
        bytes(made_context[: layout.read(attr, "ctx_size_out")] if context_out else given),
        layout.read(attr, "duration"),
    )


# -- ids and information


def get_next_id(command: Cmd, start: int) -> int | None:
    """``BPF_*_GET_NEXT_ID``: the lowest id above `start`, or None."""
    attr, _ = pack(command, start_id=start)
    layout = attr_layout(command)
    try:
        call(command, attr, layout.used(attr, "next_id"))
    except OSError as failure:
        if failure.errno == ENOENT:  # the end, no failure
            return None
        raise
    return layout.read(attr, "next_id")


def get_fd_by_id(command: Cmd, number: int, flags: int = 0) -> Fd:
    """``BPF_*_GET_FD_BY_ID``."""
    fields = {"start_id": number, "open_flags": flags}
    if command == Cmd.BTF_GET_FD_BY_ID:
        fields = _rights(fields, "open_flags", "fd_by_id_token_fd")
    return call_fd(command, *pack(command, **fields))


def obj_get_info_by_fd(fd: int, info: bytearray) -> int:
    """``BPF_OBJ_GET_INFO_BY_FD`` into `info`; how many bytes of it the kernel knows."""
    attr, _ = pack(Cmd.OBJ_GET_INFO_BY_FD, bpf_fd=fd, info_len=len(info), info=address(info))
    layout = attr_layout(Cmd.OBJ_GET_INFO_BY_FD)
    call(Cmd.OBJ_GET_INFO_BY_FD, attr, layout.used(attr, "info"))
    return layout.read(attr, "info_len")
