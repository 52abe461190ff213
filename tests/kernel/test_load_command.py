# SPDX-License-Identifier: BSD-2-Clause
"""``rawbpf load``: what stays when it ends, and that nothing does when it is interrupted, whenever that is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rawbpf import cli
from rawbpf.cli import load_command
from rawbpf.errors import SpecError
from rawbpf.kernel import bpffs

ROOT = Path(__file__).parents[2]
OBJECT = str(ROOT / "objs/mptcp_sock.o")
OPTIONAL = str(ROOT / f"tests/objs/struct_ops_mismatch.{'el' if sys.byteorder == 'little' else 'eb'}.o")


def load(*arguments: object) -> int:
    return cli.main(["load", *map(str, arguments)])


def test_the_pins_stay(bpffs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load(OBJECT, "--pin", bpffs_dir / "here") == 0
    assert {pin.kind for pin in bpffs.pins(bpffs_dir)} == {"map", "program"}
    assert f"rawbpf unload {bpffs_dir}/here" in capsys.readouterr().out
    assert load(OBJECT, "--pin", bpffs_dir / "here") == 4
    assert "loaded at" in capsys.readouterr().err
    assert cli.main(["unload", str(bpffs_dir / "here")]) == 0
    assert list(bpffs_dir.iterdir()) == []


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), cli.INTERRUPTED), (SpecError("so"), 4)])
def test_what_goes_wrong_at_the_very_end_undoes_it_all(
    bpffs_dir: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(load_command, "_report", fail)
    assert load(OBJECT, "--pin", bpffs_dir / "here") == code
    assert list(bpffs_dir.iterdir()) == []


def test_a_reader_that_has_gone_takes_nothing_with_it(bpffs_dir: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "rawbpf", "load", OBJECT, "--pin", str(bpffs_dir / "here")]
    done = subprocess.run(words, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(bpffs.pins(bpffs_dir)) != []
    bpffs.remove_tree(bpffs_dir / "here")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_hold_unloads_at_the_end(bpffs_dir: Path, number: signal.Signals) -> None:
    words = [sys.executable, "-m", "rawbpf", "load", OBJECT, "--pin", str(bpffs_dir / "here"), "--hold", "--json"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "}\n")
        told = json.loads("".join(lines) + "}")
        assert told["pinned_at"] == str(bpffs_dir / "here")
        assert len(list(bpffs.pins(bpffs_dir))) == 3
        process.send_signal(number)
        rest, complaints = process.communicate(timeout=20)
    assert (process.returncode, rest, complaints) == (0, "", "")
    assert list(bpffs_dir.iterdir()) == []


def test_a_signal_just_before_the_wait_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    read = os.read

    def late(fd: int, size: int) -> bytes:
        signal.raise_signal(signal.SIGUSR1)  # as if it came when Python looked for the last time
        assert read(fd, size)
        raise KeyboardInterrupt

    def hangs(number: int, frame: object) -> None:
        raise TimeoutError("the signal was lost")

    handlers = {signal.SIGUSR1: lambda number, frame: None, signal.SIGALRM: hangs}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    monkeypatch.setattr(os, "read", late)
    signal.setitimer(signal.ITIMER_REAL, 5)
    try:
        with load_command._until_interrupted():
            load_command._wait()
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def test_an_object_of_optional_parts(bpffs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load(OPTIONAL, "--pin", bpffs_dir / "here") == 0
    assert capsys.readouterr().out.startswith("nothing of struct_ops_mismatch is loaded")
    assert list(bpffs_dir.iterdir()) == []


def test_without_pins_there_is_nothing_to_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert load(OBJECT, "--no-pin") == 0
    assert capsys.readouterr().out.endswith("all of it is gone when this command ends, which is now.\n")
