# SPDX-License-Identifier: BSD-2-Clause
"""Both loaders on the same objects, many of them: a crash or a hang at one of them does not end it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import libbpf, ours
from .compare import compare

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from .libbpf import Recording, Recordings

BATCH = 16
"""Objects of one process of each loader: more of them share what starting costs, fewer need less memory at a time."""


@dataclass(frozen=True)
class Options:
    """How objects are loaded.

    Attributes:
        each: after the whole object, each of its programs alone.
        programs: load just these; the default is the object's own choice.
        attach: the objects whose struct_ops maps are attached, and detached again.
        btf: a BTF file for CO-RE in place of the running kernel's.
        limit: seconds that a load may take.
    """

    each: bool = False
    programs: list[str] | None = None
    attach: frozenset[Path] = frozenset()
    btf: Path | None = None
    limit: float = libbpf.LIMIT


@dataclass(frozen=True)
class Match:
    """One load by both: of an object, or of one of its programs alone.

    Attributes:
        program: '' for the object as a whole.
        differences: of `compare`; empty if both handed over the same.
    """

    obj: Path
    program: str
    ours: Recording
    theirs: Recording
    differences: list[str] = field(default_factory=list)


def contest(objs: Iterable[Path], options: Options) -> Iterator[Match]:
    """Has both loaders load each object, and compares.

    Raises:
        OracleUnavailable: libbpf, or the recorder, cannot be had.
    """
    wanted = list(dict.fromkeys(objs))
    drivers = ours.driver(limit=options.limit), libbpf.driver(limit=options.limit)
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        mine, theirs = (
            driver.record_all(
                batch,
                each=options.each,
                programs=options.programs,
                attach=options.attach.intersection(batch),
                btf=options.btf,
            )
            for driver in drivers
        )
        for obj in batch:
            yield from _matches(obj, mine, theirs)


def _matches(obj: Path, mine: Recordings, theirs: Recordings) -> Iterator[Match]:
    for program in dict.fromkeys(name for found in (theirs, mine) for path, name in found if path == obj):
        ours, other = (_counterpart(found, obj, program) for found in (mine, theirs))
        if ours and other:
            yield Match(obj, program, ours, other, compare(ours, other))


def _counterpart(found: Recordings, obj: Path, program: str) -> Recording | None:
    """The load of a program alone; of an object that cannot be opened, that refusal; None if none was tried."""
    whole = found[obj, ""]
    return whole if whole.stage == "open" else found.get((obj, program))
