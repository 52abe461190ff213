# SPDX-License-Identifier: BSD-2-Clause
"""``rawbpf unload``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rawbpf.cli.output import add_json, print_json
from rawbpf.pins import PIN_ROOT

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("what", metavar="NAME|OBJ|DIR", help="the object's name, its file, or where it was pinned")
    add_json(parser)
    parser.epilog = "example:\n  rawbpf unload mptcp_bpf_rr"


def run(args: argparse.Namespace) -> int:
    """Detach and remove the object."""
    from rawbpf.kernel.loaded import unload
    from rawbpf.kernel.usage import still_chosen

    if "/" in args.what and not args.what.endswith(".o"):
        path = os.path.abspath(args.what)
    else:
        path = f"{PIN_ROOT}/{os.path.basename(args.what).split('.')[0]}"
    removed = unload(path)
    chosen = still_chosen()
    if args.json:
        in_use = [{"sysctl": name, "value": value} for name, value, _there in chosen]
        print_json({"path": path, "removed": removed, "still_chosen": in_use, "errors": []})
        return 0
    print(f"{os.path.basename(path)} is unloaded: {len(removed)} pins below {path} removed")
    for name, value, there in chosen:
        print(f"{name} still says {value}: new connections keep it in use until you choose another one.")
        print(f"There are: {', '.join(there)}. Choose with: sysctl -w {name}={there[0]}")
    return 0
