# SPDX-License-Identifier: BSD-2-Clause
"""What a path is like: rate, delay and loss, and how one writes them."""

from __future__ import annotations

import re
from typing import NamedTuple

UNSHAPED = "max"
MBIT = {"kbit": 1e-3, "mbit": 1.0, "gbit": 1e3}
MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([a-z]+|%)")


class Shape(NamedTuple):
    """What a path is like, in both directions."""

    rate: float
    """Mbit/s."""
    delay: float = 0.0
    """Milliseconds, one way."""
    loss: float = 0.0
    """Percent of the packets."""

    def __str__(self) -> str:
        parts = [f"{self.rate:g} Mbit/s"]
        parts += [f"{self.delay:g} ms"] if self.delay else []
        parts += [f"{self.loss:g} % loss"] if self.loss else []
        return ", ".join(parts)


def parse_shape(text: str) -> Shape | None:
    """`100mbit,10ms,1%`: rate, and if wanted delay and loss; `max` is a path as it comes. Raises ValueError."""
    if text == UNSHAPED:
        return None
    rate = delay = loss = 0.0
    for word in text.split(","):
        match = QUANTITY.fullmatch(word.strip().lower())
        number, unit = (float(match[1]), match[2]) if match else (0.0, "")
        if unit in MBIT and not rate:
            rate = number * MBIT[unit]
        elif unit in MILLISECONDS and not delay:
            delay = number * MILLISECONDS[unit]
        elif unit == "%" and not loss and number <= 100:
            loss = number
        else:
            raise ValueError(f"{text!r}: {word!r} is no rate (100mbit), delay (10ms) or loss (1%)")
    if not rate:
        raise ValueError(f"{text!r}: a path needs a rate (100mbit), or to be {UNSHAPED}")
    return Shape(rate, delay, loss)
