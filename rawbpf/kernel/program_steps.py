# SPDX-License-Identifier: BSD-2-Clause
"""The steps of a plan that load BTF and programs, and that give the right to: how the executor runs each of them."""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING, Any

from rawbpf.errors import KernelError, PermissionDeniedError, TargetError, VerifierError, where
from rawbpf.kernel import syscall, target_program, token, verifier
from rawbpf.kernel.gate import address
from rawbpf.kernel.log import debug
from rawbpf.kernel.programs import Program
from rawbpf.uapi import MapType

if TYPE_CHECKING:
    from rawbpf.kernel.executor import Execution
    from rawbpf.kernel.fd import Fd
    from rawbpf.plan import steps as s


def create_token(execution: Execution, step: s.CreateToken) -> None:
    execution.rights.enter_context(token.use(step.path))


def load_btf(execution: Execution, step: s.LoadBtf) -> None:
    """The object's BTF. A kernel that does not take it can do without, but for struct_ops (as in libbpf)."""
    try:
        execution.made[step.handle] = _btf_fd(step)
    except KernelError as failure:
        if any(other.map_type == MapType.STRUCT_OPS for other in execution.plan.maps):
            raise
        debug("BTF: %s; going on without", failure)
        execution.denied = failure if isinstance(failure, PermissionDeniedError) else None
        execution.made[step.handle] = None


def _btf_fd(step: s.LoadBtf) -> Fd:
    try:
        return verifier.load_btf(step.data)
    except KernelError:
        from rawbpf.kernel.features import Features
        from rawbpf.plan.sanitize import sanitize_btf

        reduced = sanitize_btf(step.data, Features())
        if reduced == step.data:
            raise
        return verifier.load_btf(reduced)


def load_program(execution: Execution, step: s.LoadProgram) -> None:
    if step.attach_btf_print:
        _check_target(execution, step)
    fields = {
        "prog_type": step.prog_type,
        "expected_attach_type": step.expected_attach_type,
        "prog_name": step.name,
        "kern_version": step.kern_version,
        "prog_flags": step.prog_flags,
        "prog_ifindex": step.prog_ifindex,
        "attach_btf_id": step.attach_btf_id,
        "attach_prog_fd": execution.number(step.attach_btf),
        "log_level": step.log_level,
        "signature": address(step.signature) if step.signature else 0,
        "signature_size": len(step.signature),
        "keyring_id": step.keyring_id,
    }
    more: dict[str, Any] = {"license": step.license}
    if btf_fd := execution.number(step.btf):
        fields |= {
            "prog_btf_fd": btf_fd,
            "func_info_rec_size": step.func_info_rec_size,
            "line_info_rec_size": step.line_info_rec_size,
        }
        more |= {"func_info": step.func_info, "line_info": step.line_info}
    if step.fd_array:
        more["fd_array"] = pack(f"={len(step.fd_array)}i", *map(execution.number, step.fd_array))
    insns = execution.fill(step.insns, step.slots)
    with where(symbol=step.name, section=step.section):
        try:
            fd, log = verifier.load(fields, insns, **more)
        except VerifierError as failure:
            _explain(execution, step, failure)
            raise
    execution.made[step.handle] = Program(
        fd,
        step.name,
        section=step.section,
        auto_attach=step.auto_attach,
        target=step.target,
        expected_attach_type=step.expected_attach_type,
        log=log,
    )


def _check_target(execution: Execution, step: s.LoadProgram) -> None:
    # the id of a function is one of the program's BTF: another program may be at the pin by now, or have the id
    from rawbpf.plan.target import fingerprint

    if fingerprint(target_program.btf_of(execution.number(step.attach_btf)).data) != step.attach_btf_print:
        raise TargetError(
            f"the BPF program {step.attach_btf} is another than the one that the plan was made for",
            symbol=step.name,
            hint="plan again: rawbpf.make_plan(spec)",
        )


def _explain(execution: Execution, step: s.LoadProgram, failure: VerifierError) -> None:
    # the plan knows what the verifier cannot: which line of C, and what a poisoned instruction was
    from rawbpf.plan.verdict import judge

    verdict = judge(execution.plan, step, failure.log)
    failure.insn, failure.source = verdict.insn, verdict.source
    failure.message = f"the verifier refused it: {verdict.message}" if verdict.message else failure.message
    failure.hint = verdict.hint or failure.hint


def bind_map(execution: Execution, step: s.BindMap) -> None:
    try:
        syscall.prog_bind_map(execution.number(step.program), execution.number(step.map))
    except KernelError as failure:
        debug("%s is not bound to %s: %s", step.map, step.program, failure)  # a kernel before 5.10; only for tools
