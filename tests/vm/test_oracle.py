# SPDX-License-Identifier: BSD-2-Clause
"""The comparison with libbpf in the test kernel, which has what the running kernel may lack: see tests/oracle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from in_guest import ROOT, VM, run_tests
from oracle import kernel_programs, packages
from skips import unavailable

from tools.lib.oracle.recorder import OracleUnavailable

pytestmark = [pytest.mark.vm, pytest.mark.oracle, pytest.mark.usefixtures("built")]

PARITY = "tests/oracle/test_parity.py"
CASES = (
    *("arena", "core_kernel", "jump_tables", "kconfig", "kfuncs", "ksyms", "ksyms_typed", "map_types"),
    *("map_types_newer", "maps", "sections_attach", "struct_ops"),
)
"""Those of tests/objs for which the kernel matters. All others meet the same code on the running kernel."""


SHIPPED = [("trixie", "libbpf-tools"), ("trixie", "systemd-container"), ("sid", "systemd"), ("sid", "bpftop")]
"""Packages most of whose objects the running kernel may refuse: tracing and LSM programs."""

NEWER = ("test_fill_link_info", "test_global_percpu", "test_sleepable_tracepoints", "tracing_multi", "verifier_percpu")
"""How the names of those begin that have what libbpf knows from its next release on: SEC() names, .percpu."""
ENDLESS = {"loop3", "verifier_loops1", "verifier_liveness_exp"}
"""The verifier takes minutes for these, under emulation."""


def test_same_as_libbpf_in_the_test_kernel(libbpf: None) -> None:
    btf = Path(subprocess.run([*VM, "--print-btf"], check=True, capture_output=True, text=True).stdout.strip())
    assert b"\0bpf_struct_ops_mptcp_sched_ops\0" in btf.read_bytes()
    objs = [*(ROOT / "objs").glob("*.o"), *(ROOT / "tests/objs" / f"{name}.el.o" for name in CASES)]
    names = [f"{PARITY}::test_same_as_libbpf[{obj.relative_to(ROOT)}]" for obj in sorted(objs)]
    run_tests(*names, f"{PARITY}::test_the_comparison_is_not_of_nothing")


def compared(objs: list[Path]) -> dict[str, Any]:
    """What tools/compare-libbpf says of the objects, in the test kernel."""
    tool = [sys.executable, str(ROOT / "tools/compare-libbpf"), "--vm", "--json"]
    done = subprocess.run([*tool, *map(str, objs)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return dict(json.loads(done.stdout))


def test_shipped_objects_in_the_test_kernel(libbpf: None) -> None:
    try:
        objs = [obj for suite, package in SHIPPED for obj in packages.shipped(suite, package)]
    except OracleUnavailable as error:
        unavailable(str(error))
    told = compared(objs)
    assert [(load["object"], load["differences"]) for load in told["loads"] if load["differences"]] == []
    assert told["summary"]["objects"] == len(objs)
    assert told["summary"]["succeed"] > len(objs) // 2


def test_programs_of_the_kernels_own_tests(libbpf: None) -> None:
    # every fifth of them: all together take a quarter of an hour
    try:
        objs = [obj for obj in kernel_programs.built()[::5] if obj.stem not in ENDLESS]
    except OracleUnavailable as error:
        unavailable(str(error))
    told = compared(objs)
    differing = {Path(load["object"]).stem: load["differences"] for load in told["loads"] if load["differences"]}
    assert {stem: it for stem, it in differing.items() if not stem.startswith(NEWER)} == {}
    assert told["summary"]["objects"] == len(objs)
    assert told["summary"]["succeed"] > len(objs) // 2
