# SPDX-License-Identifier: BSD-2-Clause
"""What the kernel knows about its programs, maps, BTF blobs and links (``BPF_OBJ_GET_INFO_BY_FD``), as records.

All of it is also there for objects of others: `programs`, `maps`, `btfs` and `links` go through all ids (as root).
"""

from __future__ import annotations

import struct
from errno import EAGAIN, ENOENT
from typing import TYPE_CHECKING, Any, NamedTuple

from rawbpf.errors import KernelError
from rawbpf.kernel import syscall
from rawbpf.kernel.attr import Layout, info_layout
from rawbpf.kernel.gate import address
from rawbpf.uapi import AttachType, Cmd, LinkType, MapType, ProgType, known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawbpf.kernel.fd import Fd


class ProgInfo(NamedTuple):
    """``struct bpf_prog_info``, the part of fixed size and the map ids.

    Attributes:
        tag: the hash of the instructions, as hex.
        load_time: nanoseconds from boot to the load.
        run_time_ns, run_cnt: counted only while `syscall.enable_stats` (or the sysctl) is on.
        verified_insns: the instructions that the verifier went through. Requires Linux 5.16.
    """

    id: int
    type: ProgType | int
    name: str
    tag: str
    gpl_compatible: bool
    load_time: int
    created_by_uid: int
    xlated_len: int
    jited_len: int
    map_ids: tuple[int, ...]
    btf_id: int
    run_time_ns: int
    run_cnt: int
    recursion_misses: int
    verified_insns: int
    attach_btf_obj_id: int
    attach_btf_id: int
    ifindex: int


class ProgCode(NamedTuple):
    """The variable parts of ``struct bpf_prog_info``; empty where the kernel keeps them from this process."""

    xlated: bytes
    jited: bytes
    jited_ksyms: tuple[int, ...]
    jited_func_lens: tuple[int, ...]
    func_info: bytes
    func_info_rec_size: int
    line_info: bytes
    line_info_rec_size: int
    prog_tags: tuple[str, ...]


class MapInfo(NamedTuple):
    """``struct bpf_map_info``."""

    id: int
    type: MapType | int
    name: str
    key_size: int
    value_size: int
    max_entries: int
    map_flags: int
    map_extra: int
    ifindex: int
    btf_id: int
    btf_key_type_id: int
    btf_value_type_id: int
    btf_vmlinux_value_type_id: int
    btf_vmlinux_id: int


class BtfInfo(NamedTuple):
    """``struct bpf_btf_info``: `kernel` is true for vmlinux and modules, whose `name` is told."""

    id: int
    name: str
    kernel: bool
    size: int


class LinkInfo(NamedTuple):
    """``struct bpf_link_info``: what all links have, and in `detail` what this type of link adds, by its C names."""

    id: int
    type: LinkType | int
    prog_id: int
    detail: dict[str, Any]


def kind_name(kind: MapType | ProgType | int) -> str:
    """The name of a type of map or program, as libbpf and bpftool write it."""
    return kind.name.lower() if isinstance(kind, (MapType, ProgType)) else f"type {kind}"


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode(errors="replace")


def _ask(kind: str, fd: int, **values: Any) -> dict[str, Any]:
    layout = info_layout(kind)
    info = layout.pack(values)
    syscall.obj_get_info_by_fd(fd, info)
    return layout.unpack(info)


def prog_info(fd: int) -> ProgInfo:
    """The record of a program."""
    count = _ask("prog", fd)["nr_map_ids"]
    ids = bytearray(4 * count)
    raw = _ask("prog", fd, nr_map_ids=count, map_ids=address(ids))
    count = min(count, raw["nr_map_ids"])
    return ProgInfo(
        id=raw["id"],
        type=known(ProgType, raw["type"]),
        name=_text(raw["name"]),
        tag=raw["tag"].hex(),
        gpl_compatible=bool(raw["gpl_compatible"]),
        load_time=raw["load_time"],
        created_by_uid=raw["created_by_uid"],
        xlated_len=raw["xlated_prog_len"],
        jited_len=raw["jited_prog_len"],
        map_ids=struct.unpack(f"={count}I", ids[: 4 * count]),
        btf_id=raw["btf_id"],
        run_time_ns=raw["run_time_ns"],
        run_cnt=raw["run_cnt"],
        recursion_misses=raw["recursion_misses"],
        verified_insns=raw["verified_insns"],
        attach_btf_obj_id=raw["attach_btf_obj_id"],
        attach_btf_id=raw["attach_btf_id"],
        ifindex=raw["ifindex"],
    )


# pointer → (count, bytes of an element or the field that tells them)
_CODE: dict[str, tuple[str, int | str]] = {
    "xlated_prog_insns": ("xlated_prog_len", 1),
    "jited_prog_insns": ("jited_prog_len", 1),
    "jited_ksyms": ("nr_jited_ksyms", 8),
    "jited_func_lens": ("nr_jited_func_lens", 4),
    "func_info": ("nr_func_info", "func_info_rec_size"),
    "line_info": ("nr_line_info", "line_info_rec_size"),
    "prog_tags": ("nr_prog_tags", 8),
}


def prog_code(fd: int) -> ProgCode:
    """The instructions of a program as the kernel rewrote them, its machine code, function and line records."""
    first = _ask("prog", fd)
    buffers: dict[str, bytearray] = {}
    values: dict[str, int] = {}
    for pointer, (count, width) in _CODE.items():
        size = width if isinstance(width, int) else first[width]
        buffers[pointer] = bytearray(first[count] * size)
        values |= {pointer: address(buffers[pointer]), count: first[count]}
        if isinstance(width, str):
            values[width] = size
    raw = _ask("prog", fd, **values)

    def got(pointer: str) -> bytes:
        # a pointer that the kernel has cleared: not for this process's eyes (bpf_dump_raw_ok)
        return bytes(buffers[pointer]) if raw[pointer] else b""

    tags = got("prog_tags").hex()
    return ProgCode(
        xlated=got("xlated_prog_insns"),
        jited=got("jited_prog_insns"),
        jited_ksyms=struct.unpack(f"={len(got('jited_ksyms')) // 8}Q", got("jited_ksyms")),
        jited_func_lens=struct.unpack(f"={len(got('jited_func_lens')) // 4}I", got("jited_func_lens")),
        func_info=got("func_info"),
        func_info_rec_size=raw["func_info_rec_size"],
        line_info=got("line_info"),
        line_info_rec_size=raw["line_info_rec_size"],
        prog_tags=tuple(tags[at : at + 16] for at in range(0, len(tags), 16)),
    )


def map_info(fd: int) -> MapInfo:
    """The record of a map."""
    raw = _ask("map", fd)
    raw |= {"type": known(MapType, raw["type"]), "name": _text(raw["name"])}
    return MapInfo(**{name: raw[name] for name in MapInfo._fields})


def btf_info(fd: int) -> BtfInfo:
    """The record of a BTF blob."""
    name = bytearray(64)
    raw = _ask("btf", fd, name=address(name), name_len=len(name))
    return BtfInfo(raw["id"], _text(bytes(name)), bool(raw["kernel_btf"]), raw["btf_size"])


def btf_data(fd: int) -> bytes:
    """A BTF blob itself."""
    size = _ask("btf", fd)["btf_size"]
    data = bytearray(size)
    raw = _ask("btf", fd, btf=address(data), btf_size=size)
    return bytes(data[: raw["btf_size"]])


# What each type of link adds: fields behind id, type and prog_id, and which pointer wants a buffer for a name
_DETAIL: dict[LinkType, tuple[str, str]] = {
    LinkType.RAW_TRACEPOINT: ("tp_name:Q tp_name_len - cookie:Q", "tp_name"),
    LinkType.TRACING: ("attach_type target_obj_id target_btf_id - cookie:Q", ""),
    LinkType.CGROUP: ("cgroup_id:Q attach_type", ""),
    LinkType.ITER: ("target_name:Q target_name_len map_id", "target_name"),
    LinkType.NETNS: ("netns_ino attach_type", ""),
    LinkType.XDP: ("ifindex", ""),
    LinkType.STRUCT_OPS: ("map_id", ""),
    LinkType.NETFILTER: ("pf hooknum priority:i flags", ""),
    LinkType.TCX: ("ifindex attach_type", ""),
    LinkType.NETKIT: ("ifindex attach_type", ""),
    LinkType.SOCKMAP: ("map_id attach_type", ""),
}


def link_info(fd: int) -> LinkInfo:
    """The record of a link."""
    raw = _ask("link", fd)
    kind = known(LinkType, raw["type"])
    fields, text = _DETAIL.get(kind, ("", "")) if isinstance(kind, LinkType) else ("", "")
    layout = Layout(fields)
    name = bytearray(256)
    if text:
        raw = _ask("link", fd, detail=bytes(layout.pack({text: address(name), f"{text}_len": len(name)})))
    detail = layout.unpack(raw["detail"])
    if text:
        detail[text] = _text(bytes(name))
        del detail[f"{text}_len"]
    if "attach_type" in detail:
        detail["attach_type"] = known(AttachType, detail["attach_type"])
    return LinkInfo(raw["id"], kind, raw["prog_id"], detail)


def open_module_btf(module: str) -> Fd:
    """The descriptor of a loaded module's BTF (as root: going through ids takes CAP_SYS_ADMIN).

    Raises:
        KernelError: ENOENT if no such module is loaded, or it has no BTF.
    """
    for number in ids(Cmd.BTF_GET_NEXT_ID):
        fd = _open(Cmd.BTF_GET_FD_BY_ID, number)
        if fd is not None:
            about = btf_info(fd.fileno())
            if about.kernel and about.name == module:
                return fd
            fd.close()
    raise KernelError(
        f"the kernel has no BTF of a module {module!r}", errno=ENOENT, hint=f"load the module: modprobe {module}"
    )


# -- all there are


def ids(command: Cmd) -> Iterator[int]:
    """All ids that a ``BPF_*_GET_NEXT_ID`` command goes through."""
    number = syscall.get_next_id(command, 0)
    while number is not None:
        yield number
        number = syscall.get_next_id(command, number)


def _all(following: Cmd, opening: Cmd, ask: Callable[[int], Any]) -> Iterator[Any]:
    for number in ids(following):
        fd = _open(opening, number)
        if fd is not None:
            with fd:
                record = ask(fd.fileno())
            yield record


def _open(command: Cmd, number: int) -> Fd | None:
    try:
        return syscall.get_fd_by_id(command, number)
    except OSError as failure:
        if failure.errno in (ENOENT, EAGAIN):  # it has gone meanwhile, or is a link that is only being made
            return None
        raise


def programs() -> Iterator[ProgInfo]:
    """All programs in the kernel, by id."""
    return _all(Cmd.PROG_GET_NEXT_ID, Cmd.PROG_GET_FD_BY_ID, prog_info)


def maps() -> Iterator[MapInfo]:
    """All maps in the kernel, by id."""
    return _all(Cmd.MAP_GET_NEXT_ID, Cmd.MAP_GET_FD_BY_ID, map_info)


def btfs() -> Iterator[BtfInfo]:
    """All BTF blobs in the kernel, by id: vmlinux, its modules, and those of programs and maps."""
    return _all(Cmd.BTF_GET_NEXT_ID, Cmd.BTF_GET_FD_BY_ID, btf_info)


def links() -> Iterator[LinkInfo]:
    """All links in the kernel, by id."""
    return _all(Cmd.LINK_GET_NEXT_ID, Cmd.LINK_GET_FD_BY_ID, link_info)
