# SPDX-License-Identifier: BSD-2-Clause
"""Programs on the network: each way to attach one, with packets that really come, up to its end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import attach_cases
import netlab
import pytest
from attach_cases import CASES, Case, Scene
from interrupts import AtCall, interrupted
from rounds import attach_and_close, rounds

import rawbpf
from rawbpf.errors import KernelError, NotSupportedError
from rawbpf.kernel.attach import Attachment
from rawbpf.kernel.links import Link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.kernel.object import Object
    from rawbpf.objfile.spec import ObjectSpec

OBJECT = Path(__file__).parent.parent / "objs" / "attach_net.el.o"
SLOW = ("xdp", "tcx_ingress", "tcx_egress")
"""What waits for the kernel in every round, alone: tens of milliseconds, and a device takes one at a time."""


@pytest.fixture(scope="module")
def lab(root: None) -> Iterator[netlab.Lab]:
    with netlab.lab() as made:
        yield made


@pytest.fixture(scope="module")
def spec() -> ObjectSpec:
    return rawbpf.open(OBJECT)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def scene(lab: netlab.Lab, spec: ObjectSpec, case: Case) -> Iterator[Scene]:
    with (
        rawbpf.load(rawbpf.make_plan(spec, only=case.programs)) as obj,
        attach_cases.playing(lab, obj) as scene,
    ):
        yield scene


def seen(obj: Object, name: str) -> int:
    """How often a program has run."""
    return int(obj.variables[f"seen_{name}"].value)


def runs(scene: Scene, case: Case, name: str = "") -> bool:
    """Whether the event runs the program."""
    return runs_within(5.0, scene, case, name)


def rests(scene: Scene, case: Case, name: str = "", patience: float = 0.05) -> bool:
    """Whether the event does not run the program."""
    return not runs_within(patience, scene, case, name)


def runs_within(seconds: float, scene: Scene, case: Case, name: str) -> bool:
    before = seen(scene.obj, name or case.program)
    case.event(scene)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and seen(scene.obj, name or case.program) == before:
        time.sleep(0.001)  # some work is left to other threads of the kernel
    return seen(scene.obj, name or case.program) > before


def test_what_is_attached_runs_until_it_is_detached(case: Case, scene: Scene) -> None:
    program = scene.obj.programs[f"do_{case.program}"]
    made = case.attach(scene, program)
    assert isinstance(made, Link if case.link else Attachment)
    assert runs(scene, case)
    made.detach()
    assert rests(scene, case)
    made.close()
    with case.attach(scene, program) as made:
        assert runs(scene, case)
        info = made.info
        assert (info.prog_id if isinstance(made, Link) else info["prog_id"]) == program.id
    assert rests(scene, case)
    assert made.closed
    made.close()


def test_another_program_takes_its_place(case: Case, scene: Scene) -> None:
    first, second = (scene.obj.programs[f"do_{case.program}{suffix}"] for suffix in ("", "_other"))
    other = f"{case.program}_other"
    with case.attach(scene, first) as made:
        if case.update == "no":
            with pytest.raises(NotSupportedError):
                made.update(second)
            return
        made.update(second)
        assert runs(scene, case, other)
        assert rests(scene, case)
        if case.update == "blind":
            with pytest.raises(NotSupportedError):
                made.update(first, old=second)
            return
        with pytest.raises(KernelError):
            made.update(first, old=first)
        assert runs(scene, case, other)
        made.update(first, old=second)
        assert runs(scene, case)
    assert rests(scene, case)


def test_a_link_that_is_pinned_stays(case: Case, scene: Scene, bpffs_dir: Path) -> None:
    made = case.attach(scene, scene.obj.programs[f"do_{case.program}"])
    with made:
        if not case.link:
            with pytest.raises(NotSupportedError, match="only links can be pinned"):
                made.pin(bpffs_dir / "link")
            return
        made.pin(bpffs_dir / "link")
    assert runs(scene, case)
    with Link.open(bpffs_dir / "link") as again:
        again.unpin(bpffs_dir / "link")
        assert runs(scene, case)
    assert rests(scene, case)


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items() if not case.link])
def test_what_has_no_link_can_be_left_behind(case: Case, spec: ObjectSpec) -> None:
    with (
        netlab.lab() as lab,  # of its own, with which it ends
        rawbpf.load(rawbpf.make_plan(spec, only=case.programs)) as obj,
        attach_cases.playing(lab, obj) as scene,
    ):
        made = case.attach(scene, obj.programs[f"do_{case.program}"])
        assert isinstance(made, Attachment)
        made.release()
        assert made.closed
        assert runs(scene, case)


def test_rounds_without_end_leave_nothing(case: Case, scene: Scene) -> None:
    program = scene.obj.programs[f"do_{case.program}"]
    number = rounds(100 if case.program in SLOW else 1000)
    attach_and_close(lambda: case.attach(scene, program), number)
    assert rests(scene, case)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_attach_leaves_nothing(case: Case, scene: Scene) -> None:
    program = scene.obj.programs[f"do_{case.program}"]
    case.attach(scene, program).close()  # imports are behind us
    made: list[Link | Attachment] = []

    def once() -> None:
        made.append(case.attach(scene, program))
        made[0].close()

    for _ in interrupted(once, AtCall, case.step):
        made.clear()
        assert rests(scene, case, patience=0)
    assert rests(scene, case)
