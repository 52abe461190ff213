# SPDX-License-Identifier: BSD-2-Clause
"""Types that a kernel does not know, by the enums in its BTF."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typekit import make_btf

from rawbpf.btf import types as t
from rawbpf.errors import BtfError, KernelError, NotSupportedError
from rawbpf.kernel import features, host, known_types, verifier
from rawbpf.uapi import AttachType, ProgType

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf


@pytest.fixture(autouse=True)
def _kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of Linux 5.8 to 6.19, which has fewer of them than there are."""
    values = [t.Enumerator("BPF_TRACE_ITER", AttachType.TRACE_ITER), t.Enumerator("__MAX_BPF_ATTACH_TYPE", 58)]
    btf = make_btf(t.Enum("bpf_attach_type", 4, values))
    monkeypatch.setattr(features, "_known", {})
    monkeypatch.setattr(host, "vmlinux_btf", lambda: btf)


@pytest.mark.parametrize(
    ("prog_type", "attach_type", "message"),
    [
        (ProgType.TRACING, AttachType.TRACE_FSESSION, "no attach type TRACE_FSESSION (Linux 7.0 has)"),
        (ProgType.TRACING, AttachType.TRACE_FENTRY_MULTI, "no attach type TRACE_FENTRY_MULTI"),
        (ProgType.LSM, AttachType.LSM_CGROUP, "no attach type LSM_CGROUP (Linux 6.0 has)"),
        (ProgType.TRACING, 4711, "no attach type 4711"),
    ],
)
def test_attach_types_that_are_missing(prog_type: ProgType, attach_type: int, message: str) -> None:
    missing = known_types.missing_attach_type(prog_type, attach_type)
    assert str(missing) == f"this kernel has {message}"
    assert missing is not None
    assert missing.hint == "it is newer than this kernel"


@pytest.mark.parametrize("prog_type", [ProgType.KPROBE, ProgType.XDP, ProgType.SK_REUSEPORT])
def test_programs_whose_attach_type_old_kernels_do_not_look_at(prog_type: ProgType) -> None:
    assert known_types.missing_attach_type(prog_type, AttachType.TRACE_FSESSION) is None


def test_attach_types_that_are_there() -> None:
    assert known_types.missing_attach_type(ProgType.TRACING, AttachType.TRACE_ITER) is None


def _broken() -> Btf:
    raise BtfError("broken")


@pytest.mark.parametrize("vmlinux", [lambda: None, make_btf, _broken], ids=["none", "no_enum", "broken"])
def test_it_cannot_be_told_without_btf(monkeypatch: pytest.MonkeyPatch, vmlinux: object) -> None:
    monkeypatch.setattr(host, "vmlinux_btf", vmlinux)
    assert known_types.has_number("bpf_attach_type", 4711) is None
    assert known_types.missing_attach_type(ProgType.TRACING, 4711) is None


@pytest.mark.parametrize("log", ["", "processed 0 insns (limit 1000000) max_states_per_insn 0\n"])
def test_what_the_verifier_does_not_say(log: str) -> None:
    failure = KernelError("no", errno=22, command="BPF_PROG_LOAD")
    fields = {"prog_type": ProgType.TRACING, "expected_attach_type": AttachType.TRACE_FSESSION}
    assert isinstance(verifier._failure(failure, log, fields), NotSupportedError)


def test_releases() -> None:
    # the kernel's numbers grow, so a later release cannot have brought a lower one
    numbers = [AttachType[name] for names in known_types.ATTACH_TYPES.values() for name in names]
    highest = 0
    for names in known_types.ATTACH_TYPES.values():
        assert min(AttachType[name] for name in names) > highest
        highest = max(AttachType[name] for name in names)
    assert len(numbers) == len(set(numbers))
