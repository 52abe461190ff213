# SPDX-License-Identifier: BSD-2-Clause
"""Every type of map that the running kernel has: what its keys and values are, and what is said where it has none."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rawbpf.errors import KernelError, MapFullError, MapKeyError, MapKeyExistsError, NotSupportedError, SpecError
from rawbpf.kernel import gate, host, info, syscall
from rawbpf.kernel.known_types import has_map_type
from rawbpf.kernel.maps import Map
from rawbpf.uapi import MapFlag, MapType, MapUpdateFlag, ProgType

if TYPE_CHECKING:
    from rawbpf.kernel.fd import Fd

RETURN_0 = bytes.fromhex("b700000000000000 9500000000000000")
CPUS = host.possible_cpus()


def program(kind: ProgType = ProgType.SOCKET_FILTER) -> Fd:
    return syscall.prog_load({"prog_type": kind}, RETURN_0, license="GPL")


# -- with a value for each key


@pytest.mark.parametrize("kind", ["hash", "lru_hash", "rhash"])
def test_hash_maps(kind: str) -> None:
    flags = MapFlag.NO_PREALLOC if kind == "rhash" else 0
    if kind == "rhash" and not has_map_type(MapType.RHASH):
        with pytest.raises(NotSupportedError, match="this kernel has no map type RHASH"):
            Map.create(kind, "u32", "u64", 100, flags=flags)
        return
    with Map.create(kind, "u32", "u64", 100, name="counters", flags=flags) as m:
        m[1] = 10
        m.update(2, 20, MapUpdateFlag.NOEXIST)
        with pytest.raises(MapKeyExistsError, match=r"counters: there is such a key already: 2"):
            m.update(2, 21, MapUpdateFlag.NOEXIST)
        with pytest.raises(MapKeyError, match=r"counters: no such key: 3"):
            m.update(3, 30, MapUpdateFlag.EXIST)
        assert dict(m.items()) == {1: 10, 2: 20}
        assert m.lookup(2) == 20
        assert m.lookup_and_delete(2) == 20
        with pytest.raises(MapKeyError):
            m.lookup_and_delete(2)
        assert (len(m), list(m), list(m.values())) == (1, [1], [10])
        m.clear()
        assert len(m) == 0


@pytest.mark.parametrize("kind", ["percpu_hash", "lru_percpu_hash", "percpu_array"])
def test_maps_with_values_for_each_cpu(kind: str) -> None:
    with Map.create(kind, "u32", {"packets": "u64", "drops": "u32"}, 8) as m:
        assert m.per_cpu
        values = m.new_value(packets=3)
        assert [value.packets for value in values] == [3] * CPUS
        values[-1].drops = 7
        m[5] = values
        assert m[5] == values
        assert m[5][-1].drops == 7
        assert dict(m.items())[5] == values
        m.update_many({5: [{"packets": cpu} for cpu in range(CPUS)]})
        assert [value.packets for value in m[5]] == list(range(CPUS))
        with pytest.raises(SpecError, match=rf"a list of {CPUS} values"):
            m[5] = {"packets": 1}
        with pytest.raises(SpecError, match=r"\[0\]\.packets"):
            m[5] = [{"packets": -1}] * CPUS


def knows_cpu_flags(m: Map) -> bool:
    """Asked of the kernel without the code under test."""
    numbers: list[int] = []
    with gate.observe(lambda call: numbers.append(call.errno)), contextlib.suppress(KernelError):
        syscall.map_lookup_elem(m.fileno(), bytes(4), 8, MapUpdateFlag.F_CPU)
    assert numbers in ([0], [errno.EINVAL])
    return numbers == [0]


def test_the_value_of_one_cpu() -> None:
    with Map.create("percpu_array", "u32", "u32", 4) as m:
        m[2] = [9] * CPUS
        if not knows_cpu_flags(m):
            for refused in (lambda: m.update(2, 77, cpu=0), lambda: m.update(2, 5, MapUpdateFlag.F_ALL_CPUS)):
                with pytest.raises(NotSupportedError, match="no access to the value of one CPU") as refusal:
                    refused()
                assert refusal.value.min_version == "7.0"
            assert m[2] == [9] * CPUS
            return
        m.update(2, 77, cpu=CPUS - 1)
        assert m[2] == [9] * (CPUS - 1) + [77]
        assert m.lookup(2, cpu=CPUS - 1) == 77
        m.update(2, 5, MapUpdateFlag.F_ALL_CPUS)
        assert m[2] == [5] * CPUS
        m.update(2, 6, cpu=0)
        assert m.lookup(2, MapUpdateFlag.F_CPU) == 6


def test_a_cpu_that_makes_no_sense() -> None:
    with Map.create("percpu_array", "u32", "u32", 4) as m:
        for cpu in (-1, CPUS):
            with pytest.raises(SpecError, match=f"there is no CPU {cpu}"):
                m.lookup(0, cpu=cpu)
    with Map.create("array", "u32", "u32", 4) as m, pytest.raises(SpecError, match="no values of CPUs"):
        m.update(0, 1, cpu=0)


def test_arrays() -> None:
    with Map.create("array", "u32", "u16", 3, name="numbers") as m:
        m[1] = 5
        assert list(m.items()) == [(0, 0), (1, 5), (2, 0)]
        assert len(m) == 3
        with pytest.raises(MapKeyError, match=r"numbers: no such key: 3: the map has 3 elements, from 0"):
            m[3] = 1
        with pytest.raises(MapKeyError):
            m[3]
        assert 3 not in m
        with pytest.raises(KernelError, match="elements of array maps cannot be deleted") as refusal:
            del m[0]
        assert refusal.value.hint == "set them to zero"
        with pytest.raises(KernelError, match="cannot be deleted"):
            m.clear()
        with pytest.raises(NotSupportedError, match="elements of array maps cannot be taken"):
            list(m.take_all())


def test_networks_are_the_keys_of_a_trie() -> None:
    with Map.create("lpm_trie", 8, "u32", 10, name="routes") as m:
        m[ip_network("10.0.0.0/8")] = 8
        m["10.1.0.0/16"] = 16
        m["0.0.0.0/0"] = 0
        assert m[ip_address("10.1.2.3")] == 16
        assert m["10.9.2.3"] == 8
        assert m["192.0.2.1"] == 0
        assert sorted(m) == [ip_network("0.0.0.0/0"), ip_network("10.0.0.0/8"), ip_network("10.1.0.0/16")]
        del m["10.1.0.0/16"]
        assert m["10.1.2.3"] == 8
        with pytest.raises(SpecError, match=r"routes: .*an IPv4 network"):
            m[ip_address("2001:db8::1")]
        with pytest.raises(SpecError, match=r"'10\.0\.0\.0/33' is not an IPv4 network"):
            m["10.0.0.0/33"] = 1
        m.update_many({f"192.0.2.{host}": host for host in range(1, 8)})
        assert m["192.0.2.7"] == 7
        with pytest.raises(MapFullError):
            m.update_many({f"198.51.100.{host}": host for host in range(8)})
        assert m.delete_many(list(m)) == 10
        assert list(m) == []


def test_networks_of_ipv6_and_typed_keys() -> None:
    with Map.create("lpm_trie", {"prefixlen": "u32", "address": "u8[16]"}, "u32", 10) as m:
        m["2001:db8::/32"] = 1
        m[{"prefixlen": 64, "address": ip_address("2001:db8:0:1::").packed}] = 2
        assert list(m) == [ip_network("2001:db8:0:1::/64"), ip_network("2001:db8::/32")]
        assert m["2001:db8:0:1::5"] == 2
    with Map.create("lpm_trie", {"prefixlen": "u32", "vlan": "u16", "port": "u16"}, "u32", 10) as m:
        m[{"prefixlen": 16, "vlan": 5}] = 1  # no address: keys are what BTF says
        ((key, value),) = m.items()
        assert (key.prefixlen, key.vlan, value) == (16, 5, 1)


# -- without keys


@pytest.mark.parametrize(("kind", "order"), [("queue", [1, 2, 3]), ("stack", [3, 2, 1])])
def test_queues_and_stacks(kind: str, order: list[int]) -> None:
    with Map.create(kind, 0, "u32", 3, name="waiting") as m:
        for number in (1, 2, 3):
            m.push(number)
        with pytest.raises(MapFullError, match=r"waiting: the map is full: it has room for 3 elements") as full:
            m.push(4)
        assert full.value.errno == errno.E2BIG
        assert full.value.hint == "pop, or push with drop_oldest=True"
        m.push(4, drop_oldest=True)
        assert m.peek() == m.pop()
        m.clear()
        for number in (1, 2, 3):
            m.push(number)
        assert [m.pop() for _ in order] == order
        with pytest.raises(MapKeyError, match="waiting: the map is empty"):
            m.pop()
        with pytest.raises(MapKeyError):
            m.peek()
        with pytest.raises(KernelError):
            list(m)


def test_bloom_filters() -> None:
    with Map.create("bloom_filter", 0, "u64", 100, extra=3) as m:
        for number in range(50):
            m.push(number)
        assert all(number in m for number in range(50))
        assert sum(number in m for number in range(1000, 2000)) < 200
        with pytest.raises(KernelError):
            m.pop()


# -- of other things


@pytest.mark.parametrize("kind", ["hash_of_maps", "array_of_maps"])
def test_maps_in_maps(kind: str) -> None:
    with (
        Map.create("array", "u32", "u32", 4, name="inner") as inner,
        Map.create(kind, "u32", 4, 2, name="outer", inner=inner) as outer,
    ):
        outer[1] = inner
        inner[3] = 33
        assert outer[1] == inner.id
        assert dict(outer.items()) == {1: inner.id}
        with outer.inner(1) as opened:
            assert opened[3] == 33
        with pytest.raises(MapKeyError):
            outer.inner(0)
        with pytest.raises(SpecError, match="inner: the map holds no maps"):
            inner.inner(0)
        with pytest.raises(SpecError, match="a descriptor or what has a fileno"):
            outer[0] = "inner"
        del outer[1]
        assert 1 not in outer


def test_program_arrays() -> None:
    with program() as fd, Map.create("prog_array", "u32", 4, 3) as m:
        m[2] = fd
        assert m[2] == info.prog_info(fd.fileno()).id
        assert list(m.items()) == [(2, m[2])]
        del m[2]
        assert 2 not in m


def test_cgroup_arrays_take_paths(cgroup: Path) -> None:
    with Map.create("cgroup_array", "u32", 4, 2, name="groups") as m:
        m[0] = str(cgroup)
        m[1] = cgroup
        with pytest.raises(NotSupportedError, match="elements of cgroup_array maps cannot be read by system call"):
            m[0]
        with pytest.raises(SpecError, match="No such file"):
            m[0] = "/no/such/cgroup"
        del m[0]


@pytest.mark.parametrize("kind", ["devmap", "devmap_hash"])
def test_device_maps(kind: str) -> None:
    lo = socket.if_nametoindex("lo")
    with Map.create(kind, "u32", 8, 4) as m, program_of_devmap() as prog:
        m[1] = "lo"
        assert m[1] == (lo, 0)
        m[1] = (lo, prog)
        assert m[1].prog == info.prog_info(prog.fileno()).id
        m[1] = {"ifindex": lo}
        assert m[1].ifindex == lo
        with pytest.raises(SpecError, match="no device 'no_such_device'"):
            m[1] = "no_such_device"
        with pytest.raises(SpecError, match="takes ifindex, prog"):
            m[1] = None


def test_device_maps_without_programs() -> None:
    lo = socket.if_nametoindex("lo")
    with Map.create("devmap", 4, 4, 4) as m:
        m[0] = lo
        assert m[0] == lo
        with pytest.raises(SpecError, match="no room for a program"):
            m[0] = (lo, 5)


def program_of_devmap() -> Fd:
    from rawbpf.uapi import AttachType

    fields = {"prog_type": ProgType.XDP, "expected_attach_type": AttachType.XDP_DEVMAP}
    return syscall.prog_load(fields, RETURN_0, license="GPL")


def test_cpu_maps() -> None:
    with Map.create("cpumap", 4, 8, CPUS) as m:
        m[0] = 64
        assert m[0] == (64, 0)
        assert m[0].qsize == 64
        del m[0]


def test_perf_event_arrays_and_xsk_maps_are_not_read() -> None:
    for kind in ("perf_event_array", "xskmap"):
        with Map.create(kind, 4, 4, 2) as m, pytest.raises((NotSupportedError, MapKeyError)):
            m[0]


@pytest.mark.parametrize("kind", ["sockmap", "sockhash"])
@pytest.mark.parametrize("size", [4, 8])
def test_maps_of_sockets(kind: str, size: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Map.create(kind, "u32", size, 4, name="socks") as m:
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
        with client, peer:
            m[1] = client
            if size == 8:
                cookie = int.from_bytes(client.getsockopt(socket.SOL_SOCKET, 57, 8), "little")  # SO_COOKIE
                assert m[1] == cookie
            else:
                with pytest.raises(KernelError, match="4 bytes cannot be read") as refusal:
                    m[1]
                assert refusal.value.hint == "a map with values of 8 bytes tells the cookies of its sockets"
            assert 1 in list(m.keys())
            del m[1]


def test_maps_of_listening_sockets() -> None:
    with socket.socket() as server, Map.create("reuseport_sockarray", "u32", 8, 4) as m:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        m[0] = server
        assert m[0] == int.from_bytes(server.getsockopt(socket.SOL_SOCKET, 57, 8), "little")


# -- storage


def test_storage_of_a_task() -> None:
    with Map.create("task_storage", "s32", "u64", name="tasks") as m:
        pidfd = os.pidfd_open(os.getpid())
        try:
            assert pidfd not in m
            m[pidfd] = 7
            assert m[pidfd] == 7
            del m[pidfd]
            with pytest.raises(MapKeyError):
                m[pidfd]
        finally:
            os.close(pidfd)
        with pytest.raises(KernelError, match="the key is no descriptor") as refusal:
            m[0] = 7
        assert refusal.value.hint == "give a pidfd: os.pidfd_open(PID)"
        with pytest.raises(NotSupportedError, match="the keys of task_storage maps cannot be told"):
            list(m)


def test_storage_of_a_socket() -> None:
    with Map.create("sk_storage", "s32", "u64") as m, socket.socket() as sock:
        m[sock] = 8
        assert m[sock] == m[sock.fileno()] == 8
        m.update(sock, 9, MapUpdateFlag.EXIST)
        assert m.get(sock) == 9


def test_storage_of_a_cgroup_and_of_an_inode(cgroup: Path, tmp_path: Path) -> None:
    with Map.create("cgrp_storage", "s32", "u64") as m:
        m[cgroup] = 1
        assert m[str(cgroup)] == 1
    with Map.create("inode_storage", "s32", "u64") as m:
        m[tmp_path] = 2
        with open(tmp_path / "x", "w") as file:
            assert file not in m
            m[file] = 3
            assert m[tmp_path / "x"] == 3
        assert m[tmp_path] == 2
        with pytest.raises(SpecError, match="No such file") as missing:
            m[tmp_path / "y"]
        assert missing.value.path == str(tmp_path / "y")


# -- without elements


@pytest.mark.parametrize("kind", ["ringbuf", "user_ringbuf"])
def test_ring_buffers_have_no_elements(kind: str) -> None:
    with Map.create(kind, max_entries=1 << 16) as m:
        with pytest.raises(NotSupportedError, match=f"the keys of {kind} maps cannot be told"):
            list(m)
        with pytest.raises(KernelError):
            m[b""]


def test_stacks_are_read_as_addresses() -> None:
    with Map.create("stack_trace", 4, 8 * 16, 4) as m:
        assert list(m) == []
        assert m.decode_value((5).to_bytes(8, "little") * 2 + bytes(8 * 14)) == [5, 5]
        with pytest.raises(MapKeyError):
            m[1]


def test_every_type_of_map_is_tried_here() -> None:
    text = Path(__file__).read_text()
    elsewhere = {"UNSPEC", "STRUCT_OPS", "ARENA", "CGROUP_STORAGE", "PERCPU_CGROUP_STORAGE", "INSN_ARRAY"}
    names = {kind.name for kind in MapType}
    assert {name for name in names if f'"{name.lower()}"' not in text} == elsewhere
