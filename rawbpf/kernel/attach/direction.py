# SPDX-License-Identifier: BSD-2-Clause
"""Which of the two hooks of a device: what was asked for, or what the program's SEC() says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rawbpf.kernel.programs import Program
    from rawbpf.uapi import AttachType


def attach_type_of(program: Program, types: Mapping[str, AttachType], asked: str) -> AttachType:
    """The attach type by the hook's name. Raises `SpecError` where there is none of that name, or none was said."""
    if asked in types:
        return types[asked]
    if not asked:
        for kind in types.values():
            if program.expected_attach_type == kind:
                return kind
    names = " or ".join(types)
    raise SpecError(
        f"no direction {asked!r}: {names}" if asked else f'SEC("{program.section}") does not say which: {names}',
        symbol=program.name,
        hint=f"direction={next(iter(types))!r}",
    )
