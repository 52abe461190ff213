# SPDX-License-Identifier: BSD-2-Clause
"""The SEC() table against libbpf, the installed one and the newest: what its public functions say of a name."""

from __future__ import annotations

import ctypes

import pytest
from skips import unavailable

from rawbpf.objfile.sections import SecFlag, find_section, section_defs
from tools.lib.oracle import debian
from tools.lib.oracle.recorder import OracleUnavailable

pytestmark = pytest.mark.oracle

# The release of Debian's 1.1.2, 1.4.6, 1.5.0 and 1.7.0 in which each was first seen; 1.8: in none of them yet.
SINCE = {
    (1, 4): "uprobe.multi uretprobe.multi uprobe.multi.s uretprobe.multi.s usdt.s tc/ingress tc/egress tcx/ingress "
    "tcx/egress netkit/primary netkit/peer sk_skb/verdict cgroup/connect_unix cgroup/sendmsg_unix cgroup/recvmsg_unix "
    "cgroup/getpeername_unix cgroup/getsockname_unix struct_ops.s netfilter",
    (1, 5): "kprobe.session",
    (1, 7): "uprobe.session uprobe.session.s fsession fsession.s",
    (1, 8): "tracepoint.s tp.s raw_tracepoint.s raw_tp.s tp_btf.s fsession.multi fsession.multi.s fentry.multi "
    "fexit.multi fentry.multi.s fexit.multi.s",
}


@pytest.fixture(scope="module", params=["installed", "newest"])
def libbpf(request: pytest.FixtureRequest) -> ctypes.CDLL:
    try:
        lib = ctypes.CDLL("libbpf.so.1" if request.param == "installed" else str(debian.libbpf()))
    except (OSError, OracleUnavailable) as error:
        unavailable(f"no libbpf to compare with: {error}")
    lib.libbpf_set_print(None)
    return lib


def newer_than(libbpf: ctypes.CDLL) -> set[str]:
    version = (libbpf.libbpf_major_version(), libbpf.libbpf_minor_version())
    return {name for since, names in SINCE.items() if since > version for name in names.split()}


def prog_type_by_name(libbpf: ctypes.CDLL, name: str) -> tuple[int, int] | None:
    prog_type, attach_type = ctypes.c_int(), ctypes.c_int()
    error = libbpf.libbpf_prog_type_by_name(name.encode(), ctypes.byref(prog_type), ctypes.byref(attach_type))
    return None if error else (prog_type.value, attach_type.value)


def test_types_of_every_section(libbpf: ctypes.CDLL) -> None:
    newer = newer_than(libbpf)
    for sec in section_defs():
        for name in (sec.name, f"{sec.name}/x"):
            answer = prog_type_by_name(libbpf, name)
            if answer is None and sec.name in newer:
                continue
            found = find_section(name)
            assert answer == (found and (found[0].prog_type, found[0].attach_type)), name


def test_attachable_sections(libbpf: ctypes.CDLL) -> None:
    newer = newer_than(libbpf)
    for sec in section_defs():
        attach_type = ctypes.c_int()
        error = libbpf.libbpf_attach_type_by_name(sec.name.encode(), ctypes.byref(attach_type))
        if sec.name not in newer:
            assert (error == 0) == (SecFlag.ATTACHABLE in sec.flags), sec.name


def test_names_that_libbpf_does_not_know(libbpf: ctypes.CDLL) -> None:
    for name in ("kprobex", "cgroup", "XDP", "socket_filter", "xdp/"):
        assert prog_type_by_name(libbpf, name) is None
        assert find_section(name) is None
