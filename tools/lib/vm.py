# SPDX-License-Identifier: BSD-2-Clause
"""Run one command in a kernel of its own, and return its exit code.

With KVM where that works. That /dev/kvm opens, and even runs an instruction, is no proof that it does: a guest that
says nothing for some seconds is started again without, which is remembered until the machine is booted anew.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tools.lib import guest, machine, qemu
from tools.lib.report import note, pending
from tools.lib.session import NotUp, Session

BOOT_SECONDS = {qemu.KVM: 15.0, qemu.EMULATION: 120.0}
"""A guest that says nothing for so long does not boot. (It takes one second with KVM, three without.)"""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Guest:
    """A way to run commands: a kernel, the size of the machine, a module to load first, and what ends as an error."""

    image: Path
    cpus: int = 2
    memory: str = "2G"
    module: Path | None = None
    strict: bool = False
    """Raise KernelWarned if the kernel complains meanwhile, as with RAWBPF_REQUIRE=1; else that is told."""

    def run(self, command: list[str], *, interactive: bool = False, timeout: float | None = None) -> int:
        """Run a command as root, in the current directory and environment, and return its exit code.

        Its output goes to this process's stdout and stderr; those that are terminals are terminals for it as well.
        Input is passed on unless that is a terminal, which only an `interactive` command gets.
        Raises GuestDied, KernelWarned and TimedOut of the module `session`.
        """
        if not shutil.which(qemu.PROGRAM):
            machine.ensure_debian(qemu.PACKAGES)
        pending("starting the test kernel")
        job = _job(command, interactive=interactive)._replace(module=str(self.module or ""))
        if _kvm_may_work():
            try:
                return self._run(job, qemu.KVM, timeout)
            except NotUp:
                note("KVM does not boot this kernel: trying without it")
                code = self._run(job, qemu.EMULATION, timeout)
                _remember_broken_kvm()
                return code
        return self._run(job, qemu.EMULATION, timeout)

    def _run(self, job: guest.Job, accelerator: str, timeout: float | None) -> int:
        with tempfile.TemporaryDirectory(prefix="rawbpf-vm-") as directory:
            job_file = Path(directory) / "job"
            job_file.write_text(json.dumps(job._asdict()))
            init = [_interpreter(), "-I", "-S", guest.__file__, str(job_file)]
            hardware = qemu.Machine(self.image, init, machine.ROOT, self.cpus, self.memory, accelerator)
            strict = self.strict or os.environ.get("RAWBPF_REQUIRE") == "1"
            with Session(job, hardware, Path(directory)) as session:
                return session.relay(boot_seconds=BOOT_SECONDS[accelerator], timeout=timeout, strict=strict)


def _interpreter() -> str:
    """The Python itself: not a virtual environment's link, nor a version manager's script."""
    return str(Path(sys.executable).resolve())


def _job(command: list[str], *, interactive: bool) -> guest.Job:
    terminals = [number for number in (0, 1, 2) if _is_terminal(number) and (number != 0 or interactive)]
    size = os.get_terminal_size(terminals[-1]) if terminals else os.terminal_size((80, 24))
    return guest.Job(
        command=command,
        environment={**os.environ, "RAWBPF_GUEST": "1"},
        directory=str(Path.cwd()),
        share=str(machine.ROOT),
        terminals=terminals,
        feeds_stdin=not _is_terminal(0),
        window=[size.lines, size.columns],
    )


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def _kvm_may_work() -> bool:
    return os.access("/dev/kvm", os.R_OK | os.W_OK) and not (
        _broken_kvm_mark().exists() and _broken_kvm_mark().read_text() == BOOT_ID.read_text()
    )


def _remember_broken_kvm() -> None:
    _broken_kvm_mark().parent.mkdir(parents=True, exist_ok=True)
    _broken_kvm_mark().write_text(BOOT_ID.read_text())


def _broken_kvm_mark() -> Path:
    return machine.cache_dir() / "kvm-is-broken"
