# SPDX-License-Identifier: BSD-2-Clause
"""The figures' results as plots, and as tables for docs/mptcp.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.lab import svg
from tools.lib.report import ToolError

if TYPE_CHECKING:
    from collections.abc import Sequence

WAYS = ("TCP", "MPTCP")
PICTURES = ("iperf3.svg", "rsync.svg", "redis.svg")
END = "<!-- end -->"


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
        "iperf3.svg": svg.draw_lines([svg.Panel(title, "paths", "MB/s", lines, range(1, _most_paths(results) + 1))]),
        "rsync.svg": svg.draw_bars([svg.Bars("rsync of a file", "MB/s", WAYS, files)]),
        "redis.svg": svg.draw_bars(redis),
    }


def _most_paths(results: dict[str, Any]) -> int:
    return len(next(iter(results["iperf3"].values())))


def _redis_groups(results: dict[str, Any], size: str) -> list[tuple[str, list[float]]]:
    names = [name for name in results["TCP"] if name.endswith(f", {size}")]
    return [(name.partition(",")[0], [results[way][name]["requests_per_second"] for way in WAYS]) for name in names]


def tables(results: dict[str, Any]) -> dict[str, str]:
    """In Markdown, by name, and a line on the conditions."""
    rates = results["iperf3"]
    count = _most_paths(results)
    iperf3 = [[name, *(f"{rate:.1f}" for rate in of), f"{of[-1] / of[0]:.2f}"] for name, of in rates.items()]
    rsync = results["rsync"]
    files = [[kind, *(f"{rsync[way][kind]:.1f}" for way in WAYS)] for kind in rsync["TCP"]]
    columns = [f"{what}, {way}" for what in ("requests/s", "mean ms", "p99 ms") for way in WAYS]
    return {
        "conditions": _conditions(results),
        "iperf3": _table(["iperf3, MB/s over paths", *map(str, range(1, count + 1)), f"{count} : 1"], iperf3),
        "rsync": _table(["rsync, MB/s", *WAYS], files),
        "redis": _table(["Redis", *columns], [_redis_row(name, results["redis"]) for name in results["redis"]["TCP"]]),
    }


def fill(page: str, results: dict[str, Any]) -> str:
    """The page with these tables, and plots: between `<!-- measured: NAME -->` and `<!-- end -->`."""
    for name, table in tables(results).items():
        mark = f"<!-- measured: {name} -->\n"
        before, found, after = page.partition(mark)
        _, end, rest = after.partition(END)
        if not end:
            raise ToolError(f"the page has no {mark.strip()} with an {END} after it")
        picture = f"\n\n![{name}](mptcp/{name}.svg)" if f"{name}.svg" in PICTURES else ""
        page = f"{before}{found}{table}{picture}\n{end}{rest}"
    return page


def _conditions(results: dict[str, Any]) -> str:
    load = f", load {results['host_load']} on the host at the start" if results["host_load"] else ""
    seconds = f"iperf3 for {results['iperf3_seconds']} s after one that is not counted"
    return f"Linux {results['kernel']}, {results['cpus']} processors{load}; {seconds}."


def _redis_row(name: str, redis: dict[str, Any]) -> list[str]:
    row = [name]
    for what, form in (("requests_per_second", ".0f"), ("mean_ms", ".1f"), ("p99_ms", ".1f")):
        row += [f"{redis[way][name][what]:{form}}" for way in WAYS]
    return row


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))
