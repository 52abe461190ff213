# SPDX-License-Identifier: BSD-2-Clause
"""The house keeps its shape: imports go down the floors, and what only some rooms may touch stays there."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "rawbpf"

FLOORS = ("errors", "uapi", "pins", "btf", "objfile", "plan", "kernel", "cli")
"""From the ground up; a room may import its own floor and those below."""
ROOFS = ("__init__", "__main__")
"""The public face, and the door: they may import every room."""

MACHINE = frozenset({"ctypes", "mmap", "fcntl", "socket", "signal", "subprocess"})
"""Only rawbpf.kernel touches the machine (and the command line waits for signals)."""
DOORS = {"objfile/reader.py"}
"""The only file of the pure rooms that reads files."""


class Import(NamedTuple):
    file: str
    line: int
    module: str
    at_run_time: bool
    at_start: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text())
    for parent in ast.walk(tree):
        for child in ast.iter_child_nodes(parent):
            child.parent = parent  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: relative imports hide the floor"
            base = node.module or ""
            names = [f"{base}.{alias.name}" if base.count(".") < 2 else base for alias in node.names]
        above = list(_ancestors(node))
        typing = any(isinstance(a, ast.If) and "TYPE_CHECKING" in ast.unparse(a.test) for a in above)
        inside = any(isinstance(a, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) for a in above)
        file = str(path.relative_to(PACKAGE))
        for name in names:
            yield Import(file, node.lineno, name, not typing, not typing and not inside)


def _ancestors(node: ast.AST) -> Iterator[ast.AST]:
    while (parent := getattr(node, "parent", None)) is not None:
        yield parent
        node = parent


ALL = [found for path in modules() for found in imports(path)]


def floor(file: str) -> int:
    """The number of the floor on which a file of the package is; the roofs are above all."""
    room = Path(file).parts[0].removesuffix(".py")
    return len(FLOORS) if room in ROOFS else FLOORS.index(room)


def test_every_file_is_on_a_floor() -> None:
    for path in modules():
        floor(str(path.relative_to(PACKAGE)))


def test_imports_go_down() -> None:
    up = []
    for found in ALL:
        parts = found.module.split(".")
        if parts[0] != "rawbpf" or len(parts) < 2:
            continue
        if parts[1] in FLOORS and FLOORS.index(parts[1]) > floor(found.file):
            up.append(str(found))
    assert up == []


def test_the_package_itself_is_no_import() -> None:
    # `import rawbpf` inside would be an import of the roof
    assert [str(i) for i in ALL if i.module == "rawbpf" and floor(i.file) < len(FLOORS)] == []


@pytest.mark.parametrize("module", sorted(MACHINE))
def test_only_the_kernel_room_touches_the_machine(module: str) -> None:
    users = {i.file for i in ALL if i.at_run_time and i.module.split(".")[0] == module}
    allowed = {user for user in users if user.startswith("kernel/")}
    assert users - allowed <= ({"cli/load_command.py"} if module == "signal" else set())


def test_elftools_has_one_importer() -> None:
    assert {i.file for i in ALL if i.module.split(".")[0] == "elftools"} == {"objfile/elf.py"}


def test_pyroute2_has_one_importer() -> None:
    assert {i.file for i in ALL if i.module.split(".")[0] == "pyroute2"} <= {"kernel/net.py"}


def test_run_time_dependencies_are_two() -> None:
    import sys

    outside = {i.module.split(".")[0] for i in ALL if i.at_run_time} - {"rawbpf", *sys.stdlib_module_names}
    assert outside <= {"elftools", "pyroute2"}


def test_nothing_on_the_way_to_a_load_is_dear_to_import() -> None:
    # dataclasses imports inspect; argparse and logging are for those who use them
    dear = {"dataclasses", "inspect", "logging", "argparse", "difflib", "json", "gzip"}
    light = ("btf/", "plan/", "kernel/", "errors.py", "uapi.py", "pins.py", "__init__.py")
    found = [str(i) for i in ALL if i.at_start and i.module.split(".")[0] in dear and i.file.startswith(light)]
    assert found == []


def test_pure_rooms_read_no_files() -> None:
    readers = []
    for path in modules():
        file = str(path.relative_to(PACKAGE))
        if not file.startswith(("btf/", "objfile/", "plan/", "errors.py", "uapi.py", "pins.py")) or file in DOORS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called == "open" or called.endswith((".read_bytes", ".read_text", ".open")):
                    readers.append(f"{file}:{node.lineno} calls {called}")
    assert readers == []
