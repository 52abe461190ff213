# SPDX-License-Identifier: BSD-2-Clause
"""What a module offers to BPF, used by programs that rawbpf loads: kfuncs, variables, functions, types, struct_ops."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from in_guest import ROOT, reports

import rawbpf
from rawbpf.uapi import BtfKind
from tools.lib import kernel

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.vm

OBJECTS = sorted((ROOT / "tests" / "objs").glob("module_*.el.o"))


@pytest.fixture(scope="module")
def built(built: kernel.Kernel, require: Callable[[object, str], None]) -> kernel.Kernel:
    require(built.module, f"there is no {kernel.MODULE} beside {built.image}")
    return built


@pytest.fixture(scope="module")
def report(built: kernel.Kernel) -> dict[str, Any]:
    (told,) = reports("module_guest.py", options=("--module",), timeout=240)
    return dict(told)


def test_functions_of_the_module_are_called(report: dict[str, Any]) -> None:
    names = ("call", "sleep", "take_and_give_back", "keep")
    assert report["kfuncs"]["returned"] == dict.fromkeys(names, 0)


def test_a_map_holds_a_thing_of_the_module_until_it_goes(report: dict[str, Any]) -> None:
    assert (report["kfuncs"]["held"], report["kfuncs"]["held_afterwards"]) == (1, 0)


def test_variables_of_the_module_are_read(report: dict[str, Any]) -> None:
    assert report["ksyms"] == {"returned": 0, "runs": 1000, "answer": 42}


def test_functions_and_tracepoint_of_the_module_are_seen(report: dict[str, Any], built: kernel.Kernel) -> None:
    seen = report["tracing"]["seen"]
    assert [seen[name] for name in ("entered", "left", "asked", "raw", "traced")] == [1, 1, 1, 1, 1]
    assert seen["result"] == 3  # no struct_ops: nothing but the first of the pair
    assert [seen[name] for name in ("value", "first", "level", "is_odd")] == [21, 3, 17, 1]
    assert seen["initial"] in (ord("l"), "l")
    assert built.module
    types = rawbpf.read_btf(built.module)
    assert seen["size"] == types.size_of(types.find("rawbpf_test_event", BtfKind.STRUCT) or 0)


def test_fmod_ret_decides_for_the_module(report: dict[str, Any]) -> None:
    assert report["tracing"]["refusal"] == errno.EPERM
    assert report["tracing"]["counted"] == {"entered": 1, "left": 1, "asked": 2, "raw": 1, "traced": 1}


def test_struct_ops_of_the_module_are_called(report: dict[str, Any]) -> None:
    found = report["struct_ops"]
    assert found["before"] == ["", 3]
    assert found["full"] == ["full", (7 + 4) * 100 + 3 * 4 + 3]
    assert "EEXIST" in found["second"]
    assert found["lean"] == ["lean", 17 * 2 + 3]
    assert found["unlinked"] == ""
    assert found["plain"] == ["plain", 7 + 4 + 3]
    assert found["calls"] == [3, 1]
    assert found["after"] == ""


def test_nothing_is_left_and_the_module_can_go(report: dict[str, Any]) -> None:
    assert report["left_behind"] == {"objects": False, "files": False, "users": 0}
    assert report["unloading"] == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kfuncs", ["no kernel function 'rawbpf_test_add'", "module"]),
        ("ksyms", ["no symbol 'rawbpf_test_answer'", "module"]),
        ("tracing", ["no function 'rawbpf_test_finish'", "module"]),
        ("struct_ops", ["no struct_ops type rawbpf_test_ops", "module"]),
    ],
)
def test_without_the_module_a_plan_tells_what_is_missing(report: dict[str, Any], name: str, words: list[str]) -> None:
    said = report["without"][name]
    assert not said.startswith("0 "), said
    assert [word for word in words if word not in said] == [], said


def test_the_modules_types_fit_the_kernel_that_it_was_built_with(built: kernel.Kernel) -> None:
    assert built.module
    assert built.btf
    upon_its_own = rawbpf.read_btf(built.module)
    btf = rawbpf.read_btf(built.module, base=rawbpf.read_btf(built.btf))
    assert len(btf.ids()) == len(upon_its_own.ids())
    assert upon_its_own.start_id < 1000 < btf.start_id
    assert btf.size_of(btf.find("rawbpf_test_ticket", BtfKind.STRUCT) or 0) == 8


@pytest.mark.oracle
def test_same_as_libbpf(built: kernel.Kernel, libbpf: None) -> None:
    tool = [sys.executable, str(ROOT / "tools/compare-libbpf"), "--vm", "--each", "--json"]
    done = subprocess.run([*tool, *map(str, OBJECTS)], cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode in (0, 1), done.stderr
    told = json.loads(done.stdout)
    assert [(load["object"], load["differences"]) for load in told["loads"] if load["differences"]] == []
    assert told["summary"]["objects"] == len(OBJECTS)
    assert told["summary"]["succeed"] == told["summary"]["loads"]
