# SPDX-License-Identifier: BSD-2-Clause
"""The part of tools/demo that runs on the kernel with the scheduler: load, compare, unload.

Loading and unloading is done by the very commands that a user would type. Whatever happens, the scheduler is unloaded;
the namespaces end with the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tools.lab import bars, links, mptcp, transfer
from tools.lab.netns import Namespace
from tools.lib.machine import ROOT
from tools.lib.report import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.lab.subflows import Subflow

    Say = Callable[[str], None]

DEFAULT = "default"
SCHEDULERS = Path("/proc/sys/net/mptcp/available_schedulers")
PINS = Path("/sys/fs/bpf/rawbpf")
"""Where `rawbpf load` keeps what it loads, by the object's name."""


class Plan(NamedTuple):
    """What to compare, over which paths."""

    object: Path | None
    """Holds the scheduler; None for one that the kernel has already."""
    scheduler: str | None
    """Its name; None for the one that the object brings."""
    size: int
    paths: int
    rate: float
    as_json: bool


def run(plan: Plan) -> int:
    say = _silent if plan.as_json else _aloud
    with Namespace() as client, Namespace() as server, contextlib.ExitStack() as stack:
        ways = _connect(client, server, plan)
        say(f"two network namespaces, joined by {plan.paths} paths of {plan.rate:g} Mbit/s each\n")
        scheduler = plan.scheduler
        if plan.object:
            new = stack.enter_context(_loaded(plan.object, say))
            scheduler = scheduler or new
        assert scheduler
        results = [_transfer(client, server, ways, name, plan, say) for name in (DEFAULT, scheduler)]
        say("\n" + bars.table(results) + "\n")
    gone = not plan.object or scheduler not in _available()
    say(f"available schedulers: {' '.join(_available())}")
    if plan.as_json:
        print(json.dumps(_as_json(plan, results, gone), indent=2))
    if not gone:
        raise ToolError(f"{scheduler} is unloaded, and still in {SCHEDULERS}")
    return 0


def _connect(client: Namespace, server: Namespace, plan: Plan) -> list[links.Link]:
    """The server announces the addresses of all paths but the first, over which the client connects."""
    ways = links.join(client, server, [links.Shape(plan.rate)] * plan.paths)
    for namespace in (client, server):
        mptcp.set_limits(namespace, plan.paths - 1)
    for way in ways[1:]:
        mptcp.add_endpoint(server, way.right, mptcp.EndpointFlag.SIGNAL)
    return ways


def _transfer(
    client: Namespace, server: Namespace, ways: list[links.Link], scheduler: str, plan: Plan, say: Say
) -> transfer.Transfer:
    client.sysctl(mptcp.SCHEDULER, scheduler)
    say(f"\n{plan.size / bars.MIB:g} MiB with net.mptcp.scheduler={scheduler}")
    watch = _unwatched if plan.as_json else bars.Bars(sys.stdout, scheduler, plan.size).update
    return transfer.run(client, server, ways[0].right, plan.size, len(ways), watch)


@contextlib.contextmanager
def _loaded(path: Path, say: Say) -> Iterator[str]:
    """Load an object, and unload it in the end. Yields the name of the scheduler that it brings."""
    name = path.name.partition(".")[0]
    pins = PINS / name
    if pins.exists():
        raise ToolError(f"{name} is loaded already", hint=f"unload it first: python -m rawbpf unload {name}")
    before = _available()
    try:
        _rawbpf("load", _shown(path), say=say)
        new = [name for name in _available() if name not in before]
        if len(new) != 1:
            raise ToolError(f"{path}: brings {len(new)} schedulers where one is wanted")
        yield new[0]
    finally:
        if pins.exists():
            _rawbpf("unload", name, say=say)


def _rawbpf(command: str, argument: str, *, say: Say) -> None:
    say(f"$ python -m rawbpf {command} {shlex.quote(argument)}")
    done = subprocess.run([sys.executable, "-m", "rawbpf", command, argument], cwd=ROOT, capture_output=True, text=True)
    say(done.stdout.rstrip())
    if done.returncode != 0:
        raise ToolError(f"rawbpf {command} failed: {done.stderr.strip()}")


def _shown(path: Path) -> str:
    """A path as one would type it in the checkout."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(ROOT))
    return str(path)


def _available() -> list[str]:
    return SCHEDULERS.read_text().split()


def _aloud(text: str) -> None:
    print(text, flush=True)


def _silent(text: str) -> None:
    """With --json, the object is all that is said."""


def _unwatched(seconds: float, subflows: list[Subflow]) -> None:
    """With --json, nothing is drawn."""


def _as_json(plan: Plan, results: list[transfer.Transfer], gone: bool) -> dict[str, object]:
    return {
        "kernel": os.uname().release,
        "object": _shown(plan.object) if plan.object else None,
        "size": plan.size,
        "rate_mbit": plan.rate,
        "runs": [
            {
                "scheduler": result.scheduler,
                "seconds": round(result.seconds, 4),
                "subflows": [
                    {
                        "id": subflow.id,
                        "local": subflow.local,
                        "remote": subflow.remote,
                        "bytes_sent": subflow.bytes_sent,
                        "percent": round(bars.share(result, place), 2),
                    }
                    for place, subflow in enumerate(result.subflows)
                ],
            }
            for result in results
        ],
        "unloaded": gone,
    }
