# SPDX-License-Identifier: BSD-2-Clause
"""Loads one object with rawbpf and prints the outcome as JSON: the child process of ours.py.

The counterpart of drive_libbpf.py, with the same options and output. Nothing gets attached, but struct_ops maps on
request, which are detached again before the end.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from drive_libbpf import arguments, empty_bpffs, mark, own_mounts

import rawbpf

if TYPE_CHECKING:
    import argparse


def load(options: argparse.Namespace, chosen: list[str] | None) -> dict[str, object]:
    """Loads the chosen programs, or those that load by themselves, and tells how it went."""
    empty_bpffs()
    stage = "open"
    try:
        spec = rawbpf.open(options.object)
        stage = "load"
        if chosen is not None:
            spec.only(chosen)
        with rawbpf.load(spec) as obj:
            if options.attach:
                for struct_ops in obj.struct_ops.values():
                    with struct_ops.attach():
                        pass
            return {"stage": stage, "errno": 0, "programs": {name: name in obj.programs for name in spec.programs}}
    except rawbpf.RawbpfError as error:
        print(error.report(), file=sys.stderr)
        return {"stage": stage, "errno": getattr(error, "errno", None) or -1, "programs": {}}


def main() -> None:
    options = arguments(library=False)
    own_mounts()
    if not options.each:
        print(json.dumps(load(options, options.program)))
        return
    outcomes = {}
    for name in rawbpf.open(options.object).programs:
        mark(name)
        outcomes[name] = load(options, [name])
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
