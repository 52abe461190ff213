# SPDX-License-Identifier: BSD-2-Clause
"""``rawbpf load``."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager, nullcontext
from shlex import quote
from typing import TYPE_CHECKING, Any

from rawbpf.cli.output import add_json, print_json, print_table
from rawbpf.cli.planning import add_plan_arguments, open_spec, pin_dir, plan_options, plan_to_json
from rawbpf.errors import SpecError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from rawbpf.kernel.object import Object
    from rawbpf.kernel.usage import Usage
    from rawbpf.objfile.spec import ObjectSpec
    from rawbpf.plan.plan import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_plan_arguments(parser)
    parser.add_argument("--btf", metavar="FILE", help="take the kernel's types for CO-RE from this file")
    parser.add_argument("--hold", action="store_true", help="stay until Ctrl-C, then unload")
    add_json(parser)
    parser.epilog = "example:\n  rawbpf load objs/mptcp_bpf_rr.o\n  sysctl -w net.mptcp.scheduler=bpf_rr"


def run(args: argparse.Namespace) -> int:
    """Load, attach, pin, and say what was done."""
    from rawbpf.kernel.executor import execute
    from rawbpf.plan.steps import Pin

    spec = open_spec(args)
    directory = pin_dir(args, spec)
    plan = _plan(spec, directory, args)
    if not any(isinstance(step, Pin) for step in plan.steps):
        directory = ""
    if directory:
        _prepare(spec, directory, args)
    with _interrupted_by_signals(), execute(plan) as obj:
        stays = False
        try:
            with _until_interrupted() if args.hold else nullcontext():
                _report(spec, plan, obj, directory, args)
                if args.hold:
                    _wait()
            stays = not args.hold
        except BrokenPipeError:
            stays = not args.hold  # who read our output has gone, and has nothing against what is loaded
            raise
        finally:
            if directory and not stays:
                from rawbpf.kernel.loaded import unload

                unload(directory)
    if args.hold and not args.json:
        print(f"{spec.name} is unloaded")
    return 0


def _plan(spec: ObjectSpec, directory: str, args: argparse.Namespace) -> Plan:
    from rawbpf.kernel.host import host_target
    from rawbpf.plan.planner import make_plan

    target = host_target(args.token)
    if args.btf:
        from rawbpf.objfile.reader import read_btf

        target.core_btf = read_btf(args.btf)
    return make_plan(
        spec,
        target,
        attach=not args.no_attach,
        pin_dir=directory,
        only=args.only,
        kconfig="\n".join(args.kconfig),
        token=args.token,
        **plan_options(args),
    )


def _prepare(spec: ObjectSpec, directory: str, args: argparse.Namespace) -> None:
    from rawbpf.kernel import bpffs

    if os.path.isdir(directory) and bpffs.is_bpffs(directory) and os.listdir(directory):
        raise SpecError(
            f"something is loaded at {directory} already",
            path=spec.path,
            hint=f"rawbpf unload {directory if args.pin else spec.name}; or choose another place: --pin DIR",
        )
    if not args.pin:
        bpffs.mount()


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    # to be told to end, and to lose the terminal, is to be interrupted: what was made goes, as with Ctrl-C
    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait() -> None:
    with _wakeups() as fd:
        sys.stdout.flush()
        while True:
            os.read(fd, 1)


@contextmanager
def _until_interrupted() -> Iterator[None]:
    # whoever reads what is told may interrupt at once
    try:
        yield
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            print(file=sys.stderr)  # behind the ^C


@contextmanager
def _wakeups() -> Iterator[int]:
    # A descriptor with a byte for each signal. signal.pause() would not see one that comes just before it: Python only
    # notes it, to run its handler when the call returns.
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)


def _report(spec: ObjectSpec, plan: Plan, obj: Object, directory: str, args: argparse.Namespace) -> None:
    attached = set(obj.links) | {name for name, ops in obj.struct_ops.items() if not ops.has_link}
    uses = [use for name in obj.struct_ops if name in attached and (use := _usage(spec, name))]
    skipped = _not_attached(obj)
    if args.json:
        print_json(_to_json(spec, plan, obj, directory, uses, skipped))
        return
    if not plan.programs and not plan.maps:
        print(f"nothing of {spec.name} is loaded: all of it is optional. Name what you want: --only PROG")
        return
    print(f"{spec.name} is loaded into {plan.target}")
    programs = [(p.name, step.section, p.info.id, p.tag, p.info.xlated_len) for step in plan.programs
                if (p := obj.programs[step.name])]  # fmt: skip
    print_table("programs:", ("name", "section", "id", "tag", "bytes (xlated)"), programs)
    print_table("maps:", ("name", "type", "id"), [(m.name, _lower(m.type), m.id) for m in obj.maps.values()])
    for step in plan.maps:
        if step.pin_path:
            print(f"\npinned by its name, and left there by unload: {step.pin_path}")
    print_table("links:", ("name", "id"), [(link.name, link.id) for link in obj.links.values()])
    for name, why in skipped:
        print(f"\nnot attached: {name}: {why}")
    _advise(spec, obj, directory, uses, args)


def _lower(value: object) -> str:
    return getattr(value, "name", str(value)).lower()


def _usage(spec: ObjectSpec, name: str) -> Usage | None:
    from rawbpf.btf import value as typed
    from rawbpf.kernel.usage import usage

    ops = spec.struct_ops[name]
    assert spec.btf is not None
    record = typed.decode(spec.btf, ops.type_id, bytes(ops.data))
    label = getattr(record, "name", "")
    return usage(ops.type_name.partition("___")[0], label if isinstance(label, str) else "")


def _not_attached(obj: Object) -> list[tuple[str, str]]:
    from rawbpf.kernel.attach import Attachment

    unpinned = [name for name, link in obj.links.items() if isinstance(link, Attachment)]
    why = "it is attached as long as this command runs: this kernel has no link for it, which could be pinned"
    return [*obj.skipped.items(), *((name, why) for name in unpinned)]


def _advise(spec: ObjectSpec, obj: Object, directory: str, uses: list[Usage], args: argparse.Namespace) -> None:
    print()
    if directory and not args.hold:
        print(f"It stays after this command: its pins below {directory} keep it alive.")
        print(f"Remove it with: rawbpf unload {quote(directory if args.pin else spec.name)}")
    elif args.hold:
        print("It stays until this command ends: Ctrl-C unloads it.")
    else:
        print("Nothing is pinned: all of it is gone when this command ends, which is now.")
        return
    for use in uses:
        if use.available:
            print(f"{use.name} is in {use.listed_in}. Use it with: {use.command}")
        else:
            print(
                f"{use.name} is not in {use.listed_in}: {use.type_name} did not register it in this network namespace."
            )


def _to_json(
    spec: ObjectSpec, plan: Plan, obj: Object, directory: str, uses: list[Usage], skipped: list[tuple[str, str]]
) -> dict[str, Any]:
    data = plan_to_json(spec, plan)
    for entry in data["programs"]:
        program = obj.programs[entry["name"]]
        entry |= {"id": program.id, "tag": program.tag, "xlated_len": program.info.xlated_len}
    for entry in data["maps"]:
        if entry["name"] in obj.maps:
            entry["id"] = obj.maps[entry["name"]].id
    data["links"] = [{"name": link.name, "id": link.id} for link in obj.links.values()]
    data["pinned_at"] = directory or None
    data["not_attached"] = [{"program": name, "reason": why} for name, why in skipped]
    data["usage"] = [use._asdict() for use in uses]
    return data
