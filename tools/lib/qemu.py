# SPDX-License-Identifier: BSD-2-Clause
"""QEMU's command line for the test kernel: an x86-64 PC whose root is the host's, over 9p and read-only.

There is no disk and no network. What goes in and out passes through virtio-serial ports, each of which is a socket
here: one for the guest's report, three for the command's standard input, output and error, and a terminal.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tools.lib import guest

PROGRAM = "qemu-system-x86_64"
PACKAGES = ("qemu-system-x86",)

KVM = "kvm"
EMULATION = "tcg,thread=multi"
CPUS = {KVM: "host", EMULATION: "max,-erms"}
"""Without ERMS the kernel copies by plain moves: REP MOVSB, emulated byte by byte, takes four times as long."""

PORTS = ("terminal", "report", "stdin", "stdout", "stderr")
"""In the order of their numbers: the terminal is /dev/hvc0, the others are /dev/vport0p1 and so on."""

KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet loglevel=5 random.trust_cpu=on tsc=reliable "
    "oops=panic panic=-1 softlockup_panic=1 watchdog_thresh=30 "  # whatever goes wrong ends the guest
    f"root=/dev/root rootfstype=9p rootflags={guest.MOUNT_9P} ro"
)


class Machine(NamedTuple):
    """What the guest is made of."""

    image: Path
    init: list[str]
    """The command that becomes process 1."""
    share: Path
    """The directory that the guest may write to."""
    cpus: int
    memory: str
    accelerator: str
    """KVM or EMULATION."""


def command_line(machine: Machine, ports: dict[str, int], console: Path) -> list[str]:
    """The command; `ports` gives each of PORTS its socket's descriptor, `console` gets the kernel's messages."""
    return [
        *(PROGRAM, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-machine", "q35"),
        *("-accel", machine.accelerator, "-cpu", CPUS[machine.accelerator]),
        *("-smp", str(machine.cpus), "-m", machine.memory),
        *("-kernel", str(machine.image), "-append", _kernel_arguments(machine.init)),
        *("-chardev", f"file,id=console,path={_escaped(console)}", "-serial", "chardev:console"),
        *_directory("/dev/root", Path("/"), "readonly=on"),
        *_directory(guest.SHARE, machine.share, "readonly=off"),
        *("-device", f"virtio-serial-pci,max_ports={len(PORTS)}"),
        *(word for number, name in enumerate(PORTS) for word in _port(number, name, ports[name])),
    ]


def _kernel_arguments(init: list[str]) -> str:
    program, *arguments = (f'"{word}"' if " " in word else word for word in init)
    return f"{KERNEL_ARGUMENTS} init={program} -- {' '.join(arguments)}"


def _directory(tag: str, path: Path, access: str) -> list[str]:
    name = tag.rpartition("/")[2]
    sharing = f"local,id={name},path={_escaped(path)},security_model=none,multidevs=remap,{access}"
    return ["-fsdev", sharing, "-device", f"virtio-9p-pci,fsdev={name},mount_tag={tag}"]


def _port(number: int, name: str, descriptor: int) -> list[str]:
    device = "virtconsole" if name == "terminal" else "virtserialport"
    return [
        "-chardev",
        f"socket,id={name},fd={descriptor}",
        "-device",
        f"{device},nr={number},chardev={name},name={name}",
    ]


def _escaped(path: Path) -> str:
    """A comma ends an option's value, unless it is doubled."""
    return str(path).replace(",", ",,")
