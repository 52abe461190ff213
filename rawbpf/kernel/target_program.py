# SPDX-License-Identifier: BSD-2-Clause
"""BPF programs that other programs replace functions of, or trace: opened by their handle in a plan, and their BTF."""

from __future__ import annotations

from errno import ENOENT
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, TargetError
from rawbpf.kernel import info, syscall
from rawbpf.kernel.programs import Program
from rawbpf.plan.steps import PINNED
from rawbpf.uapi import Cmd

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf


def open_program(handle: str) -> Program:
    """The program of a handle: ``progid:7`` (as root), ``pin:/sys/fs/bpf/NAME``.

    Raises:
        TargetError: there is none.
        SpecError: something else is pinned there.
        KernelError: it may not be opened.
    """
    where = handle.partition(":")[2]
    try:
        return Program.open(where) if handle.startswith(PINNED) else Program.by_id(int(where))
    except KernelError as failure:
        if failure.errno != ENOENT:
            raise
        what = f"nothing is pinned at {where}" if handle.startswith(PINNED) else f"no BPF program has the id {where}"
        raise TargetError(what, hint="rawbpf list shows what is loaded; so does bpftool prog list") from failure


def btf_of(program: int) -> Btf:
    """The BTF that a program (a descriptor) was loaded with. Raises `TargetError` if it was loaded without."""
    from rawbpf.btf.parse import Btf

    about = info.prog_info(program)
    if not about.btf_id:
        raise TargetError(
            f"the BPF program {about.name!r} (id {about.id}) was loaded without BTF: its functions cannot be found",
            hint="compile it with -g",
        )
    with syscall.get_fd_by_id(Cmd.BTF_GET_FD_BY_ID, about.btf_id) as btf:
        return Btf(info.btf_data(btf.fileno()), name=about.name)
