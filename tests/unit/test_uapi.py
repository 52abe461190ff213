# SPDX-License-Identifier: BSD-2-Clause
"""The generated constants: a few values that everything rests on, and the rules of the generator."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from rawbpf import uapi
from rawbpf.uapi import (
    HELPERS,
    AttachFlag,
    AttachType,
    BtfKind,
    Cmd,
    CoreReloKind,
    LinkType,
    MapFlag,
    MapType,
    MapUpdateFlag,
    ProgFlag,
    ProgType,
    PseudoCall,
    PseudoSrc,
    known,
)

GENERATOR = runpy.run_path(str(Path(__file__).resolve().parents[2] / "tools" / "gen_uapi"), run_name="gen_uapi")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        (Cmd.PROG_LOAD, 5),
        (Cmd.PROG_RUN, 10),
        (Cmd.LINK_CREATE, 28),
        (MapType.SK_STORAGE, 24),
        (MapType.STRUCT_OPS, 26),
        (ProgType.STRUCT_OPS, 27),
        (ProgType.NETFILTER, 32),
        (AttachType.CGROUP_INET_INGRESS, 0),
        (AttachType.CGROUP_SOCK_OPS, 3),
        (AttachType.STRUCT_OPS, 44),
        (AttachType.TRACE_UPROBE_SESSION, 57),
        (LinkType.STRUCT_OPS, 9),
        (MapFlag.MMAPABLE, 0x400),
        (MapFlag.LINK, 0x2000),
        (MapUpdateFlag.ANY, 0),
        (MapUpdateFlag.F_LOCK, 4),
        (ProgFlag.SLEEPABLE, 0x10),
        (ProgFlag.XDP_HAS_FRAGS, 0x20),
        (AttachFlag.ALLOW_MULTI, 2),
        (AttachFlag.LINK, 0x2000),
        (PseudoSrc.MAP_VALUE, 2),
        (PseudoSrc.FUNC, 4),
        (PseudoCall.KFUNC_CALL, 2),
        (CoreReloKind.TYPE_MATCHES, 12),
        (BtfKind.ENUM64, 19),
        (uapi.BTF_MAGIC, 0xEB9F),
        (uapi.OBJ_NAME_LEN, 16),
    ],
    ids=str,
)
def test_value(member: int, value: int) -> None:
    assert member == value


def test_map_type_name_in_use_comes_before_the_deprecated_one() -> None:
    assert MapType(19).name == "CGROUP_STORAGE"
    assert MapType.CGROUP_STORAGE_DEPRECATED is MapType.CGROUP_STORAGE


def test_cmd_holds_commands_alone() -> None:
    assert max(Cmd) < 64
    assert uapi.COMMON_ATTRS == 1 << 16


def test_helpers_are_indexed_by_their_number() -> None:
    assert HELPERS[0] == "unspec"
    assert HELPERS[1] == "bpf_map_lookup_elem"
    assert HELPERS[196] == "bpf_skc_to_mptcp_sock"
    assert len(HELPERS) == len(set(HELPERS)) == 212


def test_known_keeps_numbers_of_newer_kernels() -> None:
    assert known(LinkType, 9) is LinkType.STRUCT_OPS
    assert known(LinkType, 9999) == 9999
    assert not isinstance(known(LinkType, 9999), LinkType)


HEADER = """
/* enum in_a_comment { BPF_NO = 1 }; */
#define BPF_F_ONE (1U << 0)  /* with a comment */
#define BPF_F_FOUR (1U << 2)
#define BPF_F_LINKED BPF_F_LINKED
#define BPF_F_OTHER (1ULL << 0)
enum { BPF_F_LINKED = (1U << 13), };
enum bpf_cmd {
	BPF_A,
	BPF_OLD_DEPRECATED = 7,
	BPF_OLD = BPF_OLD_DEPRECATED,
	BPF_B,
	__MAX_BPF_CMD
};
"""


@pytest.mark.parametrize(
    ("group", "members"),
    [
        (("Cmd", "BPF_A", "BPF_", ""), [("A", 0), ("OLD", 7), ("OLD_DEPRECATED", 7), ("B", 8)]),
        (("Flag", "BPF_F_ONE", "BPF_F_", ""), [("ONE", 1), ("FOUR", 4), ("LINKED", 0x2000)]),
        (("Some", r"BPF_F_.O.*", "BPF_F_", ""), [("FOUR", 4)]),
    ],
    ids=["enum", "run of defines", "pattern"],
)
def test_generator_reads_headers(group: tuple[str, ...], members: list[tuple[str, int]]) -> None:
    assert GENERATOR["Header"](HEADER).members(GENERATOR["Group"](*group)) == members


def test_generator_notices_a_constant_that_changed_or_went() -> None:
    old = "from enum import IntEnum\nclass E(IntEnum):\n    A = 1\n    B = 2\nC = 3\n"
    new = "from enum import IntEnum\nclass E(IntEnum):\n    A = 1\n    B = 4\n    D = 5\n"
    assert GENERATOR["contradictions"](old, new) == ["E.B: 2 is now 4", "C: 3 is now None"]
    assert GENERATOR["contradictions"](old, old) == []
