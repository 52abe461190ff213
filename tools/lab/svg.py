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
HEADROOM = 1.1
"""Above the highest bar, for its number."""
TICKS = 5
MAX_POINTS = 200
"""Of a line: more are not to be seen."""
DASHES = ("", "14 6", "3 5", "12 4 3 4")
MARKS = (
    "M-7 0A7 7 0 1 1 7 0A7 7 0 1 1-7 0Z",  # a circle
    "M-5-5H5V5H-5Z",  # a square
    "M0-6L5.5 4H-5.5Z",  # a triangle
    "M0-4L4 0L0 4L-4 0Z",  # a diamond
)
"""Hollow, and of several sizes: those of measurements that coincide are all to be seen."""
STYLE = (
    "text{font:12px sans-serif;fill:#333}.title{font-weight:bold;font-size:14px}.grid{stroke:#ddd}.axis{stroke:#333}"
    ".value{paint-order:stroke;stroke:#fff;stroke-width:4px}"
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
    counts: Sequence[int] = ()
    """Where to measure across, if it is not anywhere: the only numbers below the axis, and a mark on each point."""


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
        for tick in panel.counts or _ticks(x_max, x_step):
            inside.append(_text(tick / x_max * WIDTH, HEIGHT + 18, f"{tick:g}", "middle"))
        inside.append(_text(WIDTH / 2, HEIGHT + 38, panel.across, "middle"))
        for line in panel.lines:
            spots = [(x / x_max * WIDTH, HEIGHT - y / y_max * HEIGHT) for x, y in _thinned(line.points)]
            inside.append(_track(spots, names.index(line.name), marks=bool(panel.counts)))
        parts.append(_group(place, inside))
    marks = any(panel.counts for panel in panels)
    samples = [f'<path d="M0 0H28" {_stroke(number)}/>' for number in range(len(names))]
    if marks:
        samples = [sample + _mark(14, 0, number) for number, sample in enumerate(samples)]
    return _document(len(panels), parts, list(zip(names, samples, strict=True)))


def _track(spots: Sequence[tuple[float, float]], number: int, *, marks: bool) -> str:
    """The line of a name, by the name's number."""
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    line = f'<polyline points="{points}" {_stroke(number)}/>'
    return line + "".join(_mark(x, y, number) for x, y in spots) if marks else line


def _stroke(number: int) -> str:
    dashes = DASHES[number % len(DASHES)]
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'fill="none" stroke="{_colour(number)}" stroke-width="2"{dashed}'


def _mark(x: float, y: float, number: int) -> str:
    shape = MARKS[number % len(MARKS)]
    style = f'fill="none" stroke="{_colour(number)}" stroke-width="1.7"'
    return f'<path class="mark" transform="translate({x:.1f} {y:.1f})" d="{shape}" {style}/>'


def draw_bars(diagrams: Sequence[Bars]) -> str:
    """Diagrams side by side, each on its own scale, all with the same names."""
    samples = [
        (name, f'<rect y="-5" width="28" height="10" fill="{_colour(number)}"/>')
        for number, name in enumerate(diagrams[0].names)
    ]
    return _document(len(diagrams), [_group(place, _bars(each)) for place, each in enumerate(diagrams)], samples)


def _bars(diagram: Bars) -> list[str]:
    top, step = _scale(HEADROOM * max((value for _, values in diagram.groups for value in values), default=0))
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
            label = f"{value:.3g}" if value < 1000 else f"{value:.0f}"
            inside.append(_text(x + width / 2 - 1, HEIGHT - height - 4, label, "middle", "value"))
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


def _document(count: int, parts: Sequence[str], legend: Sequence[tuple[str, str]]) -> str:
    """The legend has names, and a sample of 28 by 10 for each."""
    width = count * (LEFT + WIDTH + RIGHT)
    columns = max(1, width // 220)
    top = TOP + HEIGHT + BOTTOM
    entries = []
    for number, (name, sample) in enumerate(legend):
        x, y = LEFT + number % columns * 220, top + number // columns * LEGEND_LINE + 8
        entries.append(f'<g transform="translate({x} {y})">{sample}{_text(36, 4, name, "start")}</g>')
    height = top + math.ceil(len(legend) / columns) * LEGEND_LINE + 10
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
            f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>',
            *parts,
            *entries,
            "</svg>\n",
        ]
    )
