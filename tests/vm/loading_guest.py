# SPDX-License-Identifier: BSD-2-Clause
"""What only the test kernel can show of loading, in the guest: prints what happened as JSON."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import rawbpf
from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.kernel import creation, token, verifier
from rawbpf.kernel.syscall import link_create as create_link
from rawbpf.uapi import MapType

OBJS = Path(__file__).resolve().parent.parent / "objs"
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x20000
FSOPEN, FSCONFIG, FSMOUNT, MOVE_MOUNT = 430, 431, 432, 429  # system calls, the same on all architectures
SET_STRING, CREATE = 1, 6
MOVE_EMPTY_PATH = 4
PACKET = bytes(64)


def syscall(number: int, *arguments: Any) -> int:
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(LIBC.syscall(ctypes.c_long(number), *words))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def refusal(what: Any) -> dict[str, Any]:
    try:
        what()
    except rawbpf.RawbpfError as error:
        return {"message": error.message, "hint": error.hint, "errno": getattr(error, "errno", None)}
    return {"message": "no error"}


# -- functions of other programs


def attached(program: rawbpf.Program) -> rawbpf.Link:
    return rawbpf.Link(create_link(program.fileno(), 0, program.expected_attach_type), program.name)


def functions() -> dict[str, Any]:
    report: dict[str, Any] = {}
    with rawbpf.load(OBJS / "ext_target.el.o") as target:
        other = target.programs["ext_target"]
        report["before"] = other.test_run(PACKET).retval
        spec = rawbpf.open(OBJS / "ext.el.o")
        spec.programs["other_verdict"].attach_to(other)
        with rawbpf.load(spec) as obj, attached(obj.programs["other_verdict"]):
            report["replaced"] = other.test_run(PACKET).retval
        report["after"] = other.test_run(PACKET).retval
        spec = rawbpf.open(OBJS / "ext.el.o")
        spec.only(["on_entry", "on_exit"])
        other.pin("/sys/fs/bpf/other")
        for name in ("on_entry", "on_exit"):
            spec.programs[name].attach_to("/sys/fs/bpf/other")
        plan = rawbpf.make_plan(spec)
        with rawbpf.load(plan) as obj, attached(obj.programs["on_entry"]), attached(obj.programs["on_exit"]):
            other.test_run(PACKET)
            report["seen"] = [obj.variables[name].value for name in ("seen", "returned")]
        other.unpin()
        report["gone"] = refusal(lambda: rawbpf.load(plan))
        with rawbpf.load(OBJS / "data.el.o") as strange:
            strange.programs["constants"].pin("/sys/fs/bpf/other")
            report["another"] = refusal(lambda: rawbpf.load(plan))
            strange.programs["constants"].unpin()
        command = [sys.executable, "-m", "rawbpf", "load", str(OBJS / "ext.el.o"), "--json", "--no-pin", "--target"]
        done = subprocess.run([*command, f"other_verdict={other.id}:verdict"], capture_output=True, text=True)
        report["command"] = json.loads(done.stdout)["errors"]
    return report


# -- what the kernel writes


def logs() -> dict[str, Any]:
    array = {"map_type": MapType.ARRAY, "key_size": 4, "value_size": 4, "max_entries": 1, "map_name": "a"}
    builder = Builder()
    builder.add(t.Int("int", 4))
    builder.add(t.Array(1, 1, 4))
    builder.add(t.Ptr(99))
    return {
        "map": refusal(lambda: creation.create_map(array | {"map_extra": 1})),
        "name": refusal(lambda: creation.create_map(array | {"map_name": "a b"})),
        "btf": refusal(lambda: verifier.load_btf(builder.to_bytes())),
    }


# -- tokens


def delegated(delegate: dict[str, str], job: Any) -> dict[str, Any]:
    """Runs ``job`` in a user namespace of its own, with a bpffs on /sys/fs/bpf that delegates this."""
    mine, child = socket.socketpair()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            print(json.dumps(in_namespace(child, job)), flush=True)
            status = 0
        finally:
            os._exit(status)
    _message, (context,), _flags, _address = socket.recv_fds(mine, 1, 1)
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{pid}/{name}").write_text("0 0 1\n")
    for key, value in delegate.items():
        syscall(FSCONFIG, context, SET_STRING, key.encode(), value.encode(), 0)
    syscall(FSCONFIG, context, CREATE, None, None, 0)
    mine.send(b"!")
    return {"status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}


def in_namespace(parent: socket.socket, job: Any) -> Any:
    if LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    context = syscall(FSOPEN, b"bpf", 0)
    socket.send_fds(parent, [b"!"], [context])
    parent.recv(1)
    mount = syscall(FSMOUNT, context, 0, 0)
    syscall(MOVE_MOUNT, mount, b"", -100, b"/sys/fs/bpf", MOVE_EMPTY_PATH)
    return job()


def with_tokens() -> dict[str, Any]:
    obj = OBJS / "ext_target.el.o"
    data = OBJS / "data.el.o"

    def loaded(**options: Any) -> Any:
        with rawbpf.load(data, **options) as live:
            return live.programs["constants"].id

    with rawbpf.load(obj, token="/sys/fs/bpf") as live:
        packet = live.programs["ext_target"].name
    named = rawbpf.make_plan(rawbpf.open(data), token="/sys/fs/bpf")
    return {
        "initial": token.in_initial_user_namespace(),
        "named": packet,
        "unasked": loaded() > 0,
        "plan": [str(step) for step in named.steps][:1],
        "none": refusal(lambda: loaded(token="")),
        "no_bpffs": refusal(lambda: loaded(token="/proc")),
        "nowhere": refusal(lambda: loaded(token="/no/such")),
    }


def without_delegation() -> dict[str, Any]:
    return {
        "named": refusal(lambda: rawbpf.load(OBJS / "data.el.o", token="/sys/fs/bpf")),
        "unasked": refusal(lambda: rawbpf.load(OBJS / "data.el.o")),
    }


if __name__ == "__main__":
    print(json.dumps(functions()), flush=True)
    print(json.dumps(logs()), flush=True)
    everything = dict.fromkeys(("delegate_cmds", "delegate_maps", "delegate_progs", "delegate_attachs"), "any")
    assert delegated(everything, with_tokens)["status"] == 0
    assert delegated({}, without_delegation)["status"] == 0
    print(json.dumps(refusal(lambda: rawbpf.load(OBJS / "data.el.o", token="/sys/fs/bpf"))), flush=True)
