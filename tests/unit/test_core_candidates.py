# SPDX-License-Identifier: BSD-2-Clause
"""CO-RE on hand-built types: what is looked at when there are several candidates, in the kernel and in its modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from corekit import A, B, C, resolve
from typekit import FIRST, INT, LONG, UINT, make_btf, struct

from rawbpf.btf import types as t
from rawbpf.btf.core import CoreResolver
from rawbpf.btf.ext import CoreRelo
from rawbpf.errors import CoreRelocationError
from rawbpf.uapi import CoreReloKind as Kind

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf

PAIR = struct("pair", ("x", INT, 0), ("y", INT, 4), size=8)
MOVED = struct("pair", ("gap", LONG, 0), ("y", INT, 8), ("x", INT, 12), size=16)


def test_story_of_a_fix() -> None:
    fix = resolve(make_btf(PAIR), make_btf(MOVED), Kind.FIELD_BYTE_OFFSET, "0:1")
    assert (fix.access, fix.target) == ("struct pair.y", "vmlinux [10] struct pair.y")
    assert fix.candidates == ("vmlinux [10] struct pair: found",)


def test_story_of_a_missing_field() -> None:
    fix = resolve(make_btf(struct("pair", ("no", INT, 0))), make_btf(MOVED), Kind.FIELD_BYTE_OFFSET, "0:0")
    assert (fix.access, fix.target) == ("struct pair.no", "")
    assert fix.candidates == ("vmlinux [10] struct pair: not there, or of another type",)


def test_candidates_that_agree_may_differ_elsewhere() -> None:
    # of the same offset, but of two types: what counts is the value that goes into the instruction
    local = make_btf(PAIR)
    target = make_btf(struct("pair", ("x", INT, 12)), struct("pair___b", ("x", UINT, 12)), struct("pair", ("x", C, 12)))
    assert resolve(local, target, Kind.FIELD_EXISTS, "0:0").new == 1
    target = make_btf(struct("pair", ("x", INT, 12)), struct("pair___b", ("x", LONG, 12)))
    fix = resolve(local, target, Kind.FIELD_BYTE_OFFSET, "0:0")
    assert (fix.new, fix.target) == (12, "vmlinux [10] struct pair.x")


def test_candidates_that_disagree() -> None:
    local = make_btf(PAIR)
    target = make_btf(struct("pair", ("x", INT, 0)), struct("pair", ("x", INT, 4)))
    with pytest.raises(CoreRelocationError, match="different answers") as caught:
        resolve(local, target, Kind.FIELD_BYTE_OFFSET, "0:0")
    assert caught.value.candidates == ("vmlinux [10] struct pair: found", "vmlinux [11] struct pair: found")
    assert (caught.value.kind, caught.value.access) == ("byte_off", "struct pair.x")
    assert caught.value.hint


def test_candidates_of_different_ids_disagree() -> None:
    target = make_btf(PAIR, PAIR)
    with pytest.raises(CoreRelocationError, match="different answers"):
        resolve(make_btf(PAIR), target, Kind.TYPE_ID_TARGET, "0")


def test_a_relocation_leaves_only_the_candidates_that_fit_for_the_next() -> None:
    local = make_btf(struct("twin", ("elsewhere", INT, 0), ("only_here", INT, 4)))
    target = make_btf(
        struct("twin", ("elsewhere", INT, 8), ("only_here", INT, 12)), struct("twin", ("elsewhere", INT, 16))
    )
    elsewhere, only_here = (CoreRelo(0, A, f"0:{n}", Kind.FIELD_BYTE_OFFSET) for n in (0, 1))
    resolver = CoreResolver(local, target)
    assert resolver.resolve(only_here).new == 12
    assert resolver.resolve(elsewhere).new == 8
    with pytest.raises(CoreRelocationError, match="different answers"):
        CoreResolver(local, target).resolve(elsewhere)


def test_a_relocation_that_fits_none_rules_out_none() -> None:
    local = make_btf(struct("s", ("missing", INT, 0), ("x", INT, 4)))
    resolver = CoreResolver(local, make_btf(struct("s", ("x", INT, 8))))
    assert resolver.resolve(CoreRelo(0, A, "0:0", Kind.FIELD_BYTE_OFFSET)).poison
    assert resolver.resolve(CoreRelo(0, A, "0:1", Kind.FIELD_BYTE_OFFSET)).new == 8


def test_candidates_of_two_flavors_are_each_their_own() -> None:
    local = make_btf(struct("s___old", ("a", INT, 0)), struct("s___new", ("b", INT, 0)))
    resolver = CoreResolver(local, make_btf(struct("s", ("b", INT, 8))))
    assert resolver.resolve(CoreRelo(0, A, "0:0", Kind.FIELD_EXISTS)).new == 0
    assert resolver.resolve(CoreRelo(0, B, "0:0", Kind.FIELD_BYTE_OFFSET)).new == 8


def test_modules_are_asked_only_for_what_the_kernel_lacks() -> None:
    local = make_btf(struct("core", ("x", INT, 0)), struct("mod", ("x", INT, 0)))
    vmlinux = make_btf(struct("core", ("x", INT, 4)))
    first = make_btf(struct("core", ("x", INT, 8)), base=vmlinux, name="first")
    second = make_btf(struct("mod", ("x", INT, 12)), base=vmlinux, name="second")
    asked: list[str] = []

    def modules() -> list[Btf]:
        asked.append("modules")
        return [first, second]

    resolver = CoreResolver(local, vmlinux, modules)
    assert resolver.resolve(CoreRelo(0, A, "0:0", Kind.FIELD_BYTE_OFFSET)).new == 4
    assert asked == []
    fix = resolver.resolve(CoreRelo(0, B, "0:0", Kind.FIELD_BYTE_OFFSET))
    assert (fix.new, fix.target) == (12, f"second [{vmlinux.end_id}] struct mod.x")
    assert asked == ["modules"]


def test_modules_may_disagree() -> None:
    vmlinux = make_btf()
    modules = [make_btf(struct("m", ("x", INT, at)), base=vmlinux, name=f"mod{at}") for at in (0, 8)]
    resolver = CoreResolver(make_btf(struct("m", ("x", INT, 0))), vmlinux, lambda: modules)
    with pytest.raises(CoreRelocationError, match="different answers") as caught:
        resolver.resolve(CoreRelo(0, A, "0:0", Kind.FIELD_BYTE_OFFSET))
    assert [text.split()[0] for text in caught.value.candidates] == ["mod0", "mod8"]


def test_without_a_kernel_only_local_ids_are_known() -> None:
    local = make_btf(PAIR)
    assert resolve(local, None, Kind.TYPE_ID_LOCAL, "0").new == A
    assert resolve(local, None, Kind.FIELD_BYTE_OFFSET, "0:1").poison
    assert resolve(local, None, Kind.TYPE_EXISTS, "0").new == 0


def test_types_that_go_in_circles_are_an_error() -> None:
    local = make_btf(struct("s", ("x", INT, 0)))
    target = make_btf(struct("s", ("", B, 0)), struct("", ("", B, 0)))
    assert resolve(local, target, Kind.FIELD_EXISTS, "0:0").new == 0
    looped = make_btf(t.Typedef(A, "loop"))
    with pytest.raises(CoreRelocationError, match="chain of more than"):
        resolve(looped, looped, Kind.TYPE_EXISTS, "0")


def test_many_paths_to_nowhere_take_no_time() -> None:
    # 2^60 ways lead to the innermost anonymous member
    anonymous = [struct("", ("", FIRST + n, 0), ("", FIRST + n, 8)) for n in range(2, 60)]
    target = make_btf(struct("s", ("", FIRST + 1, 0)), *anonymous, struct("", ("y", INT, 0)))
    local = make_btf(struct("s", ("x", INT, 0)))
    assert resolve(local, target, Kind.FIELD_EXISTS, "0:0").new == 0
