# SPDX-License-Identifier: BSD-2-Clause
"""An interrupt at the worst moment of attaching: nothing is attached afterwards, nothing open, nothing in tracefs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attachkit import GUEST, load, value

from rawbpf import attach
from rawbpf.kernel import perf_event, syscall, tracefs

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
    specs = obj.maps["__bpf_usdt_specs"]
    assert not any(specs.raw_value(number.to_bytes(4, "little"))[-6] for number in range(4))
    watched.do("t")
    assert value(obj, "hits_probe") == 0
