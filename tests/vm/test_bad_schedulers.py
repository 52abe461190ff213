# SPDX-License-Identifier: BSD-2-Clause
"""The kernel's patches hold: schedulers that do nothing, fail, dawdle, write nonsense or go away leave it alive."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from in_guest import ROOT, reports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.vm

HERE = Path(__file__).parent
SIZE = 1 << 20
SLOW_SIZE = 1 << 16
MOST_ROUNDS = 8 << 20
REFUSED = 6
"""Ways of being refused, in bad_schedulers.c."""
CLANG = "clang-19"


@pytest.fixture(scope="module")
def objects(require: Callable[[object, str], None]) -> Iterator[list[Path]]:
    """bad_schedulers.c, built in each way. Below the checkout, where the guest sees it."""
    require(shutil.which(CLANG), f"{CLANG} is not installed")
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as directory:
        built = []
        for number in range(REFUSED + 1):
            path = Path(directory, f"refused_{number}.o" if number else "bad_schedulers.o")
            flags = ["-O2", "-g", "-mcpu=v3", "-target", "bpfel", f"-I{ROOT}/objs/include", "-Wno-unused-parameter"]
            choice = [f"-DREFUSED={number}"] if number else []
            subprocess.run([CLANG, *flags, *choice, "-c", HERE / "bad_schedulers.c", "-o", path], check=True)
            built.append(path)
        yield built


@pytest.fixture(scope="module")
def report(built: object, objects: list[Path]) -> dict[str, Any]:
    (told,) = reports("bad_schedulers_guest.py", *objects, timeout=400)
    return dict(told)


def test_bad_schedulers_load_and_unload(report: dict[str, Any]) -> None:
    assert report["loaded"].startswith("0 "), report["loaded"]
    assert report["unloaded"].startswith("0 "), report["unloaded"]
    assert report["available"] == ["default"]


def test_a_scheduler_that_picks_nothing_or_fails_sends_nothing(report: dict[str, Any]) -> None:
    assert report["sent"]["bad_idle"] == 0
    assert report["sent"]["bad_failing"] == 0


def test_a_scheduler_that_picks_all_sends_all(report: dict[str, Any]) -> None:
    assert report["sent"]["bad_wild"] >= SIZE


def test_a_scheduler_that_takes_long_sends_in_the_end(report: dict[str, Any]) -> None:
    assert report["sent"]["bad_slow"] >= SLOW_SIZE
    assert report["counts"]["rounds"] > MOST_ROUNDS, "it is asked more than once"


def test_a_scheduler_that_writes_nonsense_sends_all(report: dict[str, Any]) -> None:
    assert report["sent"]["bad_odd"] >= SIZE
    assert report["counts"]["inits"] == report["counts"]["releases"] == 1


def test_a_scheduler_that_is_gone_still_serves_its_connections(report: dict[str, Any]) -> None:
    orphans = report["sent_by_orphans"]
    assert min(orphans["bad_wild"], orphans["bad_odd"]) >= SIZE
    assert orphans["bad_idle"] == orphans["bad_failing"] == 0


def test_the_kernel_is_well_afterwards(report: dict[str, Any]) -> None:
    assert report["alarms"] == []
    assert report["default_sent"] >= SIZE


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (1, "attach to unsupported member get_send"),
        (2, "no write support to mptcp_sock"),
        (3, "bpf_iter_mptcp_subflow_new"),
        (4, "EEXIST"),
        (5, "bpf_iter_mptcp_subflow_new is not allowed"),
        (6, "EINVAL"),
    ],
    ids=[
        *("sleepable", "writes elsewhere", "another struct_ops", "a name that is taken", "walks in init"),
        "without get_send",
    ],
)
def test_what_cannot_be_a_scheduler_is_refused(report: dict[str, Any], number: int, reason: str) -> None:
    answer = report["refused"][number - 1]
    assert not answer.startswith("0 "), answer
    assert reason in answer
