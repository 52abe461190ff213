# SPDX-License-Identifier: BSD-2-Clause
"""The interpreter that is measured: one that has rawbpf as users have it."""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tools.lib.machine import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def installed() -> Iterator[str]:
    """The python of a new virtual environment with this checkout and all that the present one has.

    It is what an installation for use would be. The environment for development costs more: a finder of modules that is
    loaded at each start lets rawbpf be edited. Bytecode is kept, in a directory of its own, even where the shell
    forbids it: else compiling would be counted with each run.
    """
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="rawbpf-python-") as name:
        directory = Path(name)
        packages = directory / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
        packages.mkdir(parents=True)
        (packages / "paths.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
        home = Path(os.path.realpath(sys.executable)).parent
        (directory / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
        (directory / "bin").mkdir()
        python = directory / "bin" / "python"
        python.symlink_to(os.path.realpath(sys.executable))
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(directory / "bytecode")
        try:
            yield str(python)
        finally:
            os.environ.clear()
            os.environ.update(before)
