# SPDX-License-Identifier: BSD-2-Clause
"""Plan → live `Object`: the steps one after the other, and everything undone if one of them fails."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from errno import EINVAL
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from rawbpf.errors import KernelError, RawbpfError, SpecError, TargetError, where
from rawbpf.kernel import attach_steps, bpffs, host, info, map_steps, program_steps, target_program, token
from rawbpf.kernel.fd import Fd
from rawbpf.kernel.log import debug
from rawbpf.kernel.maps import Map
from rawbpf.kernel.object import Object, Variable
from rawbpf.kernel.pinnable import Pinnable
from rawbpf.kernel.programs import Program
from rawbpf.plan import steps as s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rawbpf.btf.parse import Btf
    from rawbpf.errors import PermissionDeniedError
    from rawbpf.kernel.object import Attached
    from rawbpf.plan.plan import Plan

_LOAD = (
    s.CreateToken,
    s.LoadBtf,
    s.CreateMap,
    s.UpdateMap,
    s.FillArena,
    s.FreezeMap,
    s.PinMap,
    s.LoadProgram,
    s.BindMap,
    s.Close,
)


def execute(plan: Plan) -> Object:
    """Run all steps of a plan: load, attach, pin.

    If one fails, or the user interrupts, whatever was made before is gone again: descriptors, pins, directories,
    registrations.

    Raises:
        SpecError: the plan is for a machine of another byte order, or what is pinned does not fit.
        KernelError: or one of its kinds, with the name of the map, program or link as `symbol`.
    """
    live = Execution(plan).run(plan.steps)
    live.skipped = dict(plan.skipped)
    return live


def load(plan: Plan) -> Object:
    """Run the steps that load. Those that attach and pin are left to the methods of the `Object`; else as `execute`."""
    return Execution(plan).run(step for step in plan.steps if isinstance(step, _LOAD))


def fill_slots(data: bytes, slots: Iterable[s.Slot], number: Callable[[str], int]) -> bytes:
    """Put the numbers that only the kernel knows into instructions and values: the one place where that is done."""
    filled = bytearray(data)
    for slot in slots:
        filled[slot.offset : slot.offset + slot.size] = number(slot.handle).to_bytes(slot.size, sys.byteorder)
    return bytes(filled)


class Execution:
    """A plan while its steps run: what was made so far, by handle, and how to undo it."""

    # Who makes something that outlives its descriptor puts the way to undo it into `undo` first: an interrupt may come
    # at any moment. Descriptors need no such care, see rawbpf.kernel.fd.

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.btf: Callable[[], Btf | None] = cache(partial(_parse_btf, plan))
        self.made: dict[str, Fd | Pinnable | None] = {}  # by handle; None: BTF that the kernel did not take
        self.links: dict[str, Attached] = {}
        self.reused: set[str] = set()
        self.undo: list[Callable[[], object]] = []
        self.rights = ExitStack()  # a token, while the steps run
        self.denied: PermissionDeniedError | None = None  # why there is no BTF

    def run(self, steps: Iterable[s.Step]) -> Object:
        if self.plan.little != (sys.byteorder == "little"):
            raise SpecError("the plan is for a machine of the other byte order", path=self.plan.path)
        self.check_kernel()
        try:
            with self.rights:
                if not any(isinstance(step, s.CreateToken) for step in self.plan.steps):
                    self.rights.enter_context(token.use())
                for step in steps:
                    with where(path=self.plan.path):
                        _HANDLERS[type(step)](self, step)
                live = self.finish()
            self.undo.clear()
            return live
        except BaseException as failure:
            self.roll_back()
            if self.denied is not None and isinstance(failure, KernelError) and failure.errno == EINVAL:
                # what lacks its BTF looks invalid to the kernel; the reason is the right that was missing before
                with where(path=self.plan.path):
                    raise self.denied from failure
            raise

    def check_kernel(self) -> None:
        """Offsets and type ids in a plan are those of one kernel. Raises `TargetError` if it is not the running one."""
        if self.plan.kernel and self.plan.kernel != host.btf_fingerprint():
            raise TargetError(
                f"the plan was made for another kernel ({self.plan.target}) than the one that runs",
                path=self.plan.path,
                hint="plan again: rawbpf.make_plan(spec)",
            )

    def finish(self) -> Object:
        # BTF and modules were only needed on the way
        live = Object(self.plan.name, self.plan.path, self.btf)
        for handle, thing in self.made.items():
            if isinstance(thing, Map):
                live.maps[s.name_of(handle)] = thing
            elif isinstance(thing, Program):
                live.programs[s.name_of(handle)] = thing
            elif isinstance(thing, Fd):
                thing.close()
        live.links |= self.links
        for step in self.plan.steps:
            if isinstance(step, s.SetStructOps):
                live.struct_ops[step.name] = attach_steps.struct_ops(self, step)
        constant = {step.map for step in self.plan.steps if isinstance(step, s.FreezeMap)}
        for variable in self.plan.variables:
            name, handle, *rest = variable
            map_ = self.map(handle)
            make = Variable
            if map_.per_cpu:
                from rawbpf.kernel.percpu import PerCpuVariable as make
            live.variables[name] = make(name, map_, *rest, btf=self.btf, constant=handle in constant)
        return live

    def roll_back(self) -> None:
        held = [*self.links.values(), *(thing for thing in self.made.values() if thing is not None)]
        for undo in [*reversed(self.undo), *(thing.close for thing in held)]:
            try:
                undo()
            except (RawbpfError, OSError, KeyboardInterrupt) as failure:
                debug("rollback: %s", failure)  # who interrupts again wants all the more that nothing stays

    # -- what the steps need

    def number(self, handle: str) -> int:
        """The descriptor of a handle; 0 for none."""
        if not handle:
            return 0
        if handle not in self.made and handle.startswith("module:"):
            self.made[handle] = info.open_module_btf(s.name_of(handle))
        elif handle not in self.made and handle.startswith((s.PINNED, s.BY_ID)):
            self.made[handle] = target_program.open_program(handle).fd
        thing = self.made[handle]
        return 0 if thing is None else thing.fileno()

    def fill(self, data: bytes, slots: Iterable[s.Slot]) -> bytes:
        """What a step hands to the kernel, with the descriptors in it."""
        return fill_slots(data, slots, self.number)

    def thing(self, handle: str) -> Pinnable:
        """The map, program or link of a handle."""
        thing = self.made[handle]
        assert isinstance(thing, Pinnable)
        return thing

    def map(self, handle: str) -> Map:
        """The map of a handle."""
        thing = self.made[handle]
        assert isinstance(thing, Map)
        return thing

    def pin_at(self, thing: Pinnable, path: str) -> None:
        """Pin something; pin and new directories are gone again if a later step fails."""
        directories: list[str] = []
        self.undo.append(partial(bpffs.remove_directories, directories))
        bpffs.make_directories(os.path.dirname(path), directories)
        self.undo.append(partial(bpffs.unpin_own, thing.fd, path))
        thing.pin(path)


def _close(execution: Execution, step: s.Close) -> None:
    thing = execution.made.pop(step.handle)
    assert thing is not None
    thing.close()


_HANDLERS: dict[type, Callable[[Execution, Any], None]] = {
    s.CreateToken: program_steps.create_token,
    s.LoadBtf: program_steps.load_btf,
    s.CreateMap: map_steps.create_map,
    s.UpdateMap: map_steps.update_map,
    s.FillArena: map_steps.fill_arena,
    s.FreezeMap: map_steps.freeze_map,
    s.PinMap: map_steps.pin_map,
    s.LoadProgram: program_steps.load_program,
    s.BindMap: program_steps.bind_map,
    s.SetStructOps: attach_steps.set_struct_ops,
    s.CreateLink: attach_steps.create_link,
    s.Attach: attach_steps.attach,
    s.Pin: attach_steps.pin,
    s.Close: _close,
}


def _parse_btf(plan: Plan) -> Btf | None:
    from rawbpf.btf.parse import Btf

    return Btf(plan.btf, name=plan.name) if plan.btf else None
