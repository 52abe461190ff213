# SPDX-License-Identifier: BSD-2-Clause
"""Names that may have been meant, for the hints of errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MANY = 2000


def near_names(name: str, names: Iterable[str]) -> list[str]:
    """Up to three names like `name`, the likeliest first; quick for hundreds of thousands of names too."""
    from difflib import get_close_matches

    known = names if isinstance(names, (set, frozenset)) else set(names)
    alike = set(known)
    if len(known) > _MANY:
        stem = name[: max(3, len(name) * 2 // 3)]
        alike = {other for other in known if stem in other and abs(len(other) - len(name)) < 8}
    return get_close_matches(name, sorted(alike), 3)


def near_hint(name: str, names: Iterable[str], otherwise: str = "") -> str | None:
    """The hint that names them, or `otherwise`."""
    near = near_names(name, names)
    return f"near names: {', '.join(near)}" if near else otherwise or None
