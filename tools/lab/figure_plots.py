# SPDX-License-Identifier: BSD-2-Clause
"""The figures' results as plots, and as tables for docs/mptcp.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.lab import svg

if TYPE_CHECKING:
    from collections.abc import Sequence

WAYS = ("TCP", "MPTCP")


def draw(results: dict[str, Any]) -> dict[str, str]:
    """SVG by file name."""
    lines = [
        svg.Line(name, [(float(paths), rate) for paths, rate in enumerate(rates, 1)])
        for name, rates in results["iperf3"].items()
    ]
    title = f"iperf3 over paths of {results['rate_mbit']:g} Mbit/s"
    files = [(kind, [results["rsync"][way][kind] for way in WAYS]) for kind in results["rsync"]["TCP"]]
    redis = [
        svg.Bars(f"Redis, values of {size}", "requests/s", WAYS, _redis_groups(results["redis"], size))
        for size in dict.fromkeys(name.partition(", ")[2] for name in results["redis"]["TCP"])
    ]
    return {
        "iperf3.svg": svg.draw_lines([svg.Panel(title, "paths", "MB/s", lines, markers=True)]),
        "rsync.svg": svg.draw_bars([svg.Bars("rsync of a file", "MB/s", WAYS, files)]),
        "redis.svg": svg.draw_bars(redis),
    }


def _redis_groups(results: dict[str, Any], size: str) -> list[tuple[str, list[float]]]:
    names = [name for name in results["TCP"] if name.endswith(f", {size}")]
    return [(name.partition(",")[0], [results[way][name]["requests_per_second"] for way in WAYS]) for name in names]


def tables(results: dict[str, Any]) -> str:
    """In Markdown."""
    rates = results["iperf3"]
    count = len(next(iter(rates.values())))
    iperf3 = [[name, *(f"{rate:.1f}" for rate in of), f"{of[-1] / of[0]:.2f}"] for name, of in rates.items()]
    rsync, redis = results["rsync"], results["redis"]
    files = [[kind, *(f"{rsync[way][kind]:.1f}" for way in WAYS)] for kind in rsync["TCP"]]
    requests = [
        [
            name,
            *(
                f"{redis[way][name][what]:{form}}"
                for what, form in (("requests_per_second", ".0f"), ("mean_ms", ".1f"), ("p99_ms", ".1f"))
                for way in WAYS
            ),
        ]
        for name in redis["TCP"]
    ]
    return "\n\n".join(
        [
            _table(["iperf3, MB/s over paths", *map(str, range(1, count + 1)), f"{count} : 1"], iperf3),
            _table(["rsync, MB/s", *WAYS], files),
            _table(
                ["Redis", *(f"{what}, {way}" for what in ("requests/s", "mean ms", "p99 ms") for way in WAYS)], requests
            ),
        ]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))
