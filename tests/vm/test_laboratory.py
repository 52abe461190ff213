# SPDX-License-Identifier: BSD-2-Clause
"""tools/mptcp-lab in the test kernel: paths that differ, schedulers by name and by file, a plot, measurements."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from in_guest import ROOT, reports
from skips import unavailable

from tools.lib import machine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("built")]

SIZE = 4 << 20


def lab(*arguments: str | Path) -> dict[str, Any]:
    words = [sys.executable, ROOT / "tools" / "mptcp-lab", "--json", "--size", "4", *arguments]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["unloaded"] is True
    return result


def test_two_paths_two_schedulers_and_a_plot(tmp_path: Path) -> None:
    own, plot = tmp_path / "mine.o", tmp_path / "plot.svg"
    shutil.copy(ROOT / "objs" / "mptcp_bpf_first.o", own)
    paths = ["--path", "100mbit,5ms", "--path", "50mbit,10ms,0.1%"]
    traffic = ["--streams", "2", "--direction", "down"]
    result = lab(*paths, *traffic, "--scheduler", "rr", "--scheduler", own, f"--plot={plot}")
    assert result["paths"][1] == {"rate_mbit": 50, "delay_ms": 10, "loss_percent": 0.1}
    round_robin, first = result["runs"]
    assert [round_robin["scheduler"], first["scheduler"]] == ["bpf_rr", "bpf_first"]
    assert [subflow["local"] for subflow in first["subflows"]] == ["10.0.1.2", "10.0.2.2"]
    assert all(subflow["bytes_sent"] > SIZE / 4 for subflow in round_robin["subflows"])
    assert first["subflows"][0]["bytes_sent"] >= SIZE
    assert first["subflows"][1]["bytes_sent"] == 0
    assert round_robin["variables"]["calls"] > 0
    assert first["variables"] == {}
    for run in result["runs"]:
        assert run["received"] == SIZE
        assert run["samples"] == sorted(run["samples"])
        assert run["samples"][-1][1:] == [subflow["bytes_sent"] for subflow in run["subflows"]]
    lines = ElementTree.parse(plot).getroot().findall(".//{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 4
    assert not list((ROOT / "build").glob("guest-*"))


def test_a_backup_carries_nothing_while_the_other_works() -> None:
    result = lab("--paths", "2", "--backup", "2", "--scheduler", "bkup")
    (run,) = result["runs"]
    assert run["subflows"][0]["bytes_sent"] >= SIZE
    assert run["subflows"][1]["bytes_sent"] == 0


def test_a_path_manager_in_bpf_makes_the_subflows() -> None:
    result = lab("--paths", "2", "--path-manager", "netlink")
    (run,) = result["runs"]
    assert result["path_manager"] == "netlink"
    assert [subflow["remote"] for subflow in run["subflows"]] == ["10.0.1.2", "10.0.2.2"]


NOPICK = """
#include "mptcp.h"
char LICENSE[] SEC("license") = "GPL";
SEC("struct_ops")
int BPF_PROG(nopick_get_send, struct mptcp_sock *msk)
{
	return 0;
}
SEC(".struct_ops.link")
struct mptcp_sched_ops nopick = { .get_send = (void *)nopick_get_send, .name = "nopick" };
"""


def test_a_scheduler_that_picks_nothing_is_no_hang(tmp_path: Path, require: Callable[[object, str], None]) -> None:
    require(shutil.which("clang-19"), "clang-19 is not installed")
    (tmp_path / "nopick.c").write_text(NOPICK)
    flags = ["-O2", "-g", "-mcpu=v3", "-target", "bpfel", f"-I{ROOT}/objs/include", "-Wno-unused-parameter"]
    subprocess.run(["clang-19", *flags, "-c", "nopick.c", "-o", "nopick.o"], cwd=tmp_path, check=True)
    words = [sys.executable, ROOT / "tools" / "mptcp-lab", "--paths", "2", "--scheduler", tmp_path / "nopick.o"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert done.returncode == 125
    assert "nopick sent nothing for 10 s" in done.stderr
    assert "hint: does its get_send mark a subflow" in done.stderr
    assert "Traceback" not in done.stderr
    assert "nopick is unloaded" in done.stdout


def test_the_measurements_in_small() -> None:
    missing = machine.missing_debian(["iperf3", "rsync", "redis-tools"])
    if missing:
        unavailable(f"Debian packages are missing: {' '.join(missing)}")
    (made,) = reports("figures_guest.py", timeout=300)
    assert sorted(made["files"]) == ["figures.json", "iperf3.svg", "redis.svg", "rsync.svg"]
    results = json.loads(made["files"]["figures.json"])
    assert results["iperf3"].keys() == {"default", "bpf_rr"}
    for one, two in results["iperf3"].values():
        assert 0 < one <= 12.5  # MB/s, a path
        assert 0 < two <= 25
    assert results["rsync"].keys() == results["redis"].keys() == {"TCP", "MPTCP"}
    for kinds in results["rsync"].values():
        assert kinds.keys() == {"random", "text", "zeros, sparse"}
        assert all(rate > 0 for rate in kinds.values())
    for rows in results["redis"].values():
        assert rows.keys() == {"SET, 3 bytes", "GET, 3 bytes", "SET, 64 KiB", "GET, 64 KiB"}
        assert all(row["requests_per_second"] > 0 for row in rows.values())
    for table in made["printed"].strip().split("\n\n"):
        assert table in made["page"]
    for picture in ("iperf3.svg", "redis.svg", "rsync.svg"):
        ElementTree.fromstring(made["files"][picture])
