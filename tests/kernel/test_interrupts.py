# SPDX-License-Identifier: BSD-2-Clause
"""A KeyboardInterrupt at any moment while something is made or closed leaves nothing behind."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import asm
import pytest
from interrupts import AtBytecode, AtCall, interrupted

import rawbpf
from rawbpf.kernel import bpffs, executor, fd, loaded, syscall
from rawbpf.plan import steps as s
from rawbpf.uapi import MapType

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    # a descriptor that nobody could take over is closed with a ResourceWarning, which is right but not the subject
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield


def descriptors() -> set[str]:
    return {name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}


def test_a_descriptor_has_an_owner_at_every_bytecode() -> None:
    before = descriptors()
    shape = {"map_type": MapType.ARRAY, "key_size": 4, "value_size": 4, "max_entries": 1}

    def make_and_close() -> None:
        made = syscall.map_create(shape)
        made.duplicate().close()
        made.close()

    make_and_close()  # what is cached is made before the places are counted
    count = 0
    for _ in interrupted(make_and_close, AtBytecode):
        assert descriptors() == before
        count += 1
    assert count > 50


def test_low_descriptors_are_moved_without_a_gap() -> None:
    saved = os.dup(0)
    before = descriptors()
    try:
        os.close(0)

        def open_null() -> None:
            made = fd.own(os.open, os.devnull, os.O_RDONLY)
            assert made is not None
            assert made.fileno() > 2
            made.close()

        for _ in interrupted(open_null, AtBytecode):
            assert descriptors() == before - {"0"}
    finally:
        os.dup2(saved, 0)
        os.close(saved)


@pytest.mark.parametrize("how", ["execute", "load"])
def test_an_object_is_made_whole_or_not_at_all(bpffs_dir: Path, how: str) -> None:
    path = str(bpffs_dir / "shared")
    plan = asm.plan(
        [
            s.CreateMap("map:shared", "shared", MapType.ARRAY, 4, 8, 1, pin_path=path),
            s.UpdateMap("map:shared", bytes(4), bytes(8)),
            s.PinMap("map:shared", path),
            asm.program("zero", asm.RETURN_0),
            s.Pin("prog:zero", str(bpffs_dir / "object" / "zero")),
        ]
    )
    getattr(executor, how)(plan).close()  # everything is imported
    _clean(bpffs_dir)
    before = descriptors()
    whole, count = 0, 0

    def make() -> None:
        made = getattr(executor, how)(plan)
        for thing in (*made.maps.values(), *made.programs.values()):
            thing.close()

    for _ in interrupted(make, AtCall):
        assert descriptors() == before
        left = sorted(str(pin.path) for pin in bpffs.pins(bpffs_dir))
        if left:
            # it came after the last step: then the object is there, as the plan says
            assert left == sorted([path, str(bpffs_dir / "object" / "zero")] if how == "execute" else [path])
            whole += 1
            _clean(bpffs_dir)
        else:
            assert os.listdir(bpffs_dir) == []
        count += 1
    assert count > 100
    assert whole < count / 5


def test_nothing_stays_registered(bpffs_dir: Path) -> None:
    obj = Path(__file__).parent.parent / "objs" / "struct_ops.el.o"
    where = str(bpffs_dir / "all")
    plan = rawbpf.make_plan(rawbpf.open(obj), attach=True, pin_dir=where)
    executor.execute(plan).close()
    loaded.unload(where)
    before = descriptors()

    def make() -> None:
        made = executor.execute(plan)
        made.close()

    count = 0
    for _ in interrupted(make, AtCall, 13):
        assert descriptors() == before
        if list(bpffs.pins(bpffs_dir)):
            loaded.unload(where)  # it was complete
        else:
            assert os.listdir(bpffs_dir) == []
        assert "rawbpf" not in Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text()
        count += 1
    loaded.unload(where)
    assert count > 50


def _clean(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir():
            bpffs.remove_tree(path)
        else:
            bpffs.unpin(path)
