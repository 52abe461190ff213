# SPDX-License-Identifier: BSD-2-Clause
"""Errors: one line, the whole report, JSON; the place that is filled in on the way up; pickling keeps all of it."""

from __future__ import annotations

import copy
import errno
import json
import pickle
from pathlib import Path

import pytest

from rawbpf import errors as e
from rawbpf.plan.externs import _Mismatch
from rawbpf.plan.struct_ops import MemberError

SOURCE = e.SourceLine("a.c", 12, 3, "  return sk->sk_mark;")


def placed(error: e.RawbpfError) -> e.RawbpfError:
    error.path, error.section, error.symbol, error.insn, error.source = "a.o", "xdp", "f", 41, SOURCE
    return error


ALL: list[e.RawbpfError] = [
    e.RawbpfError("message", path="a.o", section="xdp", symbol="f", insn=4, source=SOURCE, hint="hint"),
    e.ParseError("message"),
    e.ElfError("message"),
    e.BtfError("message"),
    e.SpecError("message"),
    e.TargetError("message"),
    e.ExternError("message"),
    e.RelocationError("message"),
    e.CoreRelocationError("message", kind="byte_off", access="struct s.x", candidates=("one", "two"), hint="hint"),
    e.ClosedError("message"),
    e.KernelError("message", errno=errno.EBUSY, command="BPF_MAP_CREATE", symbol="m", hint="hint"),
    e.PermissionDeniedError("message", errno=errno.EPERM),
    e.NotSupportedError("arena", min_version="6.9", command="BPF_MAP_CREATE"),
    e.VerifierError("message", errno=errno.EACCES, log="0: (95) exit\n", summary="R0 !read_ok"),
    e.MapKeyError("message", errno=errno.ENOENT),
    e.MapKeyExistsError("message", errno=errno.EEXIST),
    e.MapFullError("message", errno=errno.E2BIG),
    e.MapAccessError("message", errno=errno.EPERM),
    _Mismatch("message", "int x", "long x", "hint"),
    MemberError("message", {"x": "int x"}, {"x": "long x"}, "hint"),
]


def subclasses(cls: type[e.RawbpfError]) -> set[type[e.RawbpfError]]:
    return {cls}.union(*(subclasses(sub) for sub in cls.__subclasses__()))


def test_none_is_left_out() -> None:
    ours = {cls for cls in subclasses(e.RawbpfError) if cls.__module__ == "rawbpf.errors"}
    assert ours <= {type(error) for error in ALL}


@pytest.mark.parametrize("error", ALL, ids=lambda error: type(error).__name__)
def test_a_copy_is_the_same(error: e.RawbpfError) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert vars(twin) == vars(error)
        assert str(twin) == str(error)
        assert twin.report() == error.report()
        assert twin.to_json() == error.to_json()
        assert twin.args == error.args
        if isinstance(error, e.KernelError):
            assert isinstance(twin, e.KernelError)
            assert (twin.errno, twin.strerror) == (error.errno, error.strerror)


@pytest.mark.parametrize("error", ALL, ids=lambda error: type(error).__name__)
def test_as_json(error: e.RawbpfError) -> None:
    data = json.loads(json.dumps(placed(copy.copy(error)).to_json()))
    assert (data["code"], data["message"]) == (error.code, error.message)
    assert (data["path"], data["section"], data["symbol"], data["insn"]) == ("a.o", "xdp", "f", 41)
    assert data["source"] == {"file": "a.c", "line": 12, "column": 3, "text": "  return sk->sk_mark;"}
    assert data.get("hint") == error.hint


def test_json_without_place() -> None:
    assert e.SpecError("message").to_json() == {"code": "spec", "message": "message"}


def test_kernel_error_as_json() -> None:
    error = e.KernelError("no", errno=errno.EINVAL, command="BPF_PROG_LOAD")
    assert error.to_json() == {
        "code": "kernel", "message": "no", "errno": 22, "errno_name": "EINVAL", "command": "BPF_PROG_LOAD",
    }  # fmt: skip
    data = e.VerifierError("no", log="log", summary="line").to_json()
    assert (data["summary"], data["log"]) == ("line", "log")


LINES = [
    ({}, "message"),
    ({"path": "a.o"}, "a.o: message"),
    ({"section": "xdp"}, "xdp: message"),
    ({"section": "xdp", "symbol": "f"}, "f: message"),
    ({"path": "a.o", "symbol": "f", "insn": 0}, "a.o: f: insn 0: message"),
    ({"symbol": "f", "insn": 4, "source": SOURCE}, "f: insn 4 (a.c:12): message"),
    ({"symbol": "f", "source": SOURCE}, "f: a.c:12: message"),
    ({"path": Path("dir/a.o")}, "dir/a.o: message"),
]


@pytest.mark.parametrize(("fields", "expected"), LINES, ids=[line for _fields, line in LINES])
def test_one_line(fields: dict[str, object], expected: str) -> None:
    assert str(e.SpecError("message", **fields)) == expected  # type: ignore[arg-type]


def test_names_cannot_break_the_line() -> None:
    error = e.SpecError("no 'a\nb'", path="gr\u00fcn.o", symbol="x\x1b[2J\udcff", hint="one\ttwo")
    assert str(error) == "gr\u00fcn.o: x\\x1b[2J\\udcff: no 'a\\nb'"
    assert error.report().splitlines()[1:] == ["hint: one\\ttwo"]
    assert error.message == "no 'a\nb'"
    str(error).encode()


def test_report() -> None:
    error = placed(e.CoreRelocationError("ambiguous", candidates=("one", "two"), hint="use a flavor"))
    assert error.report().splitlines() == [
        "a.o: f: insn 41 (a.c:12): ambiguous",
        "    a.c:12: return sk->sk_mark;",
        "    candidate: one",
        "    candidate: two",
        "hint: use a flavor",
    ]
    assert e.SpecError("message").report() == "message"


def test_report_of_the_verifier() -> None:
    error = e.VerifierError("refused", log="0: R1=ctx()\n1: (95) exit\nR0 !read_ok\n\n", symbol="f", hint="set r0")
    assert error.report().splitlines() == [
        "f: refused", "-- verifier log --", "0: R1=ctx()", "1: (95) exit", "R0 !read_ok", "-- end of log --",
        "hint: set r0",
    ]  # fmt: skip
    assert e.VerifierError("refused").report() == "refused"


# -- what they are


def test_kernel_errors_are_os_errors() -> None:
    for error in (e.KernelError("no", errno=errno.EPERM), e.MapKeyError("no", errno=errno.ENOENT)):
        assert isinstance(error, OSError)
        assert str(error) == "no"
    # unlike OSError(EPERM) it does not turn into a PermissionError: errno tells
    assert type(e.KernelError("no", errno=errno.EPERM)) is e.KernelError


def test_others_are_what_python_calls_them() -> None:
    assert isinstance(e.MapKeyError("no"), KeyError)
    assert isinstance(e.ClosedError("no"), ValueError)
    assert not isinstance(e.SpecError("no"), OSError | ValueError | KeyError)


def test_the_kernels_own_errno() -> None:
    error = e.NotSupportedError("arena", min_version="6.9")
    assert (error.errno, error.strerror) == (524, "Operation is not supported")
    assert str(error) == "this kernel has no arena (Linux 6.9 has)"
    assert error.to_json()["errno_name"] == "ENOTSUPP"
    assert str(e.NotSupportedError("x")) == "this kernel has no x"
    assert str(e.NotSupportedError("x", message="other words")) == "other words"


@pytest.mark.parametrize(
    ("number", "name", "text"),
    [
        (1, "EPERM", "Operation not"),
        (524, "ENOTSUPP", "Operation is not"),
        (999, "errno 999", "Unk"),
    ],
)
def test_names_of_errnos(number: int, name: str, text: str) -> None:
    assert e.errno_name(number) == name
    assert e.errno_text(number).startswith(text)


def test_codes_tell_kinds_apart() -> None:
    codes = {error.code: error.exit_code for error in ALL}
    assert codes == {
        "error": 1, "parse": 3, "elf": 3, "btf": 3, "spec": 4, "extern": 5, "relocation": 5, "core": 5, "target": 5,
        "closed": 1,
        "kernel": 6, "permission": 8, "not_supported": 9, "verifier": 7, "no_key": 6,
        "key_exists": 6, "map_full": 6, "map_access": 6,
    }  # fmt: skip


# -- the place


def test_where_fills_in_what_is_not_known() -> None:
    with (
        pytest.raises(e.SpecError) as caught,
        e.where(path="a.o", section="outer"),
        e.where(section="xdp", symbol="f"),
        e.where(insn=3, source=SOURCE),
    ):
        raise e.SpecError("message", symbol="exact")
    error = caught.value
    assert (error.path, error.section, error.symbol, error.insn, error.source) == ("a.o", "xdp", "exact", 3, SOURCE)


def test_where_knows_slot_0() -> None:
    with pytest.raises(e.SpecError) as caught, e.where(insn=7), e.where(insn=0):
        raise e.SpecError("message")
    assert caught.value.insn == 0


def test_where_lets_others_pass() -> None:
    with pytest.raises(ValueError, match="other"), e.where(path="a.o"):
        raise ValueError("other")
    with e.where(path="a.o"):
        pass


def test_where_takes_paths() -> None:
    with pytest.raises(e.SpecError) as caught, e.where(path=Path("dir") / "a.o"):
        raise e.SpecError("message")
    assert caught.value.path == "dir/a.o"
