# SPDX-License-Identifier: BSD-2-Clause
"""The layouts of ``union bpf_attr`` and the info structs against the kernel's own BTF."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rawbpf.btf import types as t
from rawbpf.kernel import host
from rawbpf.kernel.attr import COMMON, Layout, attr_layout, info_layout
from rawbpf.uapi import BtfKind, Cmd

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawbpf.btf.parse import Btf

# the struct of linux/bpf.h that a command's fields are in, by one of its members
_WITNESS = {
    Cmd.MAP_CREATE: "map_type",
    Cmd.MAP_UPDATE_ELEM: "key",
    Cmd.MAP_GET_NEXT_KEY: "key",
    Cmd.PROG_LOAD: "insn_cnt",
    Cmd.OBJ_PIN: "pathname",
    Cmd.PROG_ATTACH: "attach_bpf_fd",
    Cmd.PROG_GET_NEXT_ID: "open_flags",
    Cmd.BTF_LOAD: "btf_size",
    Cmd.PROG_TEST_RUN: "test",
    Cmd.OBJ_GET_INFO_BY_FD: "info",
    Cmd.PROG_QUERY: "query",
    Cmd.RAW_TRACEPOINT_OPEN: "raw_tracepoint",
    Cmd.MAP_LOOKUP_BATCH: "batch",
    Cmd.TASK_FD_QUERY: "task_fd_query",
    Cmd.LINK_CREATE: "link_create",
    Cmd.LINK_UPDATE: "link_update",
    Cmd.LINK_DETACH: "link_detach",
    Cmd.ENABLE_STATS: "enable_stats",
    Cmd.ITER_CREATE: "iter_create",
    Cmd.PROG_BIND_MAP: "prog_bind_map",
    Cmd.TOKEN_CREATE: "token_create",
}


@pytest.fixture(scope="module")
def vmlinux(root: None, require: Callable[[object, str], None]) -> Btf:
    btf = host.vmlinux_btf()
    require(btf, "the kernel has no BTF")
    assert btf is not None
    return btf


def offsets(btf: Btf, type_id: int) -> dict[str, tuple[int, int]]:
    """Where the members are and how large, those of unnamed members among them, in bytes."""
    found: dict[str, tuple[int, int]] = {}
    kind = btf.type(btf.resolve(type_id))
    assert isinstance(kind, (t.Struct, t.Union))
    for member in kind.members:
        start = member.bit_offset // 8
        if member.name:
            found.setdefault(member.name, (start, 4 if member.bitfield_size else btf.size_of(member.type_id)))
        elif not member.bitfield_size:
            for name, (inner, size) in offsets(btf, member.type_id).items():
                found.setdefault(name, (start + inner, size))
    return found


def part_of_attr(btf: Btf, witness: str) -> int:
    """The type of the struct in ``union bpf_attr`` that is or has a member of that name."""
    attr = btf.find("bpf_attr", BtfKind.UNION)
    assert attr is not None
    union = btf.type(attr)
    assert isinstance(union, t.Union)
    for member in union.members:
        if member.name == witness or (not member.name and witness in offsets(btf, member.type_id)):
            return member.type_id
    raise AssertionError(f"no {witness} in union bpf_attr")


def compare(layout: Layout, theirs: dict[str, tuple[int, int]]) -> int:
    """All fields that both know are at the same place; how many there are."""
    ours = {name: layout.spans[name] for name in layout.spans if name in theirs}
    assert ours == {name: (start, start + size) for name, (start, size) in theirs.items() if name in ours}
    return len(ours)


@pytest.mark.parametrize("command", _WITNESS, ids=lambda command: command.name.lower())
def test_attr(vmlinux: Btf, command: Cmd) -> None:
    theirs = offsets(vmlinux, part_of_attr(vmlinux, _WITNESS[command]))
    if command == Cmd.LINK_CREATE:
        # the rest of it belongs to the attach type
        theirs = {name: theirs[name] for name in ("prog_fd", "target_fd", "attach_type", "flags")}
    assert compare(attr_layout(command), theirs) >= len(theirs) // 2


@pytest.mark.parametrize("kind", ["prog", "map", "btf", "link"])
def test_info(vmlinux: Btf, kind: str) -> None:
    number = vmlinux.find(f"bpf_{kind}_info", BtfKind.STRUCT)
    assert number is not None
    theirs = offsets(vmlinux, number)
    layout = info_layout(kind)
    assert compare(layout, theirs) >= 3
    assert layout.size >= vmlinux.size_of(number)
    if kind != "link":
        assert set(theirs) <= set(layout.spans)


def test_common(vmlinux: Btf) -> None:
    number = vmlinux.find("bpf_common_attr", BtfKind.STRUCT)
    if number is None:
        assert COMMON.size == 20
        return
    assert compare(COMMON, offsets(vmlinux, number)) == 4
