# SPDX-License-Identifier: BSD-2-Clause
"""An interrupt at the worst moment of attaching: nothing is attached afterwards, nothing open, nothing in tracefs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attachkit import GUEST, load, value

from rawbpf import attach
from rawbpf.kernel import perf_event, syscall, tracefs
from rawbpf.kernel.attach.usdt_specs import Specs
from rawbpf.kernel.links import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from attachkit import Watched

    from rawbpf.kernel.object import Object

GLOBAL = pytest.mark.skipif(not GUEST, reason="tracefs is global")


@pytest.fixture
def obj(watched: Watched) -> Iterator[Object]:
    with load("attach_user", "entry", "multi", "probe") as obj:
        obj.variables["process"].value = watched.pid
        yield obj


def then_interrupt(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **more: Any) -> Any:
        function(*arguments, **more)
        raise KeyboardInterrupt

    return call


@pytest.mark.parametrize(
    ("mode", "moment"),
    [
        ("link", "enable"),
        ("ioctl", "enable"),
        ("ioctl", "set_bpf"),
        *(pytest.param("tracefs", moment, marks=GLOBAL) for moment in ("add", "set_bpf", "enable")),
    ],
)
def test_a_uprobe(obj: Object, watched: Watched, monkeypatch: pytest.MonkeyPatch, mode: str, moment: str) -> None:
    where: Any = tracefs.Probe if moment == "add" else perf_event
    monkeypatch.setattr(where, moment, then_interrupt(getattr(where, moment)))
    with pytest.raises(KeyboardInterrupt):
        attach.uprobe(obj.programs["entry"], watched.binary, "plain", pid=watched.pid, mode=mode)
    watched.do("f")
    assert value(obj, "hits_entry") == 0
    if mode == "tracefs":
        assert Path(f"{tracefs.directory()}/uprobe_events").read_text() == ""


def test_a_usdt_probe(obj: Object, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(syscall, "link_create", interrupt)
    with pytest.raises(KeyboardInterrupt):
        attach.usdt(obj.programs["probe"], watched.binary, "watched", "twice", pid=watched.pid)
    monkeypatch.undo()
    assert specs_in_use(obj) == []
    watched.do("t")
    assert value(obj, "hits_probe") == 0


def specs_in_use(obj: Object) -> list[int]:
    specs = obj.maps["__bpf_usdt_specs"]
    return [number for number in range(4) if specs.raw_value(number.to_bytes(4, "little"))[-6]]


@pytest.mark.parametrize(("owner", "moment"), [(Link, "close"), (Specs, "give_back")])
def test_the_end_of_a_usdt_probe(
    obj: Object, watched: Watched, monkeypatch: pytest.MonkeyPatch, owner: type, moment: str
) -> None:
    link = attach.usdt(obj.programs["probe"], watched.binary, "watched", "twice", pid=watched.pid)
    assert specs_in_use(obj) == [0, 1]
    real = getattr(owner, moment)

    def interrupt(made: Any) -> None:
        monkeypatch.undo()
        if owner is Link:
            real(made)
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, moment, interrupt)
    with pytest.raises(KeyboardInterrupt):
        link.close()
    assert specs_in_use(obj) == []


def test_a_usdt_probe_that_is_pinned_keeps_its_specs(obj: Object, watched: Watched, bpffs_dir: Path) -> None:
    with attach.usdt(obj.programs["probe"], watched.binary, "watched", "twice", pid=watched.pid) as link:
        link.pin(bpffs_dir / "link")
    del link
    assert specs_in_use(obj) == [0, 1]
    watched.do("t")
    assert value(obj, "hits_probe") == 2


def test_a_usdt_probe_that_is_forgotten_gives_its_specs_back(obj: Object, watched: Watched) -> None:
    link = attach.usdt(obj.programs["probe"], watched.binary, "watched", "twice", pid=watched.pid)
    with pytest.warns(ResourceWarning):
        del link
    assert specs_in_use(obj) == []
