# SPDX-License-Identifier: BSD-2-Clause
"""What the machine needs: Debian packages, and a virtual environment in the checkout. Installs what is missing.

When nothing is missing no network is touched and a few milliseconds pass.
"""

from __future__ import annotations

import configparser
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tools.lib.report import ToolError, note

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parent.parent.parent
"""The checkout."""
VENV = ROOT / ".venv"
EXTRAS = "dev,net"
OLDEST_PYTHON = (3, 10)


def cache_dir() -> Path:
    """Where everything big is kept between runs: $RAWBPF_CACHE, or rawbpf in the user's cache directory."""
    named = os.environ.get("RAWBPF_CACHE")
    if named:
        return Path(named).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "rawbpf"


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """Hold an exclusive lock on a file, created if need be; says `waiting` if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(waiting)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def ensure_debian(packages: Iterable[str]) -> None:
    """Install the Debian packages that are missing. Raises ToolError where that is impossible."""
    missing = missing_debian(packages)
    if not missing:
        return
    names = " ".join(missing)
    if not shutil.which("apt-get"):
        raise ToolError(
            f"these Debian packages are needed, and this machine has no apt-get: {names}",
            hint="run this on Debian or a derivative of it, a container will do",
        )
    as_root = _as_root(names)
    note(f"installing Debian packages: {names}")
    apt = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
    install = [*apt, "install", "--yes", "--no-install-recommends", *missing]
    if _run(install).returncode != 0:  # the package lists may be old, or absent
        _run([*apt, "update"])
        done = _run(install)
        if done.returncode != 0:
            note(done.stdout.rstrip())
            raise ToolError(f"apt-get could not install {names}, see above")


def missing_debian(packages: Iterable[str]) -> list[str]:
    """Those of the packages that are not installed, in their order."""
    wanted = list(packages)
    if not shutil.which("dpkg-query"):
        return wanted
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Abbrev} ${Package}\n", *wanted]
    known = subprocess.run(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    installed = {line.split()[-1] for line in known.splitlines() if line.startswith("ii")}
    return [name for name in wanted if name not in installed]


def ensure_venv() -> Path:
    """The Python of the checkout's virtual environment, which has rawbpf, its extras and the development tools.

    What belongs in it stands in setup.cfg alone; a change there brings it up to date. One that was left half-made is
    made anew. Raises ToolError where packages are missing and cannot be had, as in the test kernel.
    """
    if _venv_is_current():
        return VENV / "bin" / "python"
    if os.environ.get("RAWBPF_GUEST"):
        raise ToolError(
            f"the virtual environment {VENV} is not there or not up to date, and the guest has no network",
            hint="run this once outside of the test kernel",
        )
    with locked(cache_dir() / "venv.lock", "waiting for another process that installs Python packages"):
        if not _venv_is_current():
            _fill_venv()
    return VENV / "bin" / "python"


def _fill_venv() -> None:
    python = VENV / "bin" / "python"
    if not _venv_is_whole():
        note(f"creating the virtual environment {VENV}")
        _create_venv()
    note(f"installing Python packages into {VENV}: rawbpf[{EXTRAS}] of setup.cfg")
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    done = subprocess.run([*pip, "--editable", f"{ROOT}[{EXTRAS}]"], stdout=sys.stderr)
    if done.returncode != 0:
        raise ToolError("pip could not install the Python packages, see above", hint="is there a way to pypi.org?")
    _stamp().write_text(_requirements_hash())


def _create_venv() -> None:
    create = [_new_enough_python(), "-m", "venv", "--clear", str(VENV)]
    if _run(create).returncode != 0:
        ensure_debian(["python3-venv"])  # Debian splits what venv needs off its python3
        done = _run(create)
        if done.returncode != 0:
            raise ToolError(f"{create[0]} could not make a virtual environment: {done.stdout.strip()}")


def _new_enough_python() -> str:
    if sys.version_info >= OLDEST_PYTHON:
        return sys.executable
    for minor in range(20, OLDEST_PYTHON[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            return found
    wanted = ".".join(map(str, OLDEST_PYTHON))
    raise ToolError(
        f"Python {wanted} or newer is needed, this is {sys.version.split()[0]}", hint="Debian 12 and newer have it"
    )


def _venv_is_current() -> bool:
    try:
        return (VENV / "bin" / "python").exists() and _stamp().read_text() == _requirements_hash()
    except OSError:
        return False


def _venv_is_whole() -> bool:
    """Whether packages can be installed in what is there: making it may have been interrupted."""
    python = VENV / "bin" / "python"
    made_to_the_end = python.exists() and (VENV / "bin" / "activate").exists()  # venv writes this last, after pip
    return made_to_the_end and _run([str(python), "-m", "pip", "--version"]).returncode == 0


def _stamp() -> Path:
    return VENV / "rawbpf-requirements"


def _requirements_hash() -> str:
    """A hash of what setup.cfg requires; the rest of the file may change without a new installation."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    required = [
        config.get("options", "install_requires"),
        *(f"{k}={v}" for k, v in config.items("options.extras_require")),
    ]
    return hashlib.sha256("\n".join(required).encode()).hexdigest()


def _as_root(names: str) -> list[str]:
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo"):
        raise ToolError(f"these Debian packages are missing: {names}", hint=f"as root: apt-get install {names}")
    return ["sudo"]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
