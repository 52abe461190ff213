# SPDX-License-Identifier: BSD-2-Clause
"""The subtests' surroundings: a laboratory, a cgroup, and objects that are loaded for one test."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from lab import Lab, own_cgroup  # noqa: E402  # the path comes first

import rawbpf  # noqa: E402  # the path comes first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    Load: TypeAlias = Callable[..., rawbpf.Object]


@pytest.fixture
def lab(root: None, require: Callable[[object, str], None]) -> Iterator[Lab]:
    require(Path("/proc/sys/net/mptcp").exists(), "the kernel has no MPTCP")
    with Lab() as made:
        yield made


@pytest.fixture
def cgroup(root: None) -> Iterator[Path]:
    with own_cgroup() as group:
        yield group


@pytest.fixture(scope="session")
def test_kernel(require: Callable[[object, str], None]) -> None:
    """The kernel has the patches of tools/kernel."""
    btf = rawbpf.host_target().btf
    require(btf and btf.find("bpf_mptcp_pm_connect"), "the kernel has no BPF path managers: tools/vm boots one")


@pytest.fixture
def load() -> Iterator[Load]:
    """``load("mptcp_sock", cgroup=..., variable=value)`` loads an object of objs/, and attaches what attaches."""
    with ExitStack() as stack:

        def loaded(name: str, cgroup: Path | None = None, **variables: object) -> rawbpf.Object:
            spec = rawbpf.open(ROOT / "objs" / f"{name}.o")
            for variable, value in variables.items():
                spec.variables[variable].value = value
            obj = stack.enter_context(rawbpf.load(spec))
            obj.attach(**({"cgroup": cgroup} if cgroup else {}))
            return obj

        yield loaded
