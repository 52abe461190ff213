# SPDX-License-Identifier: BSD-2-Clause
"""Programs at USDT probes of user space: a link to all places of a probe, and where its arguments are told to the
program.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from errno import EINVAL, ENOENT
from typing import TYPE_CHECKING, Any

from rawbpf.errors import KernelError, NotSupportedError, where
from rawbpf.kernel import features
from rawbpf.kernel.attach._uprobe import explain, uprobe
from rawbpf.kernel.attach._uprobe_multi import create
from rawbpf.kernel.attach.attachment import Attachment
from rawbpf.kernel.attach.near import near_hint
from rawbpf.kernel.attach.refusal import need_type
from rawbpf.kernel.attach.usdt_specs import Specs
from rawbpf.kernel.links import Link
from rawbpf.kernel.userspace import check_process, find_binary, mappings, open_image
from rawbpf.objfile.image import ET_EXEC
from rawbpf.objfile.usdt import UsdtProbe, parse_arguments, probes
from rawbpf.uapi import AttachType, ProgType

if TYPE_CHECKING:
    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.programs import Program
    from rawbpf.objfile.image import Image


def usdt(
    program: Program,
    binary: str | os.PathLike[str],
    provider: str,
    name: str,
    *,
    pid: int | None = None,
    cookie: int = 0,
) -> Link | Attachment:
    """Run a program at a USDT probe of a binary, wherever it has it. Requires Linux 4.20 for probes with a semaphore.

    The program reads the probe's arguments by the maps of usdt.bpf.h (``__bpf_usdt_specs``), which it must have.

    Args:
        binary, pid: as for `uprobe`.
        provider, name: the probe's.
        cookie: what ``bpf_usdt_cookie`` answers to the program.

    Raises:
        SpecError: the program is not for probes, has not the maps, or an argument is where no program can read it.
        KernelError: ENOENT: no such binary, provider or probe; ESRCH: no such process; E2BIG: the maps are full.
    """
    need_type(program, "usdt", ProgType.KPROBE)
    with where(symbol=program.name):
        process = check_process(pid)
        path = find_binary(binary, process)
        with open_image(path) as image, where(path=path):
            found = _places(image, provider, name)
            arguments = [parse_arguments(place.arguments, image.machine) for place in found]
            addresses = None if features.probe("bpf_cookie") is not False else _addresses(image, found, process)
        specs = Specs(program)
        try:
            numbers = [specs.take(wanted, cookie) for wanted in arguments]
            if addresses is not None:
                specs.name_places(addresses, numbers)
            if _is_multi(program):
                return UsdtLink(_link(program, path, found, numbers, process), program.name, specs)
            places = list(zip(found, [0] * len(found) if addresses else numbers, strict=True))
            return UsdtAttachment(program, path, places, process, specs).begin()
        except BaseException:
            specs.give_back()
            raise


class UsdtLink(Link):
    """A link to the places of a USDT probe. Closing it frees the specs of its arguments, unless it is pinned."""

    def __init__(self, fd: Fd, name: str = "", specs: Specs | None = None) -> None:
        super().__init__(fd, name)
        self._specs = specs

    def close(self) -> None:
        try:
            self._end()
        except KeyboardInterrupt:
            self._end()  # the specs are nobody's, and there are not many
            raise

    def _end(self) -> None:
        super().close()
        if self._specs is not None and self.pins:
            self._specs.close()
        elif self._specs is not None:
            self._specs.give_back()

    def __del__(self) -> None:
        specs = getattr(self, "_specs", None)
        if specs is not None and not self.pins:  # forgotten, or interrupted before anybody had it
            with suppress(KernelError):
                specs.give_back()


class UsdtAttachment(Attachment):
    """A probe's places one by one, for kernels without links to many (before 6.6)."""

    def __init__(
        self, program: Program, path: str, places: list[tuple[UsdtProbe, int]], process: int | None, specs: Specs
    ) -> None:
        first = places[0][0]
        super().__init__(program, program.name, binary=path, provider=first.provider, probe=first.name, pid=process)
        self._program, self._path, self._places = program, path, places
        self._process, self._specs = process, specs
        self._links: list[Link | Attachment] = []

    def _attach(self) -> None:
        try:
            for place, number in self._places:
                self._links.append(self._uprobe(place, number))
        except BaseException:
            self._close_all()
            raise

    def _uprobe(self, place: UsdtProbe, number: int) -> Link | Attachment:
        more: dict[str, Any] = {"ref_ctr_offset": place.semaphore, "cookie": number, "pid": self._process}
        return uprobe(self._program, self._path, place.offset, retprobe=False, **more)

    def _detach(self) -> None:
        if not self._links:
            raise KernelError("it is not attached", errno=ENOENT)
        self._close_all()

    def _close_all(self) -> None:
        with ExitStack() as stack:
            stack.callback(self._specs.give_back)
            while self._links:
                stack.callback(self._links.pop().close)

    def release(self) -> None:
        """Raise `NotSupportedError`: it hangs on descriptors of this process."""
        raise NotSupportedError("release", symbol=self.name, message="probes end with their descriptors")


def _places(image: Image, provider: str, name: str) -> list[UsdtProbe]:
    known = list(probes(image))
    found = [probe for probe in known if (probe.provider, probe.name) == (provider, name)]
    if found:
        return found
    if not known:
        raise KernelError(
            "the binary has no USDT probes", errno=ENOENT, hint="they are compiled in: <sys/sdt.h>, systemtap-sdt-dev"
        )
    full = {f"{probe.provider}:{probe.name}" for probe in known}
    what = f"probe {name!r} of" if any(probe.provider == provider for probe in known) else "provider"
    otherwise = f"there are: {', '.join(sorted(full)[:8])}"
    raise KernelError(
        f"the binary has no {what} {provider!r}", errno=ENOENT, hint=near_hint(f"{provider}:{name}", full, otherwise)
    )


def _is_multi(program: Program) -> bool:
    return program.expected_attach_type == AttachType.TRACE_UPROBE_MULTI


def _link(program: Program, path: str, found: list[UsdtProbe], numbers: list[int], process: int | None) -> Fd:
    offsets = [place.offset for place in found]
    counters = [place.semaphore for place in found]
    try:
        return create(program, AttachType.TRACE_UPROBE_MULTI, path, offsets, process, 0, numbers, counters)
    except KernelError as failure:
        explain(failure, path, offsets[0], process)
        raise


def _addresses(image: Image, found: list[UsdtProbe], process: int | None) -> list[int]:
    # a kernel without cookies: the program knows its place by the address, which for a library differs by process
    if image.type == ET_EXEC:
        return [place.address for place in found]
    if process is None:
        raise NotSupportedError(
            "cookies of attached programs",
            min_version="5.15",
            errno=EINVAL,
            hint="without them the probes of a library or of a PIE can be watched in one process: pid=NUMBER",
        )
    inode = os.stat(image.name).st_ino
    maps = [mapping for mapping in mappings(process) if mapping.inode == inode and mapping.executable]
    addresses = []
    for place in found:
        size = next((m for m in maps if m.offset <= place.offset < m.offset + m.end - m.start), None)
        if size is None:
            raise KernelError(f"process {process} has not mapped {image.name}", errno=ENOENT)
        addresses.append(size.start + place.offset - size.offset)
    return addresses
