# SPDX-License-Identifier: BSD-2-Clause
"""``union bpf_attr`` by field name, for the commands that a loader issues.

Written down apart from rawbpf, which these tests judge; ``test_recorder.py`` checks each offset against the BTF of the
running kernel.
"""

from __future__ import annotations

import struct
from enum import IntEnum


class Command(IntEnum):
    """``enum bpf_cmd``; a command that is not here stays a number."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    PROG_LOAD = 5
    OBJ_PIN = 6
    OBJ_GET = 7
    PROG_ATTACH = 8
    PROG_DETACH = 9
    OBJ_GET_INFO_BY_FD = 15
    RAW_TRACEPOINT_OPEN = 17
    BTF_LOAD = 18
    BTF_GET_FD_BY_ID = 19
    MAP_FREEZE = 22
    MAP_UPDATE_BATCH = 26
    LINK_CREATE = 28
    LINK_UPDATE = 29
    LINK_DETACH = 34
    PROG_BIND_MAP = 35
    TOKEN_CREATE = 36


# A row is one anonymous or named struct of the union: fields in order, each "name:format" with the letters of the
# module struct; padding is written as "x".
_ELEM = "map_fd:I x:4x key:Q value:Q flags:Q"
_OBJ = "pathname:Q bpf_fd:I file_flags:I path_fd:i"
_ATTACH = "target_fd:I attach_bpf_fd:I attach_type:I attach_flags:I replace_bpf_fd:I relative_fd:I expected_revision:Q"
LAYOUTS: dict[Command, str] = {
    Command.MAP_CREATE: (
        "map_type:I key_size:I value_size:I max_entries:I map_flags:I inner_map_fd:I numa_node:I map_name:16s"
        " map_ifindex:I btf_fd:I btf_key_type_id:I btf_value_type_id:I btf_vmlinux_value_type_id:I map_extra:Q"
        " value_type_btf_obj_fd:i map_token_fd:i excl_prog_hash:Q excl_prog_hash_size:I"
    ),
    Command.MAP_LOOKUP_ELEM: _ELEM,
    Command.MAP_UPDATE_ELEM: _ELEM,
    Command.MAP_DELETE_ELEM: _ELEM,
    Command.MAP_FREEZE: _ELEM,
    Command.MAP_UPDATE_BATCH: ("in_batch:Q out_batch:Q keys:Q values:Q count:I map_fd:I elem_flags:Q flags:Q"),
    Command.PROG_LOAD: (
        "prog_type:I insn_cnt:I insns:Q license:Q log_level:I log_size:I log_buf:Q kern_version:I prog_flags:I"
        " prog_name:16s prog_ifindex:I expected_attach_type:I prog_btf_fd:I func_info_rec_size:I func_info:Q"
        " func_info_cnt:I line_info_rec_size:I line_info:Q line_info_cnt:I attach_btf_id:I attach_prog_fd:I"
        " core_relo_cnt:I fd_array:Q core_relos:Q core_relo_rec_size:I log_true_size:I prog_token_fd:i"
        " fd_array_cnt:I signature:Q signature_size:I keyring_id:i"
    ),
    Command.OBJ_PIN: _OBJ,
    Command.OBJ_GET: _OBJ,
    Command.PROG_ATTACH: _ATTACH,
    Command.PROG_DETACH: _ATTACH,
    Command.RAW_TRACEPOINT_OPEN: "name:Q prog_fd:I x:4x cookie:Q",
    Command.BTF_LOAD: (
        "btf:Q btf_log_buf:Q btf_size:I btf_log_size:I btf_log_level:I btf_log_true_size:I btf_flags:I btf_token_fd:i"
    ),
    # what follows differs by attach type and is kept as one field
    Command.LINK_CREATE: "prog_fd:I target_fd:I attach_type:I flags:I rest:48s",
    Command.LINK_UPDATE: "link_fd:I new_prog_fd:I flags:I old_prog_fd:I",
    Command.LINK_DETACH: "link_fd:I",
    Command.PROG_BIND_MAP: "prog_fd:I map_fd:I flags:I",
    Command.TOKEN_CREATE: "flags:I bpffs_fd:I",
}


def fields(command: Command) -> list[tuple[str, int, str]]:
    """The fields of a command as (name, offset in bytes, format)."""
    result = []
    offset = 0
    for item in LAYOUTS[command].split():
        name, form = item.split(":")
        if name != "x":
            result.append((name, offset, form))
        offset += struct.calcsize("=" + form)
    return result


def decode(command: Command, attr: bytes) -> dict[str, int | str | bytes]:
    """The attribute's fields, those beyond its end as zero, as the kernel reads it.

    Bytes that no field covers are under ``tail`` if any of them is set: nothing that was handed over gets lost.
    """
    result: dict[str, int | str | bytes] = {}
    known = fields(command)
    name, offset, form = known[-1]
    end = offset + struct.calcsize("=" + form)
    padded = attr.ljust(end, b"\0")
    for name, offset, form in known:
        (value,) = struct.unpack_from("=" + form, padded, offset)
        if name.endswith("_name"):
            value = value.split(b"\0")[0].decode("utf-8", "backslashreplace")
        result[name] = value
    if any(padded[end:]):
        result["tail"] = padded[end:]
    return result
