# SPDX-License-Identifier: BSD-2-Clause
"""``rawbpf map``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

KEYS = """\
MAP is an id, the path of a pin, or the name that the kernel knows. KEY and VALUE are written as their type in BTF
is: a number (5, 0x10, -1), true, the name of an enumerator, text for an array of char, JSON for structs and arrays
('{"port": 443}', '[1, 2]'). Without a type: a number, or bytes in hex ("01 02 0a ff"). Keys of an LPM trie are
networks (10.0.0.0/8), keys of a storage map a PID or a path. The value of a per-CPU map is a list, or one value
for all CPUs; maps of programs and of maps take an id or the path of a pin. Queues and stacks have no KEY."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    def action(name: str, help_: str, example: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(name, help=help_, formatter_class=parser.formatter_class)
        sub.description = f"{help_[0].upper()}{help_[1:]}."
        sub.add_argument("map", metavar="MAP", help="id, path of a pin, or name")
        sub.add_argument("--json", action="store_true", help="print JSON (docs/json.md) and nothing else")
        sub.epilog = f"{KEYS}\n\nexample:\n  rawbpf map {name} {example}"
        sub.set_defaults(action=name)
        return sub

    action("dump", "print all elements", "flows --json")
    get = action("get", "print one element", "routes 10.1.2.3")
    get.add_argument("key", metavar="KEY", nargs="?", help="a key (none: what is next in a queue or stack)")
    set_ = action("set", "set an element, or put one into a queue, stack or bloom filter", "limits 3 100")
    set_.add_argument("words", metavar="[KEY] VALUE", nargs="+", help="what to set")
    set_.usage = f"{set_.prog} MAP [KEY] VALUE [options]"
    only = set_.add_mutually_exclusive_group()
    only.add_argument("--new", action="store_true", help="only if there is no such key")
    only.add_argument("--existing", action="store_true", help="only if there is such a key")
    delete_ = action("delete", "delete elements, or take one out of a queue or stack", "limits 3 4")
    delete_.add_argument("keys", metavar="KEY", nargs="*", help="their keys")
    watch_ = action("watch", "print the elements, and then what changes, until Ctrl-C", "counters --interval 0.5")
    watch_.add_argument("--interval", metavar="SECONDS", type=float, default=1.0, help="how often to look (default: 1)")
    parser.epilog = (
        "example:\n  rawbpf map dump counters\n\n`rawbpf map ACTION --help` says how keys and values are written."
    )


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    from rawbpf.cli import map_actions
    from rawbpf.cli.handles import find
    from rawbpf.kernel.maps import Map

    with find(Map, args.map) as found:
        return map_actions.ACTIONS[args.action](found, args)
