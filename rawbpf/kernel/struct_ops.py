# SPDX-License-Identifier: BSD-2-Clause
"""struct_ops: a kernel's table of functions (a TCP congestion control, an MPTCP scheduler) made of programs.

There are two life cycles. A value from ``SEC(".struct_ops")`` is registered by writing it into its map, and stays until
it is deleted from it. One from ``SEC(".struct_ops.link")`` is only made ready by that; a link registers it, and it goes
with the link.
"""

from __future__ import annotations

from errno import EBUSY, EEXIST, EINVAL
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError
from rawbpf.kernel import syscall
from rawbpf.kernel.links import Link, Registration
from rawbpf.uapi import AttachType

if TYPE_CHECKING:
    from rawbpf.kernel.maps import Map

_KEY = bytes(4)


class StructOps:
    """A struct_ops value, ready to be attached.

    Attributes:
        name: the C variable's name.
        type_name: the kernel's struct, such as ``tcp_congestion_ops``.
        map: the map that holds it.
        value: the bytes of the kernel's struct (``bpf_struct_ops_TYPE``), its function pointers being program fds.
        has_link: whether it is attached by a link.
        programs: the names of the programs in it.
    """

    def __init__(
        self, name: str, type_name: str, map: Map, value: bytes, *, has_link: bool, programs: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.type_name = type_name
        self.map = map
        self.value = value
        self.has_link = has_link
        self.programs = programs

    def attach(self) -> Link | Registration:
        """Register it: a `Link` that holds it, or for the kind without link a `Registration`.

        Raises:
            KernelError: EEXIST if the name is registered already, or what else the kernel's subsystem says.
        """
        if self.has_link:
            self.set_value()
            return self.create_link()
        registration = self.registration()
        try:
            self.set_value()
        except KernelError:  # nothing was registered
            registration.fd.close()
            raise
        except BaseException:
            registration.close()
            raise
        return registration

    def registration(self) -> Registration:
        """What ends the registration of a value without a link, and may be made before there is one."""
        return Registration(self.map.fd.duplicate(), self.name, self.map.pins)

    def set_value(self) -> None:
        """Hand the value to the kernel, which registers it if there is no link to come. Doing it twice is no error."""
        try:
            syscall.map_update_elem(self.map.fileno(), _KEY, self.value)
        except KernelError as failure:
            # a value with a link is set only once: it was, when a link was made and closed before
            if not (self.has_link and failure.errno == EBUSY):
                raise self._explain(failure) from failure.__cause__

    def replace(self, link: Link, old: StructOps | None = None) -> None:
        """Put this value in the place of the one that `link` has registered, at once. With `old`, only if it has that.

        Requires Linux 6.4. The kernel wants the same type, and mostly the same name.

        Raises:
            KernelError: what the kernel's subsystem says; EPERM if it is another than `old`.
        """
        self.set_value()
        link.update(self.map, None if old is None else old.map)

    def create_link(self) -> Link:
        """The link that registers a value that is set."""
        try:
            fd = syscall.link_create(self.map.fileno(), 0, AttachType.STRUCT_OPS)
        except KernelError as failure:
            raise self._explain(failure) from failure.__cause__
        return Link(fd, self.name)

    def _explain(self, failure: KernelError) -> KernelError:
        failure.symbol = failure.symbol or self.name
        if failure.errno == EEXIST:
            failure.message = f"the kernel has a {self.type_name} of that name already: {failure.message}"
            failure.hint = "unload the other one, or give this one another name in its C source"
        elif failure.errno == EINVAL:
            from rawbpf.kernel.struct_ops_value import what_is_wrong

            failure.hint = what_is_wrong(self.map, self.type_name, self.value)
        return failure

    def __repr__(self) -> str:
        return f"<StructOps {self.name!r} ({self.type_name})>"
