# SPDX-License-Identifier: BSD-2-Clause
"""XDP: a program on a device's receive path, by link or over netlink."""

from __future__ import annotations

from errno import EBUSY, EEXIST, EINVAL, ENOENT, EOPNOTSUPP, ERANGE
from typing import TYPE_CHECKING, Any

from rawbpf.errors import KernelError, SpecError, where
from rawbpf.kernel import features, net, syscall
from rawbpf.kernel.attach.holding import OnDevice
from rawbpf.kernel.attach.refusal import need_type, told
from rawbpf.kernel.devices import device
from rawbpf.kernel.links import Link
from rawbpf.kernel.netns import open_netns
from rawbpf.uapi import AttachType, ProgType

if TYPE_CHECKING:
    from typing import Literal

    from rawbpf.kernel.attach.attachment import Attachment
    from rawbpf.kernel.devices import Device, Place
    from rawbpf.kernel.netns import NetNs
    from rawbpf.kernel.programs import Program

# XDP_FLAGS_* of linux/if_link.h
_IF_NOEXIST, _REPLACE = 1, 16
MODES = {"": 0, "skb": 2, "native": 4, "offload": 8}
"""How a program is run: as the driver can, behind the driver, in the driver, on the card."""
_IDS = {"": "IFLA_XDP_PROG_ID", "skb": "IFLA_XDP_SKB_PROG_ID", "native": "IFLA_XDP_DRV_PROG_ID"}

_REASONS = {
    EBUSY: ("there is an XDP program on the device", "update or close the link that holds it; netlink: replace="),
    EEXIST: ("there is an XDP program on the device, or one in the other mode", "netlink: replace=PROGRAM"),
    EOPNOTSUPP: ("the device's driver has not this mode of XDP", 'mode="skb" works on every device'),
    ERANGE: ("the device has more CPU queues or a larger MTU than its XDP allows", 'mode="skb"'),
    EINVAL: ("the device, the mode or the program does not fit", 'a SEC("xdp/devmap") program is for devmap'),
}


def xdp(
    program: Program,
    dev: Device,
    *,
    mode: str = "",
    netns: NetNs | None = None,
    link: bool | None = None,
    replace: Program | Literal["any"] | None = None,
) -> Link | Attachment:
    """Attach an XDP program to a device.

    Args:
        dev: the device's name or index.
        mode: ``native``, ``skb`` (generic), ``offload``; by default the best that the driver has.
        netns: the device's network namespace: name, path, process id, or an open file; by default this thread's own.
        link: True: by a `Link` (Linux 5.9). False: over netlink, so that it stays when this process ends; wants
            pyroute2. By default a link where the kernel has it.
        replace: over netlink: the program whose place it takes, at once (Linux 5.7), or ``"any"``.

    Raises:
        KernelError: ENODEV: no such device; EBUSY, EEXIST: it has an XDP program; EOPNOTSUPP: not in this mode.
        SpecError: the program is of another type, or there is no such mode.
        NotSupportedError: pyroute2 is missing.
    """
    need_type(program, "xdp", ProgType.XDP)
    if mode not in MODES:
        raise SpecError(f"no mode {mode!r}", symbol=program.name, hint=f"there are: {', '.join(filter(None, MODES))}")
    if replace is not None and link:
        raise SpecError("a link replaces nothing", symbol=program.name, hint="link=False, or update the other link")
    with where(symbol=program.name), told(_REASONS), open_netns(netns) as home, device(dev, home) as found:
        if link is not False and replace is None:
            try:
                return found.call(lambda: _link(program, found, mode))
            except KernelError as failure:
                if link or failure.errno != EINVAL or features.probe("xdp_link") is not False:
                    raise
        return XdpAttachment(program, program.name, found, mode=mode, replace=replace).begin()


def _link(program: Program, found: Place, mode: str) -> Link:
    fd = syscall.link_create(program.fileno(), found.ifindex, AttachType.XDP, flags=MODES[mode])
    return Link(fd, program.name)


class XdpAttachment(OnDevice):
    """An XDP program on a device without a link: until it is detached or the device is gone."""

    def _attach_here(self) -> None:
        replace = self.detail.pop("replace")
        if replace is None:
            self._set(self.program.fileno(), _IF_NOEXIST)
        elif replace == "any":
            self._set(self.program.fileno(), 0)
        else:
            self._set(self.program.fileno(), _REPLACE, expected=replace.fileno())

    def _detach_here(self) -> None:
        if self.id not in attached(self.index, self.detail["mode"]):
            raise KernelError("the program is not on the device any more", errno=ENOENT, command="RTM_SETLINK")
        try:
            self._set(-1, _REPLACE, expected=self.program.fileno())
        except KernelError as failure:
            if failure.errno != EINVAL:
                raise
            self._set(-1, 0)  # a kernel before 5.7

    def _replace(self, new: int, old: int | None) -> None:
        expected = self.program.fileno() if old is None else old
        self._there(lambda: self._set(new, _REPLACE, expected=expected))

    def _set(self, fd: int, flags: int, *, expected: int | None = None) -> None:
        attributes: list[tuple[str, Any]] = [
            ("IFLA_XDP_FD", fd),
            ("IFLA_XDP_FLAGS", flags | MODES[self.detail["mode"]]),
        ]
        if expected is not None:
            attributes.append(("IFLA_XDP_EXPECTED_FD", expected))
        request = net.message("link")
        request["index"] = self.index
        request["attrs"] = [("IFLA_XDP", {"attrs": attributes})]
        net.ask(net.SETLINK, request)


def attached(index: int, mode: str = "") -> list[int]:
    """The ids of the programs on a device of this thread's namespace: one at most in each mode."""
    request = net.message("link")
    request["index"] = index
    (answer,) = net.get(net.GETLINK, request)
    found = answer.get_attr("IFLA_XDP")
    wanted = (
        [_IDS[mode]]
        if mode in ("skb", "native")
        else [f"IFLA_XDP{which}_PROG_ID" for which in ("", "_DRV", "_SKB", "_HW")]
    )
    ids = [found.get_attr(name) for name in wanted] if found else []
    return [number for number in ids if number]
