# SPDX-License-Identifier: BSD-2-Clause
"""``rawbpf.attach``: one function for each thing that a program can be attached to.

>>> link = rawbpf.attach.cgroup(program, "/sys/fs/cgroup/mine")
>>> link.close()

Each answers a `Link`, or where the kernel has no link for it an `Attachment` with the same methods. Which function a
program's SEC() asks for is said in `rawbpf.objfile.attaching`; `Program.attach` goes by that.

A kind of attachment is a file ``_KIND.py`` here and a line in `_HOMES`. (A file of the function's own name would hide
the function as soon as it is imported.) Nothing is imported before it is used.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from rawbpf.kernel.attach._cgroup import cgroup
    from rawbpf.kernel.attach.attachment import Attachment

__all__ = [
    "Attachment",
    "cgroup",
]

_HOMES = {
    "Attachment": "attachment",
    "cgroup": "_cgroup",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"rawbpf.attach has no {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
