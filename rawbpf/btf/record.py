# SPDX-License-Identifier: BSD-2-Clause
"""What BTF-typed values are in Python where no built-in type fits: records (structs, unions) and enum values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator

_RAW = "\0raw"  # where a record keeps its bytes; no member's name


class EnumValue(int):
    """A number of an enum type: an `int` with the name of its enumerator.

    Attributes:
        name: the first enumerator of that value, or None if there is none (flags that are or'ed, for instance).
    """

    name: str | None

    def __new__(cls, value: int, name: str | None = None) -> EnumValue:
        self = super().__new__(cls, value)
        self.name = name
        return self

    def __repr__(self) -> str:
        return f"<{self.name}: {int(self)}>" if self.name else f"<{int(self)}>"

    def __str__(self) -> str:
        return self.name or str(int(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return EnumValue, (int(self), self.name)


class Record:
    """A struct or union value: its members are attributes, those of anonymous members among them.

    ``record["name"]`` does the same for a name that Python reserves, such as ``from``. Members can be set; a name that
    the type does not have raises AttributeError (or KeyError). Records are equal if their members are, and a record
    equals a dict of the same values. They can be keys of a dict, and then must not be changed any more.

    A union shows every view of its bytes; the view that was changed is the one that is encoded.
    """

    _names: ClassVar[tuple[str, ...]] = ()
    _type_name: ClassVar[str] = ""

    @classmethod
    def _make(cls, values: dict[str, Any], raw: bytes = b"") -> Record:
        # `raw` is kept where the members alone do not tell the bytes: in what has a union
        record = _new(cls)
        _adopt(record, values)
        if raw:
            values[_RAW] = raw
        return record

    def _asdict(self) -> dict[str, Any]:
        """The members as a new dict; records within become dicts too."""
        return {name: _plain(value) for name, value in _items(self)}

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in type(self)._names:
            raise AttributeError(f"{type(self)._type_name} has no member {name!r}")
        self.__dict__[name] = value

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{type(self)._type_name} has no member {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"members of {type(self)._type_name} cannot be deleted")

    def __getitem__(self, name: str) -> Any:
        if name not in type(self)._names:
            raise KeyError(name)
        return self.__dict__[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in type(self)._names:
            raise KeyError(name)
        self.__dict__[name] = value

    def __contains__(self, name: object) -> bool:
        return name in type(self)._names

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *type(self)._names]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Record):
            return list(_items(self)) == list(_items(other))
        if isinstance(other, dict):
            return dict(_items(self)) == other
        return NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(_frozen(value) for _, value in _items(self)))

    def __repr__(self) -> str:
        return f"{type(self)._type_name}({', '.join(f'{name}={value!r}' for name, value in _items(self))})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self)._type_name, type(self)._names, self.__dict__)


# Making a record is most of what reading a large map takes: this is the shortest way
_new = object.__new__
_adopt = vars(Record)["__dict__"].__set__


def record_class(type_name: str, names: tuple[str, ...]) -> type[Record]:
    """A class of records with these members."""
    return type("Record", (Record,), {"_names": names, "_type_name": type_name})


def raw_of(record: Record) -> bytes:
    """The bytes that a record with a union was decoded from; empty where there is none, or it was not decoded."""
    raw: bytes = record.__dict__.get(_RAW, b"")
    return raw


def members_of(record: Record) -> dict[str, Any]:
    """The members as a new dict, records within left as they are."""
    return dict(_items(record))


def _items(record: Record) -> Iterator[tuple[str, Any]]:
    values = record.__dict__
    return ((name, values[name]) for name in type(record)._names)


def _rebuild(type_name: str, names: tuple[str, ...], state: dict[str, Any]) -> Record:
    return record_class(type_name, names)._make(state)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return Record._asdict(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
