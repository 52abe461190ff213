# SPDX-License-Identifier: BSD-2-Clause
"""Schedulers and path managers by name: the kernel's own, those of objs/, and objects of the user.

Loading and unloading is done by the very commands that a user would type.
"""

from __future__ import annotations

import contextlib
import difflib
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rawbpf.pins import MAPS, PIN_ROOT, pin_name
from tools.lab.netns import Namespace
from tools.lib.machine import ROOT
from tools.lib.report import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Say = Callable[[str], None]

OBJECTS = ROOT / "objs"


class Role(NamedTuple):
    """Something of MPTCP that BPF can be."""

    what: str
    sysctl: str
    """That names the one which new connections get, in each network namespace."""
    available: Path
    """The file that lists those which the kernel has."""
    default: str
    since: str
    """The Linux that has the sysctl; an older one has the default only, one in between may have no list."""
    struct_ops: str
    """The type of which an object has one."""
    names: tuple[str, ...]
    """Of the objects in objs/, by the name that the kernel is to know them by."""

    def in_kernel(self) -> list[str]:
        """Those that the kernel lists; the default if it has no list. Raises ToolError if it has no MPTCP."""
        if self.available.exists():
            return self.available.read_text().split()
        if not self.available.parent.exists():
            raise ToolError(f"this kernel has no {self.available.parent}", hint="it needs CONFIG_MPTCP")
        return [self.default]

    def has(self, name: str) -> bool:
        """Whether the kernel has it: by its list, or if it has none, by whether it can be chosen."""
        return name in self.in_kernel() or (not self.available.exists() and self._can_be_chosen(name))

    def choose(self, namespace: Namespace, name: str) -> None:
        """Let new connections have it. Raises ToolError."""
        try:
            namespace.sysctl(self.sysctl, name)
        except OSError as error:
            if name != self.default or not isinstance(error, FileNotFoundError):
                hint = f"{self.sysctl} is there since {self.since}"
                raise ToolError(f"this kernel does not take {self.sysctl}={name}", hint=hint) from None

    def _can_be_chosen(self, name: str) -> bool:
        with Namespace() as scratch:
            return not _takes(scratch, self.sysctl, NONSENSE) and _takes(scratch, self.sysctl, name)


SYSCTLS = Path("/proc/sys/net/mptcp")
NONSENSE = "no-such-thing"
"""The first kernels that have net.mptcp.scheduler take any name for one, and use their default."""
SCHEDULER = Role(
    "scheduler",
    "net.mptcp.scheduler",
    SYSCTLS / "available_schedulers",
    "default",
    "Linux 6.6",
    "mptcp_sched_ops",
    ("mptcp_bpf_{}",),
)
PATH_MANAGER = Role(
    "path manager",
    "net.mptcp.path_manager",
    SYSCTLS / "available_path_managers",
    "kernel",
    "Linux 6.15",
    "mptcp_pm_ops",
    ("mptcp_bpf_{}_pm", "mptcp_bpf_{}"),
)


class Found(NamedTuple):
    """What a name means."""

    name: str
    object: Path | None
    """That has to be loaded for it; None for what the kernel has."""


def find(role: Role, name: str, objects: Path = OBJECTS) -> Found:
    """A path that ends in .o, one of objs/ (`rr` is mptcp_bpf_rr.o), or what the kernel has.

    Raises ToolError if there is no such thing, or if the object is something else.
    """
    own = named(name)
    if own:
        check_role(role, own)
        return Found(name, own.absolute())
    if name in role.in_kernel():
        return Found(name, None)
    for pattern in role.names:
        path = objects / (pattern.format(name.removeprefix("bpf_")) + ".o")
        if path.is_file() and _structs(role, path):
            return Found(name, path)
    if role.has(name):
        return Found(name, None)
    ours = [path.name for path in sorted(objects.glob("mptcp_bpf_*.o")) if _structs(role, path)]
    short = [each.removeprefix("mptcp_bpf_").removesuffix(".o").removesuffix("_pm") for each in ours]
    near = difflib.get_close_matches(name, [*role.in_kernel(), *short], 1)
    raise ToolError(
        f"there is no {role.what} {name}: the kernel has {', '.join(role.in_kernel())}",
        hint=(f"did you mean {near[0]}? " if near else "")
        + f"{shown(objects)} has {', '.join(ours)}; an object of your own is named by its path, {name}.o",
    )


def named(name: str) -> Path | None:
    """The object that a name is the path of, if it is one. Raises ToolError if there is no such file."""
    if name.endswith(".c"):
        made = name.removesuffix(".c") + ".o"
        compiler = f"clang-19 -target bpf -mcpu=v3 -O2 -g -Iobjs/include -c {name} -o {made}"
        raise ToolError(f"{name}: that is source, and an object is wanted", hint=f"compile it first: {compiler}")
    if not name.endswith(".o"):
        return None
    if not Path(name).is_file():
        raise ToolError(f"{name}: no such object")
    return Path(name)


def check_role(role: Role, path: Path) -> None:
    """Raises ToolError unless the object has one of that role, and says what it has instead."""
    found = _structs(role, path)
    if len(found) > 1:
        raise ToolError(f"{path} has {len(found)} {role.what}s where one is wanted: {', '.join(found)}")
    if found:
        return
    other = PATH_MANAGER if role.what == SCHEDULER.what else SCHEDULER
    instead = _structs(other, path)
    if instead:
        option = other.what.replace(" ", "-")
        raise ToolError(f"{path} is a {other.what} ({', '.join(instead)}): use --{option}")
    raise ToolError(f"{path} has no {role.what}", hint=f"that is a struct {role.struct_ops} in .struct_ops.link")


def _structs(role: Role, path: Path) -> list[str]:
    """The names by which the kernel is to know those of that role which the object has. Raises ToolError."""
    import rawbpf  # what the command line looks at before it is in the virtual environment needs no more than `named`

    try:
        spec = rawbpf.open(path)
        return [str(each["name"]) for each in spec.struct_ops.values() if each.type_name == role.struct_ops]
    except rawbpf.RawbpfError as error:
        raise ToolError(str(error)) from None


def _takes(namespace: Namespace, sysctl: str, value: str) -> bool:
    with contextlib.suppress(OSError):
        namespace.sysctl(sysctl, value)
        return True
    return False


@contextlib.contextmanager
def provided(role: Role, found: Found, say: Say) -> Iterator[str]:
    """The name by which the kernel knows it meanwhile."""
    path = found.object
    if not path:
        yield found.name
        return
    before = role.in_kernel()
    with loaded(path, say):
        new = [name for name in role.in_kernel() if name not in before]
        if len(new) != 1:
            raise ToolError(f"{path}: brings {len(new)} {role.what}s where one is wanted")
        yield new[0]
    if new[0] in role.in_kernel():
        raise ToolError(f"{new[0]} is unloaded, and still in {role.available}")


@contextlib.contextmanager
def loaded(path: Path, say: Say, *options: str) -> Iterator[Path]:
    """Load an object, and unload it in the end. Yields the directory of its pins."""
    pins = _pins(path)
    name = pins.name
    if pins.exists():
        raise ToolError(f"{name} is loaded already", hint=f"unload it first: rawbpf unload {name}")
    try:
        _rawbpf(say, "load", shown(path), *options)
        yield pins
    finally:
        if pins.exists():
            _rawbpf(say, "unload", name)


def variables(path: Path) -> dict[str, Any]:
    """What the global variables of an object that is loaded hold now, as JSON has it; constants are left out."""
    import rawbpf
    from rawbpf.cli.map_values import plain

    found = {}
    for section in dict.fromkeys(variable.map for variable in rawbpf.open(path).variables.values()):
        if section.startswith((".bss", ".data")):
            with rawbpf.Map.open(_pins(path) / MAPS / pin_name(section)) as data:
                found.update(plain(data[0]))
    return found


def _pins(path: Path) -> Path:
    return Path(PIN_ROOT, path.name.partition(".")[0])


def _rawbpf(say: Say, *arguments: str) -> None:
    say(f"$ rawbpf {shlex.join(arguments)}")
    done = subprocess.run([sys.executable, "-m", "rawbpf", *arguments], cwd=ROOT, capture_output=True, text=True)
    say(done.stdout.rstrip())
    if done.returncode != 0:
        raise ToolError(f"rawbpf {arguments[0]} failed: {done.stderr.strip()}")


def shown(path: Path) -> str:
    """A path as one would type it in the checkout."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(ROOT))
    return str(path)
