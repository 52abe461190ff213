# SPDX-License-Identifier: BSD-2-Clause
"""Network namespaces without names, each held by a descriptor."""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tools.lib.report import ToolError

if TYPE_CHECKING:
    from collections.abc import Iterator

CLONE_NEWNET = 0x40000000
OWN = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A new network namespace. It is gone when it is closed, and its sockets are closed too; a context manager."""

    def __init__(self) -> None:
        self.descriptor = -1
        self._error: OSError | None = None
        maker = threading.Thread(target=self._make)  # a thread, for it leaves its own namespace
        maker.start()
        maker.join()
        if self._error:
            raise ToolError(f"no new network namespace: {self._error.strerror}", hint="this needs root")

    def _make(self) -> None:
        try:
            _check(_libc.unshare(CLONE_NEWNET))
            self.descriptor = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self._error = error

    def fileno(self) -> int:
        """The descriptor, as of an open file."""
        return self.descriptor

    def __enter__(self) -> Namespace:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is in the namespace meanwhile: sockets that it makes belong there, sysctls are those of there."""
        before = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.setns(self.descriptor, CLONE_NEWNET))
            try:
                yield
            finally:
                _check(_libc.setns(before, CLONE_NEWNET))
        finally:
            os.close(before)

    def sysctl(self, name: str, value: str | None = None) -> str:
        """Read a sysctl of the namespace (net.mptcp.scheduler), or set it. Raises OSError."""
        file = Path("/proc/sys", name.replace(".", "/"))
        with self.entered():
            if value is not None:
                file.write_text(value)
            return file.read_text().strip()


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
