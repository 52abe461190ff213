# SPDX-License-Identifier: BSD-2-Clause
"""The command line as one types it, on the running kernel: exit codes, JSON, and what is in the kernel afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonkit
import pytest

from rawbpf.kernel import bpffs, info
from rawbpf.kernel.attach import _cgroup as cgroups
from rawbpf.kernel.host import vmlinux_btf
from rawbpf.kernel.maps import Map
from rawbpf.kernel.programs import Program
from rawbpf.uapi import AttachType

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
SOCK = "objs/mptcp_sock.o"
RR = "objs/mptcp_bpf_rr.o"
OTHER_ORDER = "eb" if sys.byteorder == "little" else "el"
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")


class Result(NamedTuple):
    code: int
    output: str
    complaints: str


def built(name: str) -> str:
    return f"tests/objs/{name}.{'el' if sys.byteorder == 'little' else 'eb'}.o"


def run(*words: object, prefix: tuple[str, ...] = ()) -> Result:
    line = [*prefix, sys.executable, "-m", "rawbpf", *map(str, words)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)
    return Result(done.returncode, done.stdout, done.stderr)


def run_json(*words: object, prefix: tuple[str, ...] = ()) -> tuple[int, Any]:
    code, output, complaints = run(*words, "--json", prefix=prefix)
    assert complaints == ""
    return code, json.loads(output)


def kinds(directory: Path) -> dict[str, set[str]]:
    """Names of the pins by folder."""
    return {folder.name: {pin.name for pin in folder.iterdir()} for folder in directory.iterdir()}


# -- exit codes and errors


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "cut.o"
    path.write_bytes((ROOT / SOCK).read_bytes()[:-50])
    code, printed = run_json("load", path, "--no-pin")
    assert code == 3
    jsonkit.check_error(printed, "elf", "path")
    code, output, complaints = run("load", path, "--no-pin")
    assert (code, output) == (3, "")
    assert complaints.startswith(f"rawbpf: {path}: ")
    assert "Traceback" not in complaints


@pytest.mark.parametrize(
    ("path", "code", "kind", "symbol"),
    [
        (built("sections_unknown"), 4, "spec", "misspelt"),
        (built("ksym_missing"), 5, "extern", "rawbpf_no_such_symbol"),
        (built("kfunc_missing"), 5, "extern", "rawbpf_no_such_kfunc"),
        (built("kconfig_missing"), 5, "extern", "CONFIG_RAWBPF_NO_SUCH_OPTION"),
        (f"tests/objs/maps.{OTHER_ORDER}.o", 5, "target", None),
    ],
    ids=["section", "ksym", "kfunc", "kconfig", "byte-order"],
)
def test_what_cannot_be_loaded(bpffs_dir: Path, path: str, code: int, kind: str, symbol: str | None) -> None:
    got, printed = run_json("load", path, "--pin", bpffs_dir / "here")
    assert got == code
    error = jsonkit.check_error(printed, kind, "path", "hint")
    assert (error["path"], error.get("symbol")) == (path, symbol)
    assert list(bpffs_dir.iterdir()) == []


def test_pins_need_a_bpffs(tmp_path: Path) -> None:
    code, printed = run_json("load", SOCK, "--pin", tmp_path / "here")
    assert code == 6
    error = jsonkit.check_error(printed, "kernel", "errno", "hint")
    assert (error["errno_name"], error["command"]) == ("EPERM", "BPF_OBJ_PIN")
    assert list(tmp_path.iterdir()) == []


def test_the_verifier_refuses(bpffs_dir: Path) -> None:
    code, printed = run_json("load", built("rejected"), "--pin", bpffs_dir / "here")
    assert code == 7
    error = jsonkit.check_error(printed, "verifier", "path", "section", "insn", "source", "errno", "summary", "log")
    assert (error["symbol"], error["errno_name"], error["command"]) == ("out_of_bounds", "EACCES", "BPF_PROG_LOAD")
    source = error["source"]
    text = (ROOT / "tests/objs/rejected.c").read_text().splitlines()[source["line"] - 1]
    assert (Path(source["file"]).name, source["text"]) == ("rejected.c", text)
    assert "return numbers[chosen]" in text
    assert error["summary"] in error["log"]
    assert error["summary"] in error["message"]
    assert list(bpffs_dir.iterdir()) == []


def test_the_verifier_refuses_in_words() -> None:
    code, output, complaints = run("load", built("rejected"), "--no-pin")
    assert (code, output) == (7, "")
    first, line = complaints.splitlines()[:2]
    assert "out_of_bounds" in first
    assert "rejected.c:" in first
    assert "return numbers[chosen]" in line
    assert "good_first" not in complaints


def test_without_rights(bpffs_dir: Path) -> None:
    code, printed = run_json("load", SOCK, "--pin", bpffs_dir / "here", prefix=WITHOUT_RIGHTS)
    assert code == 8
    error = jsonkit.check_error(printed, "permission", "errno", "errno_name", "command", "hint")
    assert error["errno"] in (1, 13)
    assert "CAP_BPF" in error["hint"]
    assert list(bpffs_dir.iterdir()) == []


def test_a_kernel_without_the_struct_ops(bpffs_dir: Path, require: Callable[[object, str], None]) -> None:
    btf = vmlinux_btf()
    require(btf is None or not btf.find_all("bpf_struct_ops_mptcp_sched_ops"), "this kernel has mptcp_sched_ops")
    code, printed = run_json("load", RR, "--pin", bpffs_dir / "here")
    assert code == 9
    error = jsonkit.check_error(printed, "not_supported", "path", "symbol", "hint")
    assert "has no struct_ops type mptcp_sched_ops" in error["message"]
    assert "MPTCP development tree" in error["hint"]
    assert f"tools/vm -- .venv/bin/python -m rawbpf load {RR}" in error["hint"]
    assert list(bpffs_dir.iterdir()) == []
    code, output, complaints = run("load", RR, "--no-pin")
    assert (code, output) == (9, "")
    assert error["message"] in complaints
    assert error["hint"] in complaints


# -- load, list, unload


def test_from_load_to_unload(bpffs_dir: Path) -> None:
    here = bpffs_dir / "here"
    code, told = run_json("load", SOCK, "--pin", here, "--set", "connects=41")
    assert code == 0
    jsonkit.check(told, jsonkit.LOAD)
    assert (told["object"], told["pinned_at"], told["links"]) == ("mptcp_sock", str(here), [])
    assert [entry["program"] for entry in told["not_attached"]] == ["on_sock_op"]

    (program,) = told["programs"]
    with Program.open(here / "programs/on_sock_op") as pinned:
        about = pinned.info
    assert (program["id"], program["tag"], program["xlated_len"]) == (about.id, about.tag, about.xlated_len)
    ids = {entry["name"]: entry["id"] for entry in told["maps"]}
    assert set(ids.values()) == set(about.map_ids)
    with Map.open(here / "maps/_bss") as bss:
        assert bss.id == ids[".bss"]
        assert int.from_bytes(bss.raw_value(bytes(4)), sys.byteorder) == 41

    pins = {f"{here}/programs/on_sock_op", f"{here}/maps/connections", f"{here}/maps/_bss"}
    code, listed = run_json("list", bpffs_dir)
    assert code == 0
    jsonkit.check(listed, jsonkit.LIST)
    (entry,) = listed["objects"]
    assert (entry["name"], entry["path"]) == ("here", str(here))
    assert {(pin["kind"], pin["id"]) for pin in entry["pins"]} == {
        ("program", program["id"]), *(("map", number) for number in ids.values())
    }  # fmt: skip
    assert {pin["path"] for pin in entry["pins"]} == pins

    code, again = run_json("load", SOCK, "--pin", here)
    assert code == 4
    assert f"rawbpf unload {here}" in jsonkit.check_error(again, "spec", "hint")["hint"]
    assert {pin.path for pin in bpffs.pins(here)} == pins

    code, gone = run_json("unload", here)
    assert code == 0
    jsonkit.check(gone, jsonkit.UNLOAD)
    assert (gone["path"], set(gone["removed"])) == (str(here), pins)
    assert list(bpffs_dir.iterdir()) == []
    assert run_json("list", bpffs_dir) == (0, {"objects": [], "errors": []})
    code, printed = run_json("unload", here)
    assert code == 4
    jsonkit.check_error(printed, "spec", "hint")


def test_load_does_what_plan_says(bpffs_dir: Path) -> None:
    planned, told = (run_json(command, SOCK, "--pin", bpffs_dir / "here")[1] for command in ("plan", "load"))
    jsonkit.check(planned, jsonkit.PLAN)
    assert planned["plan"] == told["plan"]
    bpffs.remove_tree(bpffs_dir / "here")


def test_only(bpffs_dir: Path) -> None:
    here = bpffs_dir / "here"
    code, told = run_json("load", built("rejected"), "--pin", here, "--only", "good_first", "good_last")
    assert code == 0
    assert {program["name"] for program in told["programs"]} == {"good_first", "good_last"}
    assert kinds(here)["programs"] == {"good_first", "good_last"}
    bpffs.remove_tree(here)


def test_set_before_the_verifier_looks(bpffs_dir: Path) -> None:
    here = bpffs_dir / "here"
    assert run("load", built("data"), "--pin", here, "--only", "constants", "--set", "ro_zero=7").code == 0
    with Program.open(here / "programs/constants") as program:
        assert program.test_run().retval == 7
    bpffs.remove_tree(here)


def test_a_cgroup(bpffs_dir: Path, cgroup: Path) -> None:
    here = bpffs_dir / "here"
    code, told = run_json("load", SOCK, "--pin", here, "--cgroup", cgroup)
    assert code == 0
    jsonkit.check(told, jsonkit.LOAD)
    (link,) = told["links"]
    (program,) = told["programs"]
    assert told["not_attached"] == []
    assert cgroups.attached(cgroup, AttachType.CGROUP_SOCK_OPS) == [program["id"]]
    assert link["id"] in {entry.id for entry in info.links()}
    assert kinds(here)["links"] == {link["name"]}
    assert run("unload", here).code == 0
    assert cgroups.attached(cgroup, AttachType.CGROUP_SOCK_OPS) == []


def test_no_attach(bpffs_dir: Path, cgroup: Path) -> None:
    here = bpffs_dir / "here"
    code, told = run_json("load", SOCK, "--pin", here, "--cgroup", cgroup, "--no-attach")
    assert (code, told["links"], told["not_attached"]) == (0, [], [])
    assert cgroups.attached(cgroup, AttachType.CGROUP_SOCK_OPS) == []
    assert kinds(here).keys() == {"maps", "programs"}
    bpffs.remove_tree(here)


def test_a_struct_ops_that_is_not_attached(bpffs_dir: Path) -> None:
    here = bpffs_dir / "here"
    code, told = run_json("load", "objs/tcp_cc_demo.o", "--pin", here, "--no-attach")
    assert (code, told["links"], told["usage"]) == (0, [], [])
    assert {program["type"] for program in told["programs"]} == {"STRUCT_OPS"}
    assert kinds(here).keys() == {"maps", "programs"}
    assert run("unload", here).code == 0
    assert list(bpffs_dir.iterdir()) == []


def test_no_such_control_group(bpffs_dir: Path, tmp_path: Path) -> None:
    code, printed = run_json("load", SOCK, "--pin", bpffs_dir / "here", "--cgroup", tmp_path / "none")
    assert code == 6
    assert jsonkit.check_error(printed, "kernel", "symbol", "hint")["errno_name"] == "ENOENT"
    assert list(bpffs_dir.iterdir()) == []


def test_the_types_of_the_kernel() -> None:
    code, printed = run_json("btf", "dump", "--type", "tcp_congestion_ops")
    assert code == 0
    jsonkit.check(printed, jsonkit.BTF_DUMP)
    (found,) = (entry for entry in printed["types"] if entry["name"] == "tcp_congestion_ops")
    assert "cong_avoid" in [member["name"] for member in found["members"]]
