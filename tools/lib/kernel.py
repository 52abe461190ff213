# SPDX-License-Identifier: BSD-2-Clause
"""Which kernel to boot: the test kernel, found in the cache or built, or one that the user names.

The test kernel is Debian's kernel source (tools/kernel/source), our patches (tools/kernel/patches) and our
configuration (tools/kernel/config), with a module of our own (tools/kernel/module). A hash of the four names its
directory in the cache, so that a change of any of them leads to a new build. The debug kernel is the same with
tools/kernel/config.debug added: what the kernel has to check itself::

    ~/.cache/rawbpf/kernel/HASH/bzImage           to boot
                               /vmlinux.btf       its types, to plan against without booting it
                               /rawbpf_test.ko    the module
                               /config            the whole configuration
                               /source            what it was built from: the source, and the pahole that wrote the BTF
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.lib import machine
from tools.lib.report import ToolError

RECIPE = machine.ROOT / "tools" / "kernel"
VARIABLE = "RAWBPF_KERNEL"
DEBUG = "debug"
"""What a user names for the debug kernel."""
IMAGE_IN_TREE = Path("arch/x86/boot/bzImage")
MODULE = "rawbpf_test.ko"


@dataclass(frozen=True)
class Kernel:
    """A kernel that can be booted; `btf` is None where its types are not known outside of it, `module` without one."""

    image: Path
    btf: Path | None
    module: Path | None = None


def ensure(named: str | None = None, *, keep_tree: bool = False) -> Kernel:
    """The kernel that the user named (here or in $RAWBPF_KERNEL), or else the test kernel, built if need be."""
    kernel = find(named)
    if kernel:
        return kernel
    from tools.lib import kernel_build  # not needed by those who find a kernel

    debug = _names_debug(named)
    kernel_build.build(cached_dir(debug), configs(debug), keep_tree=keep_tree)
    return _in_cache(cached_dir(debug))


def find(named: str | None = None) -> Kernel | None:
    """Like `ensure`, but None where the test kernel would have to be built."""
    if platform.machine() != "x86_64":
        raise ToolError(
            f"the test kernel is built for x86-64 and booted there, this machine is {platform.machine()}",
            hint="on this machine, what needs no test kernel works: tools/test --help tells what that is",
        )
    named = named or os.environ.get(VARIABLE)
    if named and not _names_debug(named):
        return _from_user(Path(named).absolute())
    directory = cached_dir(_names_debug(named))
    return _in_cache(directory) if directory.is_dir() else None


def _names_debug(named: str | None) -> bool:
    return (named or os.environ.get(VARIABLE)) == DEBUG


def cached_dir(debug: bool = False) -> Path:
    """Where the test kernel of this checkout is, once it is built; or the debug kernel."""
    return machine.cache_dir() / "kernel" / recipe_hash(debug)


def configs(debug: bool = False) -> list[Path]:
    """Our configuration, in one file or two."""
    return [RECIPE / "config", *([RECIPE / "config.debug"] if debug else [])]


def patches() -> list[Path]:
    """Our patches, in the order in which they apply."""
    return sorted((RECIPE / "patches").glob("*.patch"))


def module_sources() -> list[Path]:
    """What our module is built from."""
    return sorted((RECIPE / "module").iterdir())


def recipe_hash(debug: bool = False) -> str:
    """The name of the test kernel that source, configuration, patches and module make."""
    total = hashlib.sha256()
    for part in (RECIPE / "source", *configs(debug), *patches(), *module_sources()):
        total.update(f"{part.name} {part.stat().st_size}\n".encode())
        total.update(part.read_bytes())
    return total.hexdigest()[:16]


def extract_btf(vmlinux: Path, output: Path) -> None:
    """Write the BTF of an uncompressed kernel to a file."""
    command = ["objcopy", "--output-target=binary", "--only-section=.BTF", str(vmlinux), str(output)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0 or not output.stat().st_size:
        raise ToolError(f"{vmlinux}: no BTF in it: {done.stdout.strip()}", hint="it needs CONFIG_DEBUG_INFO_BTF=y")
    output.chmod(0o644)  # objcopy copies vmlinux's, which can be executed


def _in_cache(directory: Path) -> Kernel:
    return Kernel(directory / "bzImage", directory / "vmlinux.btf", directory / MODULE)


def _from_user(path: Path) -> Kernel:
    if not path.is_dir():
        if not path.is_file():
            raise ToolError(f"{path}: no such kernel image or build tree")
        btf, module = path.with_name("vmlinux.btf"), path.with_name(MODULE)
        return Kernel(path, btf if btf.exists() else None, module if module.exists() else None)
    image = path / IMAGE_IN_TREE
    if not image.is_file():
        raise ToolError(f"{path}: has no {IMAGE_IN_TREE}", hint=f"make -C {path} bzImage")
    return Kernel(image, _btf_of_tree(path / "vmlinux"))


def _btf_of_tree(vmlinux: Path) -> Path | None:
    """The BTF of a user's build, kept in the cache as long as the build is the same."""
    if not vmlinux.exists():
        return None
    version = f"{vmlinux} {vmlinux.stat().st_mtime_ns}"
    btf = machine.cache_dir() / "kernel" / "user" / f"{hashlib.sha256(version.encode()).hexdigest()[:16]}.btf"
    if not btf.exists():
        btf.parent.mkdir(parents=True, exist_ok=True)
        partial = btf.with_suffix(f".{os.getpid()}")
        extract_btf(vmlinux, partial)
        partial.rename(btf)
    return btf
