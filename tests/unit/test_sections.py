# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

from pathlib import Path

import pytest

from rawbpf.objfile.sections import SecFlag, SectionDef, find_section, near_names, section_defs, strip_optional
from rawbpf.uapi import AttachType, ProgFlag, ProgType

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "sec_table.txt"
LETTERS = dict(zip("AOBSFU", SecFlag, strict=True))
BY_HAND = {
    "SOCKOPT": "sockopt",
    "SOCKOPT-R": "reuseport",
    "TC": "tc",
    "TCX": "tcx",
    "NETKIT": "netkit",
    "XDP": "xdp",
    "DEVMAP": "devmap",
    "CPUMAP": "cpumap",
    "PERF": "perf_event",
    "LWT": "lwt",
    "CG": "cgroup",
    "SOCKMAP": "sockmap",
    "NETNS": "netns",
    "PATT lirc": "lirc",
    "NF": "netfilter",
    "RUN": "test_run",
}


def golden_rows() -> list[list[str]]:
    lines = (line for line in GOLDEN.read_text().splitlines() if not line.startswith("#"))
    return [[field.strip() for field in line.split("|")] for line in lines]


def as_golden(sec: SectionDef) -> list[str]:
    """The definition in the words of the golden table."""
    attach_type = f"{sec.attach_type.name}({sec.attach_type})" if isinstance(sec.attach_type, AttachType) else "0"
    flags = "".join(letter for letter in "ABFOUS" if LETTERS[letter] in sec.flags)
    words = {manual: f"by hand: {word}" for word, manual in BY_HAND.items()}
    attach = "by hand: MAP" if sec.attach == "struct_ops" else sec.attach or words[sec.manual]
    name = sec.name + "+" * sec.prefix
    return [name, f"{sec.prog_type.name}({sec.prog_type})", attach_type, flags or "-", attach]


def test_all_rows_in_order() -> None:
    rows = golden_rows()
    assert len(rows) == 116
    assert [as_golden(sec) for sec in section_defs()] == rows


def test_every_definition_attaches_by_itself_or_by_hand() -> None:
    assert [sec.name for sec in section_defs() if bool(sec.attach) == bool(sec.manual)] == []


def first_match(name: str) -> SectionDef | None:
    """The rule of libbpf, word for word: the first entry of the table that matches."""
    for sec in section_defs():
        if name == sec.name or (sec.prefix and name.startswith(sec.name + "/")):
            return sec
    return None


def test_lookup_finds_what_a_scan_of_the_table_finds() -> None:
    names = [sec.name for sec in section_defs()]
    for name in [*names, *(f"{name}/x" for name in names), *(f"{name}/" for name in names), *(f"{n}x" for n in names)]:
        found = find_section(name)
        assert (found[0] if found else None) == first_match(name), name


@pytest.mark.parametrize(
    ("name", "section", "target"),
    [
        ("struct_ops/rr_get_send", "struct_ops", "rr_get_send"),
        ("struct_ops", "struct_ops", ""),
        ("uprobe//usr/bin/bash:readline", "uprobe", "/usr/bin/bash:readline"),
        ("tp/sched/sched_switch", "tp", "sched/sched_switch"),
        ("kprobe/", "kprobe", ""),
        ("cgroup/connect4", "cgroup/connect4", ""),
        ("xdp.frags/devmap", "xdp.frags/devmap", ""),
        ("sk_skb", "sk_skb", ""),
    ],
)
def test_find_section(name: str, section: str, target: str) -> None:
    found = find_section(name)
    assert found is not None
    assert (found[0].name, found[1]) == (section, target)


@pytest.mark.parametrize(
    "name", ["xdp/foo", "sockops/x", "kprobex", "cgroup", "", "/", "?kprobe", "XDP", "struct_ops+"]
)
def test_no_such_section(name: str) -> None:
    assert find_section(name) is None


def test_attach_type_zero_is_told_from_none() -> None:
    ingress, skb = find_section("cgroup_skb/ingress"), find_section("cgroup/skb")
    assert ingress is not None
    assert skb is not None
    assert isinstance(ingress[0].attach_type, AttachType)
    assert not isinstance(skb[0].attach_type, AttachType)
    assert ingress[0].attach_type == skb[0].attach_type == 0


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("syscall", ProgFlag.SLEEPABLE),
        ("struct_ops.s/init", ProgFlag.SLEEPABLE),
        ("xdp.frags", ProgFlag.XDP_HAS_FRAGS),
        ("fentry/x", ProgFlag(0)),
    ],
)
def test_prog_flags(name: str, flags: ProgFlag) -> None:
    found = find_section(name)
    assert found is not None
    assert found[0].prog_flags == flags


def test_strip_optional() -> None:
    assert strip_optional("?struct_ops/rr") == ("struct_ops/rr", True)
    assert strip_optional("xdp") == ("xdp", False)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("xdp/foo", "xdp"),
        ("sockops/x", "sockops"),
        ("kprob/do_exit", "kprobe/do_exit"),
        ("struct_op/rr_init", "struct_ops/rr_init"),
        ("fentry_s/x", "fentry.s/x"),
        ("cgroup/conect4", "cgroup/connect4"),
        ("classifer", "classifier"),
    ],
)
def test_near_names(name: str, first: str) -> None:
    near = near_names(name)
    assert near[0] == first
    assert len(near) <= 3
    assert all(find_section(other) for other in near)


def test_nothing_is_near_nonsense() -> None:
    assert near_names("zzzzzz") == []
    assert find_section("xdp") == (
        SectionDef("xdp", False, ProgType.XDP, AttachType.XDP, SecFlag.ATTACHABLE | SecFlag.OPTIONAL_ATTACH, "", "xdp"),
        "",
    )
