# SPDX-License-Identifier: BSD-2-Clause
"""``union bpf_attr`` and the info structs of linux/bpf.h, each as a list of named fields that packs and unpacks.

The structs are the same on every architecture: the header aligns each 64-bit field to 8 bytes by hand, so only the
byte order is the machine's own.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from rawbpf.errors import SpecError
from rawbpf.uapi import Cmd


class Layout:
    """A C struct, from a string of ``name`` (``__u32``), ``name:CODE`` (a code of `struct`) and ``-`` (4 bytes unused).

    Attributes:
        size: the bytes of the whole struct.
        spans: where each field begins and ends.
    """

    __slots__ = ("_codes", "_struct", "_zeros", "size", "spans")

    def __init__(self, fields: str) -> None:
        code = "="
        self._codes: dict[str, str] = {}
        self._zeros: dict[str, bytes | int] = {}
        self.spans: dict[str, tuple[int, int]] = {}
        for field in fields.split():
            name, _, kind = field.partition(":")
            start = struct.calcsize(code)
            code += "4x" if name == "-" else kind or "I"
            if name != "-":
                self._codes[name] = f"={kind or 'I'}"
                self._zeros[name] = b"" if kind.endswith("s") else 0
                self.spans[name] = (start, struct.calcsize(code))
        self._struct = struct.Struct(code)
        self.size = self._struct.size

    def pack(self, values: dict[str, Any]) -> bytearray:
        """The whole struct; fields that are not given are 0. Raises `SpecError` for a value that does not fit."""
        data = bytearray(self.size)
        try:
            self._struct.pack_into(data, 0, *(values.get(name, zero) for name, zero in self._zeros.items()))
        except struct.error:
            raise self._misfit(values) from None
        return data

    def _misfit(self, values: dict[str, Any]) -> SpecError:
        for name, value in values.items():
            try:
                struct.pack(self._codes[name], value)
            except struct.error:
                start, end = self.spans[name]
                return SpecError(f"{name} is {value!r}, which does not fit into its {end - start} bytes")
        raise AssertionError("each value fits into its field")

    def unpack(self, data: bytes | bytearray | memoryview) -> dict[str, Any]:
        """Each field by name; what is missing at the end is 0."""
        whole = bytes(data[: self.size]).ljust(self.size, b"\0")
        return dict(zip(self._zeros, self._struct.unpack(whole), strict=True))

    def used(self, data: bytearray, output: str = "") -> int:
        """How many bytes to tell the kernel: up to the last field that is not 0, or up to `output`.

        A kernel that does not know the rest must not even see it; one that does takes it for 0.
        """
        least = self.spans[output][1] if output else 0
        text = len(data.rstrip(b"\0"))
        ends = [end for start, end in self.spans.values() if start < text]
        return max([least, *ends])

    def offset(self, name: str) -> int:
        """Where a field begins."""
        return self.spans[name][0]

    def read(self, data: bytearray, name: str) -> int:
        """One field that the kernel has written."""
        start, end = self.spans[name]
        return int.from_bytes(data[start:end], _ORDER)


_ORDER: Final = "little" if struct.pack("=H", 1) == b"\1\0" else "big"

_ELEM = "map_fd - key:Q value:Q flags:Q"
_BATCH = "in_batch:Q out_batch:Q keys:Q values:Q count map_fd elem_flags:Q flags:Q"
_OBJ = "pathname:Q bpf_fd file_flags path_fd:i"
_ATTACH = "target_fd attach_bpf_fd attach_type attach_flags replace_bpf_fd relative_fd expected_revision:Q"
_ID = "start_id next_id open_flags fd_by_id_token_fd:i"

_ATTR: dict[Cmd, str] = {
    Cmd.MAP_CREATE: "map_type key_size value_size max_entries map_flags inner_map_fd numa_node map_name:16s map_ifindex"
    " btf_fd btf_key_type_id btf_value_type_id btf_vmlinux_value_type_id map_extra:Q value_type_btf_obj_fd:i"
    " map_token_fd:i excl_prog_hash:Q excl_prog_hash_size",
    Cmd.MAP_LOOKUP_ELEM: _ELEM,
    Cmd.MAP_UPDATE_ELEM: _ELEM,
    Cmd.MAP_DELETE_ELEM: _ELEM,
    Cmd.MAP_GET_NEXT_KEY: "map_fd - key:Q next_key:Q",
    Cmd.PROG_LOAD: "prog_type insn_cnt insns:Q license:Q log_level log_size log_buf:Q kern_version prog_flags"
    " prog_name:16s prog_ifindex expected_attach_type prog_btf_fd func_info_rec_size func_info:Q func_info_cnt"
    " line_info_rec_size line_info:Q line_info_cnt attach_btf_id attach_prog_fd core_relo_cnt fd_array:Q core_relos:Q"
    " core_relo_rec_size log_true_size prog_token_fd:i fd_array_cnt signature:Q signature_size keyring_id:i",
    Cmd.OBJ_PIN: _OBJ,
    Cmd.OBJ_GET: _OBJ,
    Cmd.PROG_ATTACH: _ATTACH,
    Cmd.PROG_DETACH: _ATTACH,
    Cmd.PROG_TEST_RUN: "prog_fd retval data_size_in data_size_out data_in:Q data_out:Q repeat duration ctx_size_in"
    " ctx_size_out ctx_in:Q ctx_out:Q flags cpu batch_size",
    Cmd.PROG_GET_NEXT_ID: _ID,
    Cmd.MAP_GET_NEXT_ID: _ID,
    Cmd.PROG_GET_FD_BY_ID: _ID,
    Cmd.MAP_GET_FD_BY_ID: _ID,
    Cmd.OBJ_GET_INFO_BY_FD: "bpf_fd info_len info:Q",
    Cmd.PROG_QUERY: "target_fd attach_type query_flags attach_flags prog_ids:Q prog_cnt - prog_attach_flags:Q"
    " link_ids:Q link_attach_flags:Q revision:Q",
    Cmd.RAW_TRACEPOINT_OPEN: "name:Q prog_fd - cookie:Q",
    Cmd.BTF_LOAD: "btf:Q btf_log_buf:Q btf_size btf_log_size btf_log_level btf_log_true_size btf_flags btf_token_fd:i",
    Cmd.BTF_GET_FD_BY_ID: _ID,
    Cmd.TASK_FD_QUERY: "pid fd flags buf_len buf:Q prog_id fd_type probe_offset:Q probe_addr:Q",
    Cmd.MAP_LOOKUP_AND_DELETE_ELEM: _ELEM,
    Cmd.MAP_FREEZE: "map_fd",
    Cmd.BTF_GET_NEXT_ID: _ID,
    Cmd.MAP_LOOKUP_BATCH: _BATCH,
    Cmd.MAP_LOOKUP_AND_DELETE_BATCH: _BATCH,
    Cmd.MAP_UPDATE_BATCH: _BATCH,
    Cmd.MAP_DELETE_BATCH: _BATCH,
    # what follows flags depends on the attach type: see syscall.link_create
    Cmd.LINK_CREATE: "prog_fd target_fd attach_type flags extra:48s",
    Cmd.LINK_UPDATE: "link_fd new_prog_fd flags old_prog_fd",
    Cmd.LINK_GET_FD_BY_ID: _ID,
    Cmd.LINK_GET_NEXT_ID: _ID,
    Cmd.ENABLE_STATS: "type",
    Cmd.ITER_CREATE: "link_fd flags",
    Cmd.LINK_DETACH: "link_fd",
    Cmd.PROG_BIND_MAP: "prog_fd map_fd flags",
    Cmd.TOKEN_CREATE: "flags bpffs_fd",
    Cmd.PROG_STREAM_READ_BY_FD: "stream_buf:Q stream_buf_len stream_id prog_fd",
    Cmd.PROG_ASSOC_STRUCT_OPS: "map_fd prog_fd flags",
}

COMMON = Layout("log_buf:Q log_size log_level log_true_size")
"""``struct bpf_common_attr``, where the kernel knows the command bit BPF_COMMON_ATTRS: a log for any command."""

_INFO: dict[str, str] = {
    "prog": "type id tag:8s jited_prog_len xlated_prog_len jited_prog_insns:Q xlated_prog_insns:Q load_time:Q"
    " created_by_uid nr_map_ids map_ids:Q name:16s ifindex gpl_compatible netns_dev:Q netns_ino:Q nr_jited_ksyms"
    " nr_jited_func_lens jited_ksyms:Q jited_func_lens:Q btf_id func_info_rec_size func_info:Q nr_func_info"
    " nr_line_info line_info:Q jited_line_info:Q nr_jited_line_info line_info_rec_size jited_line_info_rec_size"
    " nr_prog_tags prog_tags:Q run_time_ns:Q run_cnt:Q recursion_misses:Q verified_insns attach_btf_obj_id"
    " attach_btf_id -",
    "map": "type id key_size value_size max_entries map_flags name:16s ifindex btf_vmlinux_value_type_id netns_dev:Q"
    " netns_ino:Q btf_id btf_key_type_id btf_value_type_id btf_vmlinux_id map_extra:Q hash:Q hash_size -",
    "btf": "btf:Q btf_size id name:Q name_len kernel_btf",
    "link": "type id prog_id - detail:48s",
}

_layouts: dict[Cmd | str, Layout] = {}


def attr_layout(command: Cmd) -> Layout:
    """A command's part of ``union bpf_attr``."""
    layout = _layouts.get(command)
    if layout is None:
        layout = _layouts[command] = Layout(_ATTR[command])
    return layout


def info_layout(kind: str) -> Layout:
    """``struct bpf_KIND_info``, kind being ``prog``, ``map``, ``btf`` or ``link``."""
    layout = _layouts.get(kind)
    if layout is None:
        layout = _layouts[kind] = Layout(_INFO[kind])
    return layout
