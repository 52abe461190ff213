# SPDX-License-Identifier: BSD-2-Clause
"""tc: a filter in direct-action mode on a device's clsact queueing discipline, over netlink."""

from __future__ import annotations

import sys
from errno import EEXIST, EINVAL, ENOENT
from socket import htons
from typing import TYPE_CHECKING, Any, NamedTuple

from rawbpf.errors import KernelError, SpecError, where
from rawbpf.kernel import info, net
from rawbpf.kernel.attach.holding import OnDevice
from rawbpf.kernel.attach.refusal import need_type
from rawbpf.kernel.devices import device
from rawbpf.kernel.netns import open_netns
from rawbpf.uapi import AttachType, ProgType

if TYPE_CHECKING:
    from rawbpf.kernel.attach.attachment import Attachment
    from rawbpf.kernel.devices import Device
    from rawbpf.kernel.netns import NetNs
    from rawbpf.kernel.programs import Program

# linux/pkt_sched.h, linux/if_ether.h, linux/pkt_cls.h
_CLSACT, _HANDLE = 0xFFFFFFF1, 0xFFFF0000
PARENTS = {"ingress": 0xFFFFFFF2, "egress": 0xFFFFFFF3}
"""The hooks of clsact."""
_ETH_P_ALL = 3
_DIRECT_ACTION = 1
_TCMSG_SIZE = 20
_BPF_ID = (2, 11)  # TCA_BPF_ID in TCA_OPTIONS, which pyroute2 does not name
_DIRECTIONS = {AttachType.TCX_INGRESS: "ingress", AttachType.TCX_EGRESS: "egress"}


class Filter(NamedTuple):
    """A BPF filter that is on a device."""

    priority: int
    handle: int
    prog_id: int


def tc(
    program: Program,
    dev: Device,
    *,
    direction: str = "",
    netns: NetNs | None = None,
    priority: int = 0,
    handle: int = 0,
    replace: bool = False,
) -> Attachment:
    """Attach a SCHED_CLS program as a filter. There is no link for it, so that it stays when this process ends.

    The clsact queueing discipline is made if the device has none, and removed again with the last filter if it was.
    Wants pyroute2.

    Args:
        dev: the device's name or index.
        direction: ``ingress`` or ``egress``; by default what the program's SEC() says.
        netns: the device's network namespace: name, path, process id, or an open file; by default this thread's own.
        priority: filters run from the lowest to the highest; by default the kernel chooses (49152 and below).
        handle: the filter's number among those of its priority; by default the kernel gives it one.
        replace: take the place of the filter with this priority and handle, which both have to be said.

    Raises:
        KernelError: ENODEV: no such device; EEXIST: there is a filter with that priority and handle.
        SpecError: the program is of another type, or the arguments do not go together.
        NotSupportedError: pyroute2 is missing.
    """
    need_type(program, "tc", ProgType.SCHED_CLS)
    side = direction or _DIRECTIONS.get(program.expected_attach_type, "")  # type: ignore[call-overload]
    if side not in PARENTS:
        raise SpecError(
            f"no direction {side!r}: ingress or egress", symbol=program.name, hint='say it: direction="ingress"'
        )
    if not 0 <= priority < 1 << 16 or not 0 <= handle < 1 << 32:
        raise SpecError("a priority has 16 bits, a handle 32", symbol=program.name)
    if replace and not (priority and handle):
        raise SpecError("replace needs the priority and the handle of the filter", symbol=program.name)
    with where(symbol=program.name), open_netns(netns) as home, device(dev, home) as found:
        return TcAttachment(
            program, program.name, found, direction=side, priority=priority, handle=handle, replace=replace
        ).begin()


class TcAttachment(OnDevice):
    """A filter on a device: until it is detached or the device is gone. `detail` has its priority and its handle."""

    _made_clsact = False

    def _attach_here(self) -> None:
        self._made_clsact = self._make_clsact()
        try:
            self._put(self.program.fileno(), net.REPLACE if self.detail.pop("replace") else net.EXCL)
        except BaseException:
            self._remove_clsact()
            raise

    def _detach_here(self) -> None:
        self._mine(self.id)
        net.ask(net.DELTFILTER, self._filter())
        self._remove_clsact()

    def _replace(self, new: int, old: int | None) -> None:
        expected = self.id if old is None else info.prog_info(old).id

        def exchange() -> None:
            self._mine(expected)  # the kernel does not compare; somebody may come in between
            self._put(new, net.REPLACE)

        self._there(exchange)

    def _put(self, fd: int, flags: int) -> None:
        options = [("TCA_BPF_FD", fd), ("TCA_BPF_NAME", self.name), ("TCA_BPF_FLAGS", _DIRECT_ACTION)]
        request = self._filter([("TCA_KIND", "bpf"), ("TCA_OPTIONS", {"attrs": options})])
        try:
            echoes = net.ask(net.NEWTFILTER, request, net.CREATE | net.ECHO | flags)
        except KernelError as failure:
            if failure.errno == EEXIST:
                failure.hint = "replace=True takes its place"
            raise
        for echo in echoes:
            self.detail |= {"priority": echo["info"] >> 16, "handle": echo["handle"]}

    def _mine(self, prog_id: int) -> None:
        wanted = Filter(self.detail["priority"], self.detail["handle"], prog_id)
        if wanted not in filters(self.index, self.detail["direction"]):
            raise KernelError("the filter is not there any more, or not of this program", errno=ENOENT)

    def _filter(self, attributes: list[tuple[str, Any]] | None = None) -> Any:
        request = net.message("tc")
        request["index"] = self.index
        request["parent"] = PARENTS[self.detail["direction"]]
        request["handle"] = self.detail["handle"]
        request["info"] = self.detail["priority"] << 16 | htons(_ETH_P_ALL)
        request["attrs"] = attributes or [("TCA_KIND", "bpf")]
        return request

    def _qdisc(self) -> Any:
        request = net.message("tc")
        request["index"] = self.index
        request["parent"] = _CLSACT
        request["handle"] = _HANDLE
        request["attrs"] = [("TCA_KIND", "clsact")]
        return request

    def _make_clsact(self) -> bool:
        try:
            net.ask(net.NEWQDISC, self._qdisc(), net.CREATE | net.EXCL)
        except KernelError as failure:
            if failure.errno != EEXIST:
                raise
            return False
        return True

    def _remove_clsact(self) -> None:
        if self._made_clsact and not any(_any_filter(self.index, parent) for parent in PARENTS.values()):
            net.ask(net.DELQDISC, self._qdisc())


def filters(index: int, direction: str) -> list[Filter]:
    """The BPF filters on a hook of a device of this thread's namespace, in the order in which they run."""
    found = []
    for answer in _dump(index, PARENTS[direction]):
        number = net.attribute(answer, _TCMSG_SIZE, *_BPF_ID)
        if number:  # and not the head of a priority's list, or a filter of another kind
            found.append(Filter(answer["info"] >> 16, answer["handle"], int.from_bytes(number, sys.byteorder)))
    return found


def _any_filter(index: int, parent: int) -> bool:
    return bool(_dump(index, parent))


def _dump(index: int, parent: int) -> list[Any]:
    request = net.message("tc")
    request["index"] = index
    request["parent"] = parent
    try:
        return net.dump(net.GETTFILTER, request)
    except KernelError as failure:
        if failure.errno in (EINVAL, ENOENT):  # no clsact
            return []
        raise
