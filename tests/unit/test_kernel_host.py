# SPDX-License-Identifier: BSD-2-Clause
"""The machine as data: versions as distributions write them, CPU lists, symbols."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

import pytest

from rawbpf.errors import ElfError, PermissionDeniedError
from rawbpf.kernel import features, host, memlock

if TYPE_CHECKING:
    from collections.abc import Iterator


class Uname(NamedTuple):
    release: str
    version: str = "#1 SMP"


def use(monkeypatch: pytest.MonkeyPatch, uname: Uname, files: dict[str, str]) -> None:
    monkeypatch.setattr(os, "uname", lambda: uname)
    monkeypatch.setattr(host, "_read_text", files.get)


def number(major: int, minor: int, patch: int) -> int:
    return major << 16 | minor << 8 | patch


@pytest.mark.parametrize(
    ("uname", "signature", "version"),
    [
        (Uname("6.18.44-fc-v595"), None, number(6, 18, 44)),
        (Uname("7.3.0-rc4+"), None, number(7, 3, 0)),
        (Uname("6.1.0-18-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)"), None, number(6, 1, 76)),
        (Uname("5.4.0-42-generic"), "Ubuntu 5.4.0-42.46-generic 5.4.44\n", number(5, 4, 44)),
        (Uname("4.19.300"), None, number(4, 19, 255)),
        (Uname("6.7"), None, number(6, 7, 0)),
        (Uname("weird"), None, 0),
    ],
    ids=lambda value: str(value)[:40],
)
def test_version(monkeypatch: pytest.MonkeyPatch, uname: Uname, signature: str | None, version: int) -> None:
    use(monkeypatch, uname, {"/proc/version_signature": signature} if signature else {})
    assert host.version() == version


@pytest.fixture
def _forget_cpus() -> Iterator[None]:
    host.possible_cpus.cache_clear()
    yield
    host.possible_cpus.cache_clear()


@pytest.mark.usefixtures("_forget_cpus")
@pytest.mark.parametrize(("text", "count"), [("0\n", 1), ("0-3\n", 4), ("0-1,4-7\n", 6), ("0,2,4\n", 3)])
def test_possible_cpus(monkeypatch: pytest.MonkeyPatch, text: str, count: int) -> None:
    use(monkeypatch, Uname("6.1"), {"/sys/devices/system/cpu/possible": text})
    assert host.possible_cpus() == count


@pytest.mark.usefixtures("_forget_cpus")
def test_possible_cpus_without_sysfs(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Uname("6.1"), {})
    assert host.possible_cpus() == os.cpu_count()


KALLSYMS = """\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000100 t twice
ffffffff81000200 t twice\t[some_module]
ffffffff82000000 d counter.llvm.123456
ffffffff81000300 T _stext_of_another
ffffffff82000008 t function.llvm.123456
"""


def test_symbols(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_read_bytes", lambda path: KALLSYMS.encode())
    assert host.ksyms({"_stext", "twice", "counter", "function", "absent", "no utf-8: \udcff"}) == {
        "_stext": [0xFFFFFFFF81000000],
        "twice": [0xFFFFFFFF81000100, 0xFFFFFFFF81000200],
        "counter": [0xFFFFFFFF82000000],
    }


def test_btf_from_a_file_where_the_kernel_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    readable = ["/boot/vmlinux-5.3.0", "/usr/lib/debug/boot/vmlinux-5.3.0"]

    def read(path: str) -> str:
        if path == readable[0]:
            raise ElfError("no .BTF section", path=path)
        return path

    monkeypatch.setattr(os, "uname", lambda: Uname("5.3.0"))
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    monkeypatch.setattr(os, "access", lambda path, mode: path in readable)
    monkeypatch.setattr("rawbpf.objfile.reader.read_btf", read)
    assert host.vmlinux_btf() == readable[1]
    del readable[1]
    assert host.vmlinux_btf() is None


@pytest.mark.parametrize(
    ("answer", "limit", "lifted"), [(True, 65536, False), (None, 65536, False), (False, -1, False)]
)
def test_the_limit_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, answer: bool | None, limit: int, lifted: bool
) -> None:
    monkeypatch.setattr(features, "probe", lambda name: answer)
    monkeypatch.setattr("resource.getrlimit", lambda kind: (limit, limit))
    monkeypatch.setattr("resource.setrlimit", lambda kind, limits: pytest.fail("nothing to lift"))
    assert memlock.lift() is lifted


def test_the_limit_is_lifted_where_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    lifted: list[tuple[int, int]] = []
    monkeypatch.setattr(features, "probe", lambda name: False)
    monkeypatch.setattr("resource.getrlimit", lambda kind: (65536, 65536))
    monkeypatch.setattr("resource.setrlimit", lambda kind, limits: lifted.append(limits))
    assert memlock.lift()
    assert lifted == [(-1, -1)]


def test_the_limit_that_may_not_be_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: int, limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(features, "probe", lambda name: False)
    monkeypatch.setattr("resource.getrlimit", lambda kind: (65536, 65536))
    monkeypatch.setattr("resource.getrlimit", lambda kind: (65536, 65536))
    monkeypatch.setattr("resource.setrlimit", refuse)
    assert not memlock.lift()
    told = memlock.explain(PermissionDeniedError("no", errno=errno.EPERM, hint="capabilities"))
    assert told.hint == "RLIMIT_MEMLOCK is 65536 bytes, which may be too few: ulimit -l unlimited (as root)"


def test_the_limit_is_no_reason_where_memory_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "probe", lambda name: None)
    told = memlock.explain(PermissionDeniedError("no", errno=errno.EPERM, hint="capabilities"))
    assert told.hint == "capabilities"
