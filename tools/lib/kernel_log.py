# SPDX-License-Identifier: BSD-2-Clause
"""What a kernel complains of in its log: that something went wrong which it survives."""

from __future__ import annotations

import re

ALARM = re.compile(r"WARNING:|BUG:|Oops|refcount_t:|ODEBUG:|UBSAN:|INFO: task .* blocked|list_(add|del) corruption")
"""Locks taken in the wrong order, RCU misused and the like are a WARNING too. No stalls of RCU: those also tell of a
host that has other things to do."""
LINES = 40
"""So many are shown."""


def alarms(log: str) -> list[str]:
    """The lines from the first complaint on; none if there is no complaint."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    first = next((place for place, line in enumerate(lines) if ALARM.search(line)), len(lines))
    return lines[first : first + LINES]
