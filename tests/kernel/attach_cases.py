# SPDX-License-Identifier: BSD-2-Clause
"""Each way to attach a program to the network: how it is done, and what makes the program run."""

from __future__ import annotations

import os
import select
import socket
import time
from array import array
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from netlab import BEHIND, DEVICE, NETKIT, NETKIT_PEER, OTHER_DEVICE, PATIENCE, RIGHT, SEGMENT

from rawbpf import attach
from rawbpf.kernel import syscall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from netlab import Lab

    from rawbpf.kernel.attach import Attachment
    from rawbpf.kernel.links import Link
    from rawbpf.kernel.object import Object
    from rawbpf.kernel.programs import Program


class Scene(NamedTuple):
    """What a case plays in: the laboratory, an object, and sockets that live as long as the test."""

    lab: Lab
    obj: Object
    sockets: dict[str, Any]


class Case(NamedTuple):
    """A way to attach.

    Attributes:
        program: ``do_PROGRAM`` and ``do_PROGRAM_other`` of attach_net.c.
        attach: attaches the program.
        event: makes it run, if it is attached.
        link: whether it is by a link.
        update: whether another program can take its place: ``yes``, ``blind`` (whatever is there), or ``no``.
        step: how many places to go on from interrupt to interrupt: more than 1 where an event takes its time.
    """

    program: str
    attach: Callable[[Scene, Program], Link | Attachment]
    event: Callable[[Scene], object]
    link: bool = True
    update: str = "yes"
    step: int = 1

    @property
    def programs(self) -> list[str]:
        """The programs that have to be loaded."""
        extra = {"stream_parser": "do_stream_verdict", "xdp_devmap": "to_device", "xdp_cpumap": "to_processor"}
        more = [extra[self.program]] if self.program in extra else []
        return [f"do_{self.program}", f"do_{self.program}_other", *more]


def exchange(scene: Scene) -> None:
    assert scene.lab.exchange()


def on_device(kind: str, **arguments: Any) -> Callable[[Scene, Program], Any]:
    function = getattr(attach, kind)
    return lambda scene, program: function(program, DEVICE, netns=scene.lab.right, **arguments)


def xdp(link: bool, mode: str) -> Case:
    return Case("xdp", on_device("xdp", link=link, mode=mode), exchange, link)


def tc(direction: str) -> Case:
    return Case("tc", on_device("tc", direction=direction), exchange, link=False)


def tcx(direction: str, link: bool) -> Case:
    return Case(f"tcx_{direction}", on_device("tcx", link=link), exchange, link)


def netfilter(hook: str, defrag: bool = False) -> Case:
    def done(scene: Scene, program: Program) -> Link:
        return attach.netfilter(program, "ipv4", hook, priority=10, defrag=defrag, netns=scene.lab.right)

    return Case("netfilter", done, exchange, update="no")


def netns(name: str, event: Callable[[Scene], object], link: bool = True) -> Case:
    update = "yes" if link else "blind"
    return Case(
        name,
        lambda scene, program: attach.netns(program, scene.lab.right, link=link),
        event,
        link,
        update,
        step=1 if name == "sk_lookup" else 7,
    )


def dissect(scene: Scene) -> None:
    # whoever sends an Ethernet frame by himself has it looked at by the flow dissector
    frame = b"\xff" * 6 + bytes(6) + b"\x08\x00" + bytes(64)
    scene.lab.raw(scene.lab.right, frame)


# -- maps of sockets


def sockmap(name: str, map_name: str, link: bool) -> Case:
    def done(scene: Scene, program: Program) -> Link | Attachment:
        return attach.sockmap(program, scene.obj.maps[map_name], link=link)

    def event(scene: Scene) -> None:
        with scene.lab.connection() as (client, server):
            fd = (client if name == "sk_msg" else server).fileno()
            map_ = scene.obj.maps[map_name].fileno()
            syscall.map_update_elem(map_, bytes(4), fd.to_bytes(8, "little")[:4])
            client.send(b"there")
            assert server.recv(16) == b"there"

    def parsed(scene: Scene) -> None:
        # what a parser calls a message goes to a verdict, without which it is not asked
        with attach.sockmap(scene.obj.programs["do_stream_verdict"], scene.obj.maps[map_name]):
            event(scene)

    played = parsed if name == "stream_parser" else event
    return Case(name, done, played, link, "yes" if link else "blind")


# -- sockets


def filtered(scene: Scene) -> None:
    sock = scene.sockets["filter"]
    scene.lab.send(RIGHT, sock.getsockname()[1])
    sock.recv(16)


def attach_filter(scene: Scene, program: Program) -> Attachment:
    if "filter" not in scene.sockets:
        scene.sockets["filter"] = open_socket(scene, reuse=False)
    return attach.socket_filter(program, scene.sockets["filter"])


def shared(scene: Scene) -> None:
    socks = scene.sockets["first"], scene.sockets["second"]
    scene.lab.send(RIGHT, socks[0].getsockname()[1])
    ready, _, _ = select.select(socks, [], [], PATIENCE)
    assert [sock.recv(16) for sock in ready] == [b"there"]


def attach_shared(scene: Scene, program: Program) -> Attachment:
    if "first" not in scene.sockets:
        first = scene.sockets["first"] = open_socket(scene, reuse=True)
        scene.sockets["second"] = open_socket(scene, reuse=True, port=first.getsockname()[1])
    return attach.reuseport(program, scene.sockets["first"])


def open_socket(scene: Scene, reuse: bool, port: int = 0) -> socket.socket:
    with scene.lab.right.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(PATIENCE)
    if reuse:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((RIGHT, port))
    return sock


# -- redirection


def redirected(scene: Scene, program: str) -> None:
    # in skb mode, for a driver takes redirected frames only where somebody receives them by XDP
    with attach.xdp(scene.obj.programs[program], DEVICE, netns=scene.lab.right, mode="skb"):
        scene.lab.send(RIGHT)
        time.sleep(0.02)


def devmap(scene: Scene, program: Program) -> Attachment:
    return attach.devmap(program, scene.obj.maps["devices"], 0, OTHER_DEVICE, netns=scene.lab.right)


def cpumap(scene: Scene, program: Program) -> Attachment:
    return attach.cpumap(program, scene.obj.maps["processors"], 0)


# -- routes


def lwt(name: str, destination: str, event: Callable[[Scene], object], dev: str = DEVICE) -> Case:
    def done(scene: Scene, program: Program) -> Attachment:
        return attach.lwt(program, destination, dev, netns=scene.lab.right)

    return Case(name, done, event, link=False, update="blind")


def out(scene: Scene) -> None:
    with scene.lab.right.entered():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        try:
            sock.sendto(b"there", ("10.8.0.1", 9))
        except OSError:  # when the route is gone
            return


def segment(scene: Scene) -> None:
    scene.lab.segment()


CASES = {
    **{
        f"xdp {how} {mode or 'default'}": xdp(how == "link", mode)
        for how in ("link", "netlink")
        for mode in ("", "skb", "native")
    },
    "tc ingress": tc("ingress"),
    "tc egress": tc("egress"),
    **{f"tcx {way} {how}": tcx(way, how == "link") for way in ("ingress", "egress") for how in ("link", "attach")},
    "netfilter input": netfilter("input"),
    "netfilter output": netfilter("output"),
    "netfilter defrag": netfilter("prerouting", defrag=True),
    "sk_lookup": netns("sk_lookup", lambda scene: scene.lab.knock()),
    "flow_dissector link": netns("flow_dissector", dissect),
    "flow_dissector attach": netns("flow_dissector", dissect, link=False),
    **{
        f"sockmap {name} {how}": sockmap(name, "sockets", how == "link")
        for name in ("stream_parser", "stream_verdict", "verdict", "sk_msg")
        for how in ("link", "attach")
    },
    "sockhash link": sockmap("sk_msg", "sockets_by_key", link=True),
    "socket filter": Case("socket_filter", attach_filter, filtered, link=False, update="blind"),
    "reuseport": Case("reuseport", attach_shared, shared, link=False, update="blind"),
    "devmap": Case("xdp_devmap", devmap, partial(redirected, program="to_device"), link=False, step=23),
    "cpumap": Case("xdp_cpumap", cpumap, partial(redirected, program="to_processor"), link=False, step=23),
    "lwt in": lwt("lwt_in", "10.9.0.0/16", lambda scene: scene.lab.send(BEHIND), OTHER_DEVICE),
    "lwt out": lwt("lwt_out", "10.8.0.0/16", out),
    "lwt xmit": lwt("lwt_xmit", "10.8.0.0/16", out),
    "lwt seg6local": lwt("lwt_seg6local", f"{SEGMENT}/128", segment)._replace(step=11),
}
"""By name: what the tests are called."""


# -- what only the test kernel has


def netkit(direction: str, link: bool) -> Case:
    def done(scene: Scene, program: Program) -> Link | Attachment:
        scene.lab.netkit()
        return attach.netkit(program, NETKIT, netns=scene.lab.right, link=link)

    def event(scene: Scene) -> None:
        packet = b"\x45\0\0\x1c" + bytes(24)
        scene.lab.raw(scene.lab.right, packet, NETKIT if direction == "primary" else NETKIT_PEER)

    return Case(f"netkit_{direction}", done, event, link, step=11)


def remote_control(scene: Scene) -> None:
    with open("/dev/lirc0", "wb", buffering=0) as device:
        device.write(array("I", [900, 500, 900]).tobytes())
    time.sleep(0.2)  # until the receiver knows that there is no more


LIRC = Case(
    "lirc", lambda scene, program: attach.lirc(program, "/dev/lirc0"), remote_control, link=False, update="no", step=11
)

if "rawbpf" in os.uname().release:
    CASES |= {
        f"netkit {way} {how}": netkit(way, how == "link") for way in ("primary", "peer") for how in ("link", "attach")
    }
    CASES["lirc"] = LIRC


@contextmanager
def playing(lab: Lab, obj: Object) -> Iterator[Scene]:
    """A scene whose sockets are closed at the end."""
    scene = Scene(lab, obj, {})
    with ExitStack() as stack:
        stack.callback(lambda: [sock.close() for sock in scene.sockets.values()])
        yield scene
