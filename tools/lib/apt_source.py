# SPDX-License-Identifier: BSD-2-Clause
"""Packages of a Debian suite that this machine does not follow, without touching its own apt.

A private apt has its own source list, package lists and cache in one directory. It shares some of the machine's
settings, and Debian's archive key. It downloads; it never installs:
`fetch_root` unpacks programs into a directory of their own.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tools.lib.report import ToolError

if TYPE_CHECKING:
    from collections.abc import Iterable

MIRROR = "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PACKAGES = ("apt", "debian-archive-keyring")
"""What must be installed for this module to work."""


SHARED_SETTINGS = ("Acquire::http", "Acquire::https", "Acquire::Check-Valid-Until")
"""What is taken from the machine's apt: the way out, and whether a mirror may lag behind."""


def downloaded(package: str, version: str, directory: Path) -> Path | None:
    """The .deb file that `AptSource.download` left in a directory; whole, for apt checks it before it puts it there."""
    return next(directory.glob(f"{package}_{version.replace(':', '%3a')}_*.deb"), None)


MERGED = ("bin", "lib", "lib64", "sbin")  # packages have these below /usr, and name them without


def fetch_root(suite: str, packages: Iterable[str], root: Path) -> None:
    """Make `root` a root directory with the newest packages of a suite and all that they need, unless it is there.

    Raises:
        ToolError: they cannot be fetched.
    """
    if root.exists():
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=root.parent) as directory:
        fresh = Path(directory) / "root"
        for name in MERGED:
            (fresh / "usr" / name).mkdir(parents=True)
            (fresh / name).symlink_to(f"usr/{name}")
        (fresh / "tmp").mkdir()
        apt = AptSource(suite, Path(directory) / "apt")
        apt.update()
        for package in dict.fromkeys(path for name in packages for path in apt.download_closure(name)):
            # what older packages have in /lib goes to /usr/lib by the links
            unpack = f'dpkg-deb --fsys-tarfile "{package}" | tar -x --keep-directory-symlink -C "{fresh}"'
            subprocess.run(["sh", "-c", unpack], check=True, capture_output=True)
        fresh.rename(root)


class AptSource:
    """One suite, as an apt of its own below `directory`.

    It has the suite's binary packages (`kind` ``deb``) or its source packages (``deb-src``).
    """

    def __init__(self, suite: str, directory: Path, kind: str = "deb") -> None:
        self._suite = suite
        self._directory = directory
        self._kind = kind
        self._config = directory / "apt.conf"

    def update(self) -> None:
        """Fetch the suite's list of packages. To be called before the other methods."""
        for part in ("etc/sources.list.d", "state/lists/partial", "cache/archives/partial"):
            (self._directory / part).mkdir(parents=True, exist_ok=True)
        (self._directory / "state" / "status").touch()
        source = f"{self._kind} [signed-by={KEYRING}] {MIRROR} {self._suite} main\n"
        (self._directory / "etc" / "sources.list").write_text(source)
        self._config.write_text(self._settings())
        self._run("apt-get", "--quiet", "update")

    def versions(self, package: str) -> list[str]:
        """The versions of a package that the suite has, newest first."""
        table = self._run("apt-cache", "madison", package)
        return [line.split("|")[1].strip() for line in table.splitlines() if line.count("|") == 2]

    def names(self, pattern: str) -> list[str]:
        """The packages whose whole name matches a regular expression."""
        found = self._run("apt-cache", "search", "--names-only", f"^{pattern}$")
        return [line.split(" - ")[0] for line in found.splitlines()]

    def download(self, package: str, version: str, into: Path) -> Path:
        """Download a package as a .deb file into a directory, unless it is there. Returns its path."""
        into.mkdir(parents=True, exist_ok=True)
        if not downloaded(package, version, into):
            self._run("apt-get", "--quiet", "download", f"{package}={version}", cwd=into)
        found = downloaded(package, version, into)
        assert found, f"apt-get download did not write {package} {version} to {into}"
        return found

    def download_closure(self, package: str) -> list[Path]:
        """Download the newest version of a package and all that it depends on, as if nothing was installed."""
        install = ("install", "--yes", "--no-install-recommends", "--download-only")
        self._run("apt-get", "--quiet", *install, package)
        return sorted((self._directory / "cache" / "archives").glob("*.deb"))

    def download_source(self, package: str, into: Path) -> list[Path]:
        """Download the newest source package into an empty directory. Returns the paths of its files."""
        into.mkdir(parents=True, exist_ok=True)
        self._run("apt-get", "--quiet", "source", "--download-only", "--only-source", package, cwd=into)
        return sorted(into.iterdir())

    def _settings(self) -> str:
        machine = subprocess.run(["apt-config", "dump"], stdout=subprocess.PIPE, text=True).stdout.splitlines()
        return "\n".join(
            [
                *(line for line in machine if line.startswith(SHARED_SETTINGS)),
                f'Dir "{self._directory}";',
                'Dir::Etc "etc";',
                'Dir::State "state";',
                f'Dir::State::status "{self._directory}/state/status";',
                'Dir::Cache "cache";',
                'Acquire::Languages "none";',
                f'APT::Sandbox::User "{"root" if os.geteuid() == 0 else ""}";',  # _apt cannot write below a home
                "",
            ]
        )

    def _run(self, *command: str, cwd: Path | None = None) -> str:
        environment = {**os.environ, "APT_CONFIG": str(self._config), "LC_ALL": "C.UTF-8"}
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            reasons = [line for line in done.stderr.splitlines() if line.startswith("E: ")] or [done.stderr.strip()]
            raise ToolError(
                f"{' '.join(command)} failed for Debian's {self._suite}: {reasons[0].removeprefix('E: ')}",
                hint=f"is there a way to {MIRROR}? A proxy of apt's own configuration is used",
            )
        return done.stdout
