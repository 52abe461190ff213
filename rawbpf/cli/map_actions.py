# SPDX-License-Identifier: BSD-2-Clause
"""What ``rawbpf map`` does with a map."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NoReturn

from rawbpf.cli import map_values as values
from rawbpf.cli.output import print_json
from rawbpf.errors import RawbpfError, SpecError
from rawbpf.uapi import MapUpdateFlag

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import TypeAlias

    from rawbpf.kernel.maps import Map

    Action: TypeAlias = Callable[[Map, argparse.Namespace], int]


def dump(map_: Map, args: argparse.Namespace) -> int:
    """Print all elements, one a line."""
    count = 0
    for key, value in map_.items():
        count += 1
        if args.json:
            _print_line({"key": values.plain(key), "value": values.plain(value)})
        else:
            print(values.element(map_, key, value))
    if not count and not args.json:
        print(f"{map_.name} is empty")
    return 0


def get(map_: Map, args: argparse.Namespace) -> int:
    """Print one element."""
    if args.key is None:
        key, value = None, map_.peek() if not map_.key_size else _no_key(map_)
    else:
        key = values.key(map_, args.key)
        value = map_[key]
    if args.json:
        print_json({"key": values.plain(key), "value": values.plain(value), "errors": []})
    else:
        print(values.shown(value) if not map_.per_cpu else values.element(map_, key, value))
    return 0


def _no_key(map_: Map) -> NoReturn:
    raise SpecError("a KEY is missing", symbol=map_.name, hint="all elements: rawbpf map dump")


def set_element(map_: Map, args: argparse.Namespace) -> int:
    """Set one element."""
    if len(args.words) != (2 if map_.key_size else 1):
        what = "a KEY and a VALUE" if map_.key_size else "a VALUE alone: the map has no keys"
        raise SpecError(f"this takes {what}; given: {' '.join(args.words)}", symbol=map_.name)
    *keys, text = args.words
    flags = MapUpdateFlag.NOEXIST if args.new else MapUpdateFlag.EXIST if args.existing else MapUpdateFlag.ANY
    with values.value(map_, text) as value:
        if keys:
            map_.update(values.key(map_, keys[0]), value, flags)
        else:
            map_.push(value)
    if args.json:
        print_json({"errors": []})
    return 0


def delete(map_: Map, args: argparse.Namespace) -> int:
    """Delete elements."""
    taken = []
    if not map_.key_size:
        taken = [map_.pop()]
    elif not args.keys:
        _no_key(map_)
    for text in args.keys:
        del map_[values.key(map_, text)]
    if args.json:
        print_json({"taken": [values.plain(value) for value in taken], "errors": []})
    for value in taken if not args.json else ():
        print(values.shown(value))
    return 0


def watch(map_: Map, args: argparse.Namespace) -> int:
    """Print the elements, and then what changes."""
    if not args.interval > 0:
        raise SpecError("--interval takes seconds, more than 0")
    before: dict[bytes, bytes] = {}
    first = True
    try:
        while True:
            now = dict(map_.raw_items())
            for line in values.changes(map_, before, now, first=first):
                if args.json:
                    _print_line({name: values.plain(part) for name, part in line.items()})
                else:
                    print(values.change(line))
            # a pipe wants to see it now
            print(end="", flush=True)
            before, first = now, False
            time.sleep(args.interval)
    except KeyboardInterrupt:
        return 0


def _print_line(data: dict[str, Any]) -> None:
    print(json.dumps(data))


def _by_line(action: Action) -> Action:
    # what prints an object a line tells an error on a line, too
    def run(map_: Map, args: argparse.Namespace) -> int:
        try:
            return action(map_, args)
        except RawbpfError as error:
            if not args.json:
                raise
            _print_line({"errors": [error.to_json()]})
            return error.exit_code

    return run


ACTIONS: dict[str, Action] = {
    "dump": _by_line(dump),
    "get": get,
    "set": set_element,
    "delete": delete,
    "watch": _by_line(watch),
}
