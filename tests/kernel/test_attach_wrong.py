# SPDX-License-Identifier: BSD-2-Clause
"""Programs on the network: order among others, and what is said where something cannot be attached."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import netlab
import pytest
from netlab import DEVICE

import rawbpf
from rawbpf import attach
from rawbpf.cli import main
from rawbpf.errors import KernelError, NotSupportedError, RawbpfError, SpecError, TargetError
from rawbpf.kernel import info, net
from rawbpf.kernel.attach import _tc, _xdp
from rawbpf.uapi import AttachType, LinkType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawbpf.kernel.object import Object

OBJECT = Path(__file__).parent.parent / "objs" / "attach_net.el.o"
INGRESS = AttachType.TCX_INGRESS


@pytest.fixture(scope="module")
def lab(root: None) -> Iterator[netlab.Lab]:
    with netlab.lab() as made:
        yield made


@pytest.fixture(scope="module")
def obj(root: None) -> Iterator[Object]:
    with rawbpf.load(rawbpf.make_plan(rawbpf.open(OBJECT), attach=False)) as made:
        yield made


# -- order, expectations


@pytest.mark.parametrize("link", [True, False], ids=["link", "attach"])
def test_the_order_of_tcx(lab: netlab.Lab, obj: Object, link: bool) -> None:
    first, second = obj.programs["do_tcx_ingress"], obj.programs["do_tcx_ingress_other"]

    def there() -> list[int]:
        return attach.query(INGRESS, dev=DEVICE, netns=lab.right).prog_ids

    def add(**order: Any) -> Any:
        return attach.tcx(second, DEVICE, netns=lab.right, link=link, **order)

    with attach.tcx(first, DEVICE, netns=lab.right, link=link) as one:
        for order in ({"before": one}, {"before": "all"}):
            with add(**order):
                assert there() == [second.id, first.id]
        for order in ({"after": one}, {"after": "all"}, {}):
            with add(**order):
                assert there() == [first.id, second.id]
        revision = attach.query(INGRESS, dev=DEVICE, netns=lab.right).revision
        with pytest.raises(KernelError, match="since that revision"):
            add(expected_revision=revision + 1)
        with add(expected_revision=revision):
            pass
    assert there() == []


def test_a_tcx_program_that_replaces_another(lab: netlab.Lab, obj: Object) -> None:
    first, second = obj.programs["do_tcx_ingress"], obj.programs["do_tcx_ingress_other"]
    with attach.tcx(first, DEVICE, netns=lab.right, link=False) as one:
        with pytest.raises(KernelError, match="is attached here already"):
            attach.tcx(first, DEVICE, netns=lab.right, link=False)
        with attach.tcx(second, DEVICE, netns=lab.right, link=False, replace=first):
            with pytest.raises(KernelError) as gone:
                one.detach()
            assert gone.value.errno == errno.ENOENT
    with pytest.raises(SpecError, match="a link replaces nothing"):
        attach.tcx(second, DEVICE, netns=lab.right, replace=first)


def test_the_place_of_a_filter(lab: netlab.Lab, obj: Object) -> None:
    first, second = obj.programs["do_tc"], obj.programs["do_tc_other"]

    def filters() -> list[tuple[int, int, int]]:
        with lab.right.entered():
            return [tuple(found) for found in _tc.filters(socket.if_nametoindex(DEVICE), "ingress")]

    where = {"direction": "ingress", "netns": lab.right, "priority": 7, "handle": 3}
    with attach.tc(first, DEVICE, **where) as one:
        assert filters() == [(7, 3, first.id)]
        assert (one.info["priority"], one.info["handle"]) == (7, 3)
        with pytest.raises(KernelError, match="already exists") as taken:
            attach.tc(second, DEVICE, **where)
        assert "replace=True" in str(taken.value.hint)
        with attach.tc(second, DEVICE, direction="ingress", netns=lab.right) as other:
            assert other.info["priority"] not in (0, 7)
            assert {prog_id for _, _, prog_id in filters()} == {first.id, second.id}
        with attach.tc(second, DEVICE, **where, replace=True):
            assert filters() == [(7, 3, second.id)]
            with pytest.raises(KernelError, match="not there any more"):
                one.detach()
    assert filters() == []


@pytest.mark.parametrize("others", [True, False], ids=["others", "alone"])
def test_the_qdisc_goes_with_the_last_filter(lab: netlab.Lab, obj: Object, others: bool) -> None:
    def qdisc(kind: int, flags: int = 0) -> None:
        request = net.message("tc")
        with lab.right.entered():
            request["index"] = socket.if_nametoindex(DEVICE)
            request["parent"], request["handle"] = 0xFFFFFFF1, 0xFFFF0000
            request["attrs"] = [("TCA_KIND", "clsact")]
            net.ask(kind, request, flags)

    if others:
        qdisc(net.NEWQDISC, net.CREATE)
    where = {"netns": lab.right}
    one = attach.tc(obj.programs["do_tc"], DEVICE, direction="egress", **where)
    attach.tc(obj.programs["do_tc"], DEVICE, direction="ingress", **where).close()
    one.close()
    if others:
        qdisc(net.DELQDISC)  # it is still there
    else:
        with pytest.raises(KernelError):
            qdisc(net.DELQDISC)


def test_xdp_over_netlink_replaces_what_is_expected(lab: netlab.Lab, obj: Object) -> None:
    first, second = obj.programs["do_xdp"], obj.programs["do_xdp_other"]
    where = {"netns": lab.right, "link": False}

    def there() -> set[int]:
        with lab.right.entered():
            return set(_xdp.attached(socket.if_nametoindex(DEVICE)))

    with attach.xdp(first, DEVICE, **where):
        with pytest.raises(KernelError, match="already attached"):
            attach.xdp(second, DEVICE, **where)
        with pytest.raises(KernelError, match="does not match expected"):
            attach.xdp(second, DEVICE, **where, replace=second)
        with attach.xdp(second, DEVICE, **where, replace=first):
            assert there() == {second.id}
    with attach.xdp(first, DEVICE, **where), attach.xdp(second, DEVICE, **where, replace="any"):
        assert there() == {second.id}
    assert there() == set()


def test_a_device_that_goes_takes_its_attachments_along(obj: Object) -> None:
    with netlab.lab() as short:
        made = [
            attach.xdp(obj.programs["do_xdp"], DEVICE, netns=short.right, link=False),
            attach.tc(obj.programs["do_tc"], DEVICE, netns=short.right, direction="ingress"),
            attach.tcx(obj.programs["do_tcx_ingress"], DEVICE, netns=short.right, link=False),
            attach.lwt(obj.programs["do_lwt_out"], "10.8.0.0/16", DEVICE, netns=short.right),
        ]
        with short.right.entered(), netlab.links.IPRoute() as netlink:
            netlink.link("del", index=socket.if_nametoindex(DEVICE))
        for attachment in made:
            with pytest.raises(KernelError) as gone:
                attachment.detach()
            assert gone.value.errno == errno.ENOENT
            attachment.close()


# -- a namespace and a device, however they are named


def test_a_namespace_is_named_in_many_ways(lab: netlab.Lab, obj: Object, tmp_path: Path) -> None:
    program = obj.programs["do_sk_lookup"]
    path = f"/proc/self/fd/{lab.right.descriptor}"
    inode = os.fstat(lab.right.descriptor).st_ino
    for name in (path, Path(path), lab.right):
        with attach.netns(program, name) as link:
            assert link.info.type == LinkType.NETNS
            assert link.info.detail["netns_ino"] == inode
    ready, going = os.pipe()
    child = os.fork()
    if child == 0:
        with lab.right.entered():
            os.write(going, b"x")
            os.read(ready, 0)
            while True:
                os.sched_yield() if os.getppid() == 1 else __import__("time").sleep(0.05)
    try:
        os.read(ready, 1)
        with attach.netns(program, child) as link:
            assert link.info.detail["netns_ino"] == inode
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(going)


def test_a_device_is_named_by_its_index(lab: netlab.Lab, obj: Object) -> None:
    with lab.right.entered():
        index = socket.if_nametoindex(DEVICE)
    with attach.xdp(obj.programs["do_xdp"], index, netns=lab.right) as link:
        assert link.info.detail["ifindex"] == index


def test_this_threads_own_namespace_is_the_default(lab: netlab.Lab, obj: Object) -> None:
    with lab.right.entered():
        made = attach.tc(obj.programs["do_tc"], DEVICE, direction="ingress")
    with made:  # it goes where it came from, wherever this thread is now
        pass
    with lab.right.entered():
        assert _tc.filters(socket.if_nametoindex(DEVICE), "ingress") == []


# -- what cannot be

ON_DEVICES: dict[str, Callable[[Object, Any, Any], Any]] = {
    "xdp": lambda obj, dev, ns: attach.xdp(obj.programs["do_xdp"], dev, netns=ns),
    "tc": lambda obj, dev, ns: attach.tc(obj.programs["do_tc"], dev, netns=ns, direction="ingress"),
    "tcx": lambda obj, dev, ns: attach.tcx(obj.programs["do_tcx_ingress"], dev, netns=ns),
    "netkit": lambda obj, dev, ns: attach.netkit(obj.programs["do_netkit_peer"], dev, netns=ns),
    "devmap": lambda obj, dev, ns: attach.devmap(obj.programs["do_xdp_devmap"], obj.maps["devices"], 0, dev, netns=ns),
    "lwt": lambda obj, dev, ns: attach.lwt(obj.programs["do_lwt_in"], "10.7.0.0/16", dev, netns=ns),
    "query": lambda obj, dev, ns: attach.query(INGRESS, dev=dev, netns=ns),
}


@pytest.mark.parametrize("kind", ON_DEVICES)
def test_a_device_that_is_none(lab: netlab.Lab, obj: Object, kind: str) -> None:
    with pytest.raises(KernelError, match="no network device 'path3'") as missing:
        ON_DEVICES[kind](obj, "path3", lab.right)
    assert missing.value.errno == errno.ENODEV
    assert "path1" in str(missing.value.hint)
    with pytest.raises(KernelError, match="no network device 4711") as missing:
        ON_DEVICES[kind](obj, 4711, lab.right)
    assert "path1 (2)" in str(missing.value.hint)


IN_NAMESPACES = ON_DEVICES | {
    "netns": lambda obj, dev, ns: attach.netns(obj.programs["do_sk_lookup"], ns),
    "netfilter": lambda obj, dev, ns: attach.netfilter(obj.programs["do_netfilter"], "ipv4", "input", netns=ns),
}


@pytest.mark.parametrize("kind", IN_NAMESPACES)
def test_a_namespace_that_is_none(obj: Object, kind: str, tmp_path: Path) -> None:
    for name, said in (
        ("nowhere", "no network namespace 'nowhere'"),
        (tmp_path, "is no network namespace"),
        ("/dev/null", "is no network namespace"),
        ("/proc/self/ns/mnt", "is no network namespace"),
        (0x7FFFFFF0, "no network namespace of process 2147483632"),
    ):
        with pytest.raises(TargetError, match=said):
            IN_NAMESPACES[kind](obj, DEVICE, name)


OTHERS: dict[str, Callable[[Object, Any], Any]] = {
    "xdp": lambda obj, program: attach.xdp(program, "lo"),
    "tc": lambda obj, program: attach.tc(program, "lo", direction="ingress"),
    "tcx": lambda obj, program: attach.tcx(program, "lo", direction="ingress"),
    "netkit": lambda obj, program: attach.netkit(program, "lo", direction="peer"),
    "netns": lambda obj, program: attach.netns(program),
    "netfilter": lambda obj, program: attach.netfilter(program, "ipv4", "input"),
    "cgroup": lambda obj, program: attach.cgroup(program, "/sys/fs/cgroup"),
    "sockmap": lambda obj, program: attach.sockmap(program, obj.maps["sockets"]),
    "socket_filter": lambda obj, program: attach.socket_filter(program, 3),
    "reuseport": lambda obj, program: attach.reuseport(program, 3),
    "devmap": lambda obj, program: attach.devmap(program, obj.maps["devices"], 0, "lo"),
    "cpumap": lambda obj, program: attach.cpumap(program, obj.maps["processors"], 0),
    "lwt": lambda obj, program: attach.lwt(program, "10.7.0.0/16", "lo"),
    "lirc": lambda obj, program: attach.lirc(program, "/dev/lirc0"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_program_of_another_type(obj: Object, kind: str) -> None:
    with pytest.raises(SpecError, match=f"{kind} takes .* programs, and this is SCHED_ACT") as wrong:
        OTHERS[kind](obj, obj.programs["do_action"])
    assert wrong.value.symbol == "do_action"


def test_a_type_that_something_else_takes(obj: Object) -> None:
    with pytest.raises(SpecError) as wrong:
        attach.xdp(obj.programs["do_tc"], "lo")
    assert wrong.value.hint == "attach it with tc, tcx or netkit"
    with pytest.raises(SpecError) as wrong:
        attach.tc(obj.programs["do_action"], "lo", direction="ingress")
    assert wrong.value.hint == "attach it with tc(8): pin it, and `tc actions add action bpf object-pinned PIN`"


WRONG: dict[str, tuple[Callable[[Object, netlab.Lab], Any], type[RawbpfError], str]] = {
    "mode": (lambda o, n: attach.xdp(o.programs["do_xdp"], "lo", mode="fast"), SpecError, "no mode 'fast'"),
    "offload": (
        lambda o, n: attach.xdp(o.programs["do_xdp"], DEVICE, netns=n.right, mode="offload"),
        KernelError,
        "does not fit",
    ),
    "direction": (lambda o, n: attach.tc(o.programs["do_tc"], "lo"), SpecError, "ingress or egress"),
    "tcx direction": (lambda o, n: attach.tcx(o.programs["do_tc"], "lo"), SpecError, "ingress or egress"),
    "replace": (
        lambda o, n: attach.tc(o.programs["do_tc"], "lo", direction="ingress", replace=True),
        SpecError,
        "replace needs",
    ),
    "priority": (
        lambda o, n: attach.tc(o.programs["do_tc"], "lo", direction="ingress", priority=1 << 16),
        SpecError,
        "16",
    ),
    "anchor": (lambda o, n: attach.tcx(o.programs["do_tcx_egress"], "lo", before="one"), SpecError, "not 'one'"),
    "family": (
        lambda o, n: attach.netfilter(o.programs["do_netfilter"], "ipx", "input"),
        SpecError,
        "no protocol family",
    ),
    "hook": (
        lambda o, n: attach.netfilter(o.programs["do_netfilter"], "ipv4", "inside"),
        SpecError,
        "no hook 'inside'",
    ),
    "sockmap hook": (
        lambda o, n: attach.sockmap(o.programs["do_sk_msg"], o.maps["sockets"], hook="verdict"),
        SpecError,
        "no hook 'verdict'",
    ),
    "no sockmap": (lambda o, n: attach.sockmap(o.programs["do_sk_msg"], o.maps["devices"]), SpecError, "is DEVMAP"),
    "no room": (
        lambda o, n: attach.devmap(o.programs["do_xdp_devmap"], o.maps["plain_devices"], 0, "lo"),
        SpecError,
        "no place for a program",
    ),
    "no element": (
        lambda o, n: attach.devmap(o.programs["do_xdp_devmap"], o.maps["devices"], 9999, "lo"),
        KernelError,
        "no such element",
    ),
    "no cpumap": (
        lambda o, n: attach.cpumap(o.programs["do_xdp_cpumap"], o.maps["devices"], 0),
        SpecError,
        "is DEVMAP",
    ),
    "plain xdp": (
        lambda o, n: attach.cpumap(o.programs["do_xdp"], o.maps["processors"], 0),
        SpecError,
        "were loaded for it",
    ),
    "no cpu": (lambda o, n: attach.cpumap(o.programs["do_xdp_cpumap"], o.maps["processors"], 5), KernelError, "CPU"),
    "queue": (
        lambda o, n: attach.cpumap(o.programs["do_xdp_cpumap"], o.maps["processors"], 0, queue_size=1 << 20),
        KernelError,
        "16384",
    ),
    "address": (lambda o, n: attach.lwt(o.programs["do_lwt_in"], "10.0.0.300", "lo"), SpecError, "no network address"),
}


@pytest.mark.parametrize("name", WRONG)
def test_arguments_that_make_no_sense(lab: netlab.Lab, obj: Object, name: str) -> None:
    function, kind, said = WRONG[name]
    with pytest.raises(kind, match=said):
        function(obj, lab)


def test_a_device_that_is_no_netkit(lab: netlab.Lab, obj: Object) -> None:
    with pytest.raises(KernelError, match=f"{DEVICE}: (this is no netkit device|the kernel has no netkit)") as wrong:
        attach.netkit(obj.programs["do_netkit_peer"], DEVICE, netns=lab.right)
    assert "netkit makes a pair" in str(wrong.value.hint) or "tcx takes any device" in str(wrong.value.hint)


@pytest.mark.parametrize(
    ("hook", "target", "said", "hint"),
    [
        (999, {"dev": "lo"}, "lo: in this kernel a network device has no hook of attach type 999", "TCX_…"),
        (AttachType.XDP, {"dev": "lo"}, "a network device has no hook of attach type XDP", "TCX_…"),
        (INGRESS, {}, "a network namespace has no hook of attach type TCX_INGRESS", "SK_LOOKUP"),
        (999, {}, "network namespace has no hook of attach type 999", "SK_LOOKUP"),
    ],
)
def test_a_hook_that_is_none(lab: netlab.Lab, hook: int, target: dict[str, str], said: str, hint: str) -> None:
    with pytest.raises(KernelError, match=said) as wrong:
        attach.query(hook, netns=lab.right, **target)
    assert hint in str(wrong.value.hint)


def test_a_hook_that_a_group_has_not(cgroup: Path) -> None:
    with pytest.raises(KernelError, match=f"{cgroup}.* has no hook of attach type TCX_INGRESS") as wrong:
        attach.query(INGRESS, cgroup=cgroup)
    assert "CGROUP_…" in str(wrong.value.hint)


def test_sockets_that_take_no_program(obj: Object, tmp_path: Path) -> None:
    with open(tmp_path / "file", "w") as file, pytest.raises(KernelError, match="this is no socket") as wrong:
        attach.socket_filter(obj.programs["do_socket_filter"], file)
    assert wrong.value.errno == errno.ENOTSOCK
    with socket.socket() as sock, pytest.raises(KernelError, match="does not share its port"):
        attach.reuseport(obj.programs["do_reuseport"], sock)
    with pytest.raises(KernelError, match="the socket is closed"):
        attach.socket_filter(obj.programs["do_socket_filter"], sock)
    with socket.socket() as sock:
        made = attach.socket_filter(obj.programs["do_socket_filter"], sock)
    made.close()  # it has ended with the socket


def test_netlink_without_pyroute2(lab: netlab.Lab, obj: Object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyroute2.netlink.rtnl.tcmsg", None)
    with pytest.raises(NotSupportedError, match="pyroute2 is not installed") as missing:
        attach.tc(obj.programs["do_tc"], DEVICE, direction="ingress", netns=lab.right)
    assert "pip install" in str(missing.value.hint)


# -- the command line


def test_load_and_unload_on_a_device(lab: netlab.Lab, bpffs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    netns = f"/proc/self/fd/{lab.right.descriptor}"
    names = ["do_xdp", "do_tcx_egress", "do_sk_lookup", "do_tc"]
    where = str(bpffs_dir / "net")
    before = {link.id for link in info.links()}
    command = ["load", str(OBJECT), "--dev", DEVICE, "--netns", netns, "--pin", where, "--only", *names]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "not attached: do_tc" in said
    made = {link.type for link in info.links() if link.id not in before}
    assert made == {LinkType.XDP, LinkType.TCX, LinkType.NETNS}
    assert lab.exchange()
    assert main(["list", str(bpffs_dir)]) == 0
    assert "do_tcx_egress" in capsys.readouterr().out
    assert main(["unload", where]) == 0
    assert {link.id for link in info.links()} - before == set()


def test_load_on_a_device_that_is_none(lab: netlab.Lab, bpffs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    netns = f"/proc/self/fd/{lab.right.descriptor}"
    command = ["load", str(OBJECT), "--dev", "path9", "--netns", netns, "--pin", str(bpffs_dir / "net")]
    assert main([*command, "--only", "do_xdp"]) == 6
    assert "no network device 'path9'" in capsys.readouterr().err
    assert list(bpffs_dir.iterdir()) == []
