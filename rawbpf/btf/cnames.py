# SPDX-License-Identifier: BSD-2-Clause
"""The names of types in a C header: one for each, though BTF may have many types of one name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rawbpf.btf import types as t

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf

_KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        """auto break case char const continue default do double else enum extern float for goto if inline int long
        register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
        asm typeof _Alignas _Alignof _Atomic _Bool _Complex _Generic _Imaginary _Noreturn _Static_assert
        _Thread_local""",
    )
)


def identifier(name: str) -> str:
    """The name as an identifier of C: Rust's ``Option<u8>`` has to become another."""
    if not name.isidentifier() or not name.isascii():
        name = re.sub(r"\W", "_", name, flags=re.ASCII)
        name = f"_{name}" if name[:1].isdigit() else name
    return f"{name}_" if name in _KEYWORDS else name


class Names:
    """The two name spaces of C at file scope: tags, and all else (typedefs, enumerators, functions)."""

    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._tags: dict[int, str] = {}
        self._tag_owners: dict[str, tuple[str, bool]] = {}  # keyword, and whether it is defined
        self._ordinary: dict[tuple[int, int], str] = {}
        self._used = {"__builtin_va_list"}  # the compiler's own, which differs from that of other machines

    def reserve(self, type_id: int) -> None:
        """Give the type its name now, before another of that name comes."""
        type = self._btf.type(type_id)
        if not type.name:
            return
        match type:
            case t.Struct() | t.Union() | t.Enum():
                self.tag(type_id)
            case t.Typedef() | t.Func():
                self.ordinary(type_id)

    def tag(self, type_id: int) -> str:
        """A struct, union, enum or forward declaration: keyword and name."""
        known = self._tags.get(type_id)
        if known is None:
            known = self._tags[type_id] = self._new_tag(type_id)
        return known

    def _new_tag(self, type_id: int) -> str:
        type = self._btf.type(type_id)
        name = identifier(type.name)
        keyword, only_declares = _keyword(type)
        declared, defined = (keyword, False), (keyword, True)
        candidate, number = name, 1
        while candidate in self._tag_owners:
            owner = self._tag_owners[candidate]
            if owner == declared or (only_declares and owner == defined):
                break
            number += 1
            candidate = f"{name}___{number}"
        if not only_declares:
            self._tag_owners[candidate] = defined
        else:
            self._tag_owners.setdefault(candidate, declared)
        return f"{keyword} {candidate}"

    def ordinary(self, type_id: int) -> str:
        """A typedef or function."""
        return self._unique(type_id, -1, self._btf.name_of(type_id))

    def enumerator(self, type_id: int, index: int) -> str:
        """A value of an enum."""
        type = self._btf.type(type_id)
        assert isinstance(type, t.Enum)
        return self._unique(type_id, index, type.values[index].name)

    def _unique(self, type_id: int, index: int, name: str) -> str:
        known = self._ordinary.get((type_id, index))
        if known is None:
            known = name = identifier(name)
            number = 1
            while known in self._used:
                number += 1
                known = f"{name}___{number}"
            self._used.add(known)
            self._ordinary[type_id, index] = known
        return known


def _keyword(type: t.Type) -> tuple[str, bool]:
    # The keyword of its tag, and whether it only declares what another defines.
    if isinstance(type, t.Fwd):
        return ("union" if type.union else "struct"), True
    if isinstance(type, t.Enum):
        return "enum", not type.values
    return type.kind.name.lower(), False
