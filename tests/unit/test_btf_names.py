# SPDX-License-Identifier: BSD-2-Clause
"""Types by name: the search and the dict give the same answers."""

from __future__ import annotations

import pytest

from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.btf.names import PATIENCE
from rawbpf.btf.parse import Btf

NAMES = ("foo", "bar", "foo___v2", "foo___v3", "xfoo", "___", "a___b", "foo")


def blob(base: Btf | None = None, little: bool = True) -> bytes:
    builder = Builder(little=little, base=base)
    for name in NAMES:
        builder.add(t.Struct(name, 4, []))
        builder.add(t.Struct("", 4, []))
    builder.add(t.Fwd("only_here" if base else "only_in_the_base"))
    return builder.to_bytes()


def answers(btf: Btf) -> dict[str, object]:
    words = [*dict.fromkeys(NAMES), "only_here", "only_in_the_base", "nothing", "oo"]
    found: dict[str, object] = {word: btf.find_all(word) for word in words}
    return found | {f"{word}…": btf.find_prefix(word) for word in ("foo___", "fo", "only", "none", "___", "a___")}


@pytest.mark.parametrize("little", [True, False], ids=["el", "eb"])
@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
def test_the_dict_answers_as_the_search(split: bool, little: bool) -> None:
    base = Btf(blob(little=little)) if split else None
    data = blob(base, little)

    def fresh() -> Btf:
        return Btf(data, base=Btf(blob(little=little)) if split else None)

    first = {}
    for word in answers(fresh()):
        one = fresh()  # never asked before: it searches
        first[word] = one.find_prefix(word[:-1]) if word.endswith("…") else one.find_all(word)
    asked = fresh()
    for _ in range(PATIENCE + 1):
        asked.find_all("foo")
        asked.find_prefix("foo")
    assert answers(asked) == first
    assert first["foo"]
    assert first["oo"] == []
    assert len(first["foo___…"]) == 2
