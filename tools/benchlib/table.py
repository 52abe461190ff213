# SPDX-License-Identifier: BSD-2-Clause
"""What a benchmark found, as a table for people and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tools.benchlib.measure import ratio

if TYPE_CHECKING:
    from tools.benchlib.measure import Results, Stat


class Table(NamedTuple):
    """The results of one benchmark.

    Attributes:
        name: of the benchmark, as it is asked for.
        title: what was measured.
        rows: the statistics by contender and metric.
        reference: the contender that the others are divided by, or empty.
        total: whether a last row adds the medians up.
    """

    name: str
    title: str
    rows: Results
    reference: str = ""
    total: bool = False

    def ratios(self) -> dict[str, dict[str, float]]:
        """The ratio of medians of each row to the reference, by row and metric; the reference is not among the rows."""
        base = self.rows.get(self.reference, {})
        found = {
            row: {metric: value for metric, of in metrics.items()
                  if metric in base and (value := ratio(of, base[metric])) is not None}
            for row, metrics in self.rows.items() if row != self.reference
        }  # fmt: skip
        return {row: metrics for row, metrics in found.items() if metrics}

    def __str__(self) -> str:
        metrics = list(dict.fromkeys(metric for row in self.rows.values() for metric in row))
        ratios = self.ratios()
        lines = [["", *(cell for metric in metrics for cell in (metric, "quartiles", *(["×"] * bool(ratios))))]]
        for row, found in self.rows.items():
            line = [row]
            for metric in metrics:
                times = ratios.get(row, {}).get(metric)
                line += _cells(found.get(metric)) + ([f"{times:.2f}" if times else ""] if ratios else [])
            lines.append(line)
        if self.total:
            sums = [sum(row[metric].median for row in self.rows.values() if metric in row) for metric in metrics]
            lines.append(["together", *(cell for value in sums for cell in (number(value), ""))])
        text = f"{self.name}: {self.title}\n{_aligned(lines)}"
        if ratios:
            text += f"\n  ×: ratio of medians to {self.reference}"
        return text

    def to_json(self) -> dict[str, Any]:
        """As in docs/bench.md."""
        return {
            "name": self.name,
            "title": self.title,
            "rows": {
                row: {metric: found._asdict() for metric, found in metrics.items()}
                for row, metrics in self.rows.items()
            },
            "reference": self.reference or None,
            "ratios": self.ratios(),
        }


def number(value: float) -> str:
    """A number with three digits that mean something; a count as it is."""
    return f"{value:.0f}" if value >= 100 or value.is_integer() else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _cells(found: Stat | None) -> list[str]:
    if found is None:
        return ["", ""]
    return [number(found.median), f"{number(found.low)}–{number(found.high)}"]


def _aligned(lines: list[list[str]]) -> str:
    widths = [max(len(line[column]) for line in lines if column < len(line)) for column in range(len(lines[0]))]
    return "\n".join(
        f"  {line[0]:<{widths[0]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=False)).rstrip()
        for line in lines
    )
