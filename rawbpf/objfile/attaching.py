# SPDX-License-Identifier: BSD-2-Clause
"""What a SEC() says about attaching: which function of ``rawbpf.attach``, with which arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rawbpf.errors import SpecError
from rawbpf.objfile.sections import find_section, strip_optional

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rawbpf.objfile.sections import SectionDef

OPTIONS = ("cgroup", "dev", "netns", "pid")
"""What can be said for all programs of an object; a function of ``rawbpf.attach`` calls its parameters the same."""


class Wanted(NamedTuple):
    """How a program wants to be attached.

    Attributes:
        kind: the function of ``rawbpf.attach``.
        arguments: its arguments, as far as they are known.
        needs: the parameters without which it cannot be called.
        takes: which of `OPTIONS` it takes.
    """

    kind: str
    arguments: dict[str, Any]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()

    def given(self, options: Mapping[str, Any]) -> Wanted:
        """The same with those of the `options` that it takes."""
        more = {name: value for name, value in options.items() if name in self.takes and value not in (None, "")}
        return self._replace(arguments=self.arguments | more)

    def with_arguments(self, more: Mapping[str, Any]) -> Wanted:
        """The same with more arguments, which win."""
        return self._replace(arguments=self.arguments | dict(more))

    @property
    def missing(self) -> list[str]:
        """The parameters that it needs and does not have."""
        return [name for name in self.needs if name not in self.arguments]


class _Kind(NamedTuple):
    function: str
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    parse: Callable[[SectionDef, str], dict[str, Any]] = lambda definition, target: {}


# by the SEC() table's word for how a section attaches, by itself or by hand
_KINDS: dict[str, _Kind] = {
    "cgroup": _Kind("cgroup", ("cgroup",), ("cgroup",)),
}


def attaching(section: str) -> Wanted | None:
    """How a program from this SEC() is attached; None where that has to be told by hand.

    Raises:
        SpecError: it says what to attach to in a way that makes no sense.
    """
    found = find_section(strip_optional(section)[0])
    kind = _KINDS.get(found[0].attach or found[0].manual) if found else None
    if found is None or kind is None:
        return None
    definition, target = found
    try:
        arguments = kind.parse(definition, target)
    except ValueError as failure:
        raise SpecError(f'SEC("{section}"): {failure}', section=section) from failure
    return Wanted(kind.function, arguments, kind.needs, kind.takes)


def why_not(section: str, wanted: Wanted | None) -> str:
    """Why a program is not attached by itself, or empty if it is."""
    if wanted is None:
        found = find_section(strip_optional(section)[0])
        by_hand = f" ({found[0].manual})" if found and found[0].manual else ""
        return f'SEC("{section}") is attached by hand{by_hand}'
    if not wanted.missing:
        return ""
    asked = [name for name in wanted.missing if name in OPTIONS]
    if asked == wanted.missing:
        return f"it needs a {asked[0]}: attach({asked[0]}=…), or rawbpf load … --{asked[0]}"
    return f'SEC("{section}") does not say to what: attach({", ".join(name + "=…" for name in wanted.missing)})'
