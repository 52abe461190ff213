# SPDX-License-Identifier: BSD-2-Clause
"""The public names of the package are frozen: a new one, or one that goes, is a decision (``pytest --bless``)."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

import rawbpf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def describe(name: str) -> Iterator[str]:
    value = getattr(rawbpf, name)
    if inspect.isclass(value):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        yield f"class {name}({bases})" if bases else f"class {name}"
        for member in sorted(dir(value)):
            if not member.startswith("_") and _own(value, member):
                yield f"    {member}{_signature(inspect.getattr_static(value, member))}"
    elif inspect.ismodule(value):
        yield f"module {name}"
        for member in value.__all__:
            yield f"    {member}{_signature(getattr(value, member))}"
    else:
        yield f"{name}{_signature(value)}"


def _own(cls: type, member: str) -> bool:
    # neither Python's nor a record's
    owner = next(base for base in cls.__mro__ if member in vars(base))
    return owner.__module__.startswith("rawbpf") and member not in ("add_note", "count", "index")


def _signature(value: object) -> str:
    if isinstance(value, classmethod | staticmethod):
        value = value.__func__
    if not inspect.isfunction(value):
        return ""
    parameters = inspect.signature(value).parameters.values()
    return f"({', '.join(str(p.replace(annotation=p.empty)) for p in parameters)})"


def test_names_and_signatures(golden: Callable[[str, str], None]) -> None:
    golden("api.txt", "".join(f"{line}\n" for name in sorted(rawbpf.__all__) for line in describe(name)))


def test_every_name_is_there() -> None:
    for name in rawbpf.__all__:
        assert getattr(rawbpf, name).__doc__
    assert set(rawbpf.__all__) <= set(dir(rawbpf))


def test_no_other_name_is() -> None:
    with pytest.raises(AttributeError, match="module 'rawbpf' has no attribute 'no_such_name'"):
        _ = rawbpf.no_such_name
