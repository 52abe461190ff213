# SPDX-License-Identifier: BSD-2-Clause
"""CO-RE on hand-built types: one relocation of the first of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typekit import FIRST

from rawbpf.btf.core import CoreFix, CoreResolver
from rawbpf.btf.ext import CoreRelo

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf

A, B, C, D = range(FIRST, FIRST + 4)
"""The ids of a case's own types."""


def resolve(local: Btf, target: Btf | None, kind: int, access: str, type_id: int = A) -> CoreFix:
    """What becomes of a relocation. Without a target only ids of the object are known."""
    return CoreResolver(local, target).resolve(CoreRelo(0, type_id, access, kind))
