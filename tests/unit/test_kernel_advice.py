# SPDX-License-Identifier: BSD-2-Clause
"""What is said about EPERM, on machines made of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rawbpf.kernel import advice
from rawbpf.uapi import ProgType

if TYPE_CHECKING:
    from pathlib import Path

ALL = 0x1FFFFFFFFFF
BPF, PERFMON, NET_ADMIN = 1 << 39, 1 << 38, 1 << 12


def machine(root: Path, **files: str) -> str:
    """A root directory with files; ``__`` in a name is a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def status(effective: int, seccomp: int = 0) -> str:
    return f"Name:\tpython3\nCapEff:\t{effective:016x}\nSeccomp:\t{seccomp}\n"


@pytest.mark.parametrize(
    ("held", "prog_type", "missing"),
    [
        (0, None, "CAP_BPF"),
        (0, ProgType.SOCKET_FILTER, "CAP_BPF"),
        (BPF, ProgType.XDP, "CAP_NET_ADMIN"),
        (NET_ADMIN, ProgType.XDP, "CAP_BPF"),
        (0, ProgType.STRUCT_OPS, "CAP_BPF and CAP_PERFMON"),
        (PERFMON, ProgType.EXT, "CAP_BPF and CAP_NET_ADMIN"),
    ],
)
def test_missing_capabilities(tmp_path: Path, held: int, prog_type: ProgType | None, missing: str) -> None:
    text = advice.permission(prog_type, machine(tmp_path, proc__self__status=status(held)))
    assert text == f"this needs {missing} (or CAP_SYS_ADMIN), which this process has not: try it as root"


def test_the_switch_for_others(tmp_path: Path) -> None:
    root = machine(tmp_path, proc__self__status=status(0), proc__sys__kernel__unprivileged_bpf_disabled="2\n")
    assert "kernel.unprivileged_bpf_disabled=2" in advice.permission(None, root)


def test_sys_admin_is_enough(tmp_path: Path) -> None:
    text = advice.permission(ProgType.XDP, machine(tmp_path, proc__self__status=status(1 << 21)))
    assert text.startswith("the process has the capabilities")


def test_lockdown(tmp_path: Path) -> None:
    files = {"proc__self__status": status(ALL), "sys__kernel__security__lockdown": "none integrity [confidentiality]\n"}
    root = machine(tmp_path, **files)
    assert "lockdown" in advice.permission(ProgType.KPROBE, root)
    assert "lockdown" not in advice.permission(ProgType.XDP, root)


def test_integrity_lockdown_is_no_reason(tmp_path: Path) -> None:
    files = {"proc__self__status": status(ALL), "sys__kernel__security__lockdown": "none [integrity] confidentiality\n"}
    assert "lockdown" not in advice.permission(ProgType.KPROBE, machine(tmp_path, **files))


def test_seccomp(tmp_path: Path) -> None:
    root = machine(tmp_path, proc__self__status=status(ALL, seccomp=2))
    assert "seccomp" in advice.permission(None, root)


def test_a_user_namespace(tmp_path: Path) -> None:
    files = {"proc__self__status": status(ALL), "proc__self__uid_map": "         0       1000          1\n"}
    assert "user namespace" in advice.permission(None, machine(tmp_path, **files))


def test_the_first_user_namespace_is_no_reason(tmp_path: Path) -> None:
    files = {"proc__self__status": status(ALL), "proc__self__uid_map": "         0          0 4294967295\n"}
    assert "namespace" not in advice.permission(None, machine(tmp_path, **files))


def test_several_reasons_are_all_told(tmp_path: Path) -> None:
    root = machine(tmp_path, proc__self__status=status(0, seccomp=2))
    assert advice.permission(None, root).count(";") == 1


def test_a_kernel_that_refuses_trampolines(tmp_path: Path) -> None:
    text = advice.permission(ProgType.TRACING, machine(tmp_path, proc__self__status=status(ALL)))
    assert "refuses TRACING programs" in text
