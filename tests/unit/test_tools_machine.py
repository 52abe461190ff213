# SPDX-License-Identifier: BSD-2-Clause
"""Getting a machine ready: what is installed and what is not, cached and not, without touching the network."""

from __future__ import annotations

import stat
import time
from typing import TYPE_CHECKING

import pytest

from tools.lib import machine
from tools.lib.report import ToolError, duration

if TYPE_CHECKING:
    from pathlib import Path

FAKE_DPKG_QUERY = """\
#!/bin/sh
echo "ii  present"
echo "rc  removed"
echo "un  unknown"
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of its own, for programs of our own."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_cache_dir_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("RAWBPF_CACHE", raising=False)
    assert machine.cache_dir() == tmp_path / "xdg" / "rawbpf"
    monkeypatch.setenv("RAWBPF_CACHE", str(tmp_path / "own"))
    assert machine.cache_dir() == tmp_path / "own"


@pytest.mark.usefixtures("path")
def test_without_dpkg_everything_is_missing() -> None:
    assert machine.missing_debian(["b", "a"]) == ["b", "a"]


def test_only_installed_packages_are_not_missing(path: Path) -> None:
    program(path / "dpkg-query", FAKE_DPKG_QUERY)
    assert machine.missing_debian(["present", "removed", "unknown", "absent"]) == ["removed", "unknown", "absent"]


def test_nothing_is_installed_where_nothing_is_missing(path: Path) -> None:
    program(path / "dpkg-query", FAKE_DPKG_QUERY)
    machine.ensure_debian(["present"])  # there is no apt-get on this PATH


def test_a_machine_without_apt_is_told_which_packages(path: Path) -> None:
    program(path / "dpkg-query", FAKE_DPKG_QUERY)
    with pytest.raises(ToolError, match="no apt-get: removed") as error:
        machine.ensure_debian(["present", "removed"])
    assert "Debian" in error.value.hint


def test_packages_are_installed_with_the_lists_renewed_if_need_be(path: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program(path / "dpkg-query", FAKE_DPKG_QUERY)
    for wrapper in ("sudo", "env"):
        program(path / wrapper, '#!/bin/sh\ncase $1 in env) shift;; esac\ncase $1 in *=*) shift;; esac\nexec "$@"\n')
    program(
        path / "apt-get",
        f'#!/bin/sh\necho "$@" >> {log}\ncase "$*" in *update*) : > {tmp_path}/ok;; esac\n[ -e {tmp_path}/ok ]\n',
    )
    machine.ensure_debian(["absent"])
    assert [line.split()[1] for line in log.read_text().splitlines()] == ["install", "update", "install"]


def test_a_filled_venv_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "VENV", tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    assert not machine._venv_is_current()
    machine._stamp().write_text(machine._requirements_hash())
    assert machine._venv_is_current()
    begun = time.perf_counter()
    assert machine.ensure_venv() == tmp_path / "bin" / "python"
    assert time.perf_counter() - begun < 0.2


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a checkout's virtual environment is to be."""
    monkeypatch.setenv("RAWBPF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "VENV", tmp_path / "venv")
    return tmp_path / "venv"


def make_venv(venv: Path, python: str, *, to_the_end: bool = True) -> None:
    """A virtual environment whose Python is a script; `venv` writes what is to be sourced last."""
    (venv / "bin").mkdir(parents=True, exist_ok=True)
    (venv / "bin" / "python").touch()
    program(venv / "bin" / "python", f"#!/bin/sh\n{python}\n")
    if to_the_end:
        (venv / "bin" / "activate").touch()


@pytest.mark.parametrize(
    ("python", "to_the_end", "creations"), [("exit 0", True, 0), ("exit 0", False, 1), ("exit 1", True, 1)]
)
def test_a_venv_that_was_left_half_made_is_made_anew(
    venv: Path, monkeypatch: pytest.MonkeyPatch, *, python: str, to_the_end: bool, creations: int
) -> None:
    monkeypatch.delenv("RAWBPF_GUEST", raising=False)
    created: list[Path] = []

    def create() -> None:
        created.append(venv)
        make_venv(venv, "exit 0")

    monkeypatch.setattr(machine, "_create_venv", create)
    make_venv(venv, python, to_the_end=to_the_end)
    for _ in range(2):
        machine.ensure_venv()
        assert len(created) == creations


@pytest.mark.usefixtures("venv")
def test_no_venv_is_made_in_the_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAWBPF_GUEST", "1")
    with pytest.raises(ToolError, match="the guest has no network") as error:
        machine.ensure_venv()
    assert error.value.hint == "run this once outside of the test kernel"


def test_the_venv_follows_what_setup_cfg_requires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = machine._requirements_hash()
    text = (machine.ROOT / "setup.cfg").read_text()
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    (tmp_path / "setup.cfg").write_text(text.replace("description = ", "description = another "))
    assert machine._requirements_hash() == before
    (tmp_path / "setup.cfg").write_text(text.replace("    hypothesis\n", "    hypothesis>=99\n"))
    assert machine._requirements_hash() != before


def test_a_lock_waits_for_its_holder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import subprocess
    import sys

    lock = tmp_path / "lock"
    holder = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(flush=True); time.sleep(0.3)"
    )
    with subprocess.Popen([sys.executable, "-c", holder, lock], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        begun = time.monotonic()
        with machine.locked(lock, "waiting for the holder"):
            assert time.monotonic() - begun > 0.1
    assert "waiting for the holder" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (401, "6 min 41 s")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
