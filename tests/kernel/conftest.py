# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures for tests that talk to the running kernel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CGROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("kernel")


@pytest.fixture(autouse=True)
def _on_the_kernel(root: None, no_leaks: None) -> None:
    """All of these tests need root, and leave nothing open."""


@pytest.fixture
def cgroup(root: None, require: Callable[[object, str], None]) -> Iterator[Path]:
    """A control group without processes."""
    tops = [Path(top) for top in CGROUPS if Path(top, "cgroup.controllers").exists()]
    require(tops, "no cgroup v2 is mounted")
    group = tops[0] / f"rawbpf-test-{os.getpid()}"
    group.mkdir()
    yield group
    group.rmdir()
