# SPDX-License-Identifier: BSD-2-Clause
"""Reading the verifier's log: the line that decides, out of thousands."""

from __future__ import annotations

import re

# Lines that tell how far the verifier came, not why it stopped
_PROGRESS = re.compile(
    r"""processed\ \d+\ insns | verification\ time | stack\ depth | func\#\d+\ @ | mark_precise: | last_idx | regs=
    | parent\  | \d+:\ (R\d|\(|fp|frame|safe) | from\ \d+\ to\ \d+ | ; | frame\d+: | safe$ | max_states | -- | \s*$
    | Live\ regs | propagating | (cur|old)\ state: | \ *\d+:\ [.\d]""",
    re.VERBOSE,
)
_REPORT = "\nVerification failed: "
_LICENSE = re.compile(r"non-GPL|GPL[ -]compatible")


def summary(log: str) -> str:
    """The line that decides: of the report that ends the log since Linux 7.3, else the last that tells no progress."""
    report = _report(log)
    if report:
        headline, _, rest = report.partition("\n")
        reason, _, _ = _section(rest, "Reason").partition(". ")  # what follows are the numbers
        return f"{headline.strip()}: {reason}".rstrip(".: ")
    lines = log.strip().splitlines()
    return next((line.strip() for line in reversed(lines) if not _PROGRESS.match(line)), lines[-1].strip())


def suggestion(log: str) -> str:
    """The way out, where it is plain: the license; else what the kernel (since Linux 7.3) suggests, or nothing."""
    if _LICENSE.search(summary(log)) or _LICENSE.search(_report(log)):
        return 'let its source have char LICENSE[] SEC("license") = "GPL"; (or "Dual BSD/GPL" and the like)'
    return _section(_report(log), "Suggestion")


def _report(log: str) -> str:
    # The last report, from its headline on
    return log.rpartition(_REPORT)[2] if _REPORT in log else ""


def _section(report: str, title: str) -> str:
    # The text of a section: indented lines behind "Title:", joined to one
    found = re.search(rf"^{title}:\n((?:[ \t]+\S.*\n?)+)", report, re.MULTILINE)
    return " ".join(found[1].split()) if found else ""
