# SPDX-License-Identifier: BSD-2-Clause
"""struct_ops values that the kernel calls invalid: which member is at fault is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import rawbpf
from rawbpf.errors import KernelError

OBJECT = Path(__file__).parents[2] / "objs" / "tcp_cc_demo.o"


@pytest.mark.parametrize(
    ("member", "value", "hint"),
    [
        ("name", "", "its .name is empty"),
        ("name", "n" * 16, "its .name 'nnnnnnnnnnnnnnnn' is too long: 15 characters at most"),
        ("name", "a b", "its .name 'a b' has ' ': letters, digits, _ and . may be there"),
        ("ssthresh", None, "tcp_congestion_ops must have ssthresh"),
        ("cong_avoid", None, "tcp_congestion_ops must have cong_avoid or cong_control"),
    ],
)
def test_the_fault_is_named(member: str, value: Any, hint: str, root: None, no_leaks: None) -> None:
    spec = rawbpf.open(OBJECT)
    spec.struct_ops["demo"][member] = value
    with rawbpf.load(spec) as obj, pytest.raises(KernelError) as refused:
        obj.struct_ops["demo"].attach()
    assert refused.value.hint == hint
    assert refused.value.symbol == "demo"
    assert "bpf_demo" not in Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
