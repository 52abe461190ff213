# SPDX-License-Identifier: BSD-2-Clause
"""Why the kernel said EPERM: each known reason is looked at, and what is found is said.

A bare "Operation not permitted" from bpf(2) has half a dozen causes, and several of them hit root as well.
"""

from __future__ import annotations

import os

from rawbpf.uapi import ProgType, known

# Bits of CapEff (include/uapi/linux/capability.h)
CAPABILITIES = {12: "CAP_NET_ADMIN", 21: "CAP_SYS_ADMIN", 38: "CAP_PERFMON", 39: "CAP_BPF"}
_SYS_ADMIN = 21

# is_net_admin_prog_type() and is_perfmon_prog_type() of kernel/bpf/syscall.c
_NET_ADMIN = frozenset(
    {
        ProgType.SCHED_CLS,
        ProgType.SCHED_ACT,
        ProgType.XDP,
        ProgType.LWT_IN,
        ProgType.LWT_OUT,
        ProgType.LWT_XMIT,
        ProgType.LWT_SEG6LOCAL,
        ProgType.SK_SKB,
        ProgType.SK_MSG,
        ProgType.FLOW_DISSECTOR,
        ProgType.CGROUP_DEVICE,
        ProgType.CGROUP_SOCK,
        ProgType.CGROUP_SOCK_ADDR,
        ProgType.CGROUP_SOCKOPT,
        ProgType.CGROUP_SYSCTL,
        ProgType.SOCK_OPS,
        ProgType.EXT,
        ProgType.NETFILTER,
    }
)
_PERFMON = frozenset(
    {
        ProgType.KPROBE,
        ProgType.TRACEPOINT,
        ProgType.PERF_EVENT,
        ProgType.RAW_TRACEPOINT,
        ProgType.RAW_TRACEPOINT_WRITABLE,
        ProgType.TRACING,
        ProgType.LSM,
        ProgType.STRUCT_OPS,
        ProgType.EXT,
    }
)
_LOCKED_DOWN = _PERFMON | {ProgType.UNSPEC}
_TRAMPOLINES = frozenset({ProgType.TRACING, ProgType.LSM, ProgType.EXT})


def needed_capabilities(prog_type: int | None) -> list[str]:
    """What loading a program of that type takes (None: a map or BTF), beside CAP_SYS_ADMIN, which contains them all."""
    needed = ["CAP_BPF"]
    if prog_type in _NET_ADMIN:
        needed.append("CAP_NET_ADMIN")
    if prog_type in _PERFMON:
        needed.append("CAP_PERFMON")
    return needed


def permission(prog_type: int | None = None, root: str = "/") -> str:
    """The way out of an EPERM, from what this process and this kernel look like. `root` is where /proc and /sys are."""
    status = _status(root)
    reasons = [
        _capabilities(status, prog_type, root),
        _lockdown(prog_type, root),
        _seccomp(status),
        _namespace(root),
    ]
    found = [reason for reason in reasons if reason]
    if found:
        return "; ".join(found)
    if prog_type in _TRAMPOLINES:
        kind = known(ProgType, prog_type)
        name = kind.name if isinstance(kind, ProgType) else str(kind)
        return (
            f"the process has the capabilities, so the kernel itself refuses {name} programs: a security module, or a"
            " hardened build without BPF trampolines; the test kernel (tools/vm) has them"
        )
    return "the process has the capabilities that this needs, so a security module or the kernel's build refuses it"


def _read(root: str, name: str) -> str:
    try:
        with open(os.path.join(root, name), errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _status(root: str) -> dict[str, str]:
    lines = _read(root, "proc/self/status").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _capabilities(status: dict[str, str], prog_type: int | None, root: str) -> str:
    try:
        effective = int(status.get("CapEff", ""), 16)
    except ValueError:
        return ""
    if effective >> _SYS_ADMIN & 1:
        return ""
    held = {name for bit, name in CAPABILITIES.items() if effective >> bit & 1}
    missing = [name for name in needed_capabilities(prog_type) if name not in held]
    if not missing:
        return ""
    text = f"this needs {' and '.join(missing)} (or CAP_SYS_ADMIN), which this process has not: try it as root"
    switch = _read(root, "proc/sys/kernel/unprivileged_bpf_disabled").strip()
    if switch in ("1", "2"):
        text += f" (kernel.unprivileged_bpf_disabled={switch} refuses others altogether)"
    return text


def _lockdown(prog_type: int | None, root: str) -> str:
    text = _read(root, "sys/kernel/security/lockdown")
    if "[confidentiality]" in text and prog_type in _LOCKED_DOWN:
        return "kernel lockdown is in confidentiality mode, which forbids BPF to read kernel memory, even to root"
    return ""


def _seccomp(status: dict[str, str]) -> str:
    if status.get("Seccomp") == "2":
        return "a seccomp filter is active (a container?), which may refuse bpf(2): allow it in the container's profile"
    return ""


def _namespace(root: str) -> str:
    # 4294967295 users mapped: the initial user namespace. BPF asks for capabilities there, whatever a child has.
    text = _read(root, "proc/self/uid_map").split()
    if len(text) == 3 and text[2] != "4294967295":
        way_out = "run it outside, or with a BPF token (--token DIR, Linux 6.9)"
        return f"this is a user namespace of its own, whose capabilities bpf(2) does not count: {way_out}"
    return ""
