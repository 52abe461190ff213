# SPDX-License-Identifier: BSD-2-Clause
"""Loads objects with rawbpf and prints the outcomes as JSON lines: the child process of ours.py.

The counterpart of drive_libbpf.py, with the same options and output. Nothing gets attached, but struct_ops maps on
request, which are detached again before the end.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

# a script has its own directory on the path
from drive_libbpf import Outcome, arguments, drive  # type: ignore[import-not-found]

import rawbpf
from rawbpf.objfile.insn import decode

if TYPE_CHECKING:
    import argparse


class Loader:
    """Opens and loads objects; each load begins afresh, but for what is known of the kernel."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.target = rawbpf.host_target()
        if options.btf:
            self.target.core_btf = rawbpf.read_btf(options.btf)

    def load(self, path: str, chosen: list[str] | None, attach: bool) -> Outcome:
        """Loads the chosen programs, or those that load by themselves, and tells how it went."""
        programs: list[str] = []
        stage = "open"
        try:
            spec = rawbpf.open(path)
            programs, stage = list(spec.programs), "load"
            if chosen is not None:
                spec.only(chosen)
            for name, size in self.options.resize:
                spec.resize_section(name, int(size))
            for name, owner in self.options.exclusive:
                spec.maps[name].exclusive_program = owner
            for what, name, value in self.options.edit:
                edit(spec, what, name, value)
            for program in spec.programs.values():
                program.autoattach = False  # struct_ops is all that attaches
            with rawbpf.execute(rawbpf.make_plan(spec, self.target, attach=attach)) as obj:
                return Outcome(stage, 0, {name: name in obj.programs for name in programs})
        except rawbpf.RawbpfError as error:
            print(error.report(), file=sys.stderr, flush=True)
            return Outcome(stage, getattr(error, "errno", None) or -1, dict.fromkeys(programs, False))


def edit(spec: rawbpf.ObjectSpec, what: str, name: str, value: str) -> None:
    """One of the options --edit."""
    if what == "member":
        member, _offset, text = value.split(":")
        spec.struct_ops[name].set_text(member, text)
        return
    program = spec.programs[name]
    if what == "type":
        program.set_type(int(value))
    elif what == "attach-type":
        program.attach_type = int(value)
    elif what == "flags":
        program.flags |= int(value)
    elif what == "insns":
        program.replace_insns(decode(bytes.fromhex(value), little=spec.little))
    elif what == "target":
        number, function = value.split(":")
        program.attach_to(int(number), function)


if __name__ == "__main__":
    options = arguments(library=False)
    drive(options, Loader(options).load)
