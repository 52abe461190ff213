# SPDX-License-Identifier: BSD-2-Clause
"""Programs attached by what their SEC() says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawbpf.errors import SpecError, where
from rawbpf.kernel import attach as kinds
from rawbpf.objfile.attaching import attaching, why_not

if TYPE_CHECKING:
    from rawbpf.kernel.attach import Attachment
    from rawbpf.kernel.links import Link
    from rawbpf.kernel.programs import Program
    from rawbpf.objfile.attaching import Wanted


def wanted(program: Program) -> Wanted:
    """What the program's SEC() asks for. Raises `SpecError` if it is attached by hand."""
    found = attaching(program.section)
    if found is None:
        raise SpecError(why_not(program.section, None))
    return found


def attach(program: Program, how: Wanted) -> Link | Attachment:
    """Attach a program as it is wanted.

    Raises:
        SpecError: an argument is missing, or there is no such argument or kind.
        KernelError: what the function of `rawbpf.attach` raises.
    """
    with where(symbol=program.name):
        if how.missing:
            raise SpecError(why_not(program.section, how))
        if how.kind not in kinds.__all__:
            raise SpecError(f"rawbpf.attach has no {how.kind!r}")
        function = getattr(kinds, how.kind)
        takes = _parameters(function)
        if unknown := sorted(how.arguments.keys() - set(takes)):
            raise SpecError(f"attach.{how.kind}() takes no {unknown[0]!r}", hint=f"it takes {', '.join(takes)}")
        made: Link | Attachment = function(program, **how.arguments)
        return made


def _parameters(function: Any) -> list[str]:
    # behind the program; the module inspect would do the same and is dear to import
    code = function.__code__
    return list(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])
