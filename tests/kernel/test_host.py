# SPDX-License-Identifier: BSD-2-Clause
"""The running kernel as a `Target`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from rawbpf.errors import KernelError
from rawbpf.kernel import host, info
from rawbpf.uapi import BtfKind

if TYPE_CHECKING:
    from collections.abc import Callable


def test_target(require: Callable[[object, str], None]) -> None:
    target = host.host_target()
    assert target.name == f"Linux {os.uname().release}"
    require(os.path.exists("/sys/kernel/btf/vmlinux"), "the kernel shows no BTF")
    assert target.btf is not None
    assert target.btf.find("task_struct", BtfKind.STRUCT)
    assert target.btf.name == "vmlinux"
    assert target.version == host.version() > 4 << 16
    assert target.cpus == host.possible_cpus() >= len(os.sched_getaffinity(0))
    for module in target.modules:
        assert module.btf.base is target.btf


def test_configuration(require: Callable[[object, str], None]) -> None:
    text = host.kconfig()
    require(text, "the kernel's configuration is not to be had")
    assert text is not None
    assert "\nCONFIG_BPF_SYSCALL=y\n" in text


def test_symbols() -> None:
    found = host.ksyms({"bpf_prog_load", "no such symbol"})
    assert list(found) == ["bpf_prog_load"]
    with open("/proc/kallsyms") as lines:
        addresses = [int(line.split()[0], 16) for line in lines if line.split()[2] == "bpf_prog_load"]
    assert found["bpf_prog_load"] == addresses


def test_the_kernels_own_btf_is_listed(require: Callable[[object, str], None]) -> None:
    vmlinux = next(iter(info.btfs()))
    require(vmlinux.kernel, "the kernel has no BTF")
    assert vmlinux.name == "vmlinux"
    assert vmlinux.size == os.stat("/sys/kernel/btf/vmlinux").st_size


def test_a_module_that_is_not_loaded() -> None:
    with pytest.raises(KernelError, match="'no_such_module'") as error:
        info.open_module_btf("no_such_module")
    assert error.value.hint == "load the module: modprobe no_such_module"


@pytest.mark.skipif(not host.module_names(), reason="no module with BTF is loaded")
def test_the_btf_of_a_module() -> None:
    name = host.module_names()[0]
    with info.open_module_btf(name) as fd:
        assert info.btf_info(fd.fileno()).name == name
        with open(f"/sys/kernel/btf/{name}", "rb") as file:
            assert info.btf_data(fd.fileno()) == file.read()
