# SPDX-License-Identifier: BSD-2-Clause
"""What `load` and `plan` have in common: the options that shape a plan, and the plan as JSON."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from rawbpf.errors import SpecError, where
from rawbpf.pins import PIN_ROOT

if TYPE_CHECKING:
    from rawbpf.objfile.spec import ObjectSpec
    from rawbpf.plan.plan import Plan
    from rawbpf.plan.steps import CreateMap, LoadProgram


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """The object, and the options that shape a plan."""
    add = parser.add_argument
    several: dict[str, Any] = {"nargs": "+", "action": "extend"}
    parser.usage = f"{parser.prog} OBJ [options]"  # OBJ first: options with several values would take it
    add("object", metavar="OBJ", help="the object file (.o) made by clang -g -O2 -target bpf")
    add("--no-attach", action="store_true", help="load only; attach nothing")
    pins = parser.add_mutually_exclusive_group()
    pins.add_argument(
        "--no-pin", action="store_true", help="pin nothing, not even by name: all is gone when the command ends"
    )
    pins.add_argument("--pin", metavar="DIR", help=f"pin below DIR of a bpffs (default: {PIN_ROOT}/OBJNAME)")
    only = "load just the named programs, and all maps; a struct_ops is registered if all its programs are named"
    add("--only", metavar="PROG", **several, help=only)
    _add_where(parser)
    add("--token", metavar="DIR", help="use the rights that the bpffs at DIR delegates; empty for none")
    target = "let freplace and tracing programs attach to a function of another BPF program, by its id or its pin"
    add("--target", metavar="PROG=ID|PIN[:FUNC]", type=_target, default=[], **several, help=target)
    setting = "set global variables first, and members of struct_ops (NAME.MEMBER=VALUE; a program's name, null)"
    add("--set", metavar="NAME=VALUE", type=_setting, default=[], **several, help=setting)
    kconfig = "settings that win over the kernel's"
    add("--kconfig", metavar="CONFIG_X=V", type=_kconfig, default=[], **several, help=kconfig)


def _add_where(parser: argparse.ArgumentParser) -> None:
    # where to attach: the options of rawbpf.objfile.attaching
    add = parser.add_argument
    add("--cgroup", metavar="DIR", help="attach the programs that are for cgroups to this one")
    dev = "attach the programs for devices (xdp, tcx, netkit) to this one, by name or index"
    add("--dev", metavar="DEV", type=_number_or_name, help=dev)
    netns = "the network namespace of DEV, and of programs for namespaces (sk_lookup): name, path or process id"
    add("--netns", metavar="NETNS", type=_number_or_name, help=netns)
    add("--pid", metavar="PID", type=int, help="attach the programs that watch user space to this process only")


def _number_or_name(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _setting(text: str) -> str:
    if not text.partition("=")[0] or "=" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return text


def _target(text: str) -> tuple[str, int | str, str]:
    name, _equals, program = text.partition("=")
    program, _colon, function = program.partition(":")
    if not name or not program:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form PROG=ID, PROG=PIN or PROG=PIN:FUNCTION")
    return name, int(program) if program.isdecimal() else os.path.abspath(program), function


def _kconfig(text: str) -> str:
    if not text.startswith("CONFIG_") or not text.partition("=")[2]:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form CONFIG_NAME=VALUE")
    return text


def open_spec(args: argparse.Namespace) -> ObjectSpec:
    """The object, with the variables of ``--set`` set."""
    from rawbpf.objfile.attaching import options_of
    from rawbpf.objfile.reader import open_object

    spec = open_object(args.object)
    if not spec.programs and not spec.maps:
        raise SpecError(
            "nothing in the object can be loaded: it has no program and no map",
            path=spec.path,
            hint='a program is a function with SEC("…"), a map a variable with SEC(".maps")',
        )
    for option in plan_options(args):
        if not any(option in options_of(program.sec_name) for program in spec.programs.values()):
            raise SpecError(f"no program of the object takes a {option}", path=spec.path, hint=f"leave --{option} out")
    if not args.json:
        for warning in spec.warnings:
            print(f"rawbpf: {spec.path}: warning: {warning}", file=sys.stderr)
    if args.no_pin:
        for map_ in spec.maps.values():
            map_.pin_by_name = False
    for name, other, function in args.target:
        if name not in spec.programs:
            raise spec.no_such("program", name, list(spec.programs))
        with where(path=spec.path):
            spec.programs[name].attach_to(other, function)
    for setting in args.set:
        name, _equals, text = setting.partition("=")
        struct, _dot, member = name.partition(".")
        if member and struct in spec.struct_ops:
            spec.struct_ops[struct].set_text(member, text)
        elif name in spec.variables:
            spec.variables[name].set_text(text)
        else:
            raise spec.no_such("variable", name, list(spec.variables))
    return spec


def plan_options(args: argparse.Namespace) -> dict[str, Any]:
    """Where to attach, as far as it was said."""
    from rawbpf.objfile.attaching import OPTIONS

    return {option: value for option in OPTIONS if (value := getattr(args, option)) not in (None, "")}


def pin_dir(args: argparse.Namespace, spec: ObjectSpec) -> str:
    """Where to pin, or empty for nowhere."""
    if args.no_pin:
        return ""
    if args.pin == "":
        raise SpecError("--pin names no directory", hint=f"the default is {PIN_ROOT}/OBJNAME")
    directory = os.path.abspath(args.pin) if args.pin else f"{PIN_ROOT}/{spec.name}"
    if directory == PIN_ROOT:
        raise SpecError(f"{PIN_ROOT} holds the directories of all objects", hint=f"--pin {PIN_ROOT}/NAME")
    return directory


def plan_to_json(spec: ObjectSpec, plan: Plan) -> dict[str, Any]:
    """The plan as the object of docs/json.md: programs and maps picked out, then the steps."""
    return {
        "object": plan.name,
        "path": plan.path,
        "target": plan.target,
        "programs": [_program(plan, step) for step in plan.programs],
        "maps": [_map(step) for step in plan.maps],
        "plan": plan.to_json(),
        "warnings": spec.warnings,
        "errors": [],
    }


def _program(plan: Plan, step: LoadProgram) -> dict[str, Any]:
    from rawbpf.objfile.program_spec import attach_type_name
    from rawbpf.uapi import ProgType, known

    prog_type = known(ProgType, step.prog_type)
    return {
        "name": step.name,
        "section": step.section,
        "type": getattr(prog_type, "name", str(prog_type)),
        "attach_type": step.expected_attach_type,
        "attach_type_name": attach_type_name(step.prog_type, step.expected_attach_type),
        "attach_btf_id": step.attach_btf_id,
        "flags": step.prog_flags,
        "insns": step.insns.hex(),
        "func_info": step.func_info.hex(),
        "func_info_rec_size": step.func_info_rec_size,
        "line_info": step.line_info.hex(),
        "line_info_rec_size": step.line_info_rec_size,
        "notes": [{"insn": n.insn, "text": n.text} for n in plan.notes.get(step.handle, ())],
    }


def _map(step: CreateMap) -> dict[str, Any]:
    from rawbpf.uapi import MapType, known

    map_type = known(MapType, step.map_type)
    return {
        "name": step.handle.partition(":")[2],
        "kernel_name": step.name,
        "type": getattr(map_type, "name", str(map_type)),
        "key_size": step.key_size,
        "value_size": step.value_size,
        "max_entries": step.max_entries,
        "flags": step.map_flags,
        "map_extra": step.map_extra,
        "btf_key_type_id": step.btf_key_type_id,
        "btf_value_type_id": step.btf_value_type_id,
        "btf_vmlinux_value_type_id": step.btf_vmlinux_value_type_id,
    }
