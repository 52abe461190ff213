# SPDX-License-Identifier: BSD-2-Clause
"""Attaching, each kind with its event really happening. On the running kernel only what reaches nobody else is tried
(one process of the test's own, iterators); the files below are for the test kernel, where tests/vm/test_attach.py runs
all of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attachkit import GUEST, Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

collect_ignore = [] if GUEST else ["test_interrupted_kernel_side.py", "test_kernel_side.py", "test_load.py"]
SOURCE = Path(__file__).with_name("watched.c")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("kernel")


@pytest.fixture(scope="session", autouse=True)
def _short_grace_periods(root: None) -> None:
    """In the test kernel, which is nobody else's, closing what is attached waits less."""
    if GUEST:
        Path("/sys/kernel/rcu_expedited").write_text("1")


@pytest.fixture(autouse=True)
def _on_the_kernel(root: None, no_leaks: None) -> None:
    """All of these tests need root, and leave nothing open."""


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory, require: Callable[[object, str], None]) -> Path:
    """The compiled program of `Watched`."""
    require(os.uname().machine == "x86_64", "the watched program has probes of x86-64")
    path = tmp_path_factory.mktemp("watched") / "watched"
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-o", path, SOURCE], check=True)
    return path


@pytest.fixture
def watched(binary: Path) -> Iterator[Watched]:
    """The running program."""
    process = Watched(binary)
    yield process
    process.close()
