# SPDX-License-Identifier: BSD-2-Clause
"""The BTF kinds, one class each (Documentation/bpf/btf.rst, include/uapi/linux/btf.h).

A type refers to others by *type id*, an index into the `Btf` that holds it; id 0 is ``void``. So a type is plain data:
it can be built by hand, compared, and moved to another `Btf` by translating its ids.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from rawbpf.uapi import BtfKind

MAX_DEPTH = 64
"""How deep a walk from type to type may go before the BTF is called malformed."""


class Type:
    """What all kinds have: a name, empty where the kind has none or the type is anonymous."""

    __slots__ = ("name",)
    kind: ClassVar[BtfKind] = BtfKind.UNKN

    name: str

    def refs(self) -> list[int]:
        """The type ids that this type refers to, in the order in which the format holds them."""
        return []

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for cls in type(self).__mro__ for name in getattr(cls, "__slots__", ())}

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Type) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash((self.kind, self.name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._fields().items())})"


class Void(Type):
    """Type id 0. It has no record in the format."""

    __slots__ = ()

    def __init__(self) -> None:
        self.name = ""


class Int(Type):
    """An integer: `size` in bytes, `bits` used of it from `bit_offset` (both only differ in very old BTF)."""

    __slots__ = ("bit_offset", "bits", "encoding", "size")
    kind = BtfKind.INT

    SIGNED = 1
    CHAR = 2
    BOOL = 4

    def __init__(self, name: str, size: int, encoding: int = 0, bits: int | None = None, bit_offset: int = 0) -> None:
        self.name = name
        self.size = size
        self.encoding = encoding
        self.bits = size * 8 if bits is None else bits
        self.bit_offset = bit_offset

    @property
    def signed(self) -> bool:
        return bool(self.encoding & Int.SIGNED)

    @property
    def bool(self) -> bool:
        return bool(self.encoding & Int.BOOL)


class _Ref(Type):
    # A kind that is nothing but a reference: pointer, qualifier, typedef, ...
    __slots__ = ("type_id",)

    def __init__(self, type_id: int, name: str = "") -> None:
        self.name = name
        self.type_id = type_id

    def refs(self) -> list[int]:
        return [self.type_id]


class Ptr(_Ref):
    """A pointer."""

    __slots__ = ()
    kind = BtfKind.PTR


class Typedef(_Ref):
    """A typedef."""

    __slots__ = ()
    kind = BtfKind.TYPEDEF


class Volatile(_Ref):
    """The qualifier ``volatile``."""

    __slots__ = ()
    kind = BtfKind.VOLATILE


class Const(_Ref):
    """The qualifier ``const``."""

    __slots__ = ()
    kind = BtfKind.CONST


class Restrict(_Ref):
    """The qualifier ``restrict``."""

    __slots__ = ()
    kind = BtfKind.RESTRICT


class TypeTag(_Ref):
    """``__attribute__((btf_type_tag("name")))``; with `attribute` (kind_flag) any other attribute of that spelling."""

    __slots__ = ("attribute",)
    kind = BtfKind.TYPE_TAG

    def __init__(self, type_id: int, name: str = "", attribute: bool = False) -> None:
        super().__init__(type_id, name)
        self.attribute = attribute


class Array(Type):
    """An array of `nelems` elements of `type_id`."""

    __slots__ = ("index_type_id", "nelems", "type_id")
    kind = BtfKind.ARRAY

    def __init__(self, type_id: int, index_type_id: int, nelems: int) -> None:
        self.name = ""
        self.type_id = type_id
        self.index_type_id = index_type_id
        self.nelems = nelems

    def refs(self) -> list[int]:
        return [self.type_id, self.index_type_id]


class Member(NamedTuple):
    """A member of a struct or union. `bitfield_size` is 0 for what is no bitfield."""

    name: str
    type_id: int
    bit_offset: int
    bitfield_size: int = 0


class _Composite(Type):
    __slots__ = ("members", "size")

    def __init__(self, name: str, size: int, members: tuple[Member, ...] | list[Member]) -> None:
        self.name = name
        self.size = size
        self.members = tuple(members)

    def refs(self) -> list[int]:
        return [member.type_id for member in self.members]


class Struct(_Composite):
    """A struct of `size` bytes."""

    __slots__ = ()
    kind = BtfKind.STRUCT


class Union(_Composite):
    """A union of `size` bytes."""

    __slots__ = ()
    kind = BtfKind.UNION


class Enumerator(NamedTuple):
    """A named value of an enum; `value` is signed if the enum is."""

    name: str
    value: int


class Enum(Type):
    """An enum whose values fit into 32 bits."""

    __slots__ = ("signed", "size", "values")
    kind = BtfKind.ENUM

    def __init__(
        self, name: str, size: int, values: tuple[Enumerator, ...] | list[Enumerator], signed: bool = False
    ) -> None:
        self.name = name
        self.size = size
        self.values = tuple(values)
        self.signed = signed


class Enum64(Enum):
    """An enum with 64-bit values (since Linux 6.0)."""

    __slots__ = ()
    kind = BtfKind.ENUM64


class Fwd(Type):
    """A forward declaration of a struct, or of a union."""

    __slots__ = ("union",)
    kind = BtfKind.FWD

    def __init__(self, name: str, union: bool = False) -> None:
        self.name = name
        self.union = union


class Func(_Ref):
    """A function with its prototype; `linkage` is STATIC, GLOBAL or EXTERN."""

    __slots__ = ("linkage",)
    kind = BtfKind.FUNC

    STATIC = 0
    GLOBAL = 1
    EXTERN = 2

    def __init__(self, name: str, type_id: int, linkage: int = STATIC) -> None:
        super().__init__(type_id, name)
        self.linkage = linkage


class Param(NamedTuple):
    """A parameter. The last one of a variadic prototype has no name and type id 0."""

    name: str
    type_id: int


class FuncProto(Type):
    """A function prototype."""

    __slots__ = ("params", "return_type_id")
    kind = BtfKind.FUNC_PROTO

    def __init__(self, return_type_id: int, params: tuple[Param, ...] | list[Param]) -> None:
        self.name = ""
        self.return_type_id = return_type_id
        self.params = tuple(params)

    def refs(self) -> list[int]:
        return [self.return_type_id, *(param.type_id for param in self.params)]


class Var(_Ref):
    """A variable; `linkage` is STATIC, GLOBAL or EXTERN."""

    __slots__ = ("linkage",)
    kind = BtfKind.VAR

    STATIC = 0
    GLOBAL = 1
    EXTERN = 2

    def __init__(self, name: str, type_id: int, linkage: int = STATIC) -> None:
        super().__init__(type_id, name)
        self.linkage = linkage


class SecVar(NamedTuple):
    """Where in its section a variable (or, in .ksyms, a function) is: `offset` and `size` in bytes."""

    type_id: int
    offset: int
    size: int


class Datasec(Type):
    """A section of variables."""

    __slots__ = ("size", "vars")
    kind = BtfKind.DATASEC

    def __init__(self, name: str, size: int, vars: tuple[SecVar, ...] | list[SecVar]) -> None:
        self.name = name
        self.size = size
        self.vars = tuple(vars)

    def refs(self) -> list[int]:
        return [var.type_id for var in self.vars]


class Float(Type):
    """A floating point type of `size` bytes (since Linux 5.13)."""

    __slots__ = ("size",)
    kind = BtfKind.FLOAT

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size


class DeclTag(_Ref):
    """``__attribute__((btf_decl_tag("name")))`` on a type, or on its member or parameter `component` (-1: none)."""

    __slots__ = ("attribute", "component")
    kind = BtfKind.DECL_TAG

    def __init__(self, type_id: int, name: str, component: int = -1, attribute: bool = False) -> None:
        super().__init__(type_id, name)
        self.component = component
        self.attribute = attribute


VOID = Void()
MODIFIERS = frozenset({BtfKind.VOLATILE, BtfKind.CONST, BtfKind.RESTRICT, BtfKind.TYPE_TAG})
"""The kinds that qualify a type and change neither its layout nor its name."""
