# SPDX-License-Identifier: BSD-2-Clause
"""Loads one object with rawbpf and prints the outcome as JSON: the child process of ours.py.

The counterpart of drive_libbpf.py, with the same options and output. Nothing gets attached, but struct_ops maps on
request, which are detached again before the end.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

# a script has its own directory on the path
from drive_libbpf import arguments, empty_bpffs, mark, own_mounts  # type: ignore[import-not-found]

import rawbpf

if TYPE_CHECKING:
    import argparse


class Loader:
    """Opens and loads the object; each load begins afresh, but for what is known of the kernel."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.target = rawbpf.host_target()

    def load(self, chosen: list[str] | None) -> dict[str, object]:
        """Loads the chosen programs, or those that load by themselves, and tells how it went."""
        empty_bpffs()
        stage = "open"
        try:
            spec = rawbpf.open(self.options.object)
            stage = "load"
            if chosen is not None:
                spec.only(chosen)
            # without a control group, struct_ops is all that attaches
            plan = rawbpf.make_plan(spec, self.target, attach=self.options.attach)
            with rawbpf.execute(plan) as obj:
                return {"stage": stage, "errno": 0, "programs": {name: name in obj.programs for name in spec.programs}}
        except rawbpf.RawbpfError as error:
            print(error.report(), file=sys.stderr)
            return {"stage": stage, "errno": getattr(error, "errno", None) or -1, "programs": {}}

    def programs(self) -> list[str]:
        """The object's programs; none if it is refused."""
        try:
            return list(rawbpf.open(self.options.object).programs)
        except rawbpf.RawbpfError as error:
            print(error.report(), file=sys.stderr)
            return []


def main() -> None:
    options = arguments(library=False)
    own_mounts()
    loader = Loader(options)
    if not options.each:
        print(json.dumps(loader.load(options.program)))
        return
    outcomes = {}
    for name in loader.programs():
        mark(name)
        outcomes[name] = loader.load([name])
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
