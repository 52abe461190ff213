# SPDX-License-Identifier: BSD-2-Clause
"""The command line: one file a command, each imported only when it is the one that was typed."""

from __future__ import annotations

import argparse
import errno
import gc
import os
import sys
from importlib import import_module
from io import TextIOWrapper

from rawbpf import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "load": "load an object file into the running kernel, attach it and pin it",
    "unload": "detach and remove what `load` left in the kernel",
    "list": "what `load` left in the kernel",
    "inspect": "what is in an object file: sections, programs, maps, variables, externs",
    "plan": "what `load` would ask of the kernel, and why; needs no root",
    "prog": "run a program by hand, on a packet and a context",
    "map": "read and change maps in the kernel: by id, pin or name",
    "ringbuf": "follow what programs write to a ring buffer or a perf buffer",
    "btf": "print BTF, the running kernel's or a file's, as C, text or JSON",
}

EXIT_CODES = """\
exit codes: 0 done; 1 failed otherwise; 2 wrong command line; 3 not a usable object or BTF file; 4 the object means
nothing that can be loaded; 5 it does not fit the kernel (extern, relocation); 6 the kernel refused a call; 7 the
verifier refused a program; 8 no permission; 9 the kernel lacks a feature; 130 interrupted (docs/cli.md)"""

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    if argv is not None:
        return _main(argv)
    # A process of our own that ends soon: looking for garbage, also at its end, would be a sixth of the time of a load.
    gc.disable()
    try:
        return _main(sys.argv[1:])
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        # that the reader of our output went away (`| head`) is no error; in both cases nothing more can be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            return 0
        print(f"rawbpf: the output cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    finally:
        gc.freeze()


def _main(arguments: Sequence[str]) -> int:
    parser = _parser(next((word for word in arguments if not word.startswith("-")), ""), arguments)
    try:
        args = parser.parse_args(arguments)
    except SystemExit as done:
        return int(done.code or 0)
    try:
        return _run(args)
    except KeyboardInterrupt:
        if args.json:
            print('{"errors": [{"code": "interrupted", "message": "interrupted; nothing was left behind"}]}')
        else:
            print("rawbpf: interrupted; nothing was left behind", file=sys.stderr)
        return INTERRUPTED


def _run(args: argparse.Namespace) -> int:
    from rawbpf.errors import RawbpfError

    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names in a broken file need not be UTF-8
    try:
        code = int(args.run(args))
        sys.stdout.flush()
        return code
    except RawbpfError as error:
        from rawbpf.cli.output import print_error

        print_error(error, as_json=args.json)
        return error.exit_code


def _parser(command: str, arguments: Sequence[str]) -> argparse.ArgumentParser:
    from rawbpf import __version__

    parser = argparse.ArgumentParser(
        prog="rawbpf",
        description="An eBPF loader in pure Python that can explain what it does.",
        epilog=f"`rawbpf COMMAND --help` shows a command's options and an example.\n\n{EXIT_CODES}",
        formatter_class=_formatter,
    )
    parser.add_argument("--version", action="version", version=f"rawbpf {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    # a command that comes first leaves no occasion to tell of the others
    for name in [command] if command in COMMANDS and command == arguments[0] else COMMANDS:
        summary = COMMANDS[name]
        description = f"{summary[0].upper()}{summary[1:]}."
        sub = commands.add_parser(name, help=summary, description=description, formatter_class=_formatter)
        if name == command:
            module = import_module(f"rawbpf.cli.{name}_command")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser


def _formatter(prog: str) -> argparse.HelpFormatter:
    # argparse makes one for each option; left to itself, it would have shutil tell the width, and that imports a lot
    try:
        columns = int(os.environ.get("COLUMNS") or 0) or os.get_terminal_size().columns or 80
    except (OSError, ValueError):
        columns = 80
    return argparse.RawDescriptionHelpFormatter(prog, width=columns - 2)
