# SPDX-License-Identifier: BSD-2-Clause
"""``__arg_ctx`` for kernels whose verifier does not know the declaration tag (it came with Linux 6.8).

Such a kernel takes an argument of a global function for the program's context if it is a pointer to the struct that the
program's type calls its context. So each program gets FUNC and FUNC_PROTO of its own where the tag says ``arg:ctx`` and
the source says another type, ``void *`` mostly: one function may serve programs of several types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rawbpf.btf import types as t
from rawbpf.uapi import BtfKind, ProgType

if TYPE_CHECKING:
    from collections.abc import Collection

    from rawbpf.btf.build import Builder
    from rawbpf.btf.parse import Btf

TAG = "arg:ctx"
FEATURE = "arg_ctx_tag"

_SK_BUFF = (
    ProgType.CGROUP_SKB,
    ProgType.FLOW_DISSECTOR,
    ProgType.LWT_IN,
    ProgType.LWT_OUT,
    ProgType.LWT_SEG6LOCAL,
    ProgType.LWT_XMIT,
    ProgType.SCHED_ACT,
    ProgType.SCHED_CLS,
    ProgType.SK_SKB,
    ProgType.SOCKET_FILTER,
)
CONTEXTS: dict[int, str] = {
    **dict.fromkeys(_SK_BUFF, "__sk_buff"),
    ProgType.CGROUP_DEVICE: "bpf_cgroup_dev_ctx",
    ProgType.CGROUP_SOCK: "bpf_sock",
    ProgType.CGROUP_SOCK_ADDR: "bpf_sock_addr",
    ProgType.CGROUP_SOCKOPT: "bpf_sockopt",
    ProgType.CGROUP_SYSCTL: "bpf_sysctl",
    ProgType.KPROBE: "bpf_user_pt_regs_t",
    ProgType.NETFILTER: "bpf_nf_ctx",
    ProgType.PERF_EVENT: "bpf_perf_event_data",
    ProgType.RAW_TRACEPOINT: "bpf_raw_tracepoint_args",
    ProgType.RAW_TRACEPOINT_WRITABLE: "bpf_raw_tracepoint_args",
    ProgType.SK_LOOKUP: "bpf_sk_lookup",
    ProgType.SK_MSG: "sk_msg_md",
    ProgType.SK_REUSEPORT: "sk_reuseport_md",
    ProgType.SOCK_OPS: "bpf_sock_ops",
    ProgType.XDP: "xdp_md",
}
"""The struct that is the context of each program type; the types that are missing have none with a name
(kernel: include/linux/bpf_types.h).
"""

_REGISTERS = frozenset({"pt_regs", "user_pt_regs", "user_regs_struct"})  # which it is depends on the architecture


class Tagged(NamedTuple):
    """An argument with the tag: the FUNC's id in the object's BTF, and the number of the argument."""

    func_id: int
    argument: int


def tagged_arguments(btf: Btf) -> list[Tagged]:
    """The arguments of global functions that the object's source calls the context, in the order of the tags."""
    found = []
    for type_id in btf.find_all(TAG):
        tag = btf.type(type_id)
        func = btf.type(tag.type_id) if isinstance(tag, t.DeclTag) else None
        if not isinstance(tag, t.DeclTag) or not isinstance(func, t.Func):
            continue
        proto = btf.type(func.type_id)
        if isinstance(proto, t.FuncProto) and 0 <= tag.component < len(proto.params):
            found.append(Tagged(tag.type_id, tag.component))
    return found


def fix_contexts(builder: Builder, tagged: list[Tagged], prog_type: int, func_ids: Collection[int]) -> dict[int, int]:
    """Add the types that a program needs to the BTF that is handed over; ids of FUNCs → ids of those in their place.

    Args:
        builder: the BTF, whose hidden functions are static already (those need nothing).
        tagged: of `tagged_arguments`.
        prog_type: the program's.
        func_ids: the FUNCs of the functions that are linked into the program.
    """
    context = CONTEXTS.get(prog_type)
    clones: dict[int, int] = {}
    pointer = 0
    for func_id, argument in tagged if context else ():
        func = builder.type(func_id)
        assert isinstance(func, t.Func)
        proto = builder.type(func.type_id)
        assert isinstance(proto, t.FuncProto)
        if func_id not in func_ids or func.linkage != t.Func.GLOBAL:
            continue
        if not _needs_fix(builder, proto.params[argument].type_id, prog_type, context or ""):
            continue
        if func_id not in clones:
            clone = builder.add(t.FuncProto(proto.return_type_id, list(proto.params)))
            clones[func_id] = builder.add(t.Func(func.name, clone, func.linkage))
        pointer = pointer or builder.add(t.Ptr(builder.add(t.Struct(context or "", 0, []))))
        builder.add(t.DeclTag(clones[func_id], TAG, argument))
        _set_argument(builder, clones[func_id], argument, pointer)
    return clones


def _set_argument(builder: Builder, func_id: int, argument: int, type_id: int) -> None:
    func = builder.type(func_id)
    assert isinstance(func, t.Func)
    proto = builder.type(func.type_id)
    assert isinstance(proto, t.FuncProto)
    params = list(proto.params)
    params[argument] = t.Param(params[argument].name, type_id)
    builder.replace(func.type_id, t.FuncProto(proto.return_type_id, params))


def _needs_fix(builder: Builder, type_id: int, prog_type: int, context: str) -> bool:
    # whether the kernel would not see the context in an argument of this type, though it may be it
    pointer = _behind(builder, type_id, t.MODIFIERS | {BtfKind.TYPEDEF})
    if not isinstance(pointer, t.Ptr):
        return False
    named = _behind(builder, pointer.type_id, t.MODIFIERS)
    registers = prog_type in (ProgType.KPROBE, ProgType.PERF_EVENT)
    if registers and isinstance(named, t.Typedef) and named.name == "bpf_user_pt_regs_t":
        return False
    pointee = _behind(builder, pointer.type_id, t.MODIFIERS | {BtfKind.TYPEDEF})
    if isinstance(pointee, t.Void):
        return True
    if isinstance(pointee, t.Struct):
        if prog_type == ProgType.KPROBE:
            return pointee.name == "pt_regs"
        return prog_type == ProgType.PERF_EVENT and pointee.name in _REGISTERS
    raw = prog_type in (ProgType.RAW_TRACEPOINT, ProgType.RAW_TRACEPOINT_WRITABLE)
    return raw and isinstance(pointee, t.Int) and pointee.size == 8


def _behind(builder: Builder, type_id: int, kinds: frozenset[BtfKind]) -> t.Type:
    for _ in range(t.MAX_DEPTH):
        found = builder.type(type_id)
        if found.kind not in kinds:
            break
        assert isinstance(found, t.Const | t.Volatile | t.Restrict | t.TypeTag | t.Typedef)
        type_id = found.type_id
    return found
