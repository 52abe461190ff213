# SPDX-License-Identifier: BSD-2-Clause
"""``rawbpf ringbuf``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from rawbpf.btf.record import EnumValue, Record

if TYPE_CHECKING:
    from rawbpf.kernel.maps import Map
    from rawbpf.kernel.streams.reader import Reader


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("map", metavar="MAP", help="a ring buffer or a perf event array: its pin, its id or its name")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument(
        "--type",
        metavar="TYPE",
        help="the C type of the records (default: struct event for a map `events`, if the programs' BTF has it)",
    )
    shape.add_argument("--raw", action="store_true", help="bytes in hex, even where a type is known")
    parser.add_argument("--btf", metavar="FILE", help="look for the type in this file (an object, or BTF)")
    parser.add_argument("--count", metavar="N", type=_positive, help="end after N records")
    parser.add_argument("--timeout", metavar="SECONDS", type=float, help="end when none came for so long")
    parser.add_argument("--json", action="store_true", help="one JSON value a line: objects, numbers, bytes in hex")
    parser.epilog = "example:\n  rawbpf ringbuf events --type 'struct event' --json --count 10"


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not number:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def run(args: argparse.Namespace) -> int:
    """Print records as they come."""
    from rawbpf.cli.handles import find
    from rawbpf.kernel.maps import Map

    with find(Map, args.map) as map_, _reader(map_, args) as reader:
        try:
            _follow(reader, args)
        except KeyboardInterrupt:  # the way to end it
            if sys.stderr.isatty():
                print(file=sys.stderr)  # behind the ^C
        lost = sum(getattr(reader, "lost", {}).values())
    sys.stdout.flush()
    if lost:
        print(f"rawbpf: {lost} records were lost: they came faster than they were read", file=sys.stderr)
    return 0


def _reader(map_: Map, args: argparse.Namespace) -> Reader:
    from rawbpf.kernel.streams.perfbuf import PerfBuffer
    from rawbpf.kernel.streams.ringbuf import RingBuffer
    from rawbpf.kernel.streams.source import guess_type
    from rawbpf.uapi import MapType

    btf = None
    if args.btf:
        from rawbpf.objfile.reader import read_btf

        btf = read_btf(args.btf)
    kind = None if args.raw else args.type or guess_type(map_, btf)
    if map_.type == MapType.PERF_EVENT_ARRAY:
        return PerfBuffer(map_, kind, btf=btf)
    return RingBuffer(map_, kind, btf=btf)


def _follow(reader: Reader, args: argparse.Namespace) -> None:
    import json

    from rawbpf.cli.map_values import plain

    left = args.count or sys.maxsize
    for number, record in enumerate(reader.records(timeout=args.timeout), 1):
        print(json.dumps(plain(record)) if args.json else _shown(record), flush=True)
        if number == left:
            return


def _shown(value: Any) -> str:
    match value:
        case Record():
            return " ".join(f"{name}={_shown(value[name])}" for name in type(value)._names)
        case list():
            return f"[{', '.join(map(_shown, value))}]"
        case bytes():
            return value.hex(" ")
        case str() | EnumValue():
            text = str(value)
            return text if text.isprintable() and " " not in text else repr(text)
    return str(value)
