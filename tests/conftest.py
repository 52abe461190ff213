# SPDX-License-Identifier: BSD-2-Clause
"""What all tests share: earned skips, kernels real and fake, and proof that a test leaves no descriptor open."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from skips import unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fake_kernel import FakeKernel


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="write the files of tests/golden instead of comparing")


def pytest_configure() -> None:
    # a shell's background job ignores SIGINT, and so would the commands that tests start and interrupt
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """``golden(name, text)`` compares a text with tests/golden/NAME; ``pytest --bless`` writes that file."""
    bless = request.config.getoption("--bless")

    def compare(name: str, text: str) -> None:
        path = Path(__file__).parent / "golden" / name
        if bless:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert path.exists(), f"no {path}: pytest --bless writes it"
        assert text == path.read_text(), f"{path} differs; if that is right: pytest --bless"

    return compare


def _require(condition: object, reason: str) -> None:
    if not condition:
        unavailable(reason)


@pytest.fixture(scope="session")
def require() -> Callable[[object, str], None]:
    """``require(condition, reason)`` skips the test, or fails it where the environment says RAWBPF_REQUIRE=1."""
    return _require


@pytest.fixture(scope="session")
def root() -> None:
    """The right to call bpf(2)."""
    _require(os.geteuid() == 0, "loading BPF programs needs root")


def open_descriptors() -> dict[int, str]:
    """The open descriptors of this process and what they are of."""
    found = {}
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:  # the one of listdir itself
            continue
    return found


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Fails the test if it leaves a descriptor open."""
    before = open_descriptors()
    yield
    after = open_descriptors()
    assert {number: after[number] for number in after.keys() - before.keys()} == {}


@pytest.fixture
def bpffs_dir(tmp_path: Path, root: None) -> Iterator[Path]:
    """An empty directory on a bpffs of its own, mounted for the test."""
    mount = tmp_path / "bpffs"
    mount.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", str(mount)], check=True)
    directory = mount / "pins"
    directory.mkdir()
    yield directory
    subprocess.run(["umount", str(mount)], check=True)


class Machine(NamedTuple):
    """A kernel to test on, and a directory to pin in. `fake` is None for the real one."""

    fake: FakeKernel | None
    directory: Path


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.kernel)])
def machine(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_leaks: None
) -> Iterator[Machine]:
    """The fake kernel, and the real one: what holds for one has to hold for the other."""
    from rawbpf.kernel import features

    monkeypatch.setattr(features, "_known", {})  # what is made to fail here is there for other tests
    if request.param == "real":
        yield Machine(None, request.getfixturevalue("bpffs_dir"))
        return
    from fake_kernel import FakeKernel

    from rawbpf.kernel import bpffs, gate

    fake = FakeKernel()
    monkeypatch.setattr(bpffs, "is_bpffs", lambda path: True)
    monkeypatch.setattr(bpffs, "kind_of", fake.kind_of)
    with gate.replace(fake):
        yield Machine(fake, tmp_path)
