# SPDX-License-Identifier: BSD-2-Clause
"""The types of a blob by name, as cheap as the number of questions allows.

A kernel has over 100,000 types and a program asks for few of them: the first questions search the strings, which takes
nothing to prepare. Who goes on asking gets a dict, which pays after a dozen names.
"""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PATIENCE = 12
"""After so many questions the dict is built."""


class Names:
    """The own types of one blob by name.

    Args:
        offsets: the string offset of each type's name, in the order of the ids; 0 for none.
        start_id: the id of the first.
        strings: the blob's string section, whose first byte has the offset `first`.
        text: gives the name at a string offset that is not in it, but in a base's.
        places: gives the string offsets at which a name, or (with the flag) a beginning of names, is found.
    """

    def __init__(
        self,
        offsets: list[int],
        start_id: int,
        strings: bytes,
        first: int,
        text: Callable[[int], str],
        places: Callable[[str, bool], Iterable[int]],
    ) -> None:
        self._packed = array("I", offsets).tobytes()
        self._used = frozenset(offsets)
        self._start_id = start_id
        self._strings = strings
        self._first = first
        self._text = text
        self._places = places
        self._questions = 0
        self._ids: dict[bytes, list[int]] | None = None
        self._flavored: list[bytes] = []

    def named(self, name: str) -> list[int]:
        """The ids of the types with that name, in order."""
        if self._ids is None and not self._impatient():
            return sorted(self._search(self._places(name, False)))
        assert self._ids is not None
        return self._ids.get(name.encode(errors="surrogateescape"), [])

    def beginning(self, prefix: str) -> list[int]:
        """The ids of the types whose names begin with that and go on, in order."""
        if self._ids is None and not self._impatient():
            return sorted(self._search(self._places(prefix, True)))
        assert self._ids is not None
        start = prefix.encode(errors="surrogateescape")
        known = self._flavored if b"___" in start else self._ids
        return sorted(i for name in known if name != start and name.startswith(start) for i in self._ids[name])

    def _impatient(self) -> bool:
        self._questions += 1
        if self._questions <= PATIENCE:
            return False
        by_offset: dict[int, list[int]] = {}
        for type_id, offset in enumerate(memoryview(self._packed).cast("I"), self._start_id):
            if offset:
                by_offset.setdefault(offset, []).append(type_id)
        ids: dict[bytes, list[int]] = {}
        strings, first, end = self._strings, self._first, self._strings.find
        for offset, found in by_offset.items():
            at = offset - first
            name = strings[at : end(b"\0", at)] if at >= 0 else self._text(offset).encode(errors="surrogateescape")
            # a producer may have a string twice, or share suffixes
            ids[name] = sorted(ids[name] + found) if name in ids else found
        self._ids = ids
        self._flavored = [name for name in ids if b"___" in name]
        return True

    def _search(self, offsets: Iterable[int]) -> Iterator[int]:
        for offset in offsets:
            if offset == 0 or offset not in self._used:
                continue
            needle = offset.to_bytes(4, sys.byteorder)
            at = self._packed.find(needle)
            while at >= 0:
                if at % 4 == 0:
                    yield self._start_id + at // 4
                at = self._packed.find(needle, at + 1)
