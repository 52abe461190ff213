# SPDX-License-Identifier: BSD-2-Clause
"""The executor on a fake kernel and on the real one: what is made, and that nothing is left when a step fails."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from typing import TYPE_CHECKING

import asm
import pytest
from fake_kernel import FailAt

from rawbpf.btf.build import Builder
from rawbpf.errors import KernelError, PermissionDeniedError, SpecError
from rawbpf.kernel import bpffs, executor, gate, info, syscall
from rawbpf.plan import steps as s
from rawbpf.plan.plan import PlannedVariable
from rawbpf.uapi import Cmd, MapType

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Machine

    from rawbpf.kernel.fd import Fd


def whole_plan(machine: Machine) -> list[s.Step]:
    """A step of each kind that needs no BTF."""
    below, shared = machine.directory / "hand", str(machine.directory / "shared")
    return [
        s.CreateMap("map:template", "template", MapType.ARRAY, 4, 8, 1),
        s.CreateMap("map:outer", "outer", MapType.ARRAY_OF_MAPS, 4, 4, 1, inner_map="map:template"),
        s.Close("map:template"),
        s.CreateMap("map:shared", "shared", MapType.HASH, 4, 8, 4, pin_path=shared),
        s.PinMap("map:shared", shared),
        s.CreateMap("map:.rodata", "hand.rodata", MapType.ARRAY, 4, 8, 1, kind="rodata"),
        s.UpdateMap("map:.rodata", bytes(4), bytes(range(8))),
        s.FreezeMap("map:.rodata"),
        *asm.counter_steps(),
        s.BindMap("prog:zero", "map:.rodata"),
        s.Pin("map:table", str(below / "maps" / "table")),
        s.Pin("prog:count", str(below / "programs" / "count")),
    ]


def left_over(machine: Machine) -> list[str]:
    """Files below the directory for pins, and what is registered."""
    found = [str(path) for path in sorted(machine.directory.iterdir())]
    if machine.fake:
        found += [f"registered {thing.id}" for thing in machine.fake.registered]
    return found


def test_makes_what_the_plan_says(machine: Machine) -> None:
    variables = [PlannedVariable("counter", "map:.data", 0, 8), PlannedVariable("fixed", "map:.rodata", 2, 4)]
    with executor.execute(asm.plan(whole_plan(machine), variables)) as obj:
        assert set(obj.maps) == {"outer", "shared", ".rodata", ".data", "table"}
        assert set(obj.programs) == {"count", "zero"}
        assert obj.maps["table"].info.max_entries == 16
        assert obj.variables["fixed"].value == bytes([2, 3, 4, 5])
        assert obj.maps["table"].pins == [str(machine.directory / "hand/maps/table")]
        with pytest.raises(KernelError) as refusal:
            obj.maps[".rodata"][0] = bytes(8)
        assert refusal.value.errno == errno.EPERM
        with pytest.raises(SpecError, match="constant"):
            obj.variables["fixed"].value = bytes(4)
    assert obj.maps["table"].closed
    assert (machine.directory / "hand/programs/count").exists()


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_whatever_call_fails_nothing_is_left(machine: Machine, error: type[BaseException] | None) -> None:
    plan = asm.plan(whole_plan(machine))
    failed = 0
    for number in range(100):
        counter = FailAt(number, error)
        with contextlib.suppress(error or KernelError), gate.replace(counter):
            executor.execute(plan).close()
            clean(machine)
            failed -= 1
        failed += 1
        assert left_over(machine) == []
        if counter.left >= 0:
            break
    # all of them but the binding of .rodata to a program, which only tools need
    assert number == 16
    assert failed == 16 - (0 if error else 1)


def clean(machine: Machine) -> None:
    """Removes all pins."""
    for path in machine.directory.iterdir():
        if path.is_dir():
            bpffs.remove_tree(path)
        else:
            bpffs.unpin(path)


def test_a_pinned_map_is_used_again_with_its_contents(machine: Machine) -> None:
    path = str(machine.directory / "m")
    steps = [
        s.CreateMap("map:m", "m", MapType.ARRAY, 4, 4, 1, pin_path=path),
        s.UpdateMap("map:m", bytes(4), b"init"),
        s.PinMap("map:m", path),
    ]
    with executor.execute(asm.plan(steps)) as first:
        assert first.maps["m"].raw_value(bytes(4)) == b"init"
        first.maps["m"][0] = b"used"
        with executor.execute(asm.plan(steps)) as second:
            assert second.maps["m"].raw_value(bytes(4)) == b"used"
            assert second.maps["m"].pins == [path]


def test_a_pinned_map_that_differs_is_an_error_that_names_the_differences(machine: Machine) -> None:
    path = str(machine.directory / "m")
    first = s.CreateMap("map:m", "m", MapType.ARRAY, 4, 4, 1, pin_path=path)
    executor.execute(asm.plan([first, s.PinMap("map:m", path)])).close()
    with pytest.raises(SpecError) as error:
        executor.execute(asm.plan([first._replace(map_type=MapType.HASH, value_size=8)]))
    assert "type is array there, hash in the object; value_size is 4 there, 8 in the object" in str(error.value)
    assert error.value.path == path
    assert error.value.symbol == "m"
    assert left_over(machine) == [path]


def test_a_pin_that_is_in_the_way_stays(machine: Machine) -> None:
    path = machine.directory / "taken"
    steps = [*asm.counter_steps(), s.Pin("map:table", str(path))]
    executor.execute(asm.plan(steps)).close()
    with pytest.raises(KernelError, match="already") as error:
        executor.execute(asm.plan(steps))
    assert error.value.errno == errno.EEXIST
    assert error.value.symbol == "table"
    assert left_over(machine) == [str(path)]


def test_load_leaves_attaching_and_pinning(machine: Machine) -> None:
    steps = [*asm.counter_steps(), s.Pin("map:table", str(machine.directory / "maps" / "table"))]
    with executor.load(asm.plan(steps)) as obj:
        assert left_over(machine) == []
        paths = obj.pin(machine.directory / "all")
    names = ["maps/_data", "maps/table", "programs/count", "programs/zero"]
    assert paths == [str(machine.directory / "all" / name) for name in names]
    assert all(os.path.exists(path) for path in paths)


def test_pinning_all_is_undone_if_one_fails(machine: Machine) -> None:
    with executor.load(asm.plan(asm.counter_steps())) as obj:
        obj.programs["zero"].pin(machine.directory / "all" / "programs" / "zero")
        with pytest.raises(KernelError, match="already"):
            obj.pin(machine.directory / "all")
    found = [os.path.join(folder, name) for folder, _, names in os.walk(machine.directory) for name in names]
    assert found == [str(machine.directory / "all" / "programs" / "zero")]
    assert not (machine.directory / "all" / "maps").exists()


def test_a_plan_for_the_other_byte_order_is_refused() -> None:
    with pytest.raises(SpecError, match="byte order"):
        executor.execute(asm.plan([])._replace(little=not asm.plan([]).little))


def test_errors_name_the_program(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [asm.program("fine", asm.RETURN_0), asm.program("broken", b"\xff" * 8)]
    calls = iter(range(100))
    original = gate._syscall or gate._kernel()

    def refuse_second(command: int, *arguments: int) -> int:
        if command == Cmd.PROG_LOAD and next(calls) > 0:
            ctypes.set_errno(errno.EINVAL)
            return -1
        return original(command, *arguments)

    with gate.replace(refuse_second), pytest.raises(KernelError) as error:
        executor.execute(asm.plan(steps))
    assert (error.value.symbol, error.value.section, error.value.path) == ("broken", "socket", "hand.o")


def test_the_right_to_load_btf_is_missed_when_something_looks_invalid_without(machine: Machine) -> None:
    steps = [s.LoadBtf("btf", Builder().to_bytes()), s.CreateMap("map:m", "m", MapType.HASH, 4, 4, 1, btf="btf")]
    original = gate._syscall or gate._kernel()

    def answer(command: int, *arguments: int) -> int:
        refusal = {Cmd.BTF_LOAD: errno.EPERM, Cmd.MAP_CREATE: errno.EINVAL}.get(Cmd(command & 0xFFFF))
        if refusal is None:
            return original(command, *arguments)
        ctypes.set_errno(refusal)
        return -1

    with gate.replace(answer), pytest.raises(PermissionDeniedError, match="BPF_BTF_LOAD") as error:
        executor.execute(asm.plan(steps))
    assert error.value.path == "hand.o"
    assert isinstance(error.value.__cause__, KernelError)


def test_slots_are_filled_in_host_order() -> None:
    fill: Callable[[str], int] = {"a": 0x01020304, "b": 5}.__getitem__
    filled = executor.fill_slots(bytes(16), (s.Slot(0, "a"), s.Slot(8, "b", 8)), fill)
    assert filled == (0x01020304).to_bytes(4, "little") + bytes(4) + (5).to_bytes(8, "little")


def test_the_fake_answers_as_the_kernel_does(machine: Machine) -> None:
    fields = {"map_type": MapType.HASH, "key_size": 4, "value_size": 4, "max_entries": 2, "map_name": "m"}
    with syscall.map_create(fields) as fd:
        number = fd.fileno()
        assert info.map_info(number)[2:6] == ("m", 4, 4, 2)
        for key in (b"aaaa", b"bbbb"):
            syscall.map_update_elem(number, key, b"1234")
        assert answer(syscall.map_update_elem, number, b"cccc", b"1234") == errno.E2BIG
        assert answer(syscall.map_lookup_elem, number, b"cccc", 4) == errno.ENOENT
        assert answer(syscall.map_delete_elem, number, b"cccc") == errno.ENOENT
        first = syscall.map_get_next_key(number, None, 4)
        assert first is not None
        assert {first, syscall.map_get_next_key(number, first, 4)} == {b"aaaa", b"bbbb"}
        assert answer(syscall.obj_pin, number, machine.directory / "with.dot") == errno.EPERM
        assert answer(syscall.obj_get, machine.directory / "nothing") == errno.ENOENT
    assert answer(syscall.map_create, {"map_type": 0}) == errno.EINVAL
    assert answer(syscall.map_freeze, 999) == errno.EBADF


def answer(function: Callable[..., object], *arguments: object) -> int | None:
    """The errno with which a call is refused."""
    with pytest.raises(KernelError) as error:
        function(*arguments)
    return error.value.errno


def test_modules_are_found_by_name(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    loads: list[dict[str, object]] = []

    def open_module(name: str) -> Fd:
        opened.append(name)
        return syscall.map_create({"map_type": MapType.ARRAY, "key_size": 4, "value_size": 4, "max_entries": 1})

    def load(fields: dict[str, object], insns: bytes, **more: object) -> tuple[Fd, str]:
        loads.append(fields | more | {"insns": insns})
        return open_module("a program"), ""

    monkeypatch.setattr(info, "open_module_btf", open_module)
    monkeypatch.setattr("rawbpf.kernel.verifier.load", load)
    slots = (s.Slot(4, "module:one"),)
    step = s.LoadProgram("prog:p", "p", "fentry", 26, 24, bytes(16), slots, attach_btf_id=7, attach_btf="module:two")
    with executor.execute(asm.plan([step._replace(fd_array=("", "module:one"))])):
        pass
    assert opened == ["two", "one", "a program"]
    (attr,) = loads
    assert attr["attach_btf_id"] == 7
    assert isinstance(attr["attach_prog_fd"], int)
    assert attr["attach_prog_fd"] > 2
    assert isinstance(attr["fd_array"], bytes)
    assert isinstance(attr["insns"], bytes)
    assert attr["fd_array"] == bytes(4) + attr["insns"][4:8]
