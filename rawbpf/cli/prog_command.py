# SPDX-License-Identifier: BSD-2-Clause
"""``rawbpf prog``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from rawbpf.cli.output import add_json, print_json
from rawbpf.errors import SpecError

if TYPE_CHECKING:
    import argparse

    from rawbpf.kernel.info import ProgInfo
    from rawbpf.kernel.syscall import RunResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    what = "run it by hand (BPF_PROG_TEST_RUN)"
    sub = actions.add_parser("run", help=what, formatter_class=parser.formatter_class)
    sub.description = f"{what[0].upper()}{what[1:]}."
    sub.add_argument("program", metavar="PROG", help="id, path of a pin, or name")
    sub.add_argument("--data", metavar="FILE|HEX", default="", help="the packet, from its Ethernet header on")
    sub.add_argument("--ctx", metavar="FILE|HEX", default="", help="the context: the C struct of the program's type")
    sub.add_argument("--repeat", metavar="N", type=int, default=1, help="how often (default: 1)")
    sub.add_argument("--cpu", metavar="N", type=int, help="run there (raw tracepoints only)")
    sub.add_argument("--live-frames", action="store_true", help="XDP: do what it says with N real frames")
    sub.add_argument("--batch-size", metavar="N", type=int, default=0, help="how many live frames go together")
    add_json(sub)
    sub.epilog = 'example:\n  rawbpf prog run filter --data "ffffffffffff 020000000001 0800" --repeat 1000'
    parser.epilog = "example:\n  rawbpf prog run 42 --data packet.bin"


def run(args: argparse.Namespace) -> int:
    """Run the program, and say what came of it."""
    from rawbpf.cli.handles import find
    from rawbpf.kernel.programs import Program, run_statistics

    data, context = _bytes("--data", args.data), _bytes("--ctx", args.ctx)
    with find(Program, args.program) as program, run_statistics():
        result = program.test_run(
            data,
            context,
            repeat=args.repeat,
            cpu=args.cpu,
            live_frames=args.live_frames,
            batch_size=args.batch_size,
        )
        about = program.info
    if args.json:
        print_json(_to_json(about, result))
    else:
        _print(about, result, args)
    return 0


def _bytes(option: str, text: str) -> bytes:
    # a file if there is one; its name is hardly ever an even number of hex digits
    if os.path.exists(text):
        try:
            with open(text, "rb") as file:
                return file.read(1 << 20)
        except OSError as failure:
            raise SpecError(f"{option}: {text} cannot be read: {failure.strerror}") from failure
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise SpecError(f"{option}: {text!r} is neither a file nor bytes in hex", hint='"01 02 0a ff"') from None


def _to_json(about: ProgInfo, result: RunResult) -> dict[str, Any]:
    return {
        "program": {"id": about.id, "name": about.name, "tag": about.tag, "type": _type(about)},
        "retval": result.retval,
        "duration_ns": result.duration,
        "data": result.data.hex(),
        "context": result.context.hex(),
        "run_cnt": about.run_cnt,
        "run_time_ns": about.run_time_ns,
        "errors": [],
    }


def _type(about: ProgInfo) -> str:
    return str(getattr(about.type, "name", about.type)).lower()


def _print(about: ProgInfo, result: RunResult, args: argparse.Namespace) -> None:
    signed = f" ({result.retval - (1 << 32)})" if result.retval >> 31 else ""
    print(f"{about.name} ({_type(about)}, id {about.id}) returned {result.retval}{signed}")
    times = "once" if args.repeat <= 1 else f"{args.repeat} times"
    print(f"it ran {times}, {result.duration} ns each")
    for name, made in (("packet", result.data), ("context", result.context)):
        if made:
            print(f"\n{name} afterwards, {len(made)} bytes:")
            for at in range(0, len(made), 16):
                print(f"  {at:04x}  {made[at : at + 16].hex(' ')}")
