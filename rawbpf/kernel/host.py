# SPDX-License-Identifier: BSD-2-Clause
"""The running kernel as data: the only place that reads /sys and /proc for planning."""

from __future__ import annotations

import os
import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING

from rawbpf.errors import ParseError
from rawbpf.kernel.log import debug

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rawbpf.btf.parse import Btf
    from rawbpf.plan.target import Module, Target

BTF_DIRECTORY = "/sys/kernel/btf"
# Where distributions leave a vmlinux whose .BTF can be read if the kernel does not show it; {} is the release
_VMLINUX_FILES = (
    "/boot/vmlinux-{}",
    "/lib/modules/{}/vmlinux-{}",
    "/lib/modules/{}/build/vmlinux",
    "/usr/lib/modules/{}/kernel/vmlinux",
    "/usr/lib/debug/boot/vmlinux-{}",
    "/usr/lib/debug/boot/vmlinux-{}.debug",
    "/usr/lib/debug/lib/modules/{}/vmlinux",
)


# since Linux 4.17 the entry of a system call is named after its architecture: __x64_sys_bpf and the like
SYSCALL_PREFIXES = {"x86_64": "x64", "aarch64": "arm64", "s390x": "s390x", "riscv64": "riscv", "i686": "ia32"}


def release() -> str:
    """The kernel's release, as ``uname -r``."""
    return os.uname().release


def version() -> int:
    """The kernel's version as ``KERNEL_VERSION(major, minor, patch)``.

    Ubuntu and Debian do not tell the patch level in the release: Ubuntu has it in /proc/version_signature, Debian in
    uname's version. This is what kprobe programs had to state before Linux 5.0, and LINUX_KERNEL_VERSION is.
    """
    signature = _read_text("/proc/version_signature") or ""
    debian = re.search(r"Debian (\d+)\.(\d+)\.(\d+)", os.uname().version)
    plain = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release())
    ubuntu = re.match(r"\S+ \S+ (\d+)\.(\d+)\.(\d+)", signature)
    found = ubuntu or debian or plain
    if found is None:
        return 0
    major, minor, patch = (int(part or 0) for part in found.groups())
    return major << 16 | minor << 8 | min(patch, 255)


def _read_text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return None


def vmlinux_btf() -> Btf | None:
    """The kernel's own BTF, from /sys/kernel/btf/vmlinux or else a vmlinux file; None if there is none.

    Raises:
        BtfError: the kernel's BTF makes no sense to this version.
    """
    path = f"{BTF_DIRECTORY}/vmlinux"
    if os.path.exists(path):
        return _parse(path, None)
    from rawbpf.objfile.reader import read_btf

    for pattern in _VMLINUX_FILES:
        path = pattern.format(release(), release())
        if os.access(path, os.R_OK):
            try:
                return read_btf(path)
            except ParseError as failure:  # a vmlinux without BTF: another may have it
                debug("%s", failure)
    return None


def _parse(path: str, base: Btf | None) -> Btf:
    from rawbpf.btf.parse import Btf

    with open(path, "rb") as file:
        return Btf(file.read(), base=base, name=os.path.basename(path))


@lru_cache(maxsize=1)
def btf_fingerprint() -> str:
    """What tells the running kernel from others: the fingerprint of its BTF, empty if it shows none."""
    from rawbpf.plan.target import fingerprint

    data = _read_bytes(f"{BTF_DIRECTORY}/vmlinux")
    if data:
        return fingerprint(data)
    btf = vmlinux_btf()
    return fingerprint(btf.data) if btf is not None else ""


def module_names() -> list[str]:
    """The loaded modules that have BTF."""
    try:
        return sorted(set(os.listdir(BTF_DIRECTORY)) - {"vmlinux"})
    except OSError:
        return []


def kconfig() -> str | None:
    """The text of the kernel's .config: /boot/config-RELEASE, else /proc/config.gz, or None."""
    text = _read_text(f"/boot/config-{release()}")
    if text is not None:
        return text
    try:
        import gzip

        with gzip.open("/proc/config.gz", "rt", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except (OSError, EOFError):
        return None


def ksyms(names: Iterable[str]) -> dict[str, list[int]]:
    """The addresses of kernel symbols from /proc/kallsyms; names that are not there are left out.

    A compiler's suffix (``.llvm.1234``) does not count for data. Addresses are 0 where kptr_restrict hides them.
    """
    table = _read_bytes("/proc/kallsyms")
    raw = {name: name.encode(errors="surrogateescape") for name in names}
    found = {name: [int(address, 16) for address in _addresses(table, raw[name])] for name in raw}
    return {name: addresses for name, addresses in found.items() if addresses}


def _addresses(table: bytes, name: bytes) -> Iterator[bytes]:
    # lines are "address kind name" and, for modules, "<tab>[module]"; searching beats splitting 200 000 of them
    needle = b" " + name
    at = table.find(needle)
    while at >= 0:
        address, kind, whole = table[table.rfind(b"\n", 0, at) + 1 : table.find(b"\n", at)].split(None, 3)[:3]
        if whole == name or (kind in b"dD" and whole.startswith(name + b".llvm.")):
            yield address
        at = table.find(needle, at + 1)


def _read_bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as failure:
        debug("%s: %s", path, failure)
        return b""


def kernel_functions() -> frozenset[str]:
    """The names of all functions of the kernel and its modules, from /proc/kallsyms; empty if it may not be read."""
    fields = (line.split(None, 3) for line in _read_bytes("/proc/kallsyms").splitlines())
    found = {words[2] for words in fields if len(words) > 2 and words[1] in b"tTwW"}
    return frozenset(name.decode(errors="surrogateescape") for name in found)


def has_kprobes() -> bool:
    """Whether kernel functions can be probed: by perf events, or before 4.17 by a file of tracefs."""
    return any(
        os.path.exists(path)
        for path in (
            "/sys/bus/event_source/devices/kprobe/type",
            "/sys/kernel/tracing/kprobe_events",
            "/sys/kernel/debug/tracing/kprobe_events",
        )
    )


@lru_cache(maxsize=1)
def possible_cpus() -> int:
    """How many CPUs there may be, which is the number of values that a per-CPU map has."""
    return len(_cpus("possible"))


def online_cpus() -> list[int]:
    """The numbers of the CPUs that are on."""
    return _cpus("online")


def _cpus(which: str) -> list[int]:
    text = _read_text(f"/sys/devices/system/cpu/{which}") or ""
    ranges = re.findall(r"(\d+)(?:-(\d+))?", text)  # such as 0-3,8-11
    found = [cpu for first, last in ranges for cpu in range(int(first), int(last or first) + 1)]
    return found or list(range(os.cpu_count() or 1))


class _Features:
    # as rawbpf.kernel.features.Features, which is only imported (with ctypes and all) for an object that needs it

    def __init__(self, token: str | None) -> None:
        self._token = token

    def has(self, name: str) -> bool:
        from rawbpf.kernel import token
        from rawbpf.kernel.features import Features

        with token.use(self._token):
            return Features().has(name)


def host_target(token: str | None = None) -> Target:
    """The running kernel as a `Target`. Nothing is read before it is asked for.

    What it can do is tried with a BPF token of the bpffs at `token`; by default as `rawbpf.kernel.token` says.
    """
    from rawbpf.plan.target import Module, Target

    def modules() -> list[Module]:
        return [Module(name, _module_loader(target, name)) for name in module_names()]

    target: Target = Target(
        f"Linux {release()}",
        btf=vmlinux_btf,
        modules=modules,
        kconfig=kconfig,
        ksyms=ksyms,
        version=version(),
        little=sys.byteorder == "little",
        cpus=possible_cpus(),
        page_size=os.sysconf("SC_PAGE_SIZE"),
        features=_Features(token),
        programs=_program_btf,
    )
    return target


def _program_btf(handle: str) -> Btf:
    from rawbpf.kernel import target_program

    with target_program.open_program(handle) as program:
        return target_program.btf_of(program.fileno())


def _module_loader(target: Target, name: str) -> Callable[[], Btf]:
    return lambda: _parse(f"{BTF_DIRECTORY}/{name}", target.btf)
