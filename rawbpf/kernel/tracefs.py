# SPDX-License-Identifier: BSD-2-Clause
"""tracefs: ids of tracepoints, functions that can be traced, and probes where the kernel has no PMU for them."""

from __future__ import annotations

import errno as _errno
import itertools
import os
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, NotSupportedError, errno_name, errno_text

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACES = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
_HINT = "mount -t tracefs tracefs /sys/kernel/tracing"


def directory() -> str:
    """Where tracefs is mounted. Raises `NotSupportedError` if it is not (or may not be read)."""
    for place in PLACES:
        if os.path.exists(f"{place}/events"):
            return place
    raise NotSupportedError(
        "tracefs", errno=_errno.ENOENT, message="tracefs is not mounted, or may not be read", hint=_HINT
    )


def event_id(group: str, name: str) -> int:
    """The id of an event, for perf_event_open(2). Raises `KernelError` with ENOENT if there is none of that name."""
    try:
        with open(f"{directory()}/events/{group}/{name}/id") as file:
            return int(file.read())
    except FileNotFoundError as failure:
        raise KernelError(
            f"the kernel has no tracepoint {group}/{name}", errno=_errno.ENOENT, hint=_near_events(group, name)
        ) from failure
    except (OSError, ValueError) as failure:
        number = getattr(failure, "errno", 0) or 0
        raise KernelError(f"the id of {group}/{name}: {failure}", errno=number) from failure


def _near_events(group: str, name: str) -> str:
    from difflib import get_close_matches

    places = dict(events())
    if group in places:
        near = [f"{group}/{found}" for found in get_close_matches(name, places[group], 3)]
    else:
        near = [f"{other}/{name}" for other, names in places.items() if name in names][:3]
        near += [f"{other}/…" for other in get_close_matches(group, places, 3)]
    return f"near names: {', '.join(near)}" if near else f"there is no group of events {group!r}"


def events() -> Iterator[tuple[str, list[str]]]:
    """All groups of events with their names."""
    place = f"{directory()}/events"
    for group in sorted(os.listdir(place)):
        if os.path.isdir(f"{place}/{group}"):
            names = os.listdir(f"{place}/{group}")
            yield group, sorted(name for name in names if os.path.isdir(f"{place}/{group}/{name}"))


def traceable_functions() -> set[str] | None:
    """The kernel's functions that ftrace can attach to, or None if it does not tell."""
    try:
        with open(f"{directory()}/available_filter_functions", errors="surrogateescape") as file:
            return {line.split(None, 1)[0] for line in file if line.strip()}
    except (OSError, NotSupportedError):
        return None


class Probe:
    """A probe of its own event, by a line in kprobe_events or uprobe_events: for kernels without a PMU for probes.

    Attributes:
        group, name: the event's.
        file: ``kprobe_events`` or ``uprobe_events``.
    """

    _numbers = itertools.count(1)  # each once, whichever thread asks

    def __init__(self, file: str, what: str, *, is_return: bool) -> None:
        self.file = file
        self.group = "rawbpf"
        self.name = f"p{os.getpid()}_{next(Probe._numbers)}"
        self._added = False
        self._line = f"{'r' if is_return else 'p'}:{self.group}/{self.name} {what}"

    def add(self) -> int:
        """Make the event; its id. Raises `KernelError`."""
        self._added = True  # first: an interrupt may come at any moment
        self._write(self._line)
        return event_id(self.group, self.name)

    def remove(self) -> None:
        """Remove the event, if it is there."""
        try:
            if self._added:
                self._write(f"-:{self.group}/{self.name}")
        except KernelError as failure:
            if failure.errno != _errno.ENOENT:
                raise
        self._added = False

    def _write(self, line: str) -> None:
        path = f"{directory()}/{self.file}"
        try:
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                os.write(file, line.encode(errors="surrogateescape"))
            finally:
                os.close(file)
        except OSError as failure:
            number = failure.errno or 0
            raise KernelError(
                f"{line!r} into {path}: {errno_text(number)} ({errno_name(number)})", errno=number
            ) from failure
