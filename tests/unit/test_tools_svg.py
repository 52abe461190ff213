# SPDX-License-Identifier: BSD-2-Clause
"""Plots: well-formed, on round scales, with each value where it belongs."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tools.lab import svg
from tools.lab.svg import HEIGHT, WIDTH, Bars, Line, Panel

SVG = "{http://www.w3.org/2000/svg}"


def test_lines_end_where_their_values_are() -> None:
    panels = [
        Panel("one", "s", "MiB", [Line("a > b", [(0, 0), (1, 5)]), Line("c", [(0, 0), (2, 10)])]),
        Panel("two", "s", "MiB", [Line("a > b", [(0, 0), (1, 10)])]),
    ]
    root = ElementTree.fromstring(svg.draw_lines(panels))
    tracks = root.findall(f".//{SVG}polyline")
    ends = [track.get("points", "").split()[-1] for track in tracks]
    assert ends == [f"{WIDTH / 2:.1f},{HEIGHT / 2:.1f}", f"{WIDTH:.1f},0.0", f"{WIDTH / 2:.1f},0.0"]
    assert tracks[0].get("stroke") == tracks[2].get("stroke") != tracks[1].get("stroke")
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert {"one", "two", "MiB", "s", "a > b", "c", "10"} <= set(words)
    assert words.count("a > b") == 1


def test_measurements_that_coincide_are_told_apart() -> None:
    lines = [Line(name, [(1, 11), (2, 22)]) for name in ("default", "rr", "red", "burst")]
    root = ElementTree.fromstring(svg.draw_lines([Panel("rates", "paths", "MB/s", lines, counts=(1, 2))]))
    panel = root.findall(f"{SVG}g")[0]
    assert len({track.get("stroke-dasharray") for track in panel.findall(f"{SVG}polyline")}) == 4
    marks = [mark for mark in panel.findall(f"{SVG}path") if mark.get("class") == "mark"]
    assert len(marks) == 8
    assert len({mark.get("d") for mark in marks}) == 4
    assert {mark.get("fill") for mark in marks} == {"none"}
    below = [text.text for text in panel.findall(f"{SVG}text") if text.get("y") == f"{HEIGHT + 18:.1f}"]
    assert below == ["1", "2"]


def test_bars_are_as_high_as_their_values_and_leave_room_for_numbers() -> None:
    picture = svg.draw_bars([Bars("rsync", "MB/s", ("TCP", "MPTCP"), [("text", (25, 100)), ("zeros", (50, 100))])])
    panel = ElementTree.fromstring(picture).findall(f"{SVG}g")[0]
    heights = [float(each.get("height", "")) / HEIGHT for each in panel.findall(f"{SVG}rect")]
    assert heights == pytest.approx([25 / 150, 100 / 150, 50 / 150, 100 / 150], abs=0.001)
    numbers = [text for text in panel.findall(f"{SVG}text") if text.get("class") == "value"]
    assert [text.text for text in numbers] == ["25", "100", "50", "100"]
    assert all(float(text.get("y", "")) > 12 for text in numbers)


@pytest.mark.parametrize(
    ("largest", "end", "step"),
    [(0, 1, 0.2), (1, 1, 0.2), (10, 10, 2), (88.2, 100, 20), (11.1, 15, 5), (1200, 1500, 500)],
)
def test_scales_are_round(largest: float, end: float, step: float) -> None:
    assert svg._scale(largest) == pytest.approx((end, step))


def test_long_lines_are_thinned_and_keep_their_ends() -> None:
    points = [(float(number), 0.0) for number in range(10_000)]
    thinned = svg._thinned(points)
    assert len(thinned) <= svg.MAX_POINTS + 1
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])


def test_nothing_to_draw() -> None:
    ElementTree.fromstring(svg.draw_lines([Panel("empty", "s", "MiB", [Line("a", [])])]))
