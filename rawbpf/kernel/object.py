# SPDX-License-Identifier: BSD-2-Clause
"""`Object`: what a plan became in the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawbpf.errors import SpecError, where
from rawbpf.kernel import bpffs
from rawbpf.pins import LINKS, MAPS, PROGRAMS, pin_name

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from rawbpf.btf.parse import Btf
    from rawbpf.kernel.attach import Attachment
    from rawbpf.kernel.links import Link, Registration
    from rawbpf.kernel.maps import Map
    from rawbpf.kernel.programs import Program
    from rawbpf.kernel.struct_ops import StructOps

    Attached = Link | Registration | Attachment


class Object:
    """The live maps, programs, links, struct_ops and variables of an object, by their names in the C source.

    It is a context manager: leaving it closes all that it opened. What is pinned stays.

    Attributes:
        name, path: of the object file.
        links: what is attached, by the name of the program or struct_ops.
        skipped: what `attach` left alone, with the reason.
    """

    def __init__(self, name: str, path: str, btf: Callable[[], Btf | None]) -> None:
        self.name = name
        self.path = path
        self.maps: dict[str, Map] = {}
        self.programs: dict[str, Program] = {}
        self.links: dict[str, Attached] = {}
        self.struct_ops: dict[str, StructOps] = {}
        self.variables: dict[str, Variable] = {}
        self.skipped: dict[str, str] = {}
        self._btf = btf

    @property
    def btf(self) -> Btf | None:
        """The object's BTF, or None if it has none."""
        return self._btf()

    def attach(self, **options: Any) -> list[Attached]:
        """Attach all that attaches by itself and is not attached yet. If one fails, none is attached.

        What is left is named in `skipped`: programs whose SEC() does not say to what, and that have to be told where.

        Args:
            options: where: ``cgroup=DIRECTORY``, ``dev=NAME``, ``netns=PATH``, ``pid=NUMBER``, each for all programs
                that take it.
        """
        made: dict[str, Attached] = {}
        skipped: dict[str, str] = {}
        try:
            with where(path=self.path):
                self._attach_programs(options, made, skipped)
                for name, ops in self.struct_ops.items():
                    if name not in self.links:
                        made[name] = ops.attach()
        except BaseException:
            for link in reversed(made.values()):
                link.close()
            raise
        self.links |= made
        self.skipped = skipped
        return list(made.values())

    def _attach_programs(self, options: dict[str, Any], made: dict[str, Attached], skipped: dict[str, str]) -> None:
        from rawbpf.kernel.attach import auto
        from rawbpf.objfile.attaching import attaching, why_not

        in_struct = {name for ops in self.struct_ops.values() for name in ops.programs}
        for name, program in self.programs.items():
            if name in in_struct or name in self.links:
                continue
            with where(symbol=name, section=program.section):
                how = attaching(program.section, options)
                if why := why_not(program.section, how, bool(program.auto_attach)):
                    skipped[name] = why
                elif how is not None:
                    made[name] = auto.attach(program, how.kind, how.arguments)

    def pin(self, directory: str | os.PathLike[str]) -> list[str]:
        """Pin all maps, programs and links, as ``DIRECTORY/maps/NAME``, ``…/programs/NAME`` and ``…/links/NAME``.

        What is attached without a link cannot be pinned: it is left out, and ends when it is closed. If one fails, none
        is pinned. The paths that were made.
        """
        from os.path import join

        from rawbpf.kernel.attach import Attachment

        kinds: list[tuple[str, dict[str, Any]]] = [
            (MAPS, self.maps),
            (PROGRAMS, self.programs),
            (LINKS, {name: link for name, link in self.links.items() if not isinstance(link, Attachment)}),
        ]
        made: list[tuple[Any, str]] = []
        directories: list[str] = []
        try:
            for folder, things in kinds:
                if things:
                    bpffs.make_directories(join(directory, folder), directories)
                for name, thing in things.items():
                    path = join(directory, folder, pin_name(name))
                    with where(symbol=name):
                        thing.pin(path)
                    made.append((thing, path))
        except BaseException:
            for thing, path in reversed(made):
                thing.unpin(path)
            bpffs.remove_directories(directories)
            raise
        return [path for _, path in made]

    def close(self) -> None:
        """Close everything: links first, so that nothing runs without its maps.

        What goes wrong on the way, or interrupts it, is raised when everything else is closed.
        """
        left: list[Any] = [*self.maps.values(), *self.programs.values(), *self.links.values()]
        failure: BaseException | None = None
        while left:
            try:
                left[-1].close()
                left.pop()
            except Exception as error:
                failure = error
                left.pop()
            except BaseException as interrupt:
                failure = interrupt  # and the same once more
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # its traceback names this frame: a cycle

    def __enter__(self) -> Object:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        counts = f"{len(self.maps)} maps, {len(self.programs)} programs, {len(self.links)} links"
        return f"<Object {self.name!r}: {counts}>"


class Variable:
    """A global variable of the C source, live: what is read is what programs see now.

    Attributes:
        name: its name. map: the map of its data section. offset, size: in bytes of the map's value.
        type_id: its type in the object's BTF; without one, values are bytes.
    """

    def __init__(
        self,
        name: str,
        map: Map,
        offset: int,
        size: int,
        type_id: int,
        *,
        btf: Callable[[], Btf | None],
        constant: bool,
    ) -> None:
        self.name = name
        self.map = map
        self.offset = offset
        self.size = size
        self.type_id = type_id
        self.constant = constant
        self._btf = btf

    @property
    def raw(self) -> bytes:
        """Its bytes now."""
        memory = self.map.memory()
        data = self.map.raw_value(bytes(4)) if memory is None else memory
        return bytes(data[self.offset : self.offset + self.size])

    @property
    def value(self) -> Any:
        """Its value now, typed by BTF.

        Setting it raises `SpecError` for constants (they are fixed when the object is loaded: set them in the spec) and
        for what the type cannot hold. Where the map is not mapped into memory, setting rewrites the whole section.
        """
        from rawbpf.btf import value as typed

        btf = self._btf() if self.type_id else None
        raw = self.raw
        return raw if btf is None else typed.decode(btf, self.type_id, raw)

    @value.setter
    def value(self, new: Any) -> None:
        with where(symbol=self.name):
            if self.constant:
                raise SpecError(
                    "a constant is fixed once the object is loaded",
                    hint="set it before: spec.variables[…].value, or --set NAME=VALUE",
                )
            data = self._encode(new)
            memory = self.map.memory()
            if memory is not None:
                memory[self.offset : self.offset + self.size] = data
                return
            section = bytearray(self.map.raw_value(bytes(4)))
            section[self.offset : self.offset + self.size] = data
            self.map.update(bytes(4), bytes(section))

    def _encode(self, new: Any) -> bytes:
        from rawbpf.btf import value as typed

        btf = self._btf() if self.type_id else None
        data = new if btf is None or isinstance(new, bytes) else typed.encode(btf, self.type_id, new)
        if not isinstance(data, bytes) or len(data) != self.size:
            raise SpecError(f"the variable has no type and {self.size} bytes: give as many bytes")
        return data

    def __repr__(self) -> str:
        return f"<Variable {self.name!r} in {self.map.name}+{self.offset}>"
