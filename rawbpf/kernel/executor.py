# SPDX-License-Identifier: BSD-2-Clause
"""Plan → live `Object`: the steps one after the other, and everything undone if one of them fails."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from errno import EEXIST, EINVAL
from functools import cache, partial
from struct import pack
from typing import TYPE_CHECKING, Any

from rawbpf.errors import KernelError, PermissionDeniedError, RawbpfError, SpecError, TargetError, VerifierError, where
from rawbpf.kernel import bpffs, creation, host, info, syscall, target_program, token, verifier
from rawbpf.kernel.fd import Fd
from rawbpf.kernel.gate import address
from rawbpf.kernel.links import Link
from rawbpf.kernel.log import debug
from rawbpf.kernel.maps import Map
from rawbpf.kernel.object import Object, Variable
from rawbpf.kernel.pinnable import Pinnable
from rawbpf.kernel.programs import Program
from rawbpf.kernel.struct_ops import StructOps
from rawbpf.plan import steps as s
from rawbpf.uapi import MapType, known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from rawbpf.btf.parse import Btf
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
    live = _Execution(plan).run(plan.steps)
    live.skipped = dict(plan.skipped)
    return live


def load(plan: Plan) -> Object:
    """Run the steps that load. Those that attach and pin are left to the methods of the `Object`; else as `execute`."""
    return _Execution(plan).run(step for step in plan.steps if isinstance(step, _LOAD))


def fill_slots(data: bytes, slots: Iterable[s.Slot], number: Callable[[str], int]) -> bytes:
    """Put the numbers that only the kernel knows into instructions and values: the one place where that is done."""
    filled = bytearray(data)
    for slot in slots:
        filled[slot.offset : slot.offset + slot.size] = number(slot.handle).to_bytes(slot.size, sys.byteorder)
    return bytes(filled)


class _Execution:
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
                live.maps[_name(handle)] = thing
            elif isinstance(thing, Program):
                live.programs[_name(handle)] = thing
            elif isinstance(thing, Fd):
                thing.close()
        live.links |= self.links
        for step in self.plan.steps:
            if isinstance(step, s.SetStructOps):
                live.struct_ops[step.name] = self.struct_ops(step)
        constant = {step.map for step in self.plan.steps if isinstance(step, s.FreezeMap)}
        for variable in self.plan.variables:
            name, handle, *rest = variable
            map_ = self.made[handle]
            assert isinstance(map_, Map)
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

    # -- handles

    def number(self, handle: str) -> int:
        """The descriptor of a handle; 0 for none."""
        if not handle:
            return 0
        if handle not in self.made and handle.startswith("module:"):
            self.made[handle] = info.open_module_btf(_name(handle))
        elif handle not in self.made and handle.startswith((s.PINNED, s.BY_ID)):
            self.made[handle] = target_program.open_program(handle).fd
        thing = self.made[handle]
        return 0 if thing is None else thing.fileno()

    def thing(self, handle: str) -> Pinnable:
        thing = self.made[handle]
        assert isinstance(thing, Pinnable)
        return thing

    # -- loading

    def create_token(self, step: s.CreateToken) -> None:
        self.rights.enter_context(token.use(step.path))

    def load_btf(self, step: s.LoadBtf) -> None:
        """The object's BTF. A kernel that does not take it can do without, but for struct_ops (as in libbpf)."""
        try:
            self.made[step.handle] = self.btf_fd(step)
        except KernelError as failure:
            if any(other.map_type == MapType.STRUCT_OPS for other in self.plan.maps):
                raise
            debug("BTF: %s; going on without", failure)
            self.denied = failure if isinstance(failure, PermissionDeniedError) else None
            self.made[step.handle] = None

    def btf_fd(self, step: s.LoadBtf) -> Fd:
        try:
            return verifier.load_btf(step.data)
        except KernelError:
            from rawbpf.kernel.features import Features
            from rawbpf.plan.sanitize import sanitize_btf

            reduced = sanitize_btf(step.data, Features())
            if reduced == step.data:
                raise
            return verifier.load_btf(reduced)

    def create_map(self, step: s.CreateMap) -> None:
        fields = {
            "map_type": step.map_type,
            "key_size": step.key_size,
            "value_size": step.value_size,
            "max_entries": step.max_entries,
            "map_flags": step.map_flags,
            "inner_map_fd": self.number(step.inner_map),
            "numa_node": step.numa_node,
            "map_name": step.name,
            "map_ifindex": step.map_ifindex,
            "btf_vmlinux_value_type_id": step.btf_vmlinux_value_type_id,
            "map_extra": step.map_extra,
            "value_type_btf_obj_fd": self.number(step.value_type_btf),
            "excl_prog_hash": address(step.excl_prog_hash) if step.excl_prog_hash else 0,
            "excl_prog_hash_size": len(step.excl_prog_hash),
        }
        if btf_fd := self.number(step.btf):
            fields |= {
                "btf_fd": btf_fd,
                "btf_key_type_id": step.btf_key_type_id,
                "btf_value_type_id": step.btf_value_type_id,
            }
        with where(symbol=_name(step.handle)):
            if step.pin_path and self.reuse(step):
                return
            map_ = self.made[step.handle] = self.map_of(step, creation.create_map(fields))
            if step.map_type == MapType.ARENA:
                map_.memory()  # the verifier wants to know where processes see it, which the first mapping decides

    def reuse(self, step: s.CreateMap) -> bool:
        fd = creation.reuse_map(step.pin_path, step._asdict())
        if fd is None:
            return False
        map_ = self.made[step.handle] = self.map_of(step, fd)
        map_.pins.append(step.pin_path)
        self.reused.add(step.handle)
        return True

    def map_of(self, step: s.CreateMap, fd: Fd) -> Map:
        return Map(
            fd,
            _name(step.handle),
            type=known(MapType, step.map_type),
            key_size=step.key_size,
            value_size=step.value_size,
            max_entries=step.max_entries,
            map_flags=step.map_flags,
            map_extra=step.map_extra,
            btf=self.btf,
            key_type_id=step.btf_key_type_id,
            value_type_id=step.btf_value_type_id,
        )

    def update_map(self, step: s.UpdateMap) -> None:
        # a map that is used again keeps what it holds, but leads to the programs of this load (as in libbpf)
        if step.map in self.reused and all(_kind(slot.handle) != "prog" for slot in step.slots):
            return
        value = fill_slots(step.value, step.slots, self.number)
        with where(symbol=_name(step.map)):
            try:
                syscall.map_update_elem(self.number(step.map), step.key, value, step.flags)
            except KernelError as failure:
                if step.slots and failure.errno == EINVAL:
                    failure.hint = f"{step.reason}: {_ALIKE[_kind(step.slots[0].handle)]}"
                raise

    def fill_arena(self, step: s.FillArena) -> None:
        map_ = self.made[step.map]
        assert isinstance(map_, Map)
        memory = map_.memory()
        if memory is not None and step.map not in self.reused:
            memory[step.offset : step.offset + len(step.data)] = step.data

    def freeze_map(self, step: s.FreezeMap) -> None:
        if step.map not in self.reused:
            with where(symbol=_name(step.map)):
                syscall.map_freeze(self.number(step.map))

    def pin_map(self, step: s.PinMap) -> None:
        if step.map in self.reused:
            return
        map_ = self.thing(step.map)
        with where(symbol=_name(step.map)):
            try:
                self.pin_at(map_, step.path)
            except KernelError as failure:
                # somebody else pinned one meanwhile: then that is the map
                created = next(map_ for map_ in self.plan.maps if map_.handle == step.map)
                if failure.errno != EEXIST or not self.reuse(created):
                    raise
                map_.close()

    def load_program(self, step: s.LoadProgram) -> None:
        if step.attach_btf_print:
            self.check_target(step)
        fields = {
            "prog_type": step.prog_type,
            "expected_attach_type": step.expected_attach_type,
            "prog_name": step.name,
            "kern_version": step.kern_version,
            "prog_flags": step.prog_flags,
            "prog_ifindex": step.prog_ifindex,
            "attach_btf_id": step.attach_btf_id,
            "attach_prog_fd": self.number(step.attach_btf),
            "log_level": step.log_level,
            "signature": address(step.signature) if step.signature else 0,
            "signature_size": len(step.signature),
            "keyring_id": step.keyring_id,
        }
        more: dict[str, Any] = {"license": step.license}
        if btf_fd := self.number(step.btf):
            fields |= {
                "prog_btf_fd": btf_fd,
                "func_info_rec_size": step.func_info_rec_size,
                "line_info_rec_size": step.line_info_rec_size,
            }
            more |= {"func_info": step.func_info, "line_info": step.line_info}
        if step.fd_array:
            more["fd_array"] = pack(f"={len(step.fd_array)}i", *map(self.number, step.fd_array))
        insns = fill_slots(step.insns, step.slots, self.number)
        with self.place(step):
            try:
                fd, log = verifier.load(fields, insns, **more)
            except VerifierError as failure:
                self.explain(step, failure)
                raise
        self.made[step.handle] = Program(
            fd,
            step.name,
            section=step.section,
            auto_attach=step.auto_attach,
            target=step.target,
            expected_attach_type=step.expected_attach_type,
            log=log,
        )

    def check_target(self, step: s.LoadProgram) -> None:
        # the id of a function is one of the program's BTF: another program may be at the pin by now, or have the id
        from rawbpf.plan.target import fingerprint

        if fingerprint(target_program.btf_of(self.number(step.attach_btf)).data) != step.attach_btf_print:
            raise TargetError(
                f"the BPF program {step.attach_btf} is another than the one that the plan was made for",
                symbol=step.name,
                hint="plan again: rawbpf.make_plan(spec)",
            )

    def explain(self, step: s.LoadProgram, failure: VerifierError) -> None:
        # the plan knows what the verifier cannot: which line of C, and what a poisoned instruction was
        from rawbpf.plan.verdict import judge

        verdict = judge(self.plan, step, failure.log)
        failure.insn, failure.source = verdict.insn, verdict.source
        failure.message = f"the verifier refused it: {verdict.message}" if verdict.message else failure.message
        failure.hint = verdict.hint or failure.hint

    def place(self, step: s.LoadProgram) -> AbstractContextManager[None]:
        return where(symbol=step.name, section=step.section)

    def bind_map(self, step: s.BindMap) -> None:
        try:
            syscall.prog_bind_map(self.number(step.program), self.number(step.map))
        except KernelError as failure:
            debug("%s is not bound to %s: %s", step.map, step.program, failure)  # a kernel before 5.10; only for tools

    def close(self, step: s.Close) -> None:
        thing = self.made.pop(step.handle)
        assert thing is not None
        thing.close()

    # -- attaching

    def struct_ops(self, step: s.SetStructOps) -> StructOps:
        map_ = self.made[step.map]
        assert isinstance(map_, Map)
        return StructOps(
            step.name,
            step.type_name,
            map_,
            fill_slots(step.value, step.slots, self.number),
            has_link=step.link,
            programs=tuple(_name(slot.handle) for slot in step.slots),
        )

    def set_struct_ops(self, step: s.SetStructOps) -> None:
        ops = self.struct_ops(step)
        if step.link:
            ops.set_value()
        else:
            registration = self.links[step.name] = ops.registration()
            self.undo.append(registration.detach)
            ops.set_value()

    def create_link(self, step: s.CreateLink) -> None:
        name = _name(step.handle)
        with where(symbol=name):
            ops = (o for o in self.plan.steps if isinstance(o, s.SetStructOps))
            made = self.struct_ops(next(o for o in ops if o.map == step.source)).create_link()
            self.made[step.handle] = self.links[name] = made

    def attach(self, step: s.Attach) -> None:
        from rawbpf.kernel.attach import auto

        program = self.thing(step.source)
        assert isinstance(program, Program)
        with where(symbol=program.name, section=program.section or None):
            made = self.links[_name(step.handle)] = auto.attach(program, step.kind, step.arguments)
        if isinstance(made, Link):
            self.made[step.handle] = made

    # -- pinning

    def pin(self, step: s.Pin) -> None:
        if step.handle not in self.made and _name(step.handle) in self.links:
            return  # it is attached without a link, and only links can be pinned
        with where(symbol=_name(step.handle)):
            self.pin_at(self.thing(step.handle), step.path)

    def pin_at(self, thing: Pinnable, path: str) -> None:
        directories: list[str] = []
        self.undo.append(partial(bpffs.remove_directories, directories))
        bpffs.make_directories(os.path.dirname(path), directories)
        self.undo.append(partial(bpffs.unpin_own, thing.fd, path))
        thing.pin(path)


_HANDLERS: dict[type, Callable[[_Execution, Any], None]] = {
    s.CreateToken: _Execution.create_token,
    s.LoadBtf: _Execution.load_btf,
    s.CreateMap: _Execution.create_map,
    s.UpdateMap: _Execution.update_map,
    s.FillArena: _Execution.fill_arena,
    s.FreezeMap: _Execution.freeze_map,
    s.PinMap: _Execution.pin_map,
    s.LoadProgram: _Execution.load_program,
    s.BindMap: _Execution.bind_map,
    s.SetStructOps: _Execution.set_struct_ops,
    s.CreateLink: _Execution.create_link,
    s.Attach: _Execution.attach,
    s.Pin: _Execution.pin,
    s.Close: _Execution.close,
}


_ALIKE = {
    "map": "a map in a slot has to be like `values`: type, key_size, value_size, flags; an array also in max_entries",
    "prog": "all programs of an array have to be of one type",
}


def _kind(handle: str) -> str:
    return handle.partition(":")[0]


def _name(handle: str) -> str:
    return handle.partition(":")[2]


def _parse_btf(plan: Plan) -> Btf | None:
    from rawbpf.btf.parse import Btf

    return Btf(plan.btf, name=plan.name) if plan.btf else None
