# SPDX-License-Identifier: BSD-2-Clause
"""Objects attached as a whole: `Object.attach`, plans with steps that attach, ``rawbpf load``. For the test kernel."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING

import pytest
from attachkit import OBJECTS, value
from fake_kernel import FailAt

import rawbpf
from rawbpf import cli
from rawbpf.errors import KernelError
from rawbpf.kernel import bpffs, executor, gate, loaded
from rawbpf.kernel.attach import perf
from rawbpf.plan import steps as s
from rawbpf.plan.plan import Plan

if TYPE_CHECKING:
    from pathlib import Path

    from attachkit import Watched

    from rawbpf.kernel.object import Object

KERNEL = OBJECTS / "attach_kernel.el.o"
USER = OBJECTS / "attach_user.el.o"
BY_HAND = {"anywhere", "clock", "calls"}
ATTACHED = {
    *("entry", "exit_", "call", "call_return", "multi", "multi_return", "session", "event", "raw", "typed"),
    *("fentry", "fexit", "modify", "fsession", "hook"),
}


def sleeps(obj: Object) -> int:
    """How often `fentry` saw the sleep that happens here."""
    before = int(value(obj, "hits_fentry"))
    time.sleep(0.001)
    return int(value(obj, "hits_fentry")) - before


@pytest.fixture
def plan() -> Plan:
    spec = rawbpf.open(KERNEL)
    spec.variables["process"].value = os.getpid()
    return rawbpf.make_plan(spec)


def test_everything_that_attaches_by_itself(plan: Plan) -> None:
    with executor.load(plan) as obj:
        assert {link.name for link in obj.attach()} == ATTACHED
        assert set(obj.links) == ATTACHED
        assert set(obj.skipped) == BY_HAND
        assert obj.skipped["anywhere"] == 'SEC("kprobe") does not say to what: attach(symbol=…)'
        assert obj.skipped["calls"] == 'SEC("syscall") is attached by hand (test_run)'
        assert obj.attach() == []
        assert sleeps(obj) == 1
        for name in ATTACHED - {"modify", "hook"}:
            assert value(obj, f"hits_{name}") > 0, name


def test_none_if_one_fails(plan: Plan) -> None:
    with executor.load(plan) as obj:
        obj.programs["session"].section = "kprobe.session/no_such_function"
        with pytest.raises(KernelError, match="no_such_function") as error:
            obj.attach()
        assert error.value.symbol == "session"
        assert obj.links == {}
        assert sleeps(obj) == 0


def test_a_plan_that_was_kept(plan: Plan, bpffs_dir: Path) -> None:
    kept = Plan.from_json(json.dumps(plan.to_json()))
    assert kept == plan
    steps = [step for step in plan.steps if isinstance(step, s.Attach)]
    assert {step.handle.partition(":")[2] for step in steps} == ATTACHED
    text = plan.explain()
    assert "attach link:entry: prog:entry, kprobe, symbol=do_nanosleep, retprobe=False" in text
    assert "not attached: anywhere: " in text
    with rawbpf.execute(kept) as obj:
        assert sleeps(obj) == 1
        assert set(obj.links) == ATTACHED
        assert set(obj.skipped) == BY_HAND


def test_the_command(bpffs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = str(bpffs_dir / "all")
    assert cli.main(["load", str(KERNEL), "--pin", here, "--json", "--set", f"process={os.getpid()}"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {link["name"] for link in told["links"]} == ATTACHED
    assert {entry["program"] for entry in told["not_attached"]} == BY_HAND
    assert {pin.path.rpartition("/")[2] for pin in bpffs.pins(here) if pin.kind == "link"} == ATTACHED
    assert cli.main(["unload", here]) == 0
    assert not os.path.exists(here)


def test_the_command_with_a_process(watched: Watched, bpffs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = str(bpffs_dir / "all")
    assert cli.main(["load", str(USER), "--pin", here, "--pid", str(watched.pid), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [link["name"] for link in told["links"]] == ["library"]
    attach = [step for step in told["plan"]["steps"] if step["step"] == "attach"]
    assert [step["arguments"] for step in attach] == [
        {"retprobe": False, "binary": "libc.so.6", "symbol": "getpgid", "pid": watched.pid}
    ]
    assert watched.do("l") == 1
    with rawbpf.Map.open(_bss(here)) as bss:
        assert any(bss.raw_value(bytes(4)))
    assert cli.main(["unload", here]) == 0
    capsys.readouterr()
    assert cli.main(["load", str(KERNEL), "--pin", here, "--pid", "1"]) == 4
    assert "no program of the object takes a pid" in capsys.readouterr().err


def _bss(directory: str) -> str:
    return next(pin.path for pin in bpffs.pins(directory) if pin.path.endswith("_bss"))


def test_what_cannot_be_pinned_is_told(
    bpffs_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = perf.features.probe
    monkeypatch.setattr(perf.features, "probe", lambda name: False if name == "perf_link" else real(name))
    here = str(bpffs_dir / "all")
    assert cli.main(["load", str(KERNEL), "--pin", here, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    unpinned = {entry["program"] for entry in told["not_attached"]} - BY_HAND
    assert unpinned == {"entry", "exit_", "call", "call_return", "event"}
    assert cli.main(["unload", here]) == 0


def test_a_plan_that_fails_leaves_nothing(bpffs_dir: Path) -> None:
    whole = rawbpf.make_plan(rawbpf.open(KERNEL), pin_dir=str(bpffs_dir / "all"))
    failures = 0
    for number in range(10, 70, 12):  # of system calls until one fails, among them those that attach
        with contextlib.suppress(KernelError), gate.replace(FailAt(number, None)):
            rawbpf.execute(whole).close()
            loaded.unload(str(bpffs_dir / "all"))
            continue
        failures += 1
        assert list(bpffs_dir.iterdir()) == []
    assert failures == 5
