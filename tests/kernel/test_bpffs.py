# SPDX-License-Identifier: BSD-2-Clause
"""Pins: made with their directories, told apart, removed; and a bpffs where there is none."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import asm
import pytest

from rawbpf.errors import KernelError, PermissionDeniedError
from rawbpf.kernel import bpffs, syscall
from rawbpf.pins import pin_name
from rawbpf.uapi import MapType, ProgType

if TYPE_CHECKING:
    from rawbpf.kernel.fd import Fd


def make_map() -> Fd:
    return syscall.map_create({"map_type": MapType.ARRAY, "key_size": 4, "value_size": 4, "max_entries": 1})


def test_what_is_a_bpffs(bpffs_dir: Path, tmp_path: Path) -> None:
    assert bpffs.is_bpffs(bpffs_dir)
    assert not bpffs.is_bpffs(tmp_path)
    assert not bpffs.is_bpffs(tmp_path / "nothing")


def test_mount(tmp_path: Path) -> None:
    directory = tmp_path / "fs"
    directory.mkdir()
    assert bpffs.mount(directory)
    try:
        assert bpffs.is_bpffs(directory)
        assert not bpffs.mount(directory)
        assert directory.stat().st_mode & 0o777 == 0o700
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def test_mount_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(KernelError) as error:
        bpffs.mount(tmp_path / "nothing")
    assert error.value.errno == errno.ENOENT
    assert error.value.hint == f"run as root: mount -t bpf bpf {tmp_path}/nothing"


def test_mount_without_the_right_to(tmp_path: Path) -> None:
    code = f"import os\nfrom rawbpf.kernel import bpffs\nos.setuid(65534)\nbpffs.mount({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "PermissionDeniedError: no bpffs is mounted" in done.stderr


def test_a_pin_makes_its_directories(bpffs_dir: Path) -> None:
    with make_map() as fd:
        bpffs.pin(fd.fileno(), bpffs_dir / "a" / "b" / "map")
    assert (bpffs_dir / "a").stat().st_mode & 0o777 == 0o700
    assert [(pin.path, pin.kind) for pin in bpffs.pins(bpffs_dir)] == [(str(bpffs_dir / "a/b/map"), "map")]


def test_a_failed_pin_leaves_no_directory(bpffs_dir: Path) -> None:
    with make_map() as fd, pytest.raises(KernelError) as error:
        bpffs.pin(fd.fileno(), bpffs_dir / "a" / "b" / "with.dot")
    assert error.value.errno == errno.EPERM
    assert error.value.hint == "bpffs keeps names with a dot for itself"
    assert error.value.path == str(bpffs_dir / "a/b/with.dot")
    assert os.listdir(bpffs_dir) == []


def test_pins_are_only_possible_on_a_bpffs(tmp_path: Path) -> None:
    with make_map() as fd, pytest.raises(KernelError, match="is not on a bpffs") as error:
        bpffs.pin(fd.fileno(), tmp_path / "a" / "map")
    assert error.value.hint is not None
    assert "mount -t bpf" in error.value.hint
    assert os.listdir(tmp_path) == []


def test_pin_names_have_no_dots() -> None:
    assert pin_name(".rodata") == "_rodata"
    assert pin_name("plain_name") == "plain_name"


def test_kinds(bpffs_dir: Path) -> None:
    with make_map() as fd:
        syscall.obj_pin(fd.fileno(), bpffs_dir / "map")
    with syscall.prog_load({"prog_type": ProgType.SOCKET_FILTER}, asm.RETURN_0, license="GPL") as fd:
        syscall.obj_pin(fd.fileno(), bpffs_dir / "program")
    (bpffs_dir / "empty").mkdir()
    pins = list(bpffs.pins(bpffs_dir))
    assert [(Path(pin.path).name, pin.kind) for pin in pins] == [("map", "map"), ("program", "program")]
    assert all(pin.id > 0 for pin in pins)
    assert list(bpffs.pins(bpffs_dir.parent)) == pins  # the kernel's own files there are none


def test_a_tree_is_removed(bpffs_dir: Path) -> None:
    with make_map() as fd:
        for path in ("all/one", "all/maps/two"):
            bpffs.pin(fd.fileno(), bpffs_dir / path)
    removed = bpffs.remove_tree(bpffs_dir / "all")
    assert sorted(removed) == [str(bpffs_dir / "all/maps/two"), str(bpffs_dir / "all/one")]
    assert os.listdir(bpffs_dir) == []


def test_only_the_own_pin_is_removed(bpffs_dir: Path) -> None:
    with make_map() as mine, make_map() as other:
        syscall.obj_pin(other.fileno(), bpffs_dir / "pin")
        bpffs.unpin_own(mine, bpffs_dir / "pin")
        assert (bpffs_dir / "pin").exists()
        bpffs.unpin_own(other, bpffs_dir / "pin")
        assert not (bpffs_dir / "pin").exists()
        bpffs.unpin_own(other, bpffs_dir / "pin")
    bpffs.unpin(bpffs_dir / "pin")


def test_a_pin_that_may_not_be_removed(bpffs_dir: Path) -> None:
    with pytest.raises(KernelError, match="cannot remove the pin") as error:
        bpffs.unpin(bpffs_dir)
    assert error.value.errno == errno.EISDIR
    assert not isinstance(error.value, PermissionDeniedError)
