# SPDX-License-Identifier: BSD-2-Clause
"""``rawbpf btf dump``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.cli.output import print_json
from rawbpf.errors import BtfError, SpecError, where

if TYPE_CHECKING:
    import argparse

    from rawbpf.btf.parse import Btf

FORMATS = ("c", "raw", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    dump = actions.add_parser("dump", help="print types", formatter_class=parser.formatter_class)
    dump.description = "Print types: as a C header that compiles, one line a type, or as JSON."
    dump.add_argument(
        "file", metavar="FILE", nargs="?", help="raw BTF, or an ELF file with .BTF (default: the kernel's)"
    )
    dump.add_argument("--base", metavar="FILE", help="the BTF that FILE is split from, for a kernel module's")
    form = dump.add_mutually_exclusive_group()
    form.add_argument("--format", choices=FORMATS, default=None, help="default: c")
    form.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    dump.add_argument(
        "--type", metavar="NAME", nargs="+", action="extend", help="only these types and what they are made of"
    )
    dump.usage = f"{dump.prog} [FILE] [options]"
    parser.epilog = dump.epilog = "example:\n  rawbpf btf dump --type mptcp_sched_ops tcp_congestion_ops"


def run(args: argparse.Namespace) -> int:
    """Print the types."""
    form = args.format or "c"
    args.json = form == "json"
    with where(path=args.file):
        btf = _open(args)
        _show(btf, _roots(btf, args.type) if args.type else None, form)
    return 0


def _show(btf: Btf, roots: list[int] | None, form: str) -> None:
    if form == "c":
        from rawbpf.btf.c import emit_c

        for line in emit_c(btf, roots, kfuncs=roots is None):
            print(line)
    elif form == "raw":
        from rawbpf.btf.dump import format_raw

        for line in format_raw(btf, roots):
            print(line)
    else:
        from rawbpf.btf.dump import to_json

        print_json(to_json(btf, roots) | {"errors": []})


def _open(args: argparse.Namespace) -> Btf:
    if args.file:
        from rawbpf.objfile.reader import read_btf

        return read_btf(args.file, base=read_btf(args.base) if args.base else None)
    from rawbpf.kernel.host import vmlinux_btf

    btf = vmlinux_btf()
    if btf is None:
        raise BtfError(
            "the running kernel shows no BTF (/sys/kernel/btf/vmlinux)",
            hint="the kernel needs CONFIG_DEBUG_INFO_BTF; or name a file",
        )
    return btf


def _roots(btf: Btf, names: list[str]) -> list[int]:
    roots: list[int] = []
    for name in names:
        found = btf.find_all(name)
        if not found:
            from difflib import get_close_matches

            known = {btf.name_of(type_id) for type_id in btf.find_prefix(name[: max(2, len(name) // 2)])}
            near = get_close_matches(name, sorted(known), 3)
            raise SpecError(f"no type named {name!r}", hint=f"near names: {', '.join(near)}" if near else None)
        roots += found
    return roots
