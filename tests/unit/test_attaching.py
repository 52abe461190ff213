# SPDX-License-Identifier: BSD-2-Clause
"""What a SEC() says about attaching."""

from __future__ import annotations

from typing import Any

import pytest

from rawbpf.errors import SpecError
from rawbpf.kernel import attach
from rawbpf.objfile import attaching as module
from rawbpf.objfile.attaching import OPTIONS, attaching, options_of, why_not
from rawbpf.objfile.sections import section_defs

MULTI = {"session": False}


@pytest.mark.parametrize(
    ("section", "kind", "arguments"),
    [
        ("kprobe/do_exit", "kprobe", {"symbol": "do_exit", "retprobe": False}),
        ("kprobe/do_exit+0x10", "kprobe", {"symbol": "do_exit", "offset": 16, "retprobe": False}),
        ("?kretprobe/do_exit", "kprobe", {"symbol": "do_exit", "retprobe": True}),
        ("kprobe/tcp_v4_rcv.isra.0+3", "kprobe", {"symbol": "tcp_v4_rcv.isra.0", "offset": 3, "retprobe": False}),
        ("ksyscall/nanosleep", "ksyscall", {"syscall": "nanosleep", "retprobe": False}),
        ("kretsyscall/nanosleep", "ksyscall", {"syscall": "nanosleep", "retprobe": True}),
        ("kprobe.multi/tcp_*", "kprobe_multi", {"symbols": "tcp_*", "retprobe": False} | MULTI),
        ("kretprobe.multi/a?", "kprobe_multi", {"symbols": "a?", "retprobe": True} | MULTI),
        ("kprobe.session/a*", "kprobe_multi", {"symbols": "a*", "session": True}),
        ("uprobe//bin/sh:main+4", "uprobe", {"binary": "/bin/sh", "symbol": "main", "offset": 4, "retprobe": False}),
        ("uretprobe/libc.so.6:puts", "uprobe", {"binary": "libc.so.6", "symbol": "puts", "retprobe": True}),
        ("uprobe/libc.so.6:memcpy@GLIBC_2.14", "uprobe",
         {"binary": "libc.so.6", "symbol": "memcpy@GLIBC_2.14", "retprobe": False}),
        ("uprobe.s//bin/sh:0x1234", "uprobe", {"binary": "/bin/sh", "symbol": 0x1234, "retprobe": False}),
        ("uprobe.multi//bin/sh:ma*", "uprobe_multi",
         {"binary": "/bin/sh", "symbols": "ma*", "retprobe": False} | MULTI),
        ("uprobe.session.s//bin/sh:x", "uprobe_multi", {"binary": "/bin/sh", "symbols": "x", "session": True}),
        ("usdt/libc.so.6:libc:setjmp", "usdt", {"binary": "libc.so.6", "provider": "libc", "name": "setjmp"}),
        ("usdt.s//bin/sh:a:b", "usdt", {"binary": "/bin/sh", "provider": "a", "name": "b"}),
        ("tp/syscalls/sys_enter_open", "tracepoint", {"group": "syscalls", "name": "sys_enter_open"}),
        ("raw_tp.w/sched_switch", "raw_tracepoint", {"name": "sched_switch"}),
        ("tp_btf/sched_switch", "tracing", {}),
        ("fmod_ret/f", "tracing", {}),
        ("fexit.multi.s/tcp_*", "tracing_multi", {"functions": "tcp_*"}),
        ("freplace/f", "freplace", {}),
        ("lsm.s/file_open", "lsm", {}),
        ("iter/task", "iterator", {}),
    ],
)  # fmt: skip
def test_what_a_section_says(section: str, kind: str, arguments: dict[str, Any]) -> None:
    found = attaching(section)
    assert found is not None
    assert (found.kind, found.arguments) == (kind, arguments)
    assert why_not(section, found) == ""


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ("kprobe", 'SEC("kprobe") does not say to what: attach(symbol=…)'),
        ("ksyscall", 'SEC("ksyscall") does not say to what: attach(syscall=…)'),
        ("uprobe", 'SEC("uprobe") does not say to what: attach(binary=…, symbol=…)'),
        ("uprobe.multi//bin/sh", 'SEC("uprobe.multi//bin/sh") does not say to what: attach(symbols=…)'),
        ("usdt", 'SEC("usdt") does not say to what: attach(binary=…, provider=…, name=…)'),
        ("iter/bpf_map_elem", 'SEC("iter/bpf_map_elem") does not say to what: attach(map=…)'),
        ("iter/cgroup", "it needs a cgroup: attach(cgroup=…), or rawbpf load … --cgroup"),
        ("perf_event", 'SEC("perf_event") does not say to what: attach(event=…)'),
        ("fentry.multi", 'SEC("fentry.multi") does not say to what: attach(functions=…)'),
        ("syscall", 'SEC("syscall") is attached by hand (test_run)'),
        ("action", 'SEC("action") is attached by hand (tc)'),
    ],
)
def test_why_it_is_not_attached(section: str, reason: str) -> None:
    assert why_not(section, attaching(section)) == reason


@pytest.mark.parametrize(
    ("section", "message"),
    [("kprobe/a b", "no name with an offset"), ("tp/alone", "GROUP/NAME"), ("usdt/a:b", "BINARY:PROVIDER:NAME")],
)
def test_nonsense(section: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as error:
        attaching(section)
    assert error.value.section == section


def test_options() -> None:
    usdt = attaching("usdt//bin/sh:a:b", {"pid": 0, "cgroup": "/x"})
    assert usdt is not None
    assert usdt.arguments["pid"] == 0
    assert "cgroup" not in usdt.arguments
    assert options_of("usdt") == ("pid",)
    assert options_of("kprobe") == ()
    with pytest.raises(SpecError, match="no option is called 'device'"):
        attaching("xdp", {"device": "eth0"})


def test_every_kind_is_a_function_with_these_parameters() -> None:
    for kind in module._KINDS.values():
        function = getattr(attach, kind.function)
        code = function.__code__
        parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        assert {*kind.needs, *kind.takes} <= set(parameters), kind
        assert set(kind.takes) <= set(OPTIONS)


def test_all_that_libbpf_attaches_by_itself_is_known() -> None:
    unknown = [d.name for d in section_defs() if d.attach and attaching(d.name) is None and d.attach != "struct_ops"]
    assert unknown == []
