# SPDX-License-Identifier: BSD-2-Clause
"""Finding the test kernel: what names it in the cache, which source is taken, what a user's own kernel is."""

from __future__ import annotations

import re
import shutil
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tools.lib import kernel, kernel_build, kernel_source, machine, qemu
from tools.lib.report import ToolError

if TYPE_CHECKING:
    from pathlib import Path


class FakeSuite:
    """A Debian suite with these packages and versions; the interface of AptSource that choosing needs."""

    def __init__(self, packages: dict[str, list[str]]) -> None:
        self._packages = packages

    def names(self, pattern: str) -> list[str]:
        return [name for name in self._packages if re.fullmatch(pattern, name)]

    def versions(self, package: str) -> list[str]:
        return self._packages.get(package, [])


PIN = {"suite": "some-suite", "package": "linux-source-7.3", "version": "7.3.4-1"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAWBPF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(kernel.VARIABLE, raising=False)
    monkeypatch.setattr(kernel.platform, "machine", lambda: "x86_64")


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of tools/kernel that a test may change."""
    copy = tmp_path / "recipe"
    shutil.copytree(kernel.RECIPE, copy)
    monkeypatch.setattr(kernel, "RECIPE", copy)
    return copy


@pytest.mark.parametrize(
    ("packages", "chosen"),
    [
        ({"linux-source-7.3": ["7.3.5-1", "7.3.4-1"], "linux-source-7.9": ["7.9-1"]}, ("linux-source-7.3", "7.3.4-1")),
        ({"linux-source-7.3": ["7.3.5-1"], "linux-source-7.9": ["7.9-1"]}, ("linux-source-7.3", "7.3.5-1")),
        ({"linux-source-7.9": ["7.9-1"], "linux-source-7.10": ["7.10-1"]}, ("linux-source-7.10", "7.10-1")),
        ({"linux-source-6.19": ["6.19-1"], "linux-source-7.4": ["7.4-1"]}, ("linux-source-7.4", "7.4-1")),
    ],
    ids=["the pinned one", "its newest version", "the newest package", "of the same series"],
)
def test_source_is_the_pinned_one_or_the_next_best(packages: dict[str, list[str]], chosen: tuple[str, str]) -> None:
    assert kernel_source.choose(FakeSuite(packages), PIN) == chosen  # type: ignore[arg-type]


def test_a_fall_back_is_announced(capsys: pytest.CaptureFixture[str]) -> None:
    kernel_source.choose(FakeSuite({"linux-source-7.9": ["7.9-1"]}), PIN)  # type: ignore[arg-type]
    assert "linux-source-7.3 7.3.4-1 has left" in capsys.readouterr().err


def test_a_suite_without_a_source_is_an_error_with_a_way_out() -> None:
    with pytest.raises(ToolError, match=r"some-suite has no linux-source-7") as error:
        kernel_source.choose(FakeSuite({"linux-source-6.12": ["6.12-1"]}), PIN)  # type: ignore[arg-type]
    assert kernel.VARIABLE in error.value.hint


def test_pin_names_suite_package_and_version() -> None:
    pin = kernel_source.pin()
    assert set(pin) == {"suite", "package", "version", "pahole"}
    assert re.fullmatch(kernel_source.FALLBACK, pin["package"])


@pytest.mark.parametrize("part", ["source", "config", "patches", "module"])
def test_any_change_of_the_recipe_names_another_kernel(recipe: Path, part: str) -> None:
    before = kernel.recipe_hash()
    changed = {"patches": kernel.patches()[0], "module": kernel.module_sources()[-1]}.get(part, recipe / part)
    changed.write_text(changed.read_text() + "\n")
    assert kernel.recipe_hash() != before


def test_kernel_in_the_cache_is_found_without_building() -> None:
    assert kernel.find() is None
    kernel.cached_dir().mkdir(parents=True)
    names = ("bzImage", "vmlinux.btf", "rawbpf_test.ko")
    assert kernel.find() == kernel.Kernel(*(kernel.cached_dir() / name for name in names))
    assert kernel.ensure() == kernel.find()


def test_a_user_names_an_image_or_a_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / kernel.IMAGE_IN_TREE
    with pytest.raises(ToolError, match="no such kernel image"):
        kernel.find(str(image))
    with pytest.raises(ToolError, match="has no arch/x86/boot/bzImage"):
        kernel.find(str(tmp_path))
    image.parent.mkdir(parents=True)
    image.touch()
    assert kernel.find(str(tmp_path)) == kernel.Kernel(image, None)
    (image.parent / "vmlinux.btf").touch()
    assert kernel.find(str(image)) == kernel.Kernel(image, image.parent / "vmlinux.btf")
    (image.parent / "rawbpf_test.ko").touch()
    found = kernel.find(str(image))
    assert found
    assert found.module == image.parent / "rawbpf_test.ko"
    monkeypatch.setenv(kernel.VARIABLE, str(tmp_path))
    assert kernel.find() == kernel.find(str(tmp_path))


def test_btf_of_a_users_tree_is_taken_from_its_vmlinux(tmp_path: Path) -> None:
    image = tmp_path / kernel.IMAGE_IN_TREE
    image.parent.mkdir(parents=True)
    image.touch()
    blob = tmp_path / "blob"
    blob.write_bytes(b"\x9f\xeb\x01\x00 not really BTF")
    (tmp_path / "empty.c").touch()
    subprocess.run(["gcc", "-c", "-o", tmp_path / "empty.o", tmp_path / "empty.c"], check=True)
    add = ["objcopy", f"--add-section=.BTF={blob}", "--set-section-flags=.BTF=alloc,readonly"]
    subprocess.run([*add, tmp_path / "empty.o", tmp_path / "vmlinux"], check=True)
    found = kernel.find(str(tmp_path))
    assert found
    assert found.btf
    assert found.btf.read_bytes() == blob.read_bytes()


def test_a_vmlinux_without_btf_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no BTF in it"):
        kernel.extract_btf(tmp_path / "absent", tmp_path / "out")


def test_other_architectures_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel.platform, "machine", lambda: "aarch64")
    with pytest.raises(ToolError, match="this machine is aarch64"):
        kernel.find()


def test_a_full_disk_is_found_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_build.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    with pytest.raises(ToolError, match=r"1\.0 GB free"):
        kernel_build._check_disk(tmp_path)


@pytest.mark.parametrize(
    ("line", "holds"),
    [("CONFIG_A=y", True), ("CONFIG_B=y", False), ("CONFIG_B=n", True), ("CONFIG_A=n", False), ('CONFIG_C="x"', True)],
)
def test_configuration_is_checked_line_by_line(line: str, holds: bool) -> None:
    config = '# head\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="x"\n'
    assert kernel_build._holds(line, config) is holds


def test_pahole_of_a_suite_starts_with_its_own_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch_root(suite: str, packages: tuple[str, ...], root: Path) -> None:
        assert (suite, packages) == (kernel_source.pin()["pahole"], ("pahole",))
        libraries = root / "usr/lib/x86_64-linux-gnu"
        libraries.mkdir(parents=True)
        loader = libraries / "ld-linux-x86-64.so.2"
        loader.write_text('#!/bin/sh\necho "v1.99 $1 $2 $3"\n')
        loader.chmod(0o755)

    monkeypatch.setattr(kernel_build, "fetch_root", fetch_root)
    root = tmp_path / ".rawbpf-pahole"
    version = kernel_build._version_of(kernel_build._pahole(tmp_path))
    assert version == f"pahole v1.99 --library-path {root}/usr/lib/x86_64-linux-gnu {root}/usr/bin/pahole"


def test_pahole_of_this_machine_serves_where_no_other_can_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch_root(suite: str, packages: tuple[str, ...], root: Path) -> None:
        raise ToolError("no way to the mirror")

    monkeypatch.setattr(kernel_build, "fetch_root", fetch_root)
    assert kernel_build._pahole(tmp_path) == "pahole"
    assert "taking this machine's pahole: no way to the mirror" in capsys.readouterr().err


def test_patches_are_mails_with_one_subject_each() -> None:
    assert kernel.patches()
    for patch in kernel.patches():
        text = patch.read_text()
        assert re.search(r"^Subject: \[PATCH\] mptcp: ", text, re.MULTILINE), patch


def test_qemu_keeps_paths_with_commas_and_spaces_whole(tmp_path: Path) -> None:
    share = tmp_path / "a, b"
    hardware = qemu.Machine(share / "bzImage", ["/usr/bin/python 3", "job"], share, 1, "1G", qemu.EMULATION)
    line = qemu.command_line(hardware, dict.fromkeys(qemu.PORTS, 9), share / "console")
    assert any(word.startswith(f"local,id=rawbpf,path={tmp_path}/a,, b,") for word in line)
    assert any(' init="/usr/bin/python 3" -- job' in word for word in line)


def test_cache_is_outside_of_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAWBPF_CACHE")
    assert machine.ROOT not in kernel.cached_dir().parents
