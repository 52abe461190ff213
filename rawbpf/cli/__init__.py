# SPDX-License-Identifier: BSD-2-Clause
"""The command line: one file a command, each imported only when it is the one that was typed."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "load": "load an object file into the running kernel, attach it and pin it",
    "unload": "detach and remove what `load` left in the kernel",
    "list": "what `load` left in the kernel",
    "inspect": "what is in an object file: sections, programs, maps, variables, externs",
    "plan": "what `load` would ask of the kernel, and why; needs no root",
    "btf": "print BTF, the running kernel's or a file's, as C, text or JSON",
}

EXIT_CODES = """\
exit codes: 0 done; 1 failed otherwise; 2 wrong command line; 3 not a usable object or BTF file; 4 the object means
nothing that can be loaded; 5 it does not fit the kernel (extern, relocation); 6 the kernel refused a call; 7 the
verifier refused a program; 8 no permission; 9 the kernel lacks a feature; 130 interrupted (docs/cli.md)"""

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser(next((word for word in arguments if not word.startswith("-")), ""))
    try:
        args = parser.parse_args(arguments)
    except SystemExit as done:
        return int(done.code or 0)
    try:
        return _run(args)
    except KeyboardInterrupt:
        print("rawbpf: interrupted; nothing was left behind", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of our output went away (`| head`): not an error, and nothing more can be said
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(args: argparse.Namespace) -> int:
    from rawbpf.errors import RawbpfError

    try:
        code = int(args.run(args))
        sys.stdout.flush()
        return code
    except RawbpfError as error:
        from rawbpf.cli.output import print_error

        print_error(error, as_json=args.json)
        return error.exit_code


def _parser(command: str) -> argparse.ArgumentParser:
    from rawbpf import __version__

    parser = argparse.ArgumentParser(
        prog="rawbpf",
        description="An eBPF loader in pure Python that can explain what it does.",
        epilog=f"`rawbpf COMMAND --help` shows a command's options and an example.\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rawbpf {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        if name == command:
            module = import_module(f"rawbpf.cli.{name}_command")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser
