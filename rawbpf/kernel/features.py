# SPDX-License-Identifier: BSD-2-Clause
"""What the running kernel can do: it is tried, never concluded from a version, because distributions backport.

An answer is yes, no, or None: it could not be told (no rights, no memory). Only yes and no are remembered. Nothing is
tried before somebody asks.
"""

from __future__ import annotations

import os
import struct
import sys
from errno import E2BIG, EACCES, EBADF, EINVAL, EOPNOTSUPP, ESRCH
from typing import TYPE_CHECKING, NamedTuple

from rawbpf.errors import ENOTSUPP, KernelError, SpecError, VerifierError
from rawbpf.kernel import syscall
from rawbpf.kernel.gate import address
from rawbpf.uapi import HELPERS, AttachType, MapFlag, MapType, ProgType

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rawbpf.btf import types as t
    from rawbpf.kernel.fd import Fd

NO = frozenset({EINVAL, E2BIG, EOPNOTSUPP, ENOTSUPP})
"""What kernels answer to what they do not know."""

_known: dict[object, bool] = {}


class Features:
    """The running kernel's features, for a `Target`."""

    def has(self, name: str) -> bool:
        """Whether the kernel has it; also yes when that could not be told. Names are those of `FEATURES`."""
        return probe(name) is not False


def probe(name: str) -> bool | None:
    """Try a feature of `FEATURES`: yes, no, or None if it could not be told. Raises `SpecError` for an unknown name."""
    if name not in FEATURES:
        raise SpecError(f"no feature is called {name!r}")
    return remember(name, FEATURES[name].probe)


def remember(key: object, ask: Callable[[], bool | None]) -> bool | None:
    """The answer that was got before, or else the one of `ask`. With a token the answers are others."""
    key = key, syscall.has_token()
    if key not in _known:
        answer = ask()
        if answer is None:
            return None
        _known[key] = answer
    return _known[key]


def works(make: Callable[[], Fd]) -> bool | None:
    """Whether something can be made; it is closed at once."""
    try:
        make().close()
    except KernelError as failure:
        return False if failure.errno in NO else None
    return True


# -- programs


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """``struct bpf_insn``."""
    registers = dst | src << 4 if sys.byteorder == "little" else dst << 4 | src
    return struct.pack("=BBhi", code, registers, off, imm)


RETURN_0 = insn(0xB7) + insn(0x95)  # r0 = 0; exit
_FP_MINUS_8 = insn(0xBF, dst=1, src=10) + insn(0x07, dst=1, imm=-8)  # r1 = r10; r1 += -8


def call(name: str) -> bytes:
    """The instruction that calls a helper (``bpf_map_lookup_elem``)."""
    return insn(0x85, imm=HELPERS.index(name))


def _load(prog_type: ProgType, insns: bytes = RETURN_0, **fields: Any) -> Fd:
    return syscall.prog_load({"prog_type": prog_type} | fields, insns, license="GPL")


def _prog_name() -> bool | None:
    return works(lambda: _load(ProgType.SOCKET_FILTER, prog_name="rawbpf_probe"))


def _exp_attach_type() -> bool | None:
    kind = AttachType.CGROUP_INET_SOCK_CREATE
    return works(lambda: _load(ProgType.CGROUP_SOCK, expected_attach_type=kind))


def _probe_read_kernel() -> bool | None:
    arguments = _FP_MINUS_8 + insn(0xB7, dst=2, imm=8) + insn(0xB7, dst=3)
    insns = arguments + call("bpf_probe_read_kernel") + insn(0x95)
    return works(lambda: _load(ProgType.TRACEPOINT, insns))


def _bpf_cookie() -> bool | None:
    return works(lambda: _load(ProgType.TRACEPOINT, call("bpf_get_attach_cookie") + insn(0x95)))


def _memcg_accounting() -> bool | None:
    # bpf_ktime_get_coarse_ns came with the same release; asking for it takes no locked memory to speak of
    return works(lambda: _load(ProgType.SOCKET_FILTER, call("bpf_ktime_get_coarse_ns") + insn(0x95)))


def _global_data(map_type: MapType = MapType.ARRAY) -> bool | None:
    try:
        fd = syscall.map_create({"map_type": map_type, "key_size": 4, "value_size": 32, "max_entries": 1})
    except KernelError:
        return None
    with fd:
        address = insn(0x18, dst=1, src=2, imm=fd.fileno()) + insn(0, imm=16)  # r1 = &value[16]
        store = insn(0x7A, dst=1, imm=42)  # *(u64 *)r1 = 42
        return works(lambda: _load(ProgType.SOCKET_FILTER, address + store + RETURN_0))


def _prog_bind_map() -> bool | None:
    return _knows(lambda: syscall.prog_bind_map(-1 & 0xFFFFFFFF, 0))


def _bpf_link() -> bool | None:
    return _knows(lambda: syscall.link_update(-1 & 0xFFFFFFFF, 0))


def _knows(ask: Callable[[], None]) -> bool | None:
    # whether a command exists: with a bad descriptor it says EBADF, without the command EINVAL
    try:
        ask()
    except KernelError as failure:
        return {EBADF: True, EINVAL: False}.get(failure.errno or 0)
    return True


def _link_of(prog_type: ProgType, attach_type: AttachType, target: int = -1, flags: int = 0) -> bool | None:
    # with a bad target: EINVAL says that links for this are not known, everything else that it was the target
    try:
        program = _load(prog_type, insn(0xB7, imm=1) + insn(0x95), expected_attach_type=attach_type)
    except KernelError as failure:
        return False if failure.errno in NO else None
    with program:
        try:
            syscall.link_create(program.fileno(), target & 0xFFFFFFFF, attach_type, flags=flags).close()
        except KernelError as failure:
            return failure.errno != EINVAL
    return None


def _xdp_link() -> bool | None:
    # no network device answers EINVAL too; the loopback's driver cannot offload (XDP_FLAGS_HW_MODE)
    return _link_of(ProgType.XDP, AttachType.XDP, target=1, flags=1 << 3)


def _netns_link() -> bool | None:
    return _link_of(ProgType.SK_LOOKUP, AttachType.SK_LOOKUP)


def _sockmap_link() -> bool | None:
    return _link_of(ProgType.SK_MSG, AttachType.SK_MSG_VERDICT)


def _array_mmap() -> bool | None:
    fields = {"map_type": MapType.ARRAY, "key_size": 4, "value_size": 4, "max_entries": 1}
    return works(lambda: syscall.map_create(fields | {"map_flags": MapFlag.MMAPABLE}))


def _syscall_wrapper() -> bool | None:
    # since 4.17 the entry of a system call is named after its architecture: __x64_sys_bpf and the like. libbpf
    # tries it with a kprobe, which makes it "no" on a kernel without any: an object should not see another value here
    from rawbpf.kernel.host import SYSCALL_PREFIXES, has_kprobes, ksyms

    prefix = SYSCALL_PREFIXES.get(os.uname().machine)
    return prefix is not None and has_kprobes() and f"__{prefix}_sys_bpf" in ksyms([f"__{prefix}_sys_bpf"])


def _perf_link() -> bool | None:
    # with a bad descriptor as the target, a kernel that has such links says EBADF
    return _knows_link(_load(ProgType.TRACEPOINT), AttachType.PERF_EVENT, -1 & 0xFFFFFFFF, b"", EBADF)


def _kprobe_multi_link() -> bool | None:
    # a kernel that has such links looks for the function
    try:
        program = _load(ProgType.KPROBE, expected_attach_type=AttachType.TRACE_KPROBE_MULTI)
    except KernelError as failure:
        return False if failure.errno in NO else None
    name = b"no function has this name\0"
    names = struct.pack("=Q", address(name))
    extra = struct.pack("=IIQQQ", 0, 1, address(names), 0, 0)
    return _knows_link(program, AttachType.TRACE_KPROBE_MULTI, 0, extra, ESRCH)


def _knows_link(program: Fd, attach_type: AttachType, target: int, extra: bytes, answer: int) -> bool | None:
    with program:
        try:
            syscall.link_create(program.fileno(), target, attach_type, extra=extra).close()
        except KernelError as failure:
            return failure.errno == answer if failure.errno in {answer, *NO} else None
    return True


def _uprobe_multi_link() -> bool | None:
    # The directory / is no binary to probe: EBADF. The first kernels filtered threads, not processes, which is of no
    # use for USDT; the others refuse a negative process id before they look at the path (Linux commit 46ba0e49b642
    # "bpf: fix multi-uprobe PID filtering logic", in v6.10).
    try:
        program = _load(ProgType.KPROBE, expected_attach_type=AttachType.TRACE_UPROBE_MULTI)
    except KernelError as failure:
        return False if failure.errno in NO else None
    with program:
        return _uprobe_errno(program, 0) == EBADF and _uprobe_errno(program, -1) == EINVAL


def _uprobe_errno(program: Fd, pid: int) -> int | None:
    path, offset = b"/\0", bytes(8)
    extra = struct.pack("=QQQQIIi", address(path), address(offset), 0, 0, 1, 0, pid)
    try:
        syscall.link_create(program.fileno(), -1 & 0xFFFFFFFF, AttachType.TRACE_UPROBE_MULTI, extra=extra).close()
    except KernelError as failure:
        return failure.errno
    return None


def _ldimm64_full_range() -> bool | None:
    # the verifier once refused offsets into a map's value from 512 MiB on, before it looked at the map's size (Linux
    # commit 12a1fe6e12db "bpf/verifier: Do not limit maximum direct offset into arena map", in v7.0)
    from rawbpf.kernel import verifier

    with syscall.map_create({"map_type": MapType.ARRAY, "key_size": 4, "value_size": 4, "max_entries": 1}) as array:
        far = insn(0x18, dst=1, src=2, imm=array.fileno()) + insn(0, imm=1 << 30) + insn(0x95)
        try:
            verifier.load({"prog_type": ProgType.SOCKET_FILTER}, far, license="GPL").fd.close()
        except KernelError as failure:
            return "direct value offset" not in failure.log if isinstance(failure, VerifierError) else None
    return None


# -- BTF


def _blob(*types: t.Type) -> bytes:
    from rawbpf.btf.build import Builder

    builder = Builder(little=sys.byteorder == "little")
    for type in types:
        builder.add(type)
    return builder.to_bytes()


def _takes_btf(*types: t.Type) -> bool | None:
    blob = _blob(*types)
    return works(lambda: syscall.btf_load(blob))


def _btf() -> bool | None:
    from rawbpf.btf import types as t

    return _takes_btf(t.Int("int", 4, t.Int.SIGNED))


def _btf_func(linkage: int = 0) -> bool | None:
    from rawbpf.btf import types as t

    proto = t.FuncProto(0, [t.Param("a", 1)])
    return _takes_btf(t.Int("int", 4, t.Int.SIGNED), proto, t.Func("f", 2, linkage))


def _btf_datasec(name: str = ".data") -> bool | None:
    from rawbpf.btf import types as t

    section = t.Datasec(name, 4, [t.SecVar(2, 0, 4)])
    return _takes_btf(t.Int("int", 4, t.Int.SIGNED), t.Var("x", 1), section)


def _btf_float() -> bool | None:
    from rawbpf.btf import types as t

    return _takes_btf(t.Float("float", 4))


def _btf_decl_tag() -> bool | None:
    from rawbpf.btf import types as t

    return _takes_btf(t.Int("int", 4, t.Int.SIGNED), t.Var("x", 1), t.DeclTag(2, "tag"))


def _btf_type_tag() -> bool | None:
    from rawbpf.btf import types as t

    return _takes_btf(t.Int("int", 4, t.Int.SIGNED), t.TypeTag(1, "tag"), t.Ptr(2))


def _btf_enum64() -> bool | None:
    from rawbpf.btf import types as t

    return _takes_btf(t.Enum64("e", 8, [t.Enumerator("E", 1 << 40)]))


def _arg_ctx_tag(tag: str = "arg:ctx") -> bool | None:
    # int main(void *ctx) { return f(ctx); } int f(void *ctx __arg_ctx): what f calls takes nothing but the context
    from rawbpf.btf import types as t

    main, f = t.FuncProto(1, [t.Param("ctx", 2)]), t.FuncProto(1, [t.Param("ctx", 2)])
    functions = (main, t.Func("main", 3, t.Func.GLOBAL), f, t.Func("f", 5, t.Func.GLOBAL))
    blob = _blob(t.Int("int", 4, t.Int.SIGNED), t.Ptr(0), *functions, t.DeclTag(6, tag, 0))
    insns = insn(0x85, src=1, imm=1) + insn(0x95) + call("bpf_get_func_ip") + insn(0x95)
    try:
        with syscall.btf_load(blob) as btf:
            fields = {"prog_type": ProgType.KPROBE, "prog_name": "rawbpf_arg_ctx"}
            fields |= {"prog_btf_fd": btf.fileno(), "func_info_rec_size": 8}
            infos = struct.pack("=4I", 0, 4, 2, 6)
            syscall.prog_load(fields, insns, license="GPL", func_info=infos).close()
    except KernelError as failure:
        return False if failure.errno in NO | {EACCES} else None
    return True


class Feature(NamedTuple):
    """A feature: what it is, the release that brought it, and how to try it."""

    what: str
    since: str
    probe: Callable[[], bool | None]


FEATURES: dict[str, Feature] = {
    "prog_name": Feature("names of programs and maps", "4.15", _prog_name),
    "exp_attach_type": Feature("expected attach type of programs", "4.17", _exp_attach_type),
    "syscall_wrapper": Feature("system call wrappers", "4.17", _syscall_wrapper),
    "btf": Feature("BTF", "4.18", _btf),
    "btf_func": Feature("BTF of functions", "5.0", _btf_func),
    "btf_datasec": Feature("BTF of data sections", "5.2", _btf_datasec),
    "global_data": Feature("global variables", "5.2", _global_data),
    "array_mmap": Feature("arrays mapped into memory", "5.5", _array_mmap),
    "probe_read_kernel": Feature("bpf_probe_read_kernel", "5.5", _probe_read_kernel),
    "btf_func_global": Feature("BTF of global functions", "5.6", lambda: _btf_func(1)),
    "bpf_link": Feature("BPF links", "5.7", _bpf_link),
    "xdp_link": Feature("links to network devices", "5.9", _xdp_link),
    "netns_link": Feature("links to network namespaces", "5.9", _netns_link),
    "prog_bind_map": Feature("binding of maps to programs", "5.10", _prog_bind_map),
    "memcg_accounting": Feature("BPF memory charged to the memory cgroup", "5.11", _memcg_accounting),
    "btf_float": Feature("BTF of floating point types", "5.13", _btf_float),
    "bpf_cookie": Feature("cookies of attached programs", "5.15", _bpf_cookie),
    "perf_link": Feature("links to perf events", "5.15", _perf_link),
    "btf_decl_tag": Feature("BTF declaration tags", "5.16", _btf_decl_tag),
    "btf_type_tag": Feature("BTF type tags", "5.17", _btf_type_tag),
    "kprobe_multi_link": Feature("links to many kernel functions", "5.18", _kprobe_multi_link),
    "btf_enum64": Feature("BTF of 64-bit enums", "6.0", _btf_enum64),
    "uprobe_multi_link": Feature("links to many user-space probes", "6.6", _uprobe_multi_link),
    "ldimm64_full_range": Feature("far offsets into the values of maps", "7.0", _ldimm64_full_range),
    "sockmap_link": Feature("links to sockmaps", "6.10", _sockmap_link),
    "arg_ctx_tag": Feature("the declaration tag of __arg_ctx", "6.8", _arg_ctx_tag),
    "percpu_data": Feature("global per-CPU variables", "7.3", lambda: _global_data(MapType.PERCPU_ARRAY)),
    "btf_qmark_datasec": Feature("BTF of sections with a ? in their name", "6.9", lambda: _btf_datasec("?.data")),
}
"""The features that loading and attaching depend on, by the names that libbpf's sources have made known."""
