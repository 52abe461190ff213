# SPDX-License-Identifier: BSD-2-Clause
"""Types written down in Python: ``"u32"``, ``"char[16]"``, ``{"packets": "u64", "bytes": "u64"}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rawbpf.btf import types as t
from rawbpf.errors import SpecError

if TYPE_CHECKING:
    from rawbpf.btf.build import Builder

_SCALARS = {
    "char": (1, t.Int.SIGNED),
    "bool": (1, t.Int.BOOL),
    **{
        f"{letter}{bits}": (bits // 8, kind)
        for letter, kind in (("u", 0), ("s", t.Int.SIGNED))
        for bits in (8, 16, 32, 64)
    },
}
_TEXT = re.compile(r"\s*(\w+)\s*(?:\[\s*(\d+)\s*\])?\s*")


def add_type(builder: Builder, type: str | Mapping[str, str], name: str) -> tuple[int, int]:
    """Add a type that is written down to some BTF: its id and its size.

    Args:
        builder: the BTF.
        type: a scalar (``u8`` to ``u64``, ``s8`` to ``s64``, ``char``, ``bool``), an array of such, or a struct as the
            types of its members by name, which lie as C puts them.
        name: of the struct.

    Raises:
        SpecError: no such type.
    """
    if isinstance(type, Mapping):
        return _add_struct(builder, type, name)
    type_id, size, _ = _add_text(builder, type)
    return type_id, size


def _add_text(builder: Builder, text: str) -> tuple[int, int, int]:
    # id, size, alignment
    match = _TEXT.fullmatch(text)
    if match is None or match[1] not in _SCALARS:
        raise SpecError(
            f"{text!r} is no type", hint=f"there are {', '.join(_SCALARS)}, arrays (u8[6]), and structs as a dict"
        )
    size, encoding = _SCALARS[match[1]]
    type_id = builder.add(t.Int(match[1], size, encoding=encoding))
    if match[2] is None:
        return type_id, size, size
    count = int(match[2])
    index = builder.add(t.Int("u32", 4))
    return builder.add(t.Array(type_id, index, count)), size * count, size


def _add_struct(builder: Builder, members: Mapping[str, str], name: str) -> tuple[int, int]:
    if not members:
        raise SpecError(f"struct {name} has no members")
    placed, end, widest = [], 0, 1
    for member, text in members.items():
        if not member.isidentifier():
            raise SpecError(f"{member!r} is no name of a member")
        type_id, size, align = _add_text(builder, text)
        start = -(-end // align) * align
        placed.append(t.Member(member, type_id, 8 * start))
        end, widest = start + size, max(widest, align)
    size = -(-end // widest) * widest
    return builder.add(t.Struct(name, size, placed)), size
