# SPDX-License-Identifier: BSD-2-Clause
"""tools/mptcp-lab refuses what cannot be before anything starts: no namespace is made, no guest boots."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def refused(*arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(ROOT / "tools" / "mptcp-lab"), *arguments]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--paths 2 --backup 3", "2 to 2 can be backups"),
        ("--paths 1 --backup 1", "--backup: there is only one path"),
        ("--path max " * 9, "at most 8 paths"),
        ("--size 0", "--size: 1 at least"),
        ("--figures --seconds 0", "--seconds: 1 at least"),
        ("--figures --paths 4", "--paths is not for it"),  # the default, and given all the same
        ("--figures --path-manager netlink", "--path-manager is not for it"),
        ("--figures --json", "--json is not for it"),
        ("--seconds 3", "--seconds is for --figures only"),
        ("--path max --rate 1gbit", "--rate is not for it"),
        ("--path max --paths 1", "--paths is not for it"),
        ("--endpoints all", "invalid choice: 'all'"),
    ],
)
def test_options_that_cannot_be(line: str, message: str) -> None:
    done = refused(*line.split())
    assert done.returncode == 2
    assert message in done.stderr


def test_values_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "directory.svg").mkdir()
    for arguments, message in (
        (["--path", "100"], "'100': '100' is no rate (100mbit), delay (10ms) or loss (1%)"),
        (["--rate", "fast"], "'fast' is no rate (100mbit), delay (10ms) or loss (1%)"),
        (["--scheduler", "/no/such.o"], "/no/such.o: no such object"),
        (["--path-manager", "/no/such.o"], "/no/such.o: no such object"),
        (["--scheduler", "mine.c"], "mine.c: that is source, and an object is wanted"),
        (["--plot", "/nonexistent/h.svg"], "--plot /nonexistent/h.svg: cannot be written: No such file or directory"),
        (["--plot", f"{tmp_path}/h.png"], "h.png: plots are SVG"),
        (["--plot", "/proc/h.svg"], "--plot /proc/h.svg: cannot be written"),
        (["--plot", f"{tmp_path}/directory.svg"], "directory.svg: cannot be written: Is a directory"),
    ):
        begun = time.monotonic()
        done = refused(*arguments)
        assert done.returncode == 125
        assert message in done.stderr
        assert time.monotonic() - begun < 3  # a guest would take longer
    assert [path.name for path in tmp_path.iterdir()] == ["directory.svg"]
