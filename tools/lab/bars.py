# SPDX-License-Identifier: BSD-2-Clause
"""Bytes by subflow, drawn: bars that move on a terminal, a line now and then elsewhere, a table of what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.lab.subflows import Subflow
    from tools.lab.transfer import Transfer

MIB = 1 << 20
WIDTH = 48
"""Columns of a bar that is full: one subflow has sent everything."""
LINE_SECONDS = 0.2
EIGHTHS = " ▏▎▍▌▋▊▉"
HEADER = "  {:<2} {:<22}"


class Bars:
    """One transfer as it goes; `update` is what `transfer.run` wants for its `watch`."""

    def __init__(self, stream: TextIO, scheduler: str, size: int) -> None:
        self._stream = stream
        self._scheduler = scheduler
        self._size = size
        self._live = stream.isatty()
        self._lines = 0  # that are on the screen and to be drawn over
        self._next_line = 0.0

    def update(self, seconds: float, subflows: Sequence[Subflow]) -> None:
        if self._live:
            self._redraw(seconds, subflows)
        elif seconds >= self._next_line:
            self._next_line = seconds + LINE_SECONDS
            self._print_line(seconds, subflows)

    def _redraw(self, seconds: float, subflows: Sequence[Subflow]) -> None:
        sent = sum(subflow.bytes_sent for subflow in subflows)
        rate = sent / seconds / 1e6 if seconds else 0.0
        lines = [f"\x1b[1m{self._scheduler}\x1b[0m  {seconds:5.2f} s  {sent / MIB:5.1f} MiB  {rate:5.1f} MB/s"]
        for subflow in subflows:
            share = _bar(subflow.bytes_sent / self._size)
            lines.append(f"{_name(subflow)} \x1b[36m{share}\x1b[0m {subflow.bytes_sent / MIB:5.1f} MiB")
        up = f"\x1b[{self._lines}A" if self._lines else ""
        self._stream.write(up + "".join(f"\x1b[K{line}\n" for line in lines))
        self._stream.flush()
        self._lines = len(lines)

    def _print_line(self, seconds: float, subflows: Sequence[Subflow]) -> None:
        amounts = "  ".join(f"{subflow.id}: {subflow.bytes_sent / MIB:4.1f} MiB" for subflow in subflows)
        print(f"{self._scheduler}  {seconds:5.2f} s  {amounts}", file=self._stream, flush=True)


def table(transfers: Sequence[Transfer]) -> str:
    """The transfers side by side: what each subflow sent, and which share of all that is."""
    lines = [HEADER.format("", "") + "".join(f"{transfer.scheduler:>20}" for transfer in transfers)]
    paths = {(subflow.local, subflow.remote): subflow for transfer in transfers for subflow in transfer.subflows}
    for path, subflow in paths.items():
        cells = []
        for transfer in transfers:
            own = next((each for each in transfer.subflows if (each.local, each.remote) == path), None)
            cells.append(f"{own.bytes_sent / MIB:8.2f} MiB {share(transfer, own):5.1f} %" if own else "")
        lines.append(_name(subflow) + "".join(f"{cell:>20}" for cell in cells))
    lines.append(HEADER.format("", "time") + "".join(f"{transfer.seconds:18.2f} s" for transfer in transfers))
    rates = [transfer.received / transfer.seconds / 1e6 for transfer in transfers]
    lines.append(HEADER.format("", "rate") + "".join(f"{rate:15.2f} MB/s" for rate in rates))
    return "\n".join(lines)


def share(transfer: Transfer, subflow: Subflow) -> float:
    """What a subflow sent, in percent of what all sent."""
    return 100 * subflow.bytes_sent / (sum(each.bytes_sent for each in transfer.subflows) or 1)


def _name(subflow: Subflow) -> str:
    return HEADER.format(subflow.id, f"{subflow.local} > {subflow.remote}")


def _bar(part: float) -> str:
    eighths = round(min(part, 1.0) * WIDTH * 8)
    text = "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
    return text.ljust(WIDTH, "·")
