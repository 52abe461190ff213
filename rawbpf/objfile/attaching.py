# SPDX-License-Identifier: BSD-2-Clause
"""What a SEC() says about attaching: which function of ``rawbpf.attach``, with which arguments."""

from __future__ import annotations

import re
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
    """

    kind: str
    arguments: dict[str, Any]
    needs: tuple[str, ...] = ()

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


# -- what is behind the slash: a name and an offset, a path and a name …


def _offset(target: str, pattern: str) -> dict[str, Any]:
    found = re.fullmatch(rf"({pattern})(?:\+(0x[0-9a-fA-F]+|\d+))?", target)
    if found is None:
        raise ValueError(f"{target!r} is no name with an offset")
    return {"symbol": found[1]} | ({"offset": int(found[2], 0)} if found[2] else {})


def _kprobe(definition: SectionDef, target: str) -> dict[str, Any]:
    arguments = _offset(target, r"(?:\w+:)?[\w.$]+") if target else {}
    return arguments | {"retprobe": definition.name.startswith("kret")}


def _ksyscall(definition: SectionDef, target: str) -> dict[str, Any]:
    return ({"syscall": target} if target else {}) | {"retprobe": definition.name.startswith("kret")}


def _kprobe_multi(definition: SectionDef, target: str) -> dict[str, Any]:
    session = definition.name.startswith("kprobe.session")
    more = {"session": True} if session else {"retprobe": definition.name.startswith("kret"), "session": False}
    return ({"symbols": target} if target else {}) | more


def _uprobe(definition: SectionDef, target: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {"retprobe": definition.name.startswith("uret")}
    binary, colon, place = target.rpartition(":")
    if not colon:
        return arguments | ({"binary": target} if target else {})
    found = _offset(place, r"[^+]+")
    if re.fullmatch(r"0x[0-9a-fA-F]+|\d+", found["symbol"]):
        found["symbol"] = int(found["symbol"], 0)
    return arguments | {"binary": binary} | found


def _uprobe_multi(definition: SectionDef, target: str) -> dict[str, Any]:
    session = definition.name.startswith("uprobe.session")
    more = {"session": True} if session else {"retprobe": definition.name.startswith("uret"), "session": False}
    binary, colon, symbols = target.rpartition(":")
    return ({"binary": binary, "symbols": symbols} if colon else {"binary": target} if target else {}) | more


def _usdt(definition: SectionDef, target: str) -> dict[str, Any]:
    if not target:
        return {}
    words = target.rsplit(":", 2)
    if len(words) != 3 or not all(words):
        raise ValueError("it is BINARY:PROVIDER:NAME")
    return dict(zip(("binary", "provider", "name"), words, strict=True))


def _tracepoint(definition: SectionDef, target: str) -> dict[str, Any]:
    group, slash, name = target.partition("/")
    if target and not (slash and name):
        raise ValueError("it is GROUP/NAME")
    return {"group": group, "name": name} if target else {}


def _functions(definition: SectionDef, target: str) -> dict[str, Any]:
    return {"functions": target} if target else {}


def _named(definition: SectionDef, target: str) -> dict[str, Any]:
    return {"name": target} if target else {}


# by the SEC() table's word for how a section attaches, by itself or by hand
_KINDS: dict[str, _Kind] = {
    "kprobe": _Kind("kprobe", ("symbol",), parse=_kprobe),
    "ksyscall": _Kind("ksyscall", ("syscall",), parse=_ksyscall),
    "kprobe_multi": _Kind("kprobe_multi", ("symbols",), parse=_kprobe_multi),
    "kprobe_session": _Kind("kprobe_multi", ("symbols",), parse=_kprobe_multi),
    "uprobe": _Kind("uprobe", ("binary", "symbol"), ("pid",), _uprobe),
    "uprobe_multi": _Kind("uprobe_multi", ("binary", "symbols"), ("pid",), _uprobe_multi),
    "usdt": _Kind("usdt", ("binary", "provider", "name"), ("pid",), _usdt),
    "tp": _Kind("tracepoint", ("group", "name"), parse=_tracepoint),
    "raw_tp": _Kind("raw_tracepoint", ("name",), parse=_named),
    "trace": _Kind("tracing"),
    "tracing_multi": _Kind("tracing_multi", ("functions",), parse=_functions),
    "freplace": _Kind("freplace"),
    "lsm": _Kind("lsm"),
    "iter": _Kind("iterator"),
    "iter_map": _Kind("iterator", ("map",)),
    "iter_cgroup": _Kind("iterator", ("cgroup",), ("cgroup",)),
    "perf_event": _Kind("perf_event", ("event",)),
    "cgroup": _Kind("cgroup", ("cgroup",), ("cgroup",)),
    "xdp": _Kind("xdp", ("dev",), ("dev", "netns")),
    "tc": _Kind("tc", ("dev", "direction"), ("dev", "netns")),
    "tcx": _Kind("tcx", ("dev",), ("dev", "netns")),
    "netkit": _Kind("netkit", ("dev",), ("dev", "netns")),
    "netns": _Kind("netns", ("netns",), ("netns",)),
    "netfilter": _Kind("netfilter", ("pf", "hook"), ("netns",)),
    "sockmap": _Kind("sockmap", ("map",)),
    "sockopt": _Kind("socket_filter", ("sock",)),
    "reuseport": _Kind("reuseport", ("sock",)),
    "devmap": _Kind("devmap", ("map", "key", "dev"), ("netns",)),
    "cpumap": _Kind("cpumap", ("map", "cpu")),
    "lwt": _Kind("lwt", ("destination", "dev"), ("dev", "netns")),
    "lirc": _Kind("lirc", ("path",)),
}


_ITERATORS = {
    "bpf_map_elem": "iter_map",
    "bpf_sk_storage_map": "iter_map",
    "sockmap": "iter_map",
    "cgroup": "iter_cgroup",
}


def _kind(definition: SectionDef, target: str) -> _Kind | None:
    # some differ from others with the same word: what replaces functions, and iterators that need to be told over what
    if definition.name == "freplace":
        return _KINDS["freplace"]
    if definition.name == "action":  # no filter, but what one does; tc(8) makes those
        return None
    if definition.attach == "iter":
        return _KINDS[_ITERATORS.get(target, "iter")]
    return _KINDS.get(definition.attach or definition.manual)


def attaching(section: str, options: Mapping[str, Any] = {}) -> Wanted | None:
    """How a program from this SEC() is attached; None where that has to be told by hand.

    Of the `options` (see `OPTIONS`; empty ones are none) it gets those that its kind takes.

    Raises:
        SpecError: it says what to attach to in a way that makes no sense; or there is no such option.
    """
    if unknown := sorted(options.keys() - set(OPTIONS)):
        raise SpecError(f"no option is called {unknown[0]!r}", hint=f"there are {', '.join(OPTIONS)}")
    found = find_section(strip_optional(section)[0])
    kind = _kind(*found) if found else None
    if found is None or kind is None:
        return None
    definition, target = found
    try:
        arguments = kind.parse(definition, target)
    except ValueError as failure:
        raise SpecError(f'SEC("{section}"): {failure}', section=section) from failure
    arguments |= {name: options[name] for name in kind.takes if options.get(name) not in (None, "")}
    return Wanted(kind.function, arguments, kind.needs)


def options_of(section: str) -> tuple[str, ...]:
    """Which of `OPTIONS` a program from this SEC() takes."""
    found = find_section(strip_optional(section)[0])
    kind = _kind(*found) if found else None
    return kind.takes if kind else ()


def why_not(section: str, wanted: Wanted | None, autoattach: bool = True) -> str:
    """Why a program is not attached with all others, or empty if it is."""
    if not autoattach:
        return "it is not to be attached with all others"
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
