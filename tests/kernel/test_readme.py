# SPDX-License-Identifier: BSD-2-Clause
"""What the README shows is true: its Python is run, its commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.usefixtures("root", "no_leaks")
def test_the_python_example_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    (example,) = blocks("python")
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("plan for tcp_cc_demo on Linux")
    assert printed[-1].isdigit()


@pytest.mark.usefixtures("root", "no_leaks")
def test_the_ring_buffer_example_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    (example,) = blocks("py")
    exec(compile(example, "README.md", "exec"), {})
    words = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(number, kind) for number, _cpu, kind in words] == [("0", "FIRST"), ("1", "NEXT"), ("2", "NEXT")]


def test_every_tool_and_command_exists() -> None:
    lines = [line.removeprefix("# ") for block in (*blocks("sh"), *blocks("console")) for line in block.splitlines()]
    named = {word for line in lines for word in shlex.split(line, comments=True) if word.startswith("tools/")}
    assert named == {"tools/demo", "tools/test"}
    for tool in named:
        assert (ROOT / tool).stat().st_mode & 0o111
    commands = set(re.findall(r"`rawbpf (\w+)", README))
    assert commands == {"load", "unload", "list", "inspect", "plan", "btf", "map", "prog", "ringbuf"}
    for command in commands:
        help_ = [sys.executable, "-m", "rawbpf", command, "--help"]
        assert "example" in subprocess.run(help_, cwd=ROOT, capture_output=True, text=True, check=True).stdout
