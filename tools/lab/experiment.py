# SPDX-License-Identifier: BSD-2-Clause
"""An experiment: two namespaces, paths between them, and the same transfer with one scheduler after the other.

Whatever happens, what was loaded is unloaded; the namespaces end with the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from tools.lab import bars, links, mptcp, objects, svg, transfer
from tools.lab.mptcp import EndpointFlag, Endpoints
from tools.lab.netns import Namespace
from tools.lab.objects import PATH_MANAGER, SCHEDULER
from tools.lab.transfer import Ends
from tools.lib.report import ToolError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tools.lab.links import Link
    from tools.lab.objects import Found, Say
    from tools.lab.shapes import Shape
    from tools.lab.subflows import Subflow
    from tools.lab.transfer import Traffic, Transfer


LONGEST = 200
"""Characters of a variable's value that are shown; --json has all."""


class Plan(NamedTuple):
    """What to compare, over which paths."""

    schedulers: Sequence[str]
    """Names or objects, see objects.find; one run for each."""
    shapes: Sequence[Shape | None]
    """One for each path."""
    traffic: Traffic
    path_manager: str | None = None
    """A name or an object, see objects.find; None for what the kernel starts with."""
    endpoints: Endpoints = Endpoints.SIGNAL
    backups: Sequence[int] = ()
    """Paths by number, from 1, that serve as backups."""
    plot: Path | None = None
    """An SVG file to write."""
    as_json: bool = False


class Run(NamedTuple):
    """What one scheduler made of it."""

    object: Path | None
    transfer: Transfer
    variables: dict[str, Any]
    """Of the object, in the end."""


def run(plan: Plan) -> int:
    say = _silent if plan.as_json else _aloud
    schedulers = [objects.find(SCHEDULER, name) for name in plan.schedulers]
    path_manager = objects.find(PATH_MANAGER, plan.path_manager) if plan.path_manager else None
    with contextlib.ExitStack() as stack:
        client, server = stack.enter_context(Namespace()), stack.enter_context(Namespace())
        ways = connect(client, server, plan.shapes, plan.backups, plan.endpoints)
        say(f"two network namespaces, joined by {_in_words(plan.shapes)}\n")
        if path_manager:
            manager = stack.enter_context(objects.provided(PATH_MANAGER, path_manager, say))
            for namespace in (client, server):
                PATH_MANAGER.choose(namespace, manager)
            say(f"{PATH_MANAGER.sysctl}={manager}")
        ends = Ends(client, server, ways[0].right)
        results = [_run(ends, found, plan, say) for found in schedulers]
        variables = _variables(path_manager, manager, say) if path_manager else {}
    say("\n" + bars.table([result.transfer for result in results]) + "\n")
    for role in (SCHEDULER, PATH_MANAGER) if path_manager else (SCHEDULER,):
        say(f"available {role.what}s: {' '.join(role.in_kernel())}")
    if plan.plot:
        plan.plot.write_text(plot([result.transfer for result in results]))
    if plan.as_json:
        print(json.dumps(as_json(plan, results, variables), indent=2))
    return 0


def connect(
    client: Namespace,
    server: Namespace,
    shapes: Sequence[Shape | None],
    backups: Sequence[int] = (),
    endpoints: Endpoints = Endpoints.SIGNAL,
) -> list[Link]:
    """Join them, for connections over the first path that get subflows over the others."""
    ways = links.join(client, server, shapes)
    for namespace in (client, server):
        mptcp.set_limits(namespace, endpoints.subflows(len(ways)) - 1)
    if endpoints is not Endpoints.SIGNAL:
        links.route_by_source(client, ways)
    for number, way in enumerate(ways, 1):
        backup = EndpointFlag.BACKUP if number in backups else EndpointFlag(0)
        if endpoints is Endpoints.FULLMESH:
            mptcp.add_endpoint(client, way.left, EndpointFlag.SUBFLOW | EndpointFlag.FULLMESH | backup)
        if number == 1:
            continue  # the address that the client knows
        if endpoints is Endpoints.SUBFLOW:
            mptcp.add_endpoint(client, way.left, EndpointFlag.SUBFLOW | backup)
        elif endpoints is Endpoints.SIGNAL:
            mptcp.add_endpoint(server, way.right, EndpointFlag.SIGNAL | backup)
        else:
            mptcp.add_endpoint(server, way.right, EndpointFlag.SIGNAL)
    return ways


def _run(ends: Ends, found: Found, plan: Plan, say: Say) -> Run:
    with objects.provided(SCHEDULER, found, say) as scheduler:
        for namespace in (ends.client, ends.server):
            SCHEDULER.choose(namespace, scheduler)
        say(f"\n{plan.traffic.size / bars.MIB:g} MiB with {SCHEDULER.sysctl}={scheduler}")
        watch = _unwatched if plan.as_json else bars.Bars(sys.stdout, scheduler, plan.traffic.size).update
        in_kernel = plan.path_manager in (None, PATH_MANAGER.default)
        count = plan.endpoints.subflows(len(plan.shapes)) if in_kernel else None
        try:
            result = transfer.run(ends, scheduler, plan.traffic, count, watch)
        except transfer.Stalled:
            hint = "does its get_send mark a subflow (mptcp_subflow_set_scheduled) and return 0?"
            raise ToolError(
                f"{scheduler} sent nothing for {transfer.STALL_SECONDS:g} s",
                hint=hint if scheduler != SCHEDULER.default else "does a path lose everything?",
            ) from None
        for namespace in (ends.client, ends.server):
            SCHEDULER.choose(namespace, SCHEDULER.default)
        return Run(found.object, result, _variables(found, scheduler, say))


def _variables(found: Found, name: str, say: Say) -> dict[str, Any]:
    """Of the object that was loaded for it, which are gone when it is unloaded."""
    variables = objects.variables(found.object) if found.object else {}
    for variable, value in variables.items():
        text = json.dumps(value, ensure_ascii=False)
        say(f"{name}: {variable} = {text if len(text) <= LONGEST else text[:LONGEST] + '…'}")
    return variables


def plot(transfers: Sequence[Transfer]) -> str:
    """MiB by subflow over time, a panel for each transfer."""
    panels = []
    for result in transfers:
        lines = [
            svg.Line(
                f"{place + 1}: {subflow.local} > {subflow.remote}",
                [(sample.seconds, _sent(sample, subflow) / bars.MIB) for sample in result.samples],
            )
            for place, subflow in enumerate(result.subflows)
        ]
        panels.append(svg.Panel(result.scheduler, "seconds", "MiB sent", lines))
    return svg.draw_lines(panels)


def _sent(sample: transfer.Sample, of: Subflow) -> int:
    """What it had sent then; nothing if it was not there."""
    return next((s.bytes_sent for s in sample.subflows if (s.local, s.remote) == (of.local, of.remote)), 0)


def as_json(plan: Plan, results: Sequence[Run], variables: dict[str, Any]) -> dict[str, Any]:
    """What --json prints; `variables` are those of the path manager."""
    return {
        "kernel": os.uname().release,
        "size": plan.traffic.size,
        "streams": plan.traffic.streams,
        "direction": plan.traffic.direction.value,
        "path_manager": plan.path_manager,
        "path_manager_variables": variables,
        "endpoints": plan.endpoints.value,
        "paths": [
            {"rate_mbit": shape.rate, "delay_ms": shape.delay, "loss_percent": shape.loss} if shape else None
            for shape in plan.shapes
        ],
        "runs": [
            {
                "scheduler": result.scheduler,
                "object": objects.shown(path) if path else None,
                "variables": own,
                "seconds": round(result.seconds, 4),
                "received": result.received,
                "subflows": [
                    {
                        "id": subflow.id,
                        "local": subflow.local,
                        "remote": subflow.remote,
                        "bytes_sent": subflow.bytes_sent,
                        "percent": round(bars.share(result, subflow), 2),
                    }
                    for subflow in result.subflows
                ],
                "samples": [
                    [round(sample.seconds, 3), *(_sent(sample, subflow) for subflow in result.subflows)]
                    for sample in result.samples
                ],
            }
            for path, result, own in results
        ],
        "unloaded": not {run.transfer.scheduler for run in results if run.object} & set(SCHEDULER.in_kernel()),
    }


def _in_words(shapes: Sequence[Shape | None]) -> str:
    if len(set(shapes)) > 1:
        return "paths of " + "; ".join(str(shape or "any rate") for shape in shapes)
    each = f" of {shapes[0]} each" if shapes[0] else ""
    return f"{len(shapes)} paths{each}" if len(shapes) > 1 else f"a path{each.removesuffix(' each')}"


def _aloud(text: str) -> None:
    print(text, flush=True)


def _silent(text: str) -> None:
    """With --json, the object is all that is said."""


def _unwatched(seconds: float, subflows: list[Subflow]) -> None:
    """With --json, nothing is drawn."""
