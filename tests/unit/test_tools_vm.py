# SPDX-License-Identifier: BSD-2-Clause
"""What tools/vm does before a guest runs, none of which needs one."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tools.lib import kernel, machine, report, vm

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "vm"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """tools/vm as a module, which leaves no bytecode beside it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delenv("RAWBPF_GUEST", raising=False)
    spec = spec_from_loader("tools_vm", SourceFileLoader("tools_vm", str(SCRIPT)))
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done, in its order: a virtual environment made, a command run."""
    done: list[str] = []

    def run(self: vm.Guest, command: list[str], **settings: Any) -> int:
        done.append(" ".join(command))
        return 3

    monkeypatch.setattr(kernel, "ensure", lambda *_, **__: kernel.Kernel(Path("image"), None, None))
    monkeypatch.setattr(machine, "ensure_venv", lambda: done.append("venv"))
    monkeypatch.setattr(vm.Guest, "run", run)
    return done


def called(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tools/vm", *arguments])
    code: int = script.main()
    return code


def test_the_virtual_environment_is_there_before_a_command_runs(
    script: ModuleType, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert called(script, monkeypatch, "--", "uname", "-a") == 3
    assert events == ["venv", "uname -a"]
    monkeypatch.setenv("SHELL", "/bin/some-shell")
    called(script, monkeypatch, "--shell")
    assert events[2:] == ["venv", "/bin/some-shell"]


def test_where_the_kernel_is_can_be_asked_without_one(
    script: ModuleType, events: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(script, monkeypatch, "--print-image") == 0
    assert capsys.readouterr().out == "image\n"
    assert not events


def test_no_guest_is_started_inside_a_guest(
    script: ModuleType, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAWBPF_GUEST", "1")
    with pytest.raises(report.ToolError, match="this is the test kernel already: run the command itself") as error:
        called(script, monkeypatch, "--", "true")
    assert error.value.code == 125
    assert not events
    assert called(script, monkeypatch, "--print-image") == 0


def test_a_working_directory_that_cannot_be_made_is_no_missing_command() -> None:
    enter = "from tools.lib import guest; guest.enter('/proc/none/here')"
    done = subprocess.run([sys.executable, "-c", enter], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 126
    assert done.stderr.startswith("/proc/none/here: the command cannot start in this directory: ")
