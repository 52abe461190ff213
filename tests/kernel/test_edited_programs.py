# SPDX-License-Identifier: BSD-2-Clause
"""Programs that are edited before the load do in the kernel what the edit says; and what refuses them says why."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import rawbpf
from rawbpf.errors import KernelError, NotSupportedError, TargetError, VerifierError
from rawbpf.kernel import features, gate, syscall, token
from rawbpf.objfile.insn import Insn, decode
from rawbpf.uapi import HELPERS, AttachType, Cmd, MapFlag, ProgFlag, ProgType

if TYPE_CHECKING:
    from collections.abc import Callable

OBJS = Path(__file__).parent.parent / "objs"
RETURN_7 = decode(bytes.fromhex("b7000000070000009500000000000000"), little=True)


def only(obj: str, *names: str) -> rawbpf.ObjectSpec:
    spec = rawbpf.open(OBJS / f"{obj}.el.o")
    spec.only(list(names))
    return spec


def test_other_instructions() -> None:
    spec = only("core_kernel", "unguarded")  # which the verifier refuses as it is
    spec.programs["unguarded"].replace_insns(RETURN_7)
    with rawbpf.load(spec) as obj:
        assert obj.programs["unguarded"].test_run().retval == 7


def test_instructions_before_the_file_s_own() -> None:
    spec = only("data", "constants")
    program = spec.programs["constants"]
    program.replace_insns([Insn(0xB7, dst=0, imm=1), *program.insns])
    with rawbpf.load(spec) as obj:
        assert obj.programs["constants"].test_run().retval == 4242
        assert obj.programs["constants"].code().line_info


def test_another_type() -> None:
    spec = only("arg_tags", "from_syscall")
    spec.programs["from_syscall"].set_type(ProgType.SOCKET_FILTER)
    with rawbpf.load(spec) as obj:
        assert obj.programs["from_syscall"].info.type == ProgType.SOCKET_FILTER
        assert obj.programs["from_syscall"].test_run(bytes(64)).retval == 0


def test_another_attach_type() -> None:
    spec = only("sections", "do_cgroup_bind4")
    spec.programs["do_cgroup_bind4"].attach_type = AttachType.CGROUP_INET4_CONNECT
    with rawbpf.load(spec) as obj:
        assert obj.programs["do_cgroup_bind4"].expected_attach_type == AttachType.CGROUP_INET4_CONNECT
    spec.programs["do_cgroup_bind4"].attach_type = AttachType.XDP
    with pytest.raises(KernelError, match="without a word of the verifier") as caught:
        rawbpf.load(spec)
    assert "attach type" in (caught.value.hint or "")


def test_other_flags() -> None:
    spec = only("ext_target", "ext_target")
    spec.programs["ext_target"].flags |= ProgFlag.SLEEPABLE
    with pytest.raises(VerifierError, match=r"[Ss]leepable"):
        rawbpf.load(spec)
    spec.programs["ext_target"].flags = ProgFlag.XDP_HAS_FRAGS
    with rawbpf.load(spec) as obj:
        assert obj.programs["ext_target"].test_run(bytes(64)).retval == 2


@pytest.mark.parametrize("level", [1, 2, 4])
def test_a_log_on_request(level: int) -> None:
    spec = only("ext_target", "ext_target")
    spec.programs["ext_target"].log_level = level
    with rawbpf.load(spec) as obj:
        log = obj.programs["ext_target"].log
    assert "processed" in log
    assert ("R1" in log) is (level == 2)


def test_no_log_unasked() -> None:
    with rawbpf.load(only("ext_target", "ext_target")) as obj:
        assert obj.programs["ext_target"].log == ""


def test_an_interface_that_is_not_there() -> None:
    spec = only("ext_target", "ext_target")
    spec.programs["ext_target"].ifindex = 0x7FFFFFFF
    with pytest.raises(KernelError):
        rawbpf.load(spec)


class Lacks:
    """The running kernel, with one feature fewer."""

    def __init__(self, missing: str) -> None:
        self.missing = missing

    def has(self, name: str) -> bool:
        return name != self.missing and features.Features().has(name)


def test_contexts_as_older_kernels_know_them() -> None:
    target = rawbpf.host_target()
    target.features = Lacks("arg_ctx_tag")
    plan = rawbpf.make_plan(rawbpf.open(OBJS / "arg_tags.el.o"), target)
    assert plan.btf is not None
    assert rawbpf.Btf(plan.btf).find("__sk_buff") is not None
    with rawbpf.load(plan) as obj:
        assert obj.programs["from_socket"].test_run(bytes(64)).retval == 0
        assert obj.programs["from_syscall"].test_run().retval == 0


def test_memory_reads_of_older_kernels() -> None:
    newer, older = HELPERS.index("bpf_probe_read_kernel"), HELPERS.index("bpf_probe_read")
    spec = only("sections", "do_raw_tracepoint")
    arguments = [Insn(0xBF, 1, 10), Insn(0x07, 1, imm=-8), Insn(0xB7, 2, imm=8), Insn(0xB7, 3)]
    spec.programs["do_raw_tracepoint"].replace_insns([*arguments, Insn(0x85, imm=newer), *RETURN_7])
    target = rawbpf.host_target()
    target.features = Lacks("probe_read_kernel")
    plan = rawbpf.make_plan(spec, target, attach=False)
    assert [insn.imm for insn in decode(plan.programs[0].insns, little=True) if insn.is_call] == [older]
    rawbpf.load(plan).close()


# -- other programs


def test_a_program_that_is_not_there() -> None:
    spec = only("ext", "other_verdict")
    spec.programs["other_verdict"].attach_to(0x7FFFFFFF)
    with pytest.raises(TargetError, match="no BPF program has the id 2147483647"):
        rawbpf.load(spec)
    spec.programs["other_verdict"].attach_to("/sys/fs/bpf/rawbpf-no-such-pin")
    with pytest.raises(TargetError, match="nothing is pinned at /sys/fs/bpf/rawbpf-no-such-pin"):
        rawbpf.load(spec)


def test_a_plan_names_the_other_program() -> None:
    with rawbpf.load(OBJS / "ext_target.el.o") as target:
        spec = only("ext", "other_verdict")
        spec.programs["other_verdict"].attach_to(target.programs["ext_target"])
        plan = rawbpf.make_plan(spec)
        (step,) = plan.programs
        assert step.attach_btf == f"progid:{target.programs['ext_target'].id}"
        seen: list[gate.Call] = []
        with gate.observe(seen.append), suppress(KernelError):  # of a kernel without BPF trampolines
            rawbpf.load(plan).close()
    call = next(call for call in seen if call.command == Cmd.PROG_LOAD)
    assert call.fields()["attach_prog_fd"] > 2
    assert call.fields()["attach_btf_id"] == step.attach_btf_id
    with pytest.raises(TargetError, match="no BPF program has the id"):
        rawbpf.load(plan)


def test_a_program_without_btf(bpffs_dir: Path) -> None:
    with syscall.prog_load({"prog_type": ProgType.XDP, "prog_name": "bare"}, features.RETURN_0, license="GPL") as fd:
        syscall.obj_pin(fd.fileno(), bpffs_dir / "bare")
    spec = only("ext", "other_verdict")
    spec.programs["other_verdict"].attach_to(bpffs_dir / "bare")
    with pytest.raises(TargetError, match=r"the BPF program 'bare' .* was loaded without BTF"):
        rawbpf.load(spec)


# -- tokens


def test_the_initial_namespace_has_no_tokens(bpffs_dir: Path, require: Callable[[object, str], None]) -> None:
    require(token.in_initial_user_namespace(), "this is no initial user namespace")
    with pytest.raises((KernelError, NotSupportedError), match="BPF_TOKEN_CREATE") as caught:
        rawbpf.load(OBJS / "data.el.o", token=str(bpffs_dir.parent))
    assert "initial user namespace" in (caught.value.hint or "")
    with pytest.raises(KernelError, match="BPF_TOKEN_CREATE"):
        rawbpf.load(OBJS / "data.el.o", token="/proc")
    with pytest.raises(KernelError, match="no bpffs for a token: embedded null byte"):
        rawbpf.load(OBJS / "data.el.o", token="a\0b")


def test_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(token.VARIABLE, "/no/such/place")
    with pytest.raises(KernelError, match="no bpffs for a token: No such file"):
        rawbpf.load(OBJS / "data.el.o")
    rawbpf.load(OBJS / "data.el.o", token="").close()
    monkeypatch.setenv(token.VARIABLE, "")
    rawbpf.load(OBJS / "data.el.o").close()


def test_a_token_goes_with_what_is_made() -> None:
    seen: list[gate.Call] = []
    with gate.observe(seen.append), syscall.with_token(0x7FFFFFFF):
        for make in (
            lambda: syscall.btf_load(b"\0" * 32),
            lambda: syscall.map_create({"map_type": 2, "key_size": 4, "value_size": 4, "max_entries": 1}),
            lambda: syscall.prog_load({"prog_type": 1}, bytes(16)),
            lambda: syscall.get_fd_by_id(Cmd.BTF_GET_FD_BY_ID, 1),
        ):
            with pytest.raises(KernelError):
                make()
    fields = [call.fields() for call in seen]
    names = ("btf", "map", "prog", "fd_by_id")
    assert [f[f"{name}_token_fd"] for f, name in zip(fields, names, strict=True)] == [0x7FFFFFFF] * 4
    flags = ("btf_flags", "map_flags", "prog_flags", "open_flags")
    assert [f[name] for f, name in zip(fields, flags, strict=True)] == [MapFlag.TOKEN_FD] * 4
