# SPDX-License-Identifier: BSD-2-Clause
"""rawbpf: an eBPF loader in pure Python.

An object file becomes a spec, a spec and a kernel become a plan, a plan becomes live objects:

>>> import rawbpf
>>> spec = rawbpf.open("objs/tcp_cc_demo.o")     # plain data: no root, no kernel
>>> print(rawbpf.make_plan(spec).explain())      # what would be asked of the running kernel
>>> with rawbpf.load(spec) as obj:               # maps, programs, variables; closed at the end
...     link = obj.struct_ops["demo"].attach()

Everything here is imported when it is first used, so that ``import rawbpf`` costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing has it, whose import takes as long as the interpreter's start

if TYPE_CHECKING:
    import os
    from collections.abc import Collection
    from typing import Any

    from rawbpf.btf.parse import Btf
    from rawbpf.errors import KernelError, NotSupportedError, RawbpfError, VerifierError
    from rawbpf.kernel import attach
    from rawbpf.kernel.host import host_target
    from rawbpf.kernel.links import Link
    from rawbpf.kernel.maps import Map
    from rawbpf.kernel.object import Object
    from rawbpf.kernel.programs import Program, run_statistics
    from rawbpf.kernel.streams.perfbuf import PerfBuffer
    from rawbpf.kernel.streams.prog_streams import ProgStream
    from rawbpf.kernel.streams.ringbuf import RingBuffer
    from rawbpf.kernel.streams.trace_pipe import TracePipe
    from rawbpf.kernel.streams.user_ringbuf import UserRingBuffer
    from rawbpf.objfile.reader import read_btf
    from rawbpf.objfile.spec import ObjectSpec
    from rawbpf.plan.plan import Plan
    from rawbpf.plan.target import Target

__version__ = "0.1.0"

__all__ = [
    "Btf",
    "KernelError",
    "Link",
    "Map",
    "NotSupportedError",
    "Object",
    "ObjectSpec",
    "PerfBuffer",
    "Plan",
    "ProgStream",
    "Program",
    "RawbpfError",
    "RingBuffer",
    "Target",
    "TracePipe",
    "UserRingBuffer",
    "VerifierError",
    "attach",
    "execute",
    "host_target",
    "load",
    "make_plan",
    "open",
    "read_btf",
    "run_statistics",
]

_HOMES = {
    "Btf": "rawbpf.btf.parse",
    "KernelError": "rawbpf.errors",
    "Link": "rawbpf.kernel.links",
    "Map": "rawbpf.kernel.maps",
    "NotSupportedError": "rawbpf.errors",
    "Object": "rawbpf.kernel.object",
    "ObjectSpec": "rawbpf.objfile.spec",
    "PerfBuffer": "rawbpf.kernel.streams.perfbuf",
    "Plan": "rawbpf.plan.plan",
    "ProgStream": "rawbpf.kernel.streams.prog_streams",
    "Program": "rawbpf.kernel.programs",
    "RawbpfError": "rawbpf.errors",
    "RingBuffer": "rawbpf.kernel.streams.ringbuf",
    "Target": "rawbpf.plan.target",
    "TracePipe": "rawbpf.kernel.streams.trace_pipe",
    "UserRingBuffer": "rawbpf.kernel.streams.user_ringbuf",
    "VerifierError": "rawbpf.errors",
    "host_target": "rawbpf.kernel.host",
    "read_btf": "rawbpf.objfile.reader",
    "run_statistics": "rawbpf.kernel.programs",
}


def __getattr__(name: str) -> Any:
    if name == "attach":
        from rawbpf.kernel import attach

        return attach
    if name not in _HOMES:
        raise AttributeError(f"module 'rawbpf' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def open(path: str | os.PathLike[str], *, name: str | None = None, relaxed_maps: bool = False) -> ObjectSpec:
    """Read an object file made by clang or gcc for BPF. Needs no root and no kernel.

    Args:
        path: the file.
        name: what to call the object; by default the file's name up to its first dot.
        relaxed_maps: leave out members of map definitions that are not known, with a warning.

    Raises:
        ElfError: no file that can be read, no ELF, not for BPF, truncated or corrupted.
        BtfError: .BTF or .BTF.ext break the format.
        SpecError: well-formed, but it means nothing that can be loaded.
    """
    from rawbpf.objfile.reader import open_object

    return open_object(path, name=name, relaxed_maps=relaxed_maps)


def make_plan(
    spec: ObjectSpec,
    target: Target | None = None,
    *,
    attach: bool = True,
    pin_dir: str = "",
    only: Collection[str] | None = None,
    kconfig: str = "",
    cgroup: str = "",
    dev: str = "",
    netns: str = "",
    pid: int | None = None,
    token: str | None = None,
) -> Plan:
    """Work out what to ask of a kernel to load an object. Nothing is asked of it yet.

    Args:
        spec: the object, from `open`.
        target: the kernel; by default the running one. ``Target.from_btf(FILE)`` is any other.
        attach: add the steps that attach what attaches by itself (`load` leaves them to the live object).
        pin_dir: add the steps that pin everything below this directory of a bpffs.
        only: load just the programs with these names.
        kconfig: lines ``CONFIG_X=y`` that win over the kernel's configuration.
        cgroup, dev, netns, pid: with `attach`: to what those programs are attached that take such: the directory of a
            cgroup, a network device, a network namespace, a process.
        token: the bpffs that a BPF token is made from, whose rights are used; empty for none. By default the variable
            LIBBPF_BPF_TOKEN_PATH says it, or in a user namespace /sys/fs/bpf is tried.

    Raises:
        SpecError, ExternError, RelocationError, CoreRelocationError: the object does not fit the kernel.
        NotSupportedError: the kernel lacks a struct_ops type.
    """
    from rawbpf.plan import planner

    if target is None:
        from rawbpf.kernel.host import host_target

        target = host_target(token)
    options = {"cgroup": cgroup, "dev": dev, "netns": netns, "pid": pid}
    return planner.make_plan(
        spec, target, attach=attach, pin_dir=pin_dir, only=only, kconfig=kconfig, token=token, **options
    )


def load(
    source: ObjectSpec | Plan | str | os.PathLike[str], target: Target | None = None, *, token: str | None = None
) -> Object:
    """Load an object into the running kernel. Nothing is attached or pinned: the live object does that when asked.

    Args:
        source: a spec, a plan (whose steps that attach and pin are left out), or the path of an object file.
        target: the kernel to plan for; only of use when `source` is no plan.
        token: as of `make_plan`; of use when `source` is no plan.

    Returns:
        The live object. Closing it (it is a context manager) closes all that it opened.

    Raises:
        KernelError: a system call said no; `VerifierError` with the log if it was the verifier. Nothing is left behind.
        RawbpfError: whatever `open` and `make_plan` raise.
    """
    from rawbpf.kernel import executor
    from rawbpf.plan.plan import Plan

    if isinstance(source, Plan):
        return executor.load(source)
    from rawbpf.objfile.spec import ObjectSpec

    spec = source if isinstance(source, ObjectSpec) else open(source)
    return executor.load(make_plan(spec, target, token=token))


def execute(plan: Plan) -> Object:
    """Run all steps of a plan on the running kernel: load, attach, pin. Otherwise as `load`."""
    from rawbpf.kernel import executor

    return executor.execute(plan)
