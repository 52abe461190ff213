# SPDX-License-Identifier: BSD-2-Clause
"""Programs attached by the name of a function of `rawbpf.attach` and its arguments: as a plan or a SEC() says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawbpf.errors import SpecError, where
from rawbpf.kernel import attach as kinds
from rawbpf.objfile.attaching import attaching, why_not

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rawbpf.kernel.attach import Attachment
    from rawbpf.kernel.links import Link
    from rawbpf.kernel.programs import Program


def attach_by_section(program: Program, more: Mapping[str, Any]) -> Link | Attachment:
    """Attach a program to what its SEC() says, with `more` arguments, which win.

    Raises:
        SpecError: its SEC() is not known or says too little, or there is no such argument.
        KernelError: what the function of `rawbpf.attach` raises.
    """
    if not program.section:
        raise SpecError("it is not known from which SEC() it came", hint="rawbpf.attach.KIND(program, …)")
    how = attaching(program.section)
    how = how and how.with_arguments(more)
    if why := why_not(program.section, how):
        raise SpecError(why)
    assert how is not None
    return attach(program, how.kind, how.arguments)


def attach(program: Program, kind: str, arguments: Mapping[str, Any]) -> Link | Attachment:
    """Attach a program by a function of `rawbpf.attach`.

    Raises:
        SpecError: there is no such kind or argument.
        KernelError: what the function raises.
    """
    with where(symbol=program.name):
        if kind not in kinds.__all__ or not kind.islower():
            raise SpecError(f"rawbpf.attach has no {kind!r}")
        function = getattr(kinds, kind)
        takes = _parameters(function)
        if unknown := sorted(arguments.keys() - set(takes)):
            raise SpecError(f"attach.{kind}() takes no {unknown[0]!r}", hint=f"it takes {', '.join(takes)}")
        made: Link | Attachment = function(program, **arguments)
        return made


def _parameters(function: Any) -> list[str]:
    # behind the program; the module inspect would do the same and is dear to import
    code = function.__code__
    return list(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])
