# SPDX-License-Identifier: BSD-2-Clause
"""What ``SEC("...")`` means: the section names of libbpf, with the type of the program and how it is attached.

A name ending in ``+`` stands for itself and for ``name/target``; every other name has to be met exactly, so that
``xdp/foo`` is no section of ours although ``xdp`` is.
"""

from __future__ import annotations

from enum import Flag
from functools import cache
from typing import NamedTuple

from rawbpf.uapi import AttachType, ProgFlag, ProgType


class SecFlag(Flag):
    """What else the section asks for."""

    ATTACHABLE = 1
    """The name alone tells the attach type (libbpf_attach_type_by_name knows it)."""
    OPTIONAL_ATTACH = 2
    """Old kernels want expected_attach_type to be absent."""
    ATTACH_BTF = 4
    """Needs the BTF id of what it attaches to."""
    SLEEPABLE = 8
    """May sleep: BPF_F_SLEEPABLE."""
    XDP_FRAGS = 16
    """Takes multi-buffer packets: BPF_F_XDP_HAS_FRAGS."""
    USDT = 32
    """A USDT probe: attach type TRACE_UPROBE_MULTI where the kernel has it."""


class SectionDef(NamedTuple):
    """One line of the table.

    Attributes:
        name: the section, or its first component.
        prefix: ``name/target`` is meant too.
        prog_type: the program type.
        attach_type: expected_attach_type, or a bare 0 where there is none.
        flags: see `SecFlag`.
        attach: how it attaches by itself, in the words of libbpf's attach functions; ``struct_ops`` does so through its
            map. Empty: by hand.
        manual: where it is attached by hand, empty for the others.
    """

    name: str
    prefix: bool
    prog_type: ProgType
    attach_type: AttachType | int
    flags: SecFlag
    attach: str
    manual: str

    @property
    def prog_flags(self) -> ProgFlag:
        """The prog_flags of PROG_LOAD that the section stands for."""
        sleepable = ProgFlag.SLEEPABLE if SecFlag.SLEEPABLE in self.flags else ProgFlag(0)
        return sleepable | (ProgFlag.XDP_HAS_FRAGS if SecFlag.XDP_FRAGS in self.flags else ProgFlag(0))


# section (in libbpf's order), program type, expected attach type, flags, how it attaches by itself, how by hand
_TABLE = """\
socket                  SOCKET_FILTER           -                              -  -              sockopt
sk_reuseport/migrate    SK_REUSEPORT            SK_REUSEPORT_SELECT_OR_MIGRATE A  -              reuseport
sk_reuseport            SK_REUSEPORT            SK_REUSEPORT_SELECT            A  -              reuseport
kprobe+                 KPROBE                  -                              -  kprobe         -
uprobe+                 KPROBE                  -                              -  uprobe         -
uprobe.s+               KPROBE                  -                              S  uprobe         -
kretprobe+              KPROBE                  -                              -  kprobe         -
uretprobe+              KPROBE                  -                              -  uprobe         -
uretprobe.s+            KPROBE                  -                              S  uprobe         -
kprobe.multi+           KPROBE                  TRACE_KPROBE_MULTI             -  kprobe_multi   -
kretprobe.multi+        KPROBE                  TRACE_KPROBE_MULTI             -  kprobe_multi   -
kprobe.session+         KPROBE                  TRACE_KPROBE_SESSION           -  kprobe_session -
uprobe.multi+           KPROBE                  TRACE_UPROBE_MULTI             -  uprobe_multi   -
uretprobe.multi+        KPROBE                  TRACE_UPROBE_MULTI             -  uprobe_multi   -
uprobe.session+         KPROBE                  TRACE_UPROBE_SESSION           -  uprobe_multi   -
uprobe.multi.s+         KPROBE                  TRACE_UPROBE_MULTI             S  uprobe_multi   -
uretprobe.multi.s+      KPROBE                  TRACE_UPROBE_MULTI             S  uprobe_multi   -
uprobe.session.s+       KPROBE                  TRACE_UPROBE_SESSION           S  uprobe_multi   -
ksyscall+               KPROBE                  -                              -  ksyscall       -
kretsyscall+            KPROBE                  -                              -  ksyscall       -
usdt+                   KPROBE                  -                              U  usdt           -
usdt.s+                 KPROBE                  -                              US usdt           -
tc/ingress              SCHED_CLS               TCX_INGRESS                    -  -              tcx
tc/egress               SCHED_CLS               TCX_EGRESS                     -  -              tcx
tcx/ingress             SCHED_CLS               TCX_INGRESS                    -  -              tcx
tcx/egress              SCHED_CLS               TCX_EGRESS                     -  -              tcx
tc                      SCHED_CLS               -                              -  -              tc
classifier              SCHED_CLS               -                              -  -              tc
action                  SCHED_ACT               -                              -  -              tc
netkit/primary          SCHED_CLS               NETKIT_PRIMARY                 -  -              netkit
netkit/peer             SCHED_CLS               NETKIT_PEER                    -  -              netkit
tracepoint+             TRACEPOINT              -                              -  tp             -
tp+                     TRACEPOINT              -                              -  tp             -
tracepoint.s+           TRACEPOINT              -                              S  tp             -
tp.s+                   TRACEPOINT              -                              S  tp             -
raw_tracepoint+         RAW_TRACEPOINT          -                              -  raw_tp         -
raw_tp+                 RAW_TRACEPOINT          -                              -  raw_tp         -
raw_tracepoint.s+       RAW_TRACEPOINT          -                              S  raw_tp         -
raw_tp.s+               RAW_TRACEPOINT          -                              S  raw_tp         -
raw_tracepoint.w+       RAW_TRACEPOINT_WRITABLE -                              -  raw_tp         -
raw_tp.w+               RAW_TRACEPOINT_WRITABLE -                              -  raw_tp         -
tp_btf+                 TRACING                 TRACE_RAW_TP                   B  trace          -
tp_btf.s+               TRACING                 TRACE_RAW_TP                   BS trace          -
fentry+                 TRACING                 TRACE_FENTRY                   B  trace          -
fmod_ret+               TRACING                 MODIFY_RETURN                  B  trace          -
fexit+                  TRACING                 TRACE_FEXIT                    B  trace          -
fentry.s+               TRACING                 TRACE_FENTRY                   BS trace          -
fmod_ret.s+             TRACING                 MODIFY_RETURN                  BS trace          -
fexit.s+                TRACING                 TRACE_FEXIT                    BS trace          -
fsession+               TRACING                 TRACE_FSESSION                 B  trace          -
fsession.s+             TRACING                 TRACE_FSESSION                 BS trace          -
fsession.multi+         TRACING                 TRACE_FSESSION_MULTI           -  tracing_multi  -
fsession.multi.s+       TRACING                 TRACE_FSESSION_MULTI           S  tracing_multi  -
fentry.multi+           TRACING                 TRACE_FENTRY_MULTI             -  tracing_multi  -
fexit.multi+            TRACING                 TRACE_FEXIT_MULTI              -  tracing_multi  -
fentry.multi.s+         TRACING                 TRACE_FENTRY_MULTI             S  tracing_multi  -
fexit.multi.s+          TRACING                 TRACE_FEXIT_MULTI              S  tracing_multi  -
freplace+               EXT                     -                              B  trace          -
lsm+                    LSM                     LSM_MAC                        B  lsm            -
lsm.s+                  LSM                     LSM_MAC                        BS lsm            -
lsm_cgroup+             LSM                     LSM_CGROUP                     B  -              cgroup
iter+                   TRACING                 TRACE_ITER                     B  iter           -
iter.s+                 TRACING                 TRACE_ITER                     BS iter           -
syscall                 SYSCALL                 -                              S  -              test_run
xdp.frags/devmap        XDP                     XDP_DEVMAP                     F  -              devmap
xdp/devmap              XDP                     XDP_DEVMAP                     A  -              devmap
xdp.frags/cpumap        XDP                     XDP_CPUMAP                     F  -              cpumap
xdp/cpumap              XDP                     XDP_CPUMAP                     A  -              cpumap
xdp.frags               XDP                     XDP                            F  -              xdp
xdp                     XDP                     XDP                            AO -              xdp
perf_event              PERF_EVENT              -                              -  -              perf_event
lwt_in                  LWT_IN                  -                              -  -              lwt
lwt_out                 LWT_OUT                 -                              -  -              lwt
lwt_xmit                LWT_XMIT                -                              -  -              lwt
lwt_seg6local           LWT_SEG6LOCAL           -                              -  -              lwt
sockops                 SOCK_OPS                CGROUP_SOCK_OPS                AO -              cgroup
sk_skb/stream_parser    SK_SKB                  SK_SKB_STREAM_PARSER           AO -              sockmap
sk_skb/stream_verdict   SK_SKB                  SK_SKB_STREAM_VERDICT          AO -              sockmap
sk_skb/verdict          SK_SKB                  SK_SKB_VERDICT                 AO -              sockmap
sk_skb                  SK_SKB                  -                              -  -              sockmap
sk_msg                  SK_MSG                  SK_MSG_VERDICT                 AO -              sockmap
lirc_mode2              LIRC_MODE2              LIRC_MODE2                     AO -              lirc
flow_dissector          FLOW_DISSECTOR          FLOW_DISSECTOR                 AO -              netns
cgroup_skb/ingress      CGROUP_SKB              CGROUP_INET_INGRESS            AO -              cgroup
cgroup_skb/egress       CGROUP_SKB              CGROUP_INET_EGRESS             AO -              cgroup
cgroup/skb              CGROUP_SKB              -                              -  -              cgroup
cgroup/sock_create      CGROUP_SOCK             CGROUP_INET_SOCK_CREATE        A  -              cgroup
cgroup/sock_release     CGROUP_SOCK             CGROUP_INET_SOCK_RELEASE       A  -              cgroup
cgroup/sock             CGROUP_SOCK             CGROUP_INET_SOCK_CREATE        AO -              cgroup
cgroup/post_bind4       CGROUP_SOCK             CGROUP_INET4_POST_BIND         A  -              cgroup
cgroup/post_bind6       CGROUP_SOCK             CGROUP_INET6_POST_BIND         A  -              cgroup
cgroup/bind4            CGROUP_SOCK_ADDR        CGROUP_INET4_BIND              A  -              cgroup
cgroup/bind6            CGROUP_SOCK_ADDR        CGROUP_INET6_BIND              A  -              cgroup
cgroup/connect4         CGROUP_SOCK_ADDR        CGROUP_INET4_CONNECT           A  -              cgroup
cgroup/connect6         CGROUP_SOCK_ADDR        CGROUP_INET6_CONNECT           A  -              cgroup
cgroup/connect_unix     CGROUP_SOCK_ADDR        CGROUP_UNIX_CONNECT            A  -              cgroup
cgroup/sendmsg4         CGROUP_SOCK_ADDR        CGROUP_UDP4_SENDMSG            A  -              cgroup
cgroup/sendmsg6         CGROUP_SOCK_ADDR        CGROUP_UDP6_SENDMSG            A  -              cgroup
cgroup/sendmsg_unix     CGROUP_SOCK_ADDR        CGROUP_UNIX_SENDMSG            A  -              cgroup
cgroup/recvmsg4         CGROUP_SOCK_ADDR        CGROUP_UDP4_RECVMSG            A  -              cgroup
cgroup/recvmsg6         CGROUP_SOCK_ADDR        CGROUP_UDP6_RECVMSG            A  -              cgroup
cgroup/recvmsg_unix     CGROUP_SOCK_ADDR        CGROUP_UNIX_RECVMSG            A  -              cgroup
cgroup/getpeername4     CGROUP_SOCK_ADDR        CGROUP_INET4_GETPEERNAME       A  -              cgroup
cgroup/getpeername6     CGROUP_SOCK_ADDR        CGROUP_INET6_GETPEERNAME       A  -              cgroup
cgroup/getpeername_unix CGROUP_SOCK_ADDR        CGROUP_UNIX_GETPEERNAME        A  -              cgroup
cgroup/getsockname4     CGROUP_SOCK_ADDR        CGROUP_INET4_GETSOCKNAME       A  -              cgroup
cgroup/getsockname6     CGROUP_SOCK_ADDR        CGROUP_INET6_GETSOCKNAME       A  -              cgroup
cgroup/getsockname_unix CGROUP_SOCK_ADDR        CGROUP_UNIX_GETSOCKNAME        A  -              cgroup
cgroup/sysctl           CGROUP_SYSCTL           CGROUP_SYSCTL                  A  -              cgroup
cgroup/getsockopt       CGROUP_SOCKOPT          CGROUP_GETSOCKOPT              A  -              cgroup
cgroup/setsockopt       CGROUP_SOCKOPT          CGROUP_SETSOCKOPT              A  -              cgroup
cgroup/dev              CGROUP_DEVICE           CGROUP_DEVICE                  AO -              cgroup
struct_ops+             STRUCT_OPS              -                              -  struct_ops     -
struct_ops.s+           STRUCT_OPS              -                              S  struct_ops     -
sk_lookup               SK_LOOKUP               SK_LOOKUP                      A  -              netns
netfilter               NETFILTER               NETFILTER                      -  -              netfilter
"""

_LETTERS = dict(zip("AOBSFU", SecFlag, strict=True))


@cache
def _rows() -> dict[str, str]:
    # Most objects use two or three sections: a line becomes a SectionDef when it is asked for.
    return {row.partition(" ")[0].removesuffix("+"): row for row in _TABLE.splitlines()}


@cache
def _section_def(name: str) -> SectionDef | None:
    row = _rows().get(name)
    if row is None:
        return None
    section, prog_type, attach_type, letters, attach, manual = ("" if word == "-" else word for word in row.split())
    flags = SecFlag(0)
    for letter in letters:
        flags |= _LETTERS[letter]
    return SectionDef(
        name,
        section.endswith("+"),
        ProgType[prog_type],
        AttachType[attach_type] if attach_type else 0,
        flags,
        attach,
        manual,
    )


def section_defs() -> tuple[SectionDef, ...]:
    """The whole table, in libbpf's order."""
    return tuple(found for name in _rows() if (found := _section_def(name)))


def strip_optional(name: str) -> tuple[str, bool]:
    """The section without its leading ``?``, and whether there was one: such a program is loaded only on demand."""
    return name.removeprefix("?"), name.startswith("?")


def find_section(name: str) -> tuple[SectionDef, str] | None:
    """What the section says about its program, and the target: ``kprobe/do_exit`` gives ``do_exit``.

    The name comes without ``?`` (see `strip_optional`). The target is empty where there is none. None: no such section.
    """
    # libbpf takes the first entry that matches; no name matches two, so that a lookup finds the same one
    if exact := _section_def(name):
        return exact, ""
    first, slash, target = name.partition("/")
    found = _section_def(first) if slash else None
    return (found, target) if found and found.prefix else None


def near_names(name: str) -> list[str]:
    """Up to three section names that may have been meant, the likeliest first, for a hint."""
    from difflib import get_close_matches  # dear at import, and wanted only after an error

    first, slash, target = name.partition("/")
    prefixes = [sec.name for sec in section_defs() if sec.prefix]
    exact = [sec.name for sec in section_defs() if not sec.prefix]
    names = [first] if first in exact else []
    names += get_close_matches(name, exact)
    names += [near + slash + target for near in get_close_matches(first, prefixes)]
    return list(dict.fromkeys(names))[:3]
