# SPDX-License-Identifier: BSD-2-Clause
"""Programs on a sockmap or sockhash: they see what its sockets receive (SK_SKB) or send (SK_MSG)."""

from __future__ import annotations

from errno import EBUSY, EEXIST, EINVAL, EOPNOTSUPP
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, SpecError, where
from rawbpf.kernel import features, syscall
from rawbpf.kernel.attach.holding import Holding
from rawbpf.kernel.attach.refusal import need_type, told
from rawbpf.kernel.links import Link
from rawbpf.uapi import AttachType, MapType, ProgType

if TYPE_CHECKING:
    from rawbpf.kernel.attach.attachment import Attachment
    from rawbpf.kernel.maps import Map
    from rawbpf.kernel.programs import Program

HOOKS = {
    "stream_parser": AttachType.SK_SKB_STREAM_PARSER,
    "stream_verdict": AttachType.SK_SKB_STREAM_VERDICT,
    "verdict": AttachType.SK_SKB_VERDICT,
    "msg_verdict": AttachType.SK_MSG_VERDICT,
}
"""What a program decides: where a message ends, where received data goes (of streams, of all), where sent data goes."""
_REASONS = {
    EBUSY: ("a program is there, and one of the two is held by a link", "update the link, or close it"),
    EEXIST: ("there is a program on the map already", ""),
    EOPNOTSUPP: ("the map takes no such program, or the kernel is built without CONFIG_BPF_STREAM_PARSER", ""),
}


def sockmap(program: Program, map: Map, *, hook: str = "", link: bool | None = None) -> Link | Attachment:
    """Attach an SK_SKB or SK_MSG program to a map of sockets.

    Args:
        map: a sockmap or a sockhash.
        hook: ``stream_parser``, ``stream_verdict``, ``verdict`` or ``msg_verdict``; by default what the SEC() says.
        link: True: by a `Link` (Linux 6.10). False: without, so that it stays as long as the map does. By default a
            link where the kernel has it.

    Raises:
        KernelError: EBUSY: there is a program; EOPNOTSUPP: the map or the kernel takes none.
        SpecError: the map or the program is of another type.
    """
    kind = need_type(program, "sockmap", ProgType.SK_SKB, ProgType.SK_MSG)
    attach_type = _attach_type(program, kind, hook)
    if map.type not in (MapType.SOCKMAP, MapType.SOCKHASH):
        name = getattr(map.type, "name", map.type)
        raise SpecError(f"the map {map.name!r} is {name}, no SOCKMAP and no SOCKHASH", symbol=program.name)
    with where(symbol=program.name), told(_REASONS):
        if link is not False:
            try:
                fd = syscall.link_create(program.fileno(), map.fileno(), attach_type)
                return Link(fd, program.name)
            except KernelError as failure:
                if link or failure.errno != EINVAL or features.probe("sockmap_link") is not False:
                    raise
        return SockmapAttachment(
            program, program.name, map.fd.duplicate(), map=map.name, attach_type=attach_type
        ).begin()


def _attach_type(program: Program, kind: ProgType, hook: str) -> AttachType:
    mine = [name for name in HOOKS if name.startswith("msg") == (kind == ProgType.SK_MSG)]
    if hook and hook not in mine:
        raise SpecError(
            f"no hook {hook!r} for {kind.name} programs", symbol=program.name, hint=f"there are: {', '.join(mine)}"
        )
    if hook or len(mine) == 1:
        return HOOKS[hook or mine[0]]
    for name in mine:
        if HOOKS[name] == program.expected_attach_type:
            return HOOKS[name]
    raise SpecError(
        f'SEC("{program.section}") does not say the hook', symbol=program.name, hint=f"hook=… of: {', '.join(mine)}"
    )


class SockmapAttachment(Holding):
    """A program on a map of sockets without a link: until it is detached or the map is gone."""

    def _attach(self) -> None:
        syscall.prog_attach(self.program.fileno(), self.target.fileno(), self.detail["attach_type"])

    def _detach(self) -> None:
        syscall.prog_detach(self.program.fileno(), self.target.fileno(), self.detail["attach_type"])

    def _replace(self, new: int, old: int | None) -> None:
        if old is not None:
            super()._replace(new, old)
        syscall.prog_attach(new, self.target.fileno(), self.detail["attach_type"])  # it replaces what is there
