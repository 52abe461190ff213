# SPDX-License-Identifier: BSD-2-Clause
"""The subtests' surroundings: a laboratory, a cgroup, and objects that are loaded for one test.

What a kernel with MPTCP can do without our patches also runs outside of the test kernel; tests/vm/test_mptcp.py runs
all of it there. The path managers over netlink do so only there: Linux 6.18 sometimes forgets a subflow that it is told
to make right after another has gone.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lab import ROOT, Lab, own_cgroup
from subtests import SUBTESTS

import rawbpf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab import Load


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    mine = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in mine:
        item.add_marker("kernel")
    in_order = iter(sorted(mine, key=place))
    items[:] = [next(in_order) if item in mine else item for item in items]
    if not os.environ.get("RAWBPF_GUEST"):
        patched = [item for item in mine if "test_kernel" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=patched)
        items[:] = [item for item in items if item not in patched]


def place(item: pytest.Item) -> int:
    """Of a test in the talk's list. What a subtest's name begins is part of it; what is none of them comes last."""
    name = item.name.partition("[")[0] + "_"
    for number, subtest in enumerate(SUBTESTS):
        if name.startswith(f"test_{subtest}_"):
            return number
    return len(SUBTESTS)


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
    """What is loaded goes at the end of the test. The runs of programs are counted, for `lab.assert_ran`."""
    with ExitStack() as stack:
        stack.enter_context(rawbpf.run_statistics())

        def loaded(name: str, cgroup: Path | None = None, **variables: object) -> rawbpf.Object:
            spec = rawbpf.open(ROOT / "objs" / f"{name}.o")
            for variable, value in variables.items():
                spec.variables[variable].value = value
            obj = stack.enter_context(rawbpf.load(spec))
            obj.attach(**({"cgroup": cgroup} if cgroup else {}))
            return obj

        yield loaded
