# SPDX-License-Identifier: BSD-2-Clause
"""``rawbpf ringbuf`` as one types it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from streamkit import CPUS, OBJECT, load, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.kernel.object import Object

ROOT = Path(__file__).parents[2]


@pytest.fixture
def obj() -> Iterator[Object]:
    with load() as made:
        yield made


def start(*words: object) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "rawbpf", "ringbuf", *map(str, words)]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ringbuf(*words: object) -> tuple[int, list[str], str]:
    with start(*words) as process:
        output, complaints = process.communicate(timeout=60)
        return process.returncode, output.splitlines(), complaints


def test_json_lines_of_a_type(obj: Object) -> None:
    run(obj, "emit", 5)
    number = obj.maps["ring"].id
    code, lines, complaints = ringbuf(number, "--type", "struct event", "--json", "--count", 3)
    assert (code, complaints) == (0, "")
    assert [json.loads(line) for line in lines] == [
        {"sequence": n, "cpu": CPUS[0], "kind": "NEXT" if n else "FIRST"} for n in range(3)
    ]
    assert ringbuf(number, "--type", "struct event", "--timeout", 0)[1] == [
        f"sequence={n} cpu={CPUS[0]} kind=NEXT" for n in (3, 4)
    ]


def test_bytes_of_a_pin(obj: Object, bpffs_dir: Path) -> None:
    obj.maps["other"].pin(bpffs_dir / "other")
    for json_lines, expected in ((False, "01 00 00 00 00 00 00 00"), (True, '"0100000000000000"')):
        run(obj, "emit_other", int.from_bytes(b"\1" + bytes(7), sys.byteorder))
        words = ["--json"] if json_lines else []
        assert ringbuf(bpffs_dir / "other", "--raw", "--timeout", 0, *words) == (0, [expected], "")


def test_a_perf_buffer_is_followed_until_it_is_interrupted(obj: Object) -> None:
    with start(obj.maps["perf"].id, "--type", "event", "--btf", OBJECT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while not obj.variables["sequences"].value[CPUS[0]] - obj.variables["refused"].value[CPUS[0]]:
            run(obj, "emit_perf", 1)  # until the command is there to take it
        assert f"cpu={CPUS[0]} kind=FIRST" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert process.stderr.read() == ""


def test_the_type_that_a_map_is_named_after(obj: Object) -> None:
    from rawbpf.kernel.streams.source import guess_type

    ring = obj.maps["ring"]
    assert guess_type(ring, None) is None
    for name in ("event", "events"):
        ring.name = name
        assert guess_type(ring, None) == "struct event"


def test_what_cannot_be(obj: Object) -> None:
    for words, code, text in (
        ((obj.maps[".bss"].id,), 4, "not RINGBUF"),
        ((obj.maps["ring"].id, "--type", "struct nothing"), 4, "no BTF at hand has a type 'struct nothing'"),
        (("no_such_map",), 4, "no_such_map"),
        (("/sys/fs/bpf/no/such/pin",), 6, "no/such/pin"),
        ((obj.maps["ring"].id, "--count", 0), 2, "no number above 0"),
    ):
        result = ringbuf(*words)
        assert (result[0], result[1]) == (code, [])
        assert text in result[2]
        assert "Traceback" not in result[2]
