# SPDX-License-Identifier: BSD-2-Clause
"""Where a tool that needs a kernel with MPTCP schedulers in BPF does its work: on this one, or in the test kernel.

On this one it runs as root, with the Python that has what tools/lab needs. In the test kernel it is the same command
once more, with --here; files that it names and that the guest would not see, or would lose, are carried over.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tools.lib import kernel, machine, report, vm

if TYPE_CHECKING:
    from collections.abc import Sequence

RUNNING_BTF = Path("/sys/kernel/btf/vmlinux")
STRUCT_OPS_TYPE = b"\0bpf_struct_ops_mptcp_sched_ops\0"
EMPTY_IN_GUEST = (Path("/tmp"), Path("/run"))


def takes_schedulers() -> bool:
    """Whether struct mptcp_sched_ops is a struct_ops type of the running kernel, as its BTF tells."""
    return RUNNING_BTF.exists() and STRUCT_OPS_TYPE in RUNNING_BTF.read_bytes()


def ensure_here(script: Path) -> None:
    """Return as root and in the virtual environment: if need be by starting the script once more."""
    again = [str(machine.ensure_venv()), str(script), *sys.argv[1:]]
    if os.geteuid() != 0:
        if not shutil.which("sudo"):
            raise report.ToolError("loading BPF programs and making network namespaces needs root")
        os.execvp("sudo", ["sudo", *again])
    if Path(sys.prefix).resolve() != machine.VENV.resolve():
        os.execv(again[0], again)


def run_in_guest(script: Path, image: str | None, *, reads: Sequence[Path] = (), writes: Sequence[Path] = ()) -> int:
    """Run the script with its arguments in the test kernel, or in `image`; its exit code.

    `reads` and `writes` are files that the arguments name.
    """
    python = machine.ensure_venv()
    guest = vm.Guest(kernel.ensure(image).image)
    parcels = machine.ROOT / "build"
    parcels.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="guest-", dir=parcels) as directory:
        moved = {str(path): str(Path(directory) / path.name) for path in (*reads, *writes)}
        for path in reads:
            shutil.copy(path, moved[str(path)])
        arguments = [_replaced(word, moved) for word in sys.argv[1:]]
        code = guest.run([str(python), str(script), "--here", *arguments])
        for path in writes:
            if Path(moved[str(path)]).exists():
                shutil.move(moved[str(path)], path)
    return code


def unseen(paths: Sequence[Path]) -> list[Path]:
    """Those of the files that are in directories which are empty in the guest."""
    return [path for path in paths if any(path.resolve().is_relative_to(empty) for empty in EMPTY_IN_GUEST)]


def _replaced(word: str, moved: dict[str, str]) -> str:
    """An argument, `X` or `--option=X`, with X where it is in the guest."""
    option, equals, value = word.rpartition("=")
    return moved.get(word) or (f"{option}={moved[value]}" if equals and value in moved else word)
