# SPDX-License-Identifier: BSD-2-Clause
"""Programs in the kernel."""

from __future__ import annotations

from errno import EINVAL, EOPNOTSUPP
from typing import TYPE_CHECKING, Any

from rawbpf.errors import ENOTSUPP, KernelError, where
from rawbpf.kernel import info, syscall
from rawbpf.kernel.pinnable import Named
from rawbpf.uapi import F_TEST_RUN_ON_CPU, F_TEST_XDP_LIVE_FRAMES, Cmd, ProgType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

    from rawbpf.kernel.attach import Attachment
    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.info import ProgCode, ProgInfo
    from rawbpf.kernel.links import Link
    from rawbpf.kernel.syscall import RunResult

# Types whose test run changes a packet and shows it, and types whose test run shows the context as well
_PACKET = frozenset(
    {
        ProgType.SOCKET_FILTER,
        ProgType.SCHED_CLS,
        ProgType.SCHED_ACT,
        ProgType.XDP,
        ProgType.CGROUP_SKB,
        ProgType.LWT_IN,
        ProgType.LWT_OUT,
        ProgType.LWT_XMIT,
        ProgType.LWT_SEG6LOCAL,
        ProgType.FLOW_DISSECTOR,  # shows struct bpf_flow_keys
    }
)
_CONTEXT = _PACKET | {ProgType.SK_LOOKUP}
_ROOM = 4096  # by which a packet may grow
_ETHERNET = 14


class Program(Named):
    """A loaded program. It does nothing until something runs it: a link, a struct_ops map, a tail call, `test_run`.

    Attributes:
        name: its name: the C function's, or from the kernel (15 bytes of it).
        section: the SEC() that it came from, empty if that is not known.
        auto_attach: how it attaches, as the SEC() table calls it; empty if it shall not with all others.
        target: what the SEC() names behind the slash.
        expected_attach_type: as it was loaded.
        log: the verifier's log, where one was asked for.
    """

    _by_id = Cmd.PROG_GET_FD_BY_ID
    _kind = "program"

    def __init__(
        self,
        fd: Fd,
        name: str,
        *,
        section: str = "",
        auto_attach: str = "",
        target: str = "",
        expected_attach_type: int = 0,
        log: str = "",
    ) -> None:
        super().__init__(fd)
        self.name = name
        self.section = section
        self.auto_attach = auto_attach
        self.target = target
        self.expected_attach_type = expected_attach_type
        self.log = log

    @classmethod
    def _adopt(cls, fd: Fd) -> Self:
        return cls(fd, info.prog_info(fd.fileno()).name)

    @classmethod
    def _all(cls) -> Iterable[ProgInfo]:
        return info.programs()

    @property
    def info(self) -> ProgInfo:
        """What the kernel knows of it now."""
        return info.prog_info(self.fileno())

    @property
    def id(self) -> int:
        """The kernel's number of it."""
        return self.info.id

    @property
    def tag(self) -> str:
        """The hash of its instructions, as hex."""
        return self.info.tag

    def code(self) -> ProgCode:
        """Its instructions as the kernel rewrote them, the machine code, function and line records."""
        return info.prog_code(self.fileno())

    def attach(self, **target: Any) -> Link | Attachment:
        """Attach it to what its SEC() says, by the function of `rawbpf.attach` that does so.

        `target` are arguments of that function: they add to what the SEC() says, or win over it
        (``attach(cgroup="/sys/fs/cgroup/mine")``, ``attach(symbol="tcp_v4_connect", cookie=7)``).

        Raises:
            SpecError: its SEC() is not known or says too little, or the function takes no such argument.
            KernelError: what the function raises.
        """
        from rawbpf.kernel.attach import auto

        with where(symbol=self.name, section=self.section or None):
            return auto.attach_by_section(self, target)

    def test_run(
        self,
        data: bytes = b"",
        context: bytes = b"",
        *,
        repeat: int = 0,
        flags: int = 0,
        cpu: int | None = None,
        live_frames: bool = False,
        batch_size: int = 0,
    ) -> RunResult:
        """Run it on a packet and a context (the C struct of its type), `repeat` times.

        The result has what it returned, the packet and the context afterwards, and nanoseconds a run.

        Args:
            data: the packet, with its Ethernet header (14 bytes at least); for types that take one.
            context: such as ``struct __sk_buff``, ``struct xdp_md``; a SYSCALL program changes it in place.
            repeat: how often; 0 is once. An interrupt (EINTR) ends it early.
            flags: ``BPF_F_TEST_*`` for the kernel, beside those of the other arguments.
            cpu: run there (RAW_TRACEPOINT only; Linux 5.10).
            live_frames: for XDP: what it returns is done with `repeat` real frames: they are redirected, sent, or go
                up the stack of the device that `context` names as ``ingress_ifindex``. Shows no packet.
                Requires Linux 5.18.
            batch_size: how many live frames go together, 64 at most by default.

        Raises:
            KernelError: ENOTSUPP (524) for types that cannot be run by hand; EINVAL for what the type does not take.
        """
        kind = self.info.type
        if live_frames:
            flags |= F_TEST_XDP_LIVE_FRAMES
        if cpu is not None:
            flags |= F_TEST_RUN_ON_CPU
        shown = not flags & (F_TEST_XDP_LIVE_FRAMES | F_TEST_RUN_ON_CPU)
        with where(symbol=self.name):
            try:
                return syscall.prog_test_run(
                    self.fileno(),
                    data,
                    context,
                    data_out=len(data) + _ROOM if data and kind in _PACKET and shown else 0,
                    context_out=len(context) if kind in _CONTEXT and shown else 0,
                    repeat=repeat,
                    flags=flags,
                    cpu=cpu or 0,
                    batch_size=batch_size,
                )
            except KernelError as failure:
                failure.hint = failure.hint or self._hint(failure, kind, data)
                raise

    def _hint(self, failure: KernelError, kind: ProgType | int, data: bytes) -> str | None:
        if failure.errno in (ENOTSUPP, EOPNOTSUPP):
            return f"{getattr(kind, 'name', kind)} programs cannot be run by hand: attach it, and let its event happen"
        if failure.errno == EINVAL and kind in _PACKET and len(data) < _ETHERNET:
            return f"it wants a packet of {_ETHERNET} bytes at least, with its Ethernet header"
        return None

    def __repr__(self) -> str:
        return f"<Program {self.name!r}{' closed' if self.closed else ''}>"


def run_statistics() -> Fd:
    """Count and time the runs of all programs, as long as the answer, a context manager, is not closed.

    `Program.info` has them as `run_cnt` and `run_time_ns`. Requires Linux 5.8 (before: the sysctl
    kernel.bpf_stats_enabled).
    """
    return syscall.enable_stats()
