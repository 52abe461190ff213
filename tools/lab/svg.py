# SPDX-License-Identifier: BSD-2-Clause
"""Plots as SVG: panels of lines side by side, and groups of bars. Pure text, no library."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#7f7f00", "#404040")
"""Okabe and Ito's, which people of all kinds of sight tell apart."""
WIDTH, HEIGHT = 440, 240
"""Of a panel's area between its axes."""
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 36, 48
"""Margins, for names and numbers."""
LEGEND_LINE = 18
TICKS = 5
MAX_POINTS = 200
"""Of a line: more are not to be seen."""
STYLE = (
    "text{font:12px sans-serif;fill:#333}.title{font-weight:bold;font-size:14px}.grid{stroke:#ddd}.axis{stroke:#333}"
)


class Line(NamedTuple):
    name: str
    points: Sequence[tuple[float, float]]


class Panel(NamedTuple):
    """One diagram. Its lines start at zero on both axes."""

    title: str
    across: str
    up: str
    """What the axes show, with the unit."""
    lines: Sequence[Line]
    markers: bool = False
    """A dot on each point: for measurements, few and apart."""


class Bars(NamedTuple):
    """Groups of bars, one bar in each group for each name."""

    title: str
    up: str
    names: Sequence[str]
    groups: Sequence[tuple[str, Sequence[float]]]


def draw_lines(panels: Sequence[Panel]) -> str:
    """Panels side by side, on the same scale, with a legend below. The lines of a name have a colour."""
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines))
    points = [point for panel in panels for line in panel.lines for point in line.points]
    x_max, x_step = _scale(max((x for x, _ in points), default=0))
    y_max, y_step = _scale(max((y for _, y in points), default=0))
    parts = []
    for place, panel in enumerate(panels):
        inside = [_frame(panel.title, panel.up, y_max, y_step)]
        for tick in _ticks(x_max, x_step):
            inside.append(_text(tick / x_max * WIDTH, HEIGHT + 18, f"{tick:g}", "middle"))
        inside.append(_text(WIDTH / 2, HEIGHT + 38, panel.across, "middle"))
        for line in panel.lines:
            colour = _colour(names.index(line.name))
            spots = [(x / x_max * WIDTH, HEIGHT - y / y_max * HEIGHT) for x, y in _thinned(line.points)]
            track = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
            inside.append(f'<polyline points="{track}" fill="none" stroke="{colour}" stroke-width="2"/>')
            if panel.markers:
                inside += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in spots]
        parts.append(_group(place, inside))
    return _document(len(panels), parts, names)


def draw_bars(diagrams: Sequence[Bars]) -> str:
    """Diagrams side by side, each on its own scale, all with the same names."""
    names = list(diagrams[0].names)
    return _document(len(diagrams), [_group(place, _bars(each)) for place, each in enumerate(diagrams)], names)


def _bars(diagram: Bars) -> list[str]:
    top, step = _scale(max((value for _, values in diagram.groups for value in values), default=0))
    inside = [_frame(diagram.title, diagram.up, top, step)]
    room = WIDTH / len(diagram.groups)
    width = room * 0.7 / len(diagram.names)
    for number, (name, values) in enumerate(diagram.groups):
        left = room * (number + 0.15)
        for place, value in enumerate(values):
            x, height = left + place * width, value / top * HEIGHT
            inside.append(
                f'<rect x="{x:.1f}" y="{HEIGHT - height:.1f}" width="{width - 2:.1f}" height="{height:.1f}"'
                f' fill="{_colour(place)}"/>'
            )
            inside.append(
                _text(
                    x + width / 2 - 1, HEIGHT - height - 4, f"{value:.3g}" if value < 1000 else f"{value:.0f}", "middle"
                )
            )
        inside.append(_text(room * (number + 0.5), HEIGHT + 18, name, "middle"))
    return inside


def _scale(largest: float) -> tuple[float, float]:
    """The end of an axis, and the step of its ticks: 1, 2 or 5 times a power of ten, TICKS steps or a few more."""
    largest = largest or 1.0
    rough = largest / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return math.ceil(largest / step * 0.999) * step, step


def _ticks(end: float, step: float) -> Iterable[float]:
    return (number * step for number in range(round(end / step) + 1))


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    stride = math.ceil(len(points) / MAX_POINTS)
    return [*points[:-1:stride], points[-1]] if len(points) > 1 else points


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _frame(title: str, up: str, top: float, step: float) -> str:
    parts = [_text(0, -14, title, "start", "title")]
    for tick in _ticks(top, step):
        y = HEIGHT - tick / top * HEIGHT
        parts.append(f'<path class="{"grid" if tick else "axis"}" d="M0 {y:.1f}H{WIDTH}"/>')
        parts.append(_text(-8, y + 4, f"{tick:g}", "end"))
    parts.append(f'<path class="axis" d="M0 0V{HEIGHT}"/>')
    parts.append(f'<text transform="translate(-48 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">{escape(up)}</text>')
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(text)}</text>'


def _group(place: int, inside: Sequence[str]) -> str:
    x = place * (LEFT + WIDTH + RIGHT) + LEFT
    return f'<g transform="translate({x} {TOP})">' + "\n".join(inside) + "</g>"


def _document(count: int, parts: Sequence[str], names: Sequence[str]) -> str:
    width = count * (LEFT + WIDTH + RIGHT)
    columns = max(1, width // 220)
    top = TOP + HEIGHT + BOTTOM
    legend = []
    for number, name in enumerate(names):
        x, y = LEFT + number % columns * 220, top + number // columns * LEGEND_LINE + 12
        legend.append(f'<rect x="{x}" y="{y - 9}" width="14" height="10" fill="{_colour(number)}"/>')
        legend.append(_text(x + 20, y, name, "start"))
    height = top + math.ceil(len(names) / columns) * LEGEND_LINE + 10
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
            f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>',
            *parts,
            *legend,
            "</svg>\n",
        ]
    )
