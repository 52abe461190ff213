# SPDX-License-Identifier: BSD-2-Clause
"""The streams of programs, and the trace pipe."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import rawbpf
from rawbpf import ProgStream, TracePipe
from rawbpf.errors import ClosedError, NotSupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawbpf.kernel.object import Object

OBJECT = Path(__file__).parent.parent / "objs" / f"prog_streams.{'el' if sys.byteorder == 'little' else 'eb'}.o"


@pytest.fixture
def obj(require: Callable[[object, str], None]) -> Iterator[Object]:
    btf = rawbpf.host_target().btf
    names = ("bpf_stream_vprintk", "bpf_stream_vprintk_impl")
    require(btf and any(btf.find_all(name) for name in names), "the kernel has no streams of programs (Linux 6.17)")
    with rawbpf.load(OBJECT) as made:
        result = made.programs["talk"].test_run().retval - (1 << 32)
        if result == -errno.ENOMEM:
            pytest.skip("the kernel has no memory for streams: on this CPU kmalloc_nolock() gives none")
        for name in ("stdout", "stderr"):
            ProgStream(made.programs["talk"], name).read()
        made.variables["count"].value = 0
        yield made


def talk(obj: Object, program: str = "talk") -> None:
    assert obj.programs[program].test_run().retval == 0


def test_lines(obj: Object) -> None:
    out, err = ProgStream(obj.programs["talk"]), ProgStream(obj.programs["talk"], "stderr")
    assert list(out) == []
    talk(obj)
    talk(obj)
    assert list(out) == ["line 1 of stdout", "line 2 of stdout"]
    assert list(out) == []
    assert list(err) == ["a complaint"] * 2
    talk(obj)
    assert out.read() == b"line 3 of stdout\n"


def test_what_does_not_end(obj: Object) -> None:
    out = ProgStream(obj.programs["begin"])
    talk(obj, "begin")
    assert list(out.follow(timeout=0)) == []
    assert list(out) == ["no newline yet"]


def test_more_than_fits_into_one_call(obj: Object) -> None:
    for _ in range(4000):
        talk(obj)
    lines = list(ProgStream(obj.programs["talk"]))
    assert sum(len(line) + 1 for line in lines) > 1 << 16
    assert lines == [f"line {number} of stdout" for number in range(1, 1 + len(lines))]


def test_follow(obj: Object) -> None:
    out = ProgStream(obj.programs["talk"])
    timer = threading.Timer(0.1, talk, (obj,))
    timer.start()
    assert next(out.follow(timeout=10)) == "line 1 of stdout"
    timer.join()


def test_follow_beside_other_tasks(obj: Object) -> None:
    async def follow() -> str:
        asyncio.get_running_loop().call_later(0.1, talk, obj)
        return await anext(ProgStream(obj.programs["talk"]).follow_async())

    assert asyncio.run(asyncio.wait_for(follow(), 10)) == "line 1 of stdout"


def test_a_kernel_without_streams() -> None:
    with rawbpf.load(OBJECT) as made:
        out = ProgStream(made.programs["talk"])
        out._number = 77
        with pytest.raises(NotSupportedError, match="no streams of programs") as error:
            out.read()
    assert error.value.min_version == "6.17"
    assert error.value.symbol == "talk"


# -- the trace pipe, a file that the tests make


def test_lines_of_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trace_pipe")
    with TracePipe([str(tmp_path / "nowhere"), str(tmp_path)]) as pipe:
        writer = os.open(tmp_path / "trace_pipe", os.O_WRONLY)
        assert list(pipe.lines(timeout=0)) == []
        os.write(writer, b"first\nsec")
        assert list(pipe.lines(timeout=0.01)) == ["first"]
        timer = threading.Timer(0.05, os.write, (writer, b"ond\n"))
        timer.start()
        assert next(iter(pipe)) == "second"
        timer.join()
        os.close(writer)
    with pytest.raises(ClosedError):
        next(iter(pipe))


def test_lines_of_a_pipe_beside_other_tasks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trace_pipe")

    async def read(pipe: TracePipe, writer: int) -> list[str]:
        lines = aiter(pipe)
        asyncio.get_running_loop().call_later(0.05, os.write, writer, b"first\nsecond\n")
        return [await anext(lines), await anext(lines)]

    with TracePipe([str(tmp_path)]) as pipe:
        writer = os.open(tmp_path / "trace_pipe", os.O_WRONLY)
        assert asyncio.run(asyncio.wait_for(read(pipe, writer), 10)) == ["first", "second"]
        os.close(writer)


def test_no_trace_pipe(tmp_path: Path) -> None:
    known = "\ttracefs\n" in Path("/proc/filesystems").read_text()
    with pytest.raises(NotSupportedError, match="no tracefs is mounted" if known else "CONFIG_TRACING") as error:
        TracePipe([str(tmp_path)])
    assert ("mount -t tracefs" if known else "ring buffer") in str(error.value.hint)
