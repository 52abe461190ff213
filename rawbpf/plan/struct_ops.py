# SPDX-License-Identifier: BSD-2-Clause
"""struct_ops: a struct of the object becomes the value of a map whose type the kernel has.

For a struct ``X`` the kernel's BTF has ``bpf_struct_ops_X``, the value of the map: some fields of the kernel's own and,
at a cache line's distance, an ``X``. Members are matched by name; functions become programs (kernel commit
27ae7997a661, "bpf: Introduce BPF_MAP_TYPE_STRUCT_OPS", in v5.6; links: 68b04864ca42, in v6.4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rawbpf.btf import types as t
from rawbpf.btf.decl import type_decl
from rawbpf.btf.match import essential_name
from rawbpf.errors import ENOTSUPP, NotSupportedError, SpecError, where
from rawbpf.objfile.spec import MAX_DATA_SIZE
from rawbpf.plan.target import NOT_HERE
from rawbpf.uapi import BtfKind

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf
    from rawbpf.objfile.spec import ObjectSpec, StructOpsSpec
    from rawbpf.plan.target import Module, Target

VALUE_PREFIX = "bpf_struct_ops_"

_OF_MPTCP = (
    "no mainline kernel up to 7.3 has it: the MPTCP development tree has, and this project's test kernel. Try it "
    "there, from a checkout: tools/vm -- .venv/bin/python -m rawbpf load {path}"
)
KNOWN_IN = {
    "tcp_congestion_ops": "Linux 5.6 and newer have it (CONFIG_BPF_JIT, CONFIG_DEBUG_INFO_BTF)",
    "hid_bpf_ops": "Linux 6.11 and newer have it (CONFIG_HID_BPF)",
    "sched_ext_ops": "Linux 6.12 and newer have it (CONFIG_SCHED_CLASS_EXT)",
    "Qdisc_ops": "Linux 6.16 and newer have it (CONFIG_NET_SCH_BPF)",
    "mptcp_sched_ops": _OF_MPTCP,
    "mptcp_pm_ops": _OF_MPTCP,
}
"""Which kernels have a struct_ops type: the way out when this one has not."""


class Prepared(NamedTuple):
    """A struct_ops map for one kernel.

    Attributes:
        value_type_id: of ``bpf_struct_ops_X``. type_id: of ``X``.
        value: the map's value, function pointers 0.
        functions: byte offset in the value → name of the program.
        members: name of the program → index of its member in the kernel's ``X``.
        module: whose BTF it is, None for vmlinux.
    """

    spec: StructOpsSpec
    value_type_id: int
    type_id: int
    value: bytes
    functions: dict[int, str]
    members: dict[str, int]
    module: Module | None


def prepare_struct_ops(spec: ObjectSpec, ops: StructOpsSpec, target: Target) -> Prepared:
    """Fit a struct to the kernel's type.

    Raises:
        NotSupportedError: the kernel has no such struct_ops type.
        SpecError: a member of it is not as the kernel has it: its kind or size differs, or it is set and not there.
    """
    with where(symbol=ops.name, section=ops.section):
        name = essential_name(ops.type_name)
        found = target.find(VALUE_PREFIX + name, BtfKind.STRUCT)
        if found is None:
            raise _no_type(name, target, spec.path)
        btf, value_type_id, module = found
        inner, size = _inner(btf, value_type_id, name, target.name)
        fit = _Fit(spec, ops, btf, inner.type_id, inner.bit_offset // 8, bytearray(size), target.name)
        fit.run()
        return Prepared(ops, value_type_id, inner.type_id, bytes(fit.value), fit.functions, fit.members, module)


def _inner(btf: Btf, value_type_id: int, name: str, kernel: str) -> tuple[t.Member, int]:
    # the member of the value's type that is the struct itself, and the size of the whole
    value_type = btf.type(value_type_id)
    assert isinstance(value_type, t.Struct)
    for member in value_type.members:
        inner = btf.type(member.type_id)
        if isinstance(inner, t.Struct) and inner.name == name:
            if member.bit_offset // 8 + inner.size <= value_type.size <= MAX_DATA_SIZE:
                return member, value_type.size
            break
    raise SpecError(f"BTF of {kernel}: struct {value_type.name} holds no struct {name}")


def _no_type(name: str, target: Target, path: str) -> NotSupportedError:
    known = KNOWN_IN.get(name, NOT_HERE)
    return NotSupportedError(
        f"struct_ops type {name}",
        message=f"{target.name} has no struct_ops type {name}",
        errno=ENOTSUPP,
        hint=known.format(path=path or "OBJ"),
    )


class MemberError(SpecError):
    """A member of the object's struct that the kernel's has not; `details` shows both structs, side by side.

    Attributes:
        object_members, kernel_members: name → declaration.
    """

    def __init__(self, message: str, mine: dict[str, str], theirs: dict[str, str], hint: str) -> None:
        super().__init__(message, hint=hint)
        self.object_members = mine
        self.kernel_members = theirs

    def details(self) -> list[str]:
        names = dict.fromkeys((*self.object_members, *self.kernel_members))
        rows = [("object", "kernel")]
        rows += [(self.object_members.get(name, "-"), self.kernel_members.get(name, "-")) for name in names]
        width = max(len(mine) for mine, _theirs in rows)
        return [f"    {mine.ljust(width)}  {theirs}" for mine, theirs in rows]


def _declarations(btf: Btf, struct: t.Struct) -> dict[str, str]:
    return {member.name: type_decl(btf, member.type_id, member.name) for member in struct.members if member.name}


class _Fit:
    # one struct against the kernel's

    def __init__(
        self, spec: ObjectSpec, ops: StructOpsSpec, btf: Btf, type_id: int, begin: int, value: bytearray, kernel: str
    ) -> None:
        assert spec.btf is not None
        self.local, self.btf, self.ops, self.kernel = spec.btf, btf, ops, kernel
        mine, theirs = spec.btf.type(ops.type_id), btf.type(type_id)
        assert isinstance(mine, t.Struct)
        assert isinstance(theirs, t.Struct)
        self.mine, self.theirs = mine, theirs
        self.begin = begin
        self.value = value
        self.functions: dict[int, str] = {}
        self.members: dict[str, int] = {}

    def run(self) -> None:
        there = {member.name: number for number, member in enumerate(self.theirs.members)}
        for member in self.mine.members:
            offset = member.bit_offset // 8
            data = bytes(self.ops.data[offset : offset + self.local.size_of(member.type_id)])
            if member.name in there:
                self._member(member, there[member.name], offset, data)
            elif any(data) or offset in self.ops.functions:
                raise self._missing(member)

    def _member(self, mine: t.Member, number: int, offset: int, data: bytes) -> None:
        theirs = self.theirs.members[number]
        if mine.bitfield_size or theirs.bitfield_size:
            raise SpecError(f"member {mine.name!r} is a bitfield, which struct_ops cannot set")
        one = self.local.type(self.local.resolve(mine.type_id))
        other = self.btf.type(self.btf.resolve(theirs.type_id))
        if one.kind != other.kind:
            raise self._different(mine, theirs)
        place = self.begin + theirs.bit_offset // 8
        if place + self.btf.size_of(theirs.type_id) > len(self.value):
            raise SpecError(f"BTF of {self.kernel}: member {theirs.name!r} is outside of struct {self.theirs.name}")
        if isinstance(one, t.Ptr) and isinstance(other, t.Ptr):
            if offset not in self.ops.functions:
                return
            if not isinstance(self.btf.type(self.btf.resolve(other.type_id)), t.FuncProto):
                raise self._different(mine, theirs)
            name = self.ops.functions[offset]
            if self.members.setdefault(name, number) != number:
                raise self._twice(name)
            self.functions[place] = name
            return
        if self.local.size_of(mine.type_id) != self.btf.size_of(theirs.type_id):
            raise self._different(mine, theirs)
        self.value[place : place + len(data)] = data

    def _twice(self, name: str) -> SpecError:
        return SpecError(
            f"the program {name!r} is two members of struct {self.theirs.name}; it can be only one",
            hint="the kernel verifies it for the arguments of one member: write a second program",
        )

    def _missing(self, member: t.Member) -> SpecError:
        return MemberError(
            f"member {member.name!r} is set, and struct {self.theirs.name} of {self.kernel} has no such member",
            _declarations(self.local, self.mine),
            _declarations(self.btf, self.theirs),
            "the object was made for another kernel: use the members that this one has",
        )

    def _different(self, mine: t.Member, theirs: t.Member) -> SpecError:
        return SpecError(
            f"member {mine.name!r} of struct {self.theirs.name} is `{type_decl(self.local, mine.type_id, mine.name)}`"
            f" in the object and `{type_decl(self.btf, theirs.type_id, theirs.name)}` in {self.kernel}",
            hint="declare the struct as this kernel has it: rawbpf btf dump --type " + self.theirs.name,
        )
