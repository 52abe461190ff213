# SPDX-License-Identifier: BSD-2-Clause
"""No command imports what it does not use: a start is most of what a command line takes."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OBJECT = ROOT / "objs/tcp_cc_demo.o"


def imported(code: str) -> set[str]:
    """The modules that some code imports, in an interpreter that has imported nothing else yet."""
    whole = f"import sys\nbefore = set(sys.modules)\n{code}\nprint('\\0', *sys.modules.keys() - before)"
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{sysconfig.get_path('purelib')}"}
    done = subprocess.run([sys.executable, "-S", "-c", whole], env=env, capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("\0")[2].split())


def run(*arguments: object) -> str:
    return f"from rawbpf.cli import main\nassert main({[str(word) for word in arguments]}) == 0"


def families(modules: set[str], *names: str) -> set[str]:
    return {module for module in modules for name in names if module == name or module.startswith(f"{name}.")}


def test_the_package_alone() -> None:
    assert imported("import rawbpf") == {"rawbpf", "__future__"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]], ids=" ".join)
def test_help(arguments: list[str]) -> None:
    modules = imported(run(*arguments))
    assert families(modules, "rawbpf") == {"rawbpf", "rawbpf.cli"}
    assert families(modules, "elftools", "pyroute2", "ctypes", "typing", "json", "shutil", "inspect") == set()


@pytest.mark.parametrize("command", ["load", "unload", "list", "inspect", "plan", "map", "btf", "prog", "ringbuf"])
def test_help_of_a_command(command: str) -> None:
    modules = imported(run(command, "--help"))
    others = {module for module in families(modules, "rawbpf.cli") if module.endswith("_command")}
    assert others == {f"rawbpf.cli.{command}_command"}
    assert families(modules, "elftools", "pyroute2", "ctypes", "dataclasses", "rawbpf.kernel", "rawbpf.plan") == set()


def test_an_object_needs_no_kernel_and_no_dwarf() -> None:
    modules = imported(run("inspect", OBJECT))
    assert "elftools.elf.structs" in modules
    assert families(modules, "ctypes", "mmap", "fcntl", "socket", "rawbpf.kernel", "elftools.dwarf") == set()


def test_a_kept_plan_needs_no_object_and_no_types() -> None:
    modules = imported("import rawbpf\nrawbpf.Plan\nimport rawbpf.kernel.executor")
    assert families(modules, "elftools", "rawbpf.objfile", "rawbpf.btf", "dataclasses", "pathlib") == set()


def test_unloading_needs_neither_plan_nor_object() -> None:
    modules = imported("import rawbpf.kernel.loaded")
    assert families(modules, "elftools", "rawbpf.objfile", "rawbpf.btf", "rawbpf.plan", "dataclasses") == set()


@pytest.mark.parametrize("options", [[], ["--json"], ["--explain"]], ids=["table", "json", "explain"])
def test_a_plan_for_a_file_needs_no_kernel(options: list[str]) -> None:
    objs = ROOT / "tests/objs"
    modules = imported(run("plan", objs / "core.el.o", "--btf", objs / "core_target.el.o", *options))
    assert families(modules, "ctypes", "mmap", "fcntl", "socket", "rawbpf.kernel", "pyroute2", "difflib") == set()
