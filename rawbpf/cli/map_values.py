# SPDX-License-Identifier: BSD-2-Clause
"""Maps, keys and values as they are written on a command line, and as they are printed."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rawbpf.btf.record import EnumValue, Record
from rawbpf.errors import SpecError, where
from rawbpf.kernel import syscall
from rawbpf.kernel.maps.forms import HeldDescriptor
from rawbpf.uapi import Cmd, MapType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.maps import Map

_PROGRAMS = frozenset({MapType.PROG_ARRAY})
_MAPS = frozenset({MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS})


def key(map_: Map, text: str) -> Any:
    """The key that a text stands for."""
    with where(symbol=map_.name):
        if not map_.key_size:
            raise SpecError("the map has no keys", hint="leave KEY away")
        if map_.type == MapType.TASK_STORAGE:
            return _pidfd(text)
        if map_.type in (MapType.INODE_STORAGE, MapType.CGRP_STORAGE):
            return os.path.abspath(text)
        return map_.key_codec.parse(text)


def _pidfd(text: str) -> bytes:
    try:
        return HeldDescriptor.of(os.pidfd_open(int(text)), 4)
    except ValueError:
        raise SpecError(f"{text!r} is no PID") from None
    except OSError as failure:
        raise SpecError(f"process {text}: {failure.strerror}") from None


@contextmanager
def value(map_: Map, text: str) -> Iterator[Any]:
    """The value that a text stands for."""
    with where(symbol=map_.name):
        if map_.type not in _PROGRAMS | _MAPS:
            yield map_.value_codec.parse(text)
            return
        with _thing(text, "program" if map_.type in _PROGRAMS else "map") as fd:
            yield fd


def _thing(text: str, kind: str) -> Fd:
    # the descriptor of a program or map, by its id or the path of a pin
    if text.isdecimal():
        command = Cmd.PROG_GET_FD_BY_ID if kind == "program" else Cmd.MAP_GET_FD_BY_ID
        with where(path=f"{kind} id {text}"):
            return syscall.get_fd_by_id(command, int(text))
    with where(path=text):
        return syscall.obj_get(text)


# -- printing


def plain(value: Any) -> Any:
    """A key or value as JSON has it: what can be read back, bytes as hex."""
    if isinstance(value, Record):
        return {name: plain(value[name]) for name in type(value)._names}
    if isinstance(value, EnumValue):
        return value.name or int(value)
    if isinstance(value, tuple):
        return {name: plain(item) for name, item in value._asdict().items()}  # type: ignore[attr-defined]
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def shown(value: Any) -> str:
    """A key or value on a line, as it may be typed again."""
    if isinstance(value, bytes):
        return value.hex(" ") if len(value) > 1 else f"{value[0]:#04x}"
    made = plain(value)
    if isinstance(made, (dict, list, bool)) or (isinstance(made, str) and not made.isprintable()):
        import json

        return json.dumps(made, ensure_ascii=False)
    return str(made)


def element(map_: Map, key: Any, value: Any) -> str:
    """An element: a line, or for a per-CPU map a line for each CPU."""
    label = shown(key)
    if not map_.per_cpu:
        return f"{label}: {shown(value)}"
    return "\n".join([f"{label}:", *(f"  cpu {cpu}: {shown(one)}" for cpu, one in enumerate(value))])


def changes(map_: Map, before: dict[bytes, bytes], now: dict[bytes, bytes], *, first: bool) -> Iterator[dict[str, Any]]:
    """What is new, different or gone: as the objects of docs/json.md, keys and values as they are in Python."""
    for raw, data in now.items():
        if before.get(raw) != data:
            kind = "there" if first else "changed" if raw in before else "new"
            line = {"change": kind, "key": map_.decode_key(raw), "value": map_.decode_value(data)}
            yield line | ({"before": map_.decode_value(before[raw])} if raw in before else {})
    for raw in before.keys() - now.keys():
        yield {"change": "gone", "key": map_.decode_key(raw), "before": map_.decode_value(before[raw])}


_SIGNS = {"there": " ", "new": "+", "changed": "~", "gone": "-"}


def change(line: dict[str, Any]) -> str:
    """One of `changes`, in words."""
    text = f"{_SIGNS[line['change']]} {shown(line['key'])}: "
    if line["change"] == "changed":
        return f"{text}{shown(line['before'])} → {shown(line['value'])}"
    return text + shown(line["before"] if line["change"] == "gone" else line["value"])
