# SPDX-License-Identifier: BSD-2-Clause
"""How the demo draws: bars on a terminal, lines elsewhere, a table in the end."""

from __future__ import annotations

import io

from tools.lab import bars
from tools.lab.bars import MIB
from tools.lab.subflows import Subflow
from tools.lab.transfer import Transfer


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def subflows(*sent: int) -> list[Subflow]:
    return [
        Subflow(number, f"10.0.{number}.1", f"10.0.{number}.2", count, True) for number, count in enumerate(sent, 1)
    ]


def test_bars_are_drawn_over_those_before() -> None:
    terminal = Terminal()
    drawing = bars.Bars(terminal, "bpf_rr", 4 * MIB)
    drawing.update(0.5, subflows(MIB, 0))
    first = terminal.getvalue()
    assert "\x1b[3A" not in first
    assert first.count("\n") == 3
    assert "█" * (bars.WIDTH // 4) + "·" in first
    assert "10.0.2.1 > 10.0.2.2" in first
    assert "·" * bars.WIDTH in first
    drawing.update(1.0, subflows(3 * MIB, MIB))
    assert terminal.getvalue().removeprefix(first).startswith("\x1b[3A")


def test_bars_are_as_long_as_the_share_and_never_longer_than_the_line() -> None:
    assert bars._bar(0.0) == "·" * bars.WIDTH
    assert bars._bar(0.5).rstrip("·") == "█" * (bars.WIDTH // 2)
    assert bars._bar(0.5 / bars.WIDTH).rstrip("·") == "▌"
    assert bars._bar(1.01) == "█" * bars.WIDTH  # retransmissions come on top of what was to be sent


def test_lines_come_now_and_then() -> None:
    text = io.StringIO()
    drawing = bars.Bars(text, "default", 4 * MIB)
    for hundredths in range(0, 50, 5):
        drawing.update(hundredths / 100, subflows(hundredths * MIB, 0))
    assert text.getvalue().splitlines() == [
        "default   0.00 s  1:  0.0 MiB  2:  0.0 MiB",
        "default   0.20 s  1: 20.0 MiB  2:  0.0 MiB",
        "default   0.40 s  1: 40.0 MiB  2:  0.0 MiB",
    ]


def test_table_has_a_column_for_each_transfer() -> None:
    text = bars.table(
        [
            Transfer("default", 0.5, 4_000_000, subflows(MIB, 3 * MIB), []),
            Transfer("bpf_rr", 0.25, 4_000_000, subflows(2 * MIB, 2 * MIB), []),
        ]
    )
    assert [line.split() for line in text.splitlines()] == [
        ["default", "bpf_rr"],
        ["1", "10.0.1.1", ">", "10.0.1.2", *["1.00", "MiB", "25.0", "%"], *["2.00", "MiB", "50.0", "%"]],
        ["2", "10.0.2.1", ">", "10.0.2.2", *["3.00", "MiB", "75.0", "%"], *["2.00", "MiB", "50.0", "%"]],
        ["time", "0.50", "s", "0.25", "s"],
        ["rate", "8.00", "MB/s", "16.00", "MB/s"],
    ]
    assert len({len(line) for line in text.splitlines()}) == 1


def test_a_subflow_that_one_transfer_lacks_leaves_a_gap() -> None:
    text = bars.table([Transfer("one", 1.0, MIB, subflows(MIB), []), Transfer("two", 1.0, MIB, subflows(MIB, MIB), [])])
    assert text.splitlines()[2].split() == ["2", "10.0.2.1", ">", "10.0.2.2", "1.00", "MiB", "50.0", "%"]
    assert len({len(line) for line in text.splitlines()}) == 1


def test_share_of_a_subflow_when_nothing_was_sent() -> None:
    transfer = Transfer("idle", 1.0, 0, subflows(0), [])
    assert bars.share(transfer, transfer.subflows[0]) == 0.0
