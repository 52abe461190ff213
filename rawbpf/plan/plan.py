# SPDX-License-Identifier: BSD-2-Clause
"""`Plan`: the ordered steps that load an object into one kernel, as data that can be printed, kept and compared."""

from __future__ import annotations

from typing import Any, NamedTuple

from rawbpf.errors import ParseError, SourceLine
from rawbpf.plan import steps as s

FORMAT = 1
"""The version of a plan's JSON form."""


class PlannedVariable(NamedTuple):
    """Where a global variable will be: `offset` and `size` in bytes of the value of `map` (a handle)."""

    name: str
    map: str
    offset: int
    size: int
    type_id: int = 0


class Note(NamedTuple):
    """What was done to an instruction of a program, and why. `insn` is its slot; `source` the line of C."""

    insn: int
    text: str
    source: SourceLine | None = None


class Plan(NamedTuple):
    """What will be asked of the kernel.

    Attributes:
        name: the object's name. path: its file. target: the kernel's name.
        steps: in order.
        variables: the global variables.
        notes: handle of a program → the story of its instructions.
        little: the byte order that it was made for.
        kernel: the fingerprint of the kernel's BTF, empty where the plan depends on none of its types.
        skipped: the programs that are loaded and not attached, with the reason.
    """

    name: str
    path: str
    target: str
    steps: tuple[s.Step, ...]
    variables: tuple[PlannedVariable, ...] = ()
    notes: dict[str, tuple[Note, ...]] = {}
    little: bool = True
    kernel: str = ""
    skipped: dict[str, str] = {}

    @property
    def programs(self) -> list[s.LoadProgram]:
        """The programs that will be loaded."""
        return [step for step in self.steps if isinstance(step, s.LoadProgram)]

    @property
    def maps(self) -> list[s.CreateMap]:
        """The maps that will be created (or reused), templates of maps in maps among them."""
        return [step for step in self.steps if isinstance(step, s.CreateMap)]

    @property
    def btf(self) -> bytes | None:
        """The object's BTF as the kernel will get it."""
        return next((step.data for step in self.steps if isinstance(step, s.LoadBtf)), None)

    def __str__(self) -> str:
        """The steps as a table."""
        from rawbpf.plan.explain import table

        return table(self)

    def explain(self) -> str:
        """The steps with the reason for each, and for each patched instruction what it was patched for."""
        from rawbpf.plan.explain import explain

        return explain(self)

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON data (docs/json.md)."""
        return {
            "format": FORMAT,
            "name": self.name,
            "path": self.path,
            "target": self.target,
            "little_endian": self.little,
            "kernel": self.kernel,
            "skipped": self.skipped,
            "steps": [s.step_to_json(step) for step in self.steps],
            "variables": [variable._asdict() for variable in self.variables],
            "notes": {handle: [_note_to_json(note) for note in notes] for handle, notes in self.notes.items()},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any] | str | bytes) -> Plan:
        """The reverse of `to_json`, from the data or its text. Raises `ParseError` for what is no plan."""
        try:
            fields: Any = data
            if not isinstance(data, dict):
                import json

                fields = json.loads(data)
            if fields["format"] != FORMAT:
                raise ParseError(f"a plan of format {fields['format']} is not known (only {FORMAT})")
            plan = cls(
                fields["name"],
                fields["path"],
                fields["target"],
                tuple(s.step_from_json(step) for step in fields["steps"]),
                tuple(s.checked(PlannedVariable(**variable)) for variable in fields["variables"]),
                {handle: tuple(map(_note_from_json, notes)) for handle, notes in fields["notes"].items()},
                fields["little_endian"],
                fields["kernel"],
                {name: str(reason) for name, reason in fields["skipped"].items()},
            )
            return s.checked(plan)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise ParseError(f"no plan: {error!r}") from error


def _note_to_json(note: Note) -> dict[str, Any]:
    out: dict[str, Any] = {"insn": note.insn, "text": note.text}
    if note.source:
        out["source"] = note.source._asdict()
    return out


def _note_from_json(data: dict[str, Any]) -> Note:
    source = data.get("source")
    return s.checked(Note(data["insn"], data["text"], s.checked(SourceLine(**source)) if source else None))
