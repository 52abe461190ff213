# SPDX-License-Identifier: BSD-2-Clause
"""``rawbpf list``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rawbpf.cli.output import add_json, print_json, print_table
from rawbpf.errors import SpecError
from rawbpf.pins import PIN_ROOT

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("dir", metavar="DIR", nargs="?", help=f"where to look (default: {PIN_ROOT})")
    add_json(parser)
    parser.epilog = "example:\n  rawbpf list --json"


def run(args: argparse.Namespace) -> int:
    """Print what is loaded."""
    from rawbpf.kernel.loaded import loaded_objects

    root = args.dir or PIN_ROOT
    if args.dir and not os.path.isdir(args.dir):
        raise SpecError(f"{args.dir} is no directory", hint=f"the default is {PIN_ROOT}")
    objects = loaded_objects(root)
    if args.json:
        found = [{"name": o.name, "path": o.path, "pins": [pin._asdict() for pin in o.pins]} for o in objects]
        print_json({"objects": found, "errors": []})
        return 0
    if not objects:
        print(f"nothing is loaded below {root}")
    else:
        print(f"loaded below {root}:")
    for obj in objects:
        rows = [(pin.kind, pin.path.rsplit("/", 1)[1], pin.id) for pin in obj.pins]
        print_table(f"{obj.name} ({obj.path})", ("kind", "name", "id"), rows)
    return 0
