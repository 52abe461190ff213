# SPDX-License-Identifier: BSD-2-Clause
"""What all commands print alike: tables, JSON, errors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rawbpf.errors import RawbpfError


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option that every command has."""
    parser.add_argument("--json", action="store_true", help="print one JSON object (docs/json.md) and nothing else")


def print_json(data: dict[str, Any]) -> None:
    """One JSON object on stdout."""
    import json

    print(json.dumps(data, indent=2))


def print_error(error: RawbpfError, *, as_json: bool) -> None:
    """An error: for people on stderr, or as ``{"errors": [...]}`` on stdout."""
    if as_json:
        print_json({"errors": [error.to_json()]})
        return
    print(f"rawbpf: {error.report()}", file=sys.stderr)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table with a title; nothing where there are no rows."""
    if not rows:
        return
    if title:
        print(f"\n{title}")
    cells = [header, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
