# SPDX-License-Identifier: BSD-2-Clause
"""`make_plan`: a spec and a kernel become a plan. It reads like the list of what a loader does, in libbpf's order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawbpf.btf.core import CoreResolver
from rawbpf.errors import RelocationError, TargetError, where
from rawbpf.objfile.attaching import attaching, why_not
from rawbpf.pins import LINKS, MAPS, PROGRAMS, pin_name
from rawbpf.plan import arg_ctx
from rawbpf.plan import steps as s
from rawbpf.plan.arg_ctx import fix_contexts, tagged_arguments
from rawbpf.plan.externs import resolve_externs
from rawbpf.plan.handed_btf import handed_btf
from rawbpf.plan.jump_tables import create_jump_tables
from rawbpf.plan.map_steps import BTF, MapPlanner
from rawbpf.plan.plan import Plan, PlannedVariable
from rawbpf.plan.program_steps import ProgramPlanner
from rawbpf.plan.relocate import Linker
from rawbpf.plan.struct_ops import prepare_struct_ops
from rawbpf.uapi import AttachType, CoreReloKind, MapType, ProgType

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from rawbpf.objfile.program_spec import ProgramSpec
    from rawbpf.objfile.spec import ObjectSpec
    from rawbpf.plan.externs import Resolved
    from rawbpf.plan.relocate import Linked
    from rawbpf.plan.struct_ops import Prepared
    from rawbpf.plan.target import Target


_BIND_REASON = "tools find the constants by it"


def make_plan(
    spec: ObjectSpec,
    target: Target,
    *,
    attach: bool = True,
    pin_dir: str = "",
    only: Collection[str] | None = None,
    kconfig: str = "",
    token: str | None = None,
    **options: Any,
) -> Plan:
    """Work out what to ask of a kernel to load an object.

    Args:
        spec: the object.
        target: the kernel.
        attach: add the steps that attach what attaches by itself.
        pin_dir: add the steps that pin everything below this directory of a bpffs.
        only: load just the programs with these names, and those of struct_ops that are made (`MapSpec.autocreate`), as
            libbpf does with autoload. Struct_ops are registered if all of their programs are named.
        kconfig: lines ``CONFIG_X=y`` that win over the kernel's configuration.
        token: the bpffs that a BPF token is made from, whose rights are used; empty for none, whatever the environment
            says; None for what it says (see `rawbpf.kernel.token`).
        options: with `attach`: where, for all programs that take it: ``cgroup``, ``dev``, ``netns``, ``pid``.

    Raises:
        SpecError, ExternError, RelocationError, CoreRelocationError: the object does not fit the kernel.
        NotSupportedError: the kernel lacks a struct_ops type.
    """
    with where(path=spec.path):
        plan = _Planner(spec, target, only, kconfig).plan(attach, pin_dir, options)
    if token is None:
        return plan
    return plan._replace(steps=(s.CreateToken("token", token, "what follows is made with its rights"), *plan.steps))


class _Planner:
    def __init__(self, spec: ObjectSpec, target: Target, only: Collection[str] | None, kconfig: str) -> None:
        self.spec = spec
        self.target = target
        self.only = None if only is None else set(only)
        self.maps = MapPlanner(spec, target, kconfig)
        self.struct_ops: list[Prepared] = []
        self.fd_array: list[str] = []
        self.func_ids: dict[str, dict[int, int]] = {}  # program → FUNCs in whose place it gets others

    def plan(self, attach: bool, pin_dir: str, options: dict[str, Any]) -> Plan:
        self._check()
        self._choose_struct_ops()
        programs = self._choose_programs()
        externs = resolve_externs(self.spec, self.target)
        linked = self._link(programs, externs)
        tables = [table for program in programs for table in linked[program.name].jump_tables]
        steps: list[s.Step] = [*create_jump_tables(tables, little=self.spec.little)]
        steps += self._btf_steps(linked)
        self.maps.linked = linked
        steps += self.maps.create({ops.spec.name: ops for ops in self.struct_ops})
        constants = [map_.name for map_ in self.maps.created if map_.kind == "rodata"]
        planner = ProgramPlanner(self.spec, self.target, self.struct_ops, self.fd_array)
        for program in programs:
            steps.append(planner.step(program, linked[program.name], self.func_ids.get(program.name, {})))
            steps += [s.BindMap(f"prog:{program.name}", f"map:{name}", _BIND_REASON) for name in constants]
        steps += [s.Close(table.handle, "the program holds it") for table in tables]
        steps += self.maps.fill_prog_arrays(linked)
        skipped: dict[str, str] = {}
        if attach:
            steps += self._attach_steps(programs, options, skipped)
            steps += self._struct_ops_steps(skipped)
        if pin_dir:
            steps += self._pin_steps(steps, pin_dir)
        return Plan(
            self.spec.name,
            self.spec.path,
            self.target.name,
            tuple(steps),
            tuple(self._variables()),
            {f"prog:{name}": tuple(program.notes) for name, program in linked.items() if program.notes},
            self.spec.little,
            self.target.fingerprint,
            skipped,
        )

    # -- choices

    def _check(self) -> None:
        if self.target.little != self.spec.little:
            mine, theirs = ("little" if little else "big" for little in (self.spec.little, self.target.little))
            raise TargetError(
                f"the object is {mine}-endian, {self.target.name} is {theirs}-endian",
                hint=f"compile with -target bpf{'eb' if theirs == 'big' else 'el'}",
            )
        for name in sorted(self.only or ()):
            if name not in self.spec.programs:
                raise self.spec.no_such("program", name, list(self.spec.programs))

    def _choose_struct_ops(self) -> None:
        for ops in self.spec.struct_ops.values():
            if self.spec.maps[ops.name].autocreate:
                self.struct_ops.append(prepare_struct_ops(self.spec, ops, self.target))

    def _choose_programs(self) -> list[ProgramSpec]:
        # a struct_ops program is loaded if a struct that is created uses it, whatever else was said (as in libbpf)
        used = {name for ops in self.struct_ops for name in ops.functions.values()}
        referred = {name for ops in self.spec.struct_ops.values() for name in (*ops.functions.values(), *ops.declared)}
        chosen = []
        for program in self.spec.programs.values():
            if program.name in referred:
                wanted = program.name in used
            else:
                wanted = program.autoload if self.only is None else program.name in self.only
            if wanted:
                chosen.append(program)
        return chosen

    # -- instructions

    def _link(self, programs: list[ProgramSpec], externs: dict[str, Resolved]) -> dict[str, Linked]:
        names = {program.name for program in programs}
        self.fd_array = _fd_array(externs)
        resolver, arena_offset = self._resolver(), self.maps.arena_offset()
        linker = Linker(self.spec, resolver, externs, self.fd_array, names, arena_offset, self.target.features)
        linked = {}
        for program in programs:
            with where(symbol=program.name):
                linked[program.name] = linker.link(program)
        return linked

    def _resolver(self) -> CoreResolver | None:
        spec, target = self.spec, self.target
        if spec.btf is None or spec.btf_ext is None or not spec.btf_ext.core_relo_sections():
            return None
        if target.core_btf is not None:
            return CoreResolver(spec.btf, target.core_btf)
        if target.btf is None and self._needs_kernel_types():
            raise RelocationError(
                f"the object has CO-RE relocations, and {target.name} has no BTF",
                hint="the kernel needs CONFIG_DEBUG_INFO_BTF; or name a file with its BTF (--btf FILE)",
            )
        return CoreResolver(spec.btf, target.btf, lambda: [module.btf for module in target.modules])

    def _needs_kernel_types(self) -> bool:
        ext = self.spec.btf_ext
        assert ext is not None
        return any(
            relo.kind != CoreReloKind.TYPE_ID_LOCAL
            for section in ext.core_relo_sections()
            for relo in ext.core_relos(section)
        )

    # -- steps

    def _btf_steps(self, linked: dict[str, Linked]) -> Iterator[s.Step]:
        if self.spec.btf is not None:
            builder = handed_btf(self.spec)
            tagged = tagged_arguments(self.spec.btf)
            if tagged and not self.target.features.has(arg_ctx.FEATURE):
                for name, program in linked.items():
                    func_ids = [f.func_info.type_id for f, _base in program.functions if f.func_info]
                    prog_type = self.spec.programs[name].prog_type
                    self.func_ids[name] = fix_contexts(builder, tagged, prog_type, func_ids)
            yield s.LoadBtf(BTF, builder.to_bytes(), "types of maps, functions and variables, and the source lines")

    def _struct_ops_steps(self, skipped: dict[str, str]) -> Iterator[s.Step]:
        for ops in self.struct_ops:
            name = ops.spec.name
            if self.only is not None and not self.only.issuperset(ops.functions.values()):
                skipped[name] = "not all of its programs were asked for"
                continue
            functions = sorted(ops.functions.items())
            slots = tuple(s.Slot(offset, f"prog:{program}", 8) for offset, program in functions)
            yield s.SetStructOps(
                f"map:{name}",
                name,
                ops.spec.type_name,
                ops.value,
                slots,
                ops.spec.link,
                "the programs become the functions of the struct" + ("" if ops.spec.link else ", and it is registered"),
            )
            if ops.spec.link:
                yield s.CreateLink(
                    f"link:{name}",
                    f"map:{name}",
                    int(AttachType.STRUCT_OPS),
                    reason="registers it while the link lives",
                )

    def _attach_steps(
        self, programs: list[ProgramSpec], options: dict[str, Any], skipped: dict[str, str]
    ) -> Iterator[s.Step]:
        for program in programs:
            if program.prog_type == ProgType.STRUCT_OPS:
                continue
            with where(symbol=program.name):
                section = program.sec_name if program.definition else ""  # which set_type has made meaningless
                how = attaching(section, options)
            if why := why_not(section, how, program.autoattach):
                skipped[program.name] = why
            elif how is not None:
                handles = f"link:{program.name}", f"prog:{program.name}"
                yield s.Attach(*handles, how.kind, how.arguments, f'SEC("{program.section}")')

    def _pin_steps(self, steps: list[s.Step], pin_dir: str) -> Iterator[s.Step]:
        folders = {s.CreateMap: MAPS, s.LoadProgram: PROGRAMS, s.CreateLink: LINKS, s.Attach: LINKS}
        closed = {step.handle for step in steps if isinstance(step, s.Close)}
        for step in steps:
            if isinstance(step, s.CreateMap | s.LoadProgram | s.CreateLink | s.Attach) and step.handle not in closed:
                name = pin_name(s.name_of(step.handle))
                yield s.Pin(step.handle, f"{pin_dir.rstrip('/')}/{folders[type(step)]}/{name}", "outlives the process")

    def _variables(self) -> Iterator[PlannedVariable]:
        created = {map_.name for map_ in self.maps.created}
        for variable in self.spec.variables.values():
            if variable.map in created:
                arena = self.spec.maps[variable.map].map_type == MapType.ARENA
                offset = variable.offset + (self.maps.arena_offset() if arena else 0)
                yield PlannedVariable(variable.name, f"map:{variable.map}", offset, variable.size, variable.type_id)


def _fd_array(externs: dict[str, Resolved]) -> list[str]:
    # index 0 means vmlinux and is never looked up
    handles = [extern.module.handle for extern in externs.values() if extern.module and extern.extern.kind == "kfunc"]
    return ["", *dict.fromkeys(handles)] if handles else []
