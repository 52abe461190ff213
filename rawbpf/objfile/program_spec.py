# SPDX-License-Identifier: BSD-2-Clause
"""The programs and functions of an object's blueprint (`rawbpf.objfile.spec`): plain data that may be edited."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rawbpf.errors import SpecError
from rawbpf.uapi import AttachType, ProgType

if TYPE_CHECKING:
    from rawbpf.btf.ext import FuncInfo
    from rawbpf.objfile.insn import Insn
    from rawbpf.objfile.sections import SectionDef


class HasId(Protocol):
    """A live program, as far as a blueprint has to know."""

    @property
    def id(self) -> int: ...


@dataclass
class FunctionSpec:
    """A function of the object: an entry point (`ProgramSpec`), or a subprogram in ``.text``.

    Attributes:
        section: the ELF section. section_index: its index. start: the function's first slot in it.
        insns: its instructions, one for each 8-byte slot; the file's relocations ride on them.
        func_info: its FUNC type, or None without BTF.
        is_global: whether other objects could call it. hidden: global, but only inside of this object.
    """

    name: str
    section: str
    section_index: int
    start: int
    insns: list[Insn]
    func_info: FuncInfo | None = None
    is_global: bool = False
    hidden: bool = False


@dataclass
class ProgramSpec(FunctionSpec):
    """A program to be loaded.

    Attributes:
        definition: the row of the SEC() table, None where no row fits.
        target: what the SEC() names behind the slash; another may be given before planning.
        target_program: the BPF program that `target` is a function of, by its id or the path of its pin; None for the
            kernel (see `attach_to`).
        prog_type, attach_type: what the kernel is told (`rawbpf.uapi`); see `set_type`.
        flags: ``BPF_F_*`` of program load (`rawbpf.uapi.ProgFlag`), those that the SEC() implies among them.
        autoload: whether it is loaded; SEC("?…") says no.
        autoattach: whether it is attached with all others.
        log_level: what the verifier is asked to write even if all is well: 1, 2 (each instruction), 4 (statistics).
        signature, keyring_id: a PKCS #7 signature of the instructions, and the keyring that has its key (Linux 6.18).
        ifindex: the interface of an offloaded or device-bound program, 0 for none.
        replaced: whether its instructions are others than the file's (see `replace_insns`).
    """

    definition: SectionDef | None = None
    target: str = ""
    target_program: int | str | None = None
    prog_type: int = ProgType.UNSPEC
    attach_type: int = 0
    flags: int = 0
    autoload: bool = True
    autoattach: bool = True
    log_level: int = 0
    signature: bytes = b""
    keyring_id: int = 0
    ifindex: int = 0
    replaced: bool = False

    @property
    def sec_name(self) -> str:
        """What stands in SEC(), without the ``?``."""
        return self.section.removeprefix("?")

    def attach_to(self, program: HasId | int | str | os.PathLike[str], function: str = "") -> None:
        """Replace or trace a function of another BPF program (``freplace``, ``fentry``, ``fexit``, ``fsession``).

        Args:
            program: a live program, a program's id, or the path where one is pinned.
            function: the function's name; by default the one that the SEC() names.

        Raises:
            SpecError: programs of this type do not attach to others, no function is named, no program has such an id.
        """
        if self.prog_type not in (ProgType.EXT, ProgType.TRACING):
            raise SpecError(
                "only freplace and tracing programs attach to other programs",
                symbol=self.name,
                hint=f'this one is SEC("{self.sec_name}"): SEC("freplace/FUNCTION"), or "fentry/FUNCTION"',
            )
        if not (function or self.target):
            raise SpecError("no function of the other program is named", symbol=self.name)
        if isinstance(program, str | os.PathLike):
            self.target_program = os.fspath(program)
        else:
            number = int(program if isinstance(program, int) else program.id)
            if not 0 < number < 1 << 32:
                raise SpecError(f"{number} is no id of a program", symbol=self.name, hint="`rawbpf list` shows them")
            self.target_program = number
        self.target = function or self.target

    def set_type(self, prog_type: int, attach_type: int | None = None) -> None:
        """Load it as another type of program. What only the SEC() implied, flags and how it attaches, is gone."""
        if self.definition is not None and prog_type != self.prog_type:
            self.flags &= ~self.definition.prog_flags
            self.definition = None
        self.prog_type = prog_type
        self.attach_type = self.attach_type if attach_type is None else attach_type

    def replace_insns(self, insns: list[Insn]) -> None:
        """Give it other instructions than the file's; CO-RE relocations of the file are not for them.

        ``rawbpf.objfile.insn.decode`` makes them from bytes. Those taken from this or another function of the object
        bring along their references and source lines. To change a single instruction, change it in place.
        """
        self.insns = list(insns)
        self.replaced = True
        lines = [insn.line for insn in self.insns if insn.line]
        if lines and self.insns[0].line is None:
            self.insns[0] = self.insns[0].copy()
            self.insns[0].line = lines[0]  # the kernel wants a line where a function begins


def attach_type_name(prog_type: int, attach_type: int) -> str:
    """The attach type in the kernel's words; empty where the program type has none.

    There 0 means nothing, and of a struct_ops program any number is that of a member of the struct.
    """
    if prog_type == ProgType.STRUCT_OPS or (attach_type == 0 and prog_type != ProgType.CGROUP_SKB):
        return ""
    try:
        return AttachType(attach_type).name
    except ValueError:
        return str(attach_type)
