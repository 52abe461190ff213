# SPDX-License-Identifier: BSD-2-Clause
"""The commands that need neither root nor a kernel: exit codes, and JSON as docs/json.md describes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonkit
import pytest

from rawbpf import Plan
from rawbpf.cli import main

ROOT = Path(__file__).parents[2]
OBJS = ROOT / "tests/objs"
SOCK = ROOT / "objs/mptcp_sock.o"
KERNEL = OBJS / "core_target.el.o"
PLANNED = ("maps", "map_in_map", "data", "arena", "prog_array", "core", "subprograms", "sections")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command with --json; its exit code and its object, of which nothing is on stderr."""

    def call(*words: object) -> tuple[int, Any]:
        code = main([*map(str, words), "--json"])
        output, complaints = capsys.readouterr()
        assert complaints == ""
        return code, json.loads(output)

    return call


# -- exit codes and errors


def bad_files() -> dict[str, tuple[bytes, str]]:
    data = SOCK.read_bytes()
    header = bytearray(data[:64])
    header[4] = 1  # EI_CLASS: 32-bit
    return {
        "empty": (b"", "elf"),
        "text": (b"no ELF at all\n" * 9, "elf"),
        "header-alone": (data[:64], "elf"),
        "truncated": (data[:-100], "elf"),
        "32-bit": (bytes(header) + data[64:], "elf"),
        "x86": (data[:18] + b"\x3e\0" + data[20:], "elf"),
        "bad-btf": (data.replace(b"\x9f\xeb\x01\0", b"\x9f\xeb\x63\0"), "btf"),
    }


@pytest.mark.parametrize("command", ["inspect", "plan"])
@pytest.mark.parametrize("name", bad_files())
def test_a_bad_file(name: str, command: str, tmp_path: Path, run: Any) -> None:
    path = tmp_path / f"{name}.o"
    data, kind = bad_files()[name]
    path.write_bytes(data)
    code, printed = run(command, path, *(["--btf", KERNEL] if command == "plan" else []))
    assert code == 3
    assert jsonkit.check_error(printed, kind, "path")["path"] == str(path)


@pytest.mark.parametrize("words", [["inspect"], ["plan"], ["btf", "dump"]], ids=" ".join)
@pytest.mark.parametrize("where", ["", "missing.o"], ids=["directory", "missing"])
def test_an_unreadable_file(words: list[str], where: str, tmp_path: Path, run: Any) -> None:
    code, printed = run(*words, tmp_path / where)
    assert code == 3
    assert "cannot be read" in jsonkit.check_error(printed, "elf", "path")["message"]


def test_a_section_that_is_none(run: Any) -> None:
    code, printed = run("plan", OBJS / "sections_unknown.el.o", "--btf", KERNEL)
    assert code == 4
    error = jsonkit.check_error(printed, "spec", "path", "symbol", "hint")
    assert (error["symbol"], error["hint"]) == ("misspelt", "near ones: xdp")


@pytest.mark.parametrize(
    ("option", "value", "near"),
    [("--only", "on_sock_opp", "on_sock_op"), ("--set", "connect=1", "connects")],
    ids=["program", "variable"],
)
def test_a_name_that_is_none(option: str, value: str, near: str, run: Any) -> None:
    code, printed = run("plan", SOCK, option, value, "--btf", KERNEL)
    assert code == 4
    assert near in jsonkit.check_error(printed, "spec", "hint")["hint"]


def test_a_value_that_does_not_fit(run: Any) -> None:
    code, printed = run("plan", OBJS / "data.el.o", "--set", "an_u8=256", "--btf", KERNEL)
    assert code == 4
    assert jsonkit.check_error(printed, "spec", "symbol")["symbol"] == "an_u8"


@pytest.mark.parametrize(
    ("name", "code", "kind", "symbol"),
    [
        ("kfunc_missing", 5, "extern", "rawbpf_no_such_kfunc"),
        ("core_ambiguous", 5, "core", "read_twin"),
        ("struct_ops", 9, "not_supported", "plain"),
    ],
)
def test_an_object_that_does_not_fit(name: str, code: int, kind: str, symbol: str, run: Any) -> None:
    got, printed = run("plan", OBJS / f"{name}.el.o", "--btf", KERNEL)
    assert got == code
    assert jsonkit.check_error(printed, kind, "path", "symbol")["symbol"] == symbol


def test_the_other_byte_order(run: Any) -> None:
    code, printed = run("plan", OBJS / "maps.eb.o", "--btf", KERNEL)
    assert code == 5
    assert "-target bpfel" in jsonkit.check_error(printed, "target", "hint")["hint"]


@pytest.mark.parametrize(
    ("target", "code", "kind", "text"),
    [
        ("other_verdict=7", 5, "target", "progid:7 cannot be attached to"),
        ("other_verdict=/sys/fs/bpf/x:verdict", 5, "target", "pin:/sys/fs/bpf/x cannot be attached to"),
        ("unnamed=7", 4, "spec", "no function of the other program is named"),
        ("other_verdikt=7", 4, "spec", "no program named 'other_verdikt'"),
    ],
)
def test_another_program_to_attach_to(target: str, code: int, kind: str, text: str, run: Any) -> None:
    got, printed = run("plan", OBJS / "ext.el.o", "--btf", KERNEL, "--target", target)
    assert got == code
    assert text in jsonkit.check_error(printed, kind, *printed["errors"][0].keys() - {"code", "message"})["message"]


def test_a_token_is_a_step(run: Any) -> None:
    code, printed = run("plan", OBJS / "data.el.o", "--btf", KERNEL, "--token", "/some/bpffs")
    assert code == 0
    first = printed["plan"]["steps"][0]
    assert (first["step"], first["handle"], first["path"]) == ("create_token", "token", "/some/bpffs")


def test_no_such_type(run: Any) -> None:
    code, printed = run("btf", "dump", OBJS / "data.el.o", "--type", "pointt")
    assert code == 4
    assert "point" in jsonkit.check_error(printed, "spec", "hint")["hint"]


@pytest.mark.parametrize(
    "words",
    [[], ["lod"], ["plan"], ["plan", SOCK, "--set", "connects"], ["plan", SOCK, "--kconfig", "HZ=1"],
     ["plan", SOCK, "--pin", "x", "--no-pin"], ["plan", SOCK, "--target", "f"], ["plan", SOCK, "--target", "f=:g"]],
    ids=["nothing", "command", "no-object", "set", "kconfig", "both-pins", "target", "target-of-none"],
)  # fmt: skip
def test_a_wrong_command_line(words: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(word) for word in words]) == 2
    output, complaints = capsys.readouterr()
    assert output == ""
    assert "usage: rawbpf" in complaints


# -- what is printed


@pytest.mark.parametrize("name", PLANNED)
def test_plan(name: str, run: Any) -> None:
    code, printed = run("plan", OBJS / f"{name}.el.o", "--btf", KERNEL)
    assert code == 0
    jsonkit.check(printed, jsonkit.PLAN)
    assert printed["errors"] == []
    steps = jsonkit.documented_steps()
    for step in printed["plan"]["steps"]:
        assert steps[step["step"]] <= step.keys()
        for slot in step.get("slots", ()):
            jsonkit.check(slot, {"offset": int, "handle": str, "size": int})
    kept = Plan.from_json(printed["plan"])
    assert [p["name"] for p in printed["programs"]] == [step.name for step in kept.programs]
    assert kept.to_json() == printed["plan"]


def test_every_step_is_documented() -> None:
    from rawbpf.plan import steps

    assert jsonkit.documented_steps() == {name: {"step", *kind._fields} for name, kind in steps.STEPS.items()}


def test_plan_shaped_by_options(run: Any) -> None:
    words = ["--btf", KERNEL, "--only", "good_last", "--set", "chosen=1", "--no-pin", "--no-attach"]
    code, printed = run("plan", OBJS / "rejected.el.o", *words)
    assert code == 0
    assert [p["name"] for p in printed["programs"]] == ["good_last"]
    steps = printed["plan"]["steps"]
    assert {"pin", "create_link"} & {step["step"] for step in steps} == set()
    (chosen,) = (v for v in printed["plan"]["variables"] if v["name"] == "chosen")
    (update,) = (step for step in steps if step["step"] == "update_map" and step["map"] == chosen["map"])
    value = bytes.fromhex(update["value"])[chosen["offset"] :][: chosen["size"]]
    assert int.from_bytes(value, "little") == 1


@pytest.mark.parametrize("order", ["el", "eb"])
def test_inspect(order: str, run: Any) -> None:
    code, printed = run("inspect", OBJS / f"struct_ops.{order}.o")
    assert code == 0
    jsonkit.check(printed, jsonkit.INSPECT)
    assert printed["byte_order"] == {"el": "little", "eb": "big"}[order]
    assert printed["struct_ops"] != []
    assert printed.keys() & {"relocations", "disassembly"} == set()


def test_inspect_in_full(run: Any) -> None:
    code, printed = run("inspect", SOCK, "--relocs", "--disasm")
    assert code == 0
    jsonkit.check(printed, jsonkit.INSPECT | {"relocations": [{"section": str}], "disassembly": {"on_sock_op": [str]}})
    assert "struct mptcp_sock.token" in [relo["against"] for relo in printed["relocations"]]
    assert printed["disassembly"].keys() == {"on_sock_op"}
    assert any("call bpf_skc_to_mptcp_sock" in line for line in printed["disassembly"]["on_sock_op"])


def test_btf_dump(run: Any) -> None:
    code, printed = run("btf", "dump", OBJS / "data.el.o", "--type", "point")
    assert code == 0
    jsonkit.check(printed, jsonkit.BTF_DUMP)
    members = {entry["name"]: entry.get("members") for entry in printed["types"]}
    assert members.keys() == {"int", "point"}
    assert [member["name"] for member in members["point"]] == ["x", "y"]


def test_btf_dump_of_all(run: Any) -> None:
    code, printed = run("btf", "dump", OBJS / "btf_kinds.el.o")
    assert code == 0
    jsonkit.check(printed, jsonkit.BTF_DUMP)
    assert [entry["id"] for entry in printed["types"]] == list(range(1, len(printed["types"]) + 1))
    assert len({entry["kind"] for entry in printed["types"]}) == 19
