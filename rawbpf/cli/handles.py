# SPDX-License-Identifier: BSD-2-Clause
"""Maps and programs as they are meant on a command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rawbpf.errors import where

if TYPE_CHECKING:
    from rawbpf.kernel.pinnable import Named

    Kind = TypeVar("Kind", bound=Named)


def find(kind: type[Kind], text: str) -> Kind:
    """The `Map` or `Program` with an id, a pin's path, or a name. Raises `SpecError` with what there is."""
    if text.isdecimal():
        with where(path=f"{kind.__name__.lower()} id {text}"):
            return kind.by_id(int(text))
    return kind.open(text) if "/" in text else kind.by_name(text)
