# SPDX-License-Identifier: BSD-2-Clause
"""The measurements of the talk 'BPF on MPTCP': iperf3, rsync and Redis over paths of 100 Mbit/s.

The programs are Debian's, as they are. objs/mptcpify.o turns the TCP sockets of those in one cgroup into MPTCP sockets;
plain TCP is measured beside it, outside of that cgroup. Each measurement looks at the connections of the program while
it runs: all that should be MPTCP are, each with as many subflows as there are paths and no fallback, or it fails.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tools.lab import experiment, figure_plots, objects, programs
from tools.lab.netns import Namespace
from tools.lab.objects import SCHEDULER
from tools.lab.shapes import Shape
from tools.lib.report import ToolError, note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tools.lab.programs import Connection

RATE = 100.0
"""Mbit/s, of each path."""
TEXT = "".join(f"line {number}: the quick brown fox jumps over the lazy dog\n" for number in range(1 << 14)).encode()
REDIS_SIZES = {"3 bytes": (3, 10), "64 KiB": (65536, 1)}
"""Size of the values, and how many requests there are for each of Extent.requests."""
REDIS_CLIENTS = 20
REDIS_SERVER = Path("/usr/bin/redis-check-rdb")
"""Debian's redis-tools has the server's program under the name of a checking tool; it goes by the name it is called."""
ENOUGH = 0.93
"""A machine that does other things disturbs a transfer: it is tried up to Extent.tries times, until one reaches this
part of what the paths carry; the best one counts."""
LOOK_SECONDS = 0.1
CLIENT_SECONDS = 120.0
PORTS = {"iperf3": 5201, "rsync": 8730, "redis": 6379}


class Extent(NamedTuple):
    """How much is measured."""

    paths: int = 8
    schedulers: Sequence[str] = ("default", "rr", "red", "burst")
    seconds: int = 5
    """Of an iperf3."""
    file_size: int = 192 << 20
    """Bytes, for rsync."""
    requests: int = 4000
    """To Redis, of a kind."""
    tries: int = 3


class Bench(NamedTuple):
    """Where programs run."""

    client: Namespace
    server: Namespace
    address: str
    """Of the server, over the first path."""
    paths: int
    group: Path | None
    """The cgroup whose sockets are MPTCP; None for plain TCP."""
    extent: Extent


def measure(page: Path, extent: Extent) -> int:
    """Measure everything, and write it into a page of Markdown; figures.json and the plots go into its directory."""
    begun = time.monotonic()
    directory = page.with_suffix("")
    directory.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        group = stack.enter_context(programs.own_cgroup())
        option = f"cgroup_id={group.stat().st_ino}"
        stack.enter_context(objects.loaded(objects.OBJECTS / "mptcpify.o", note, "--set", option))
        found = [objects.find(SCHEDULER, name) for name in extent.schedulers]
        schedulers = [stack.enter_context(objects.provided(SCHEDULER, each, note)) for each in found]
        results: dict[str, Any] = {
            "kernel": os.uname().release,
            "cpus": os.cpu_count(),
            "host_load": os.environ.get("RAWBPF_HOST_LOAD"),
            "rate_mbit": RATE,
            "iperf3_seconds": extent.seconds,
            "iperf3": _iperf3_by_paths(schedulers, group, extent),
            "rsync": _in_both(_rsync, group, extent),
            "redis": _in_both(_redis, group, extent),
        }
    results["seconds"] = round(time.monotonic() - begun)
    (directory / "figures.json").write_text(json.dumps(results, indent=1) + "\n")
    for name, picture in figure_plots.draw(results).items():
        (directory / name).write_text(picture)
    page.write_text(figure_plots.fill(page.read_text(), results))
    print("\n\n".join(figure_plots.tables(results).values()))
    return 0


@contextlib.contextmanager
def _bench(paths: int, group: Path | None, extent: Extent) -> Iterator[Bench]:
    with Namespace() as client, Namespace() as server:
        ways = experiment.connect(client, server, [Shape(RATE)] * paths)
        yield Bench(client, server, ways[0].right, paths, group, extent)


def _in_both(measurement: Callable[[Bench], Any], group: Path, extent: Extent) -> dict[str, Any]:
    """Over one path with TCP, and over all with MPTCP and the kernel's scheduler."""
    results = {}
    for name, paths, where in (("TCP", 1, None), ("MPTCP", extent.paths, group)):
        with _bench(paths, where, extent) as bench:
            results[name] = measurement(bench)
    return results


def _iperf3_by_paths(schedulers: Sequence[str], group: Path, extent: Extent) -> dict[str, list[float]]:
    """MB/s by scheduler, over one path, two, and so on."""
    results: dict[str, list[float]] = {name: [] for name in schedulers}
    for paths in range(1, extent.paths + 1):
        with _bench(paths, group, extent) as bench:
            for name in schedulers:
                for namespace in (bench.client, bench.server):
                    SCHEDULER.choose(namespace, name)
                results[name].append(_best(f"iperf3, {name}", bench, lambda: _iperf3(bench)))
            for namespace in (bench.client, bench.server):
                SCHEDULER.choose(namespace, SCHEDULER.default)
    return results


def _best(what: str, bench: Bench, measurement: Callable[[], float]) -> float:
    """MB/s, of the best of some tries."""
    tries: list[float] = []
    while len(tries) < bench.extent.tries and max(tries, default=0.0) < ENOUGH * bench.paths * RATE / 8:
        tries.append(measurement())
        note(f"{what}, {bench.paths} paths: {tries[-1]} MB/s")
    return max(tries)


def _iperf3(bench: Bench) -> float:
    port = PORTS["iperf3"]
    with _server(bench, ["iperf3", "-4", "-s", "-1"], port):
        command = ["iperf3", "-4", "-c", bench.address, "-t", str(bench.extent.seconds), "-O", "1", "-J"]
        output = _client(bench, command)
    return round(float(json.loads(output)["end"]["sum_received"]["bits_per_second"]) / 8e6, 2)


def _rsync(bench: Bench) -> dict[str, float]:
    """MB/s by kind of file."""
    results = {}
    with tempfile.TemporaryDirectory(prefix="mptcp-lab-") as name:
        directory = Path(name)
        config = directory / "rsyncd.conf"
        config.write_text(f"use chroot = no\nuid = root\ngid = root\n[in]\npath = {directory}\nread only = no\n")
        for kind, write in FILES.items():
            write(directory / "source", bench.extent.file_size)
            results[kind] = _best(f"rsync, {kind}", bench, lambda: _copy(bench, directory, config))
    return results


def _copy(bench: Bench, directory: Path, config: Path) -> float:
    """MB/s of one copy of a file by a daemon, which has none yet."""
    port = PORTS["rsync"]
    source, target = directory / "source", directory / "target"
    target.unlink(missing_ok=True)
    with _server(bench, ["rsync", "--daemon", "--no-detach", f"--port={port}", f"--config={config}"], port):
        begun = time.monotonic()
        _client(bench, ["rsync", "--whole-file", str(source), f"rsync://{bench.address}:{port}/in/{target.name}"])
        seconds = time.monotonic() - begun
    if target.stat().st_size != bench.extent.file_size:
        raise ToolError("rsync: the copy is not as long as the file")
    return round(bench.extent.file_size / seconds / 1e6, 2)


def _write_random(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))


def _write_text(path: Path, size: int) -> None:
    with path.open("wb") as file:
        while file.tell() < size:
            file.write(TEXT[: size - file.tell()])


def _write_zeros(path: Path, size: int) -> None:
    path.write_bytes(b"")
    os.truncate(path, size)


FILES = {"random": _write_random, "text": _write_text, "zeros, sparse": _write_zeros}


def _redis(bench: Bench) -> dict[str, dict[str, float]]:
    """Requests a second, and milliseconds, by command and size of the value."""
    port = PORTS["redis"]
    server = ["redis-server", "--port", str(port), "--save", "", "--protected-mode", "no"]
    results = {}
    with _server(bench, ["/bin/bash", "-c", 'exec -a "$1" "$0" "${@:2}"', str(REDIS_SERVER), *server], port):
        for what, (size, times) in REDIS_SIZES.items():
            command = ["redis-benchmark", "-h", bench.address, "-p", str(port), "-t", "set,get", "--csv"]
            counts = ["-d", str(size), "-n", str(times * bench.extent.requests), "-c", str(REDIS_CLIENTS)]
            for row in csv.DictReader(_client(bench, [*command, *counts]).splitlines()):
                results[f"{row['test']}, {what}"] = {
                    "requests_per_second": float(row["rps"]),
                    "mean_ms": float(row["avg_latency_ms"]),
                    "p99_ms": float(row["p99_latency_ms"]),
                }
                note(f"redis, {bench.paths} paths, {row['test']}, {what}: {row['rps']} requests/s")
    return results


@contextlib.contextmanager
def _server(bench: Bench, command: list[str], port: int) -> Iterator[None]:
    with programs.started(bench.server, command, bench.group):
        programs.wait_for_port(bench.server, port)
        yield


def _client(bench: Bench, command: list[str]) -> str:
    """What it prints; raises ToolError if it fails, or if its connections were not what they should be."""
    with (
        tempfile.TemporaryFile("w+") as output,
        programs.started(bench.client, command, bench.group, output=output.fileno()) as process,
    ):
        seen: list[Connection] = []
        deadline = time.monotonic() + CLIENT_SECONDS
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise ToolError(f"{command[0]} has not ended after {CLIENT_SECONDS:g} s: {seen}")
            seen = max(seen, programs.connections(process.pid), key=_rank)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_SECONDS)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise ToolError(f"{command[0]} failed: {text.strip()[-500:]}")
    _check(command[0], bench, seen)
    return text


def _rank(seen: list[Connection]) -> tuple[int, int]:
    """The fullest view of a program's connections is the one that counts: subflows take a moment to join."""
    return sum(connection.subflows for connection in seen), len(seen)


def _check(name: str, bench: Bench, seen: list[Connection]) -> None:
    if not seen:
        raise ToolError(f"{name}: no connection of it was seen")
    if bench.group is None:
        if any(connection.mptcp for connection in seen):
            raise ToolError(f"{name}: is to be plain TCP, and has MPTCP connections: {seen}")
    elif not all(connection.mptcp and not connection.fallback for connection in seen):
        raise ToolError(f"{name}: not all of its connections are MPTCP: {seen}")
    elif any(connection.subflows != bench.paths for connection in seen):
        raise ToolError(f"{name}: not each of its connections has {bench.paths} subflows: {seen}")
