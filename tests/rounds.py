# SPDX-License-Identifier: BSD-2-Clause
"""Attaching and detaching again and again, from several threads at once where the kernel lets them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def rounds(default: int = 1000) -> int:
    """How many: RAWBPF_ROUNDS of the environment, or this."""
    return int(os.environ.get("RAWBPF_ROUNDS", default))


def attach_and_close(attach: Callable[[], Any], number: int, threads: int = 1) -> None:
    """Attach and close so often. Threads wait for the kernel together: ending a program takes it a grace period."""
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda _: attach().close(), range(number)):
            pass
