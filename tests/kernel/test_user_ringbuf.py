# SPDX-License-Identifier: BSD-2-Clause
"""What user space sends to programs through a user ring buffer."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from streamkit import load

from rawbpf.errors import ClosedError, KernelError, SpecError
from rawbpf.kernel.streams.user_ringbuf import UserRingBuffer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.kernel.object import Object

TYPE = "struct request"
STRIDE = 16  # header and a request


@pytest.fixture
def obj() -> Iterator[Object]:
    with load() as made:
        yield made


@pytest.fixture
def requests(obj: Object) -> Iterator[UserRingBuffer]:
    with UserRingBuffer(obj.maps["requests"], TYPE) as producer:
        yield producer


def drain(obj: Object) -> int:
    return obj.programs["drain"].test_run().retval


def test_values_and_bytes(obj: Object, requests: UserRingBuffer) -> None:
    assert drain(obj) == 0
    requests.send({"add": 5, "times": 3})
    requests.send((7).to_bytes(4, sys.byteorder) + (1).to_bytes(4, sys.byteorder))
    assert drain(obj) == 2
    assert obj.variables["total"].value == 5 * 3 + 7
    assert obj.variables["last"].value == {"add": 7, "times": 1}
    assert drain(obj) == 0


def test_written_in_place(obj: Object, requests: UserRingBuffer) -> None:
    with requests.reserve(8) as record:
        record[:4] = (9).to_bytes(4, sys.byteorder)
        record[4:] = (2).to_bytes(4, sys.byteorder)
        assert drain(obj) == 0  # it is not submitted yet
    assert drain(obj) == 1
    assert obj.variables["total"].value == 18


def test_what_raises_is_discarded(obj: Object, requests: UserRingBuffer) -> None:
    with pytest.raises(RuntimeError), requests.reserve(8):
        raise RuntimeError
    requests.send({"add": 1, "times": 1})
    assert drain(obj) == 1
    assert obj.variables["total"].value == 1


def test_records_wrap_at_every_offset(obj: Object, requests: UserRingBuffer) -> None:
    expected = 0
    for number in range(1100):
        requests.send(b"")  # 8 bytes: each request begins elsewhere
        requests.send({"add": number, "times": 1})
        expected += number
        if number % 3 == 0:
            drain(obj)
    drain(obj)
    assert obj.variables["total"].value == expected


def test_a_full_buffer(obj: Object, requests: UserRingBuffer) -> None:
    for _ in range(requests.size // STRIDE):
        requests.send({"add": 1})
    with pytest.raises(KernelError, match="no room for 8 bytes") as error:
        requests.send({"add": 1})
    assert error.value.errno == errno.ENOSPC
    assert "bpf_user_ringbuf_drain" in str(error.value.hint)
    start = time.monotonic()
    with pytest.raises(KernelError, match=r"in 0\.05 seconds"):
        requests.send({"add": 1}, timeout=0.05)
    assert time.monotonic() - start >= 0.05


@pytest.mark.parametrize("timeout", [None, 30.0])
def test_waiting_for_room(obj: Object, requests: UserRingBuffer, timeout: float | None) -> None:
    for _ in range(requests.size // STRIDE):
        requests.send({"add": 1})
    drainer = threading.Timer(0.05, drain, (obj,))
    drainer.start()
    requests.send({"add": 1000, "times": 1}, timeout=timeout)
    drainer.join()
    assert drain(obj) == 1
    assert obj.variables["total"].value == 1000


def test_threads_share_it(obj: Object, requests: UserRingBuffer) -> None:
    def send() -> None:
        for _ in range(100):
            requests.send({"add": 1, "times": 1}, timeout=10)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        drain(obj)
    drain(obj)
    assert obj.variables["total"].value == 400


def test_nothing_is_left_open_after_a_thousand_rounds(obj: Object) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(1000):
        with UserRingBuffer(obj.maps["requests"]):
            pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_cannot_be(obj: Object, requests: UserRingBuffer) -> None:
    with pytest.raises(SpecError, match="does not fit into a buffer of 4096"):
        requests.send(bytes(4090))
    with pytest.raises(SpecError, match="no member 'adds'"):
        requests.send({"adds": 1})
    with pytest.raises(SpecError, match="ring is a map of type RINGBUF, not USER_RINGBUF"):
        UserRingBuffer(obj.maps["ring"])
    with UserRingBuffer(obj.maps["requests"]) as untyped, pytest.raises(SpecError, match="give bytes, not dict"):
        untyped.send({"add": 1})
    requests.close()
    requests.close()
    assert requests.closed
    with pytest.raises(ClosedError):
        requests.send(b"")
    assert drain(obj) == 0
