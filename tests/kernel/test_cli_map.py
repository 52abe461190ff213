# SPDX-License-Identifier: BSD-2-Clause
"""``rawbpf map``: what is typed is in the map, what is in the map is printed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonkit
import pytest

from rawbpf.kernel import host
from rawbpf.kernel.maps import Map

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "rawbpf", "map")
CPUS = host.possible_cpus()
FLOW = {"port": "u16", "name": "char[8]", "parts": "u8[3]"}


class Result(NamedTuple):
    code: int
    output: str
    complaints: str


def run(*words: object) -> Result:
    done = subprocess.run([*COMMAND, *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


def lines(*words: object) -> list[Any]:
    code, output, complaints = run(*words, "--json")
    assert (code, complaints) == (0, "")
    return [json.loads(line) for line in output.splitlines()]


def refused(code: str, *words: object) -> dict[str, Any]:
    """The error of a command, which is the same in words."""
    result = run(*words, "--json")
    error = jsonkit.check_error(json.loads(result.output), code)
    told = run(*words)
    assert told.code == result.code > 0
    assert told.output == ""
    assert error["message"] in told.complaints
    return error


@pytest.fixture
def flows() -> Iterator[Map]:
    with Map.create("hash", "u32", FLOW, 4, name=f"flows{os.getpid()}") as m:
        yield m


def test_a_typed_map(flows: Map) -> None:
    name = flows.name
    assert run("dump", name).output == f"{name} is empty\n"
    assert lines("dump", name) == []
    assert run("set", name, 1, '{"port": 443, "name": "web", "parts": [1, 2]}') == (0, "", "")
    assert run("set", flows.id, "0x10", '{"port": "22"}').code == 0
    assert flows[1] == {"port": 443, "name": "web", "parts": [1, 2, 0]}
    assert sorted(run("dump", name).output.splitlines()) == [
        '16: {"port": 22, "name": "", "parts": [0, 0, 0]}',
        '1: {"port": 443, "name": "web", "parts": [1, 2, 0]}',
    ]
    assert {"key": 16, "value": {"port": 22, "name": "", "parts": [0, 0, 0]}} in lines("dump", flows.id)
    assert run("get", name, 1).output == '{"port": 443, "name": "web", "parts": [1, 2, 0]}\n'
    printed = json.loads(run("get", name, 16, "--json").output)
    jsonkit.check(printed, jsonkit.MAP_ELEMENT)
    assert printed["value"]["port"] == 22
    assert run("delete", name, 1, 16) == (0, "", "")
    assert list(flows) == []


def test_what_is_printed_can_be_typed_again(flows: Map) -> None:
    flows[7] = {"port": 1, "name": "eth0", "parts": [9, 8, 7]}
    key, _, value = run("dump", flows.name).output.strip().partition(": ")
    before = flows[7]
    del flows[7]
    assert run("set", flows.name, key, value).code == 0
    assert flows[7] == before


def test_only_new_and_only_existing(flows: Map) -> None:
    assert run("set", flows.name, 1, "{}", "--new").code == 0
    error = refused("key_exists", "set", flows.name, 1, "{}", "--new")
    assert (error["symbol"], error["errno_name"]) == (flows.name, "EEXIST")
    assert refused("no_key", "set", flows.name, 2, "{}", "--existing")["message"] == "no such key: 2"
    assert run("set", flows.name, 1, "{}", "--existing").code == 0


def test_what_is_wrong_is_told(flows: Map, tmp_path: Path) -> None:
    name = flows.name
    assert refused("no_key", "get", name, 5)["message"] == "no such key: 5"
    assert refused("no_key", "delete", name, 5)["errno_name"] == "ENOENT"
    assert "did you mean port" in refused("spec", "set", name, 1, '{"prt": 1}')["hint"]
    assert "does not fit" in refused("spec", "set", name, 1, '{"port": 65536}')["message"]
    assert "a KEY and a VALUE" in refused("spec", "set", name, 1)["message"]
    assert "a KEY is missing" in refused("spec", "get", name)["message"]
    assert "no integer" in refused("spec", "get", name, "one")["message"]
    assert "no map is named" in refused("spec", "dump", "no such map")["message"]
    assert refused("kernel", "dump", 4294967295)["errno_name"] == "ENOENT"
    assert refused("kernel", "dump", tmp_path / "none")["path"] == str(tmp_path / "none")
    assert "more than 0" in refused("spec", "watch", name, "--interval", 0)["message"]
    assert run("frobnicate", name).code == 2


def test_several_maps_of_a_name(flows: Map) -> None:
    with Map.create("array", 4, 8, 1, name=flows.name) as other:
        error = refused("spec", "dump", flows.name)
        assert error["hint"] == f"choose by id: {flows.id} (hash), {other.id} (array)"
        assert run("dump", other.id).output == "0: 00 00 00 00 00 00 00 00\n"


def test_a_pinned_map(flows: Map, bpffs_dir: Path) -> None:
    flows.pin(bpffs_dir / "flows")
    assert run("set", bpffs_dir / "flows", 3, "{}").code == 0
    assert 3 in flows


def test_maps_without_types() -> None:
    with Map.create("hash", 6, 4, 4, name="raw") as m:
        assert run("set", m.id, "01 02 03 0a 0B ff", 258).code == 0
        assert m[bytes([1, 2, 3, 10, 11, 255])] == (258).to_bytes(4, sys.byteorder)
        assert run("dump", m.id).output.startswith("01 02 03 0a 0b ff: ")
        assert lines("dump", m.id)[0]["key"] == "0102030a0bff"
        assert "neither 4 bytes in hex" in refused("spec", "set", m.id, 1, 1 << 32)["message"]


def test_a_map_for_each_cpu() -> None:
    with Map.create("percpu_array", "u32", "u64", 1, name="percpu") as m:
        assert run("set", m.id, 0, 5).code == 0
        assert m[0] == [5] * CPUS
        assert run("set", m.id, 0, json.dumps(list(range(CPUS)))).code == 0
        expected = ["0:", *(f"  cpu {cpu}: {cpu}" for cpu in range(CPUS))]
        assert run("dump", m.id).output.splitlines() == run("get", m.id, 0).output.splitlines() == expected
        assert lines("dump", m.id) == [{"key": 0, "value": list(range(CPUS))}]


def test_networks_queues_and_tasks() -> None:
    with Map.create("lpm_trie", {"prefixlen": "u32", "address": "u8[4]"}, "u32", 4, name="routes") as m:
        assert run("set", m.id, "10.0.0.0/8", 7).code == 0
        assert run("get", m.id, "10.1.2.3").output == "7\n"
        assert lines("dump", m.id) == [{"key": "10.0.0.0/8", "value": 7}]
    with Map.create("queue", 0, 8, 4, name="queue") as m:
        assert run("set", m.id, 5).code == run("set", m.id, 6).code == 0
        assert run("get", m.id).output == "05 00 00 00 00 00 00 00\n"
        assert json.loads(run("delete", m.id, "--json").output) == {"taken": ["0500000000000000"], "errors": []}
        assert run("delete", m.id).output == "06 00 00 00 00 00 00 00\n"
        assert refused("no_key", "get", m.id)["message"] == "the map is empty"
        assert "cannot be told" in refused("not_supported", "dump", m.id)["message"]
        assert "has no keys" in refused("spec", "get", m.id, 1)["message"]
    with Map.create("task_storage", "s32", "u64", name="tasks") as m:
        assert run("set", m.id, os.getpid(), 3).code == 0
        assert run("get", m.id, os.getpid()).output == "3\n"
        assert refused("no_key", "get", m.id, os.getppid())["message"] == "no such key"
        assert "no PID" in refused("spec", "get", m.id, "me")["message"]


def test_maps_of_maps_take_an_id_or_a_pin(bpffs_dir: Path) -> None:
    with (
        Map.create("array", "u32", "u32", 1, name="inner") as inner,
        Map.create("hash_of_maps", "u32", 4, 4, name="outer", inner=inner) as outer,
    ):
        inner.pin(bpffs_dir / "inner")
        assert run("set", outer.id, 1, inner.id).code == 0
        assert run("set", outer.id, 2, bpffs_dir / "inner").code == 0
        assert dict(outer.items()) == {1: inner.id, 2: inner.id}
        assert refused("kernel", "set", outer.id, 3, 4294967295)["path"] == "map id 4294967295"


@pytest.mark.parametrize("form", ["words", "json"])
def test_watching(flows: Map, form: str) -> None:
    flows[1] = {"port": 1}
    flows[2] = {"port": 2}
    command = [*COMMAND, "watch", flows.name, "--interval", "0.05", *(["--json"] if form == "json" else [])]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        seen = [process.stdout.readline() for _ in range(2)]
        with flows.edit(1) as value:
            value.port = 7
        seen.append(process.stdout.readline())
        flows[3] = {}
        seen.append(process.stdout.readline())
        del flows[3]
        seen.append(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stdout.read() == process.stderr.read() == ""
    if form == "words":
        assert [line[0] for line in seen] == [" ", " ", "~", "+", "-"]
        assert seen[2].count('"port"') == 2
        return
    told = [json.loads(line) for line in seen]
    assert [(line["change"], line["key"]) for line in told[2:]] == [("changed", 1), ("new", 3), ("gone", 3)]
    assert (told[2]["before"]["port"], told[2]["value"]["port"]) == (1, 7)
    assert {line["change"] for line in told[:2]} == {"there"}
