# SPDX-License-Identifier: BSD-2-Clause
"""Debug lines, which cost nothing where nobody listens."""

from __future__ import annotations

import sys


def debug(message: str, *args: object) -> None:
    """A line for the logger ``rawbpf``; nothing, where nobody has imported `logging` to hear it."""
    logging = sys.modules.get("logging")
    if logging is not None:
        logging.getLogger("rawbpf").debug(message, *args)
