# SPDX-License-Identifier: BSD-2-Clause
"""The steps of a `Plan`: frozen records, one for each thing that is asked of the kernel.

Where the kernel will hand out a file descriptor, a step has a *handle*, a symbolic name: ``btf``, ``map:counters``,
``prog:rr_get_send``, ``link:rr``. A step that makes something names it in ``handle``; a step that uses something names
the handle, and `Slot` says which bytes it replaces. Handles of what is there before: ``module:nf_conntrack`` (a kernel
module's BTF), ``progid:7`` and ``pin:/sys/fs/bpf/NAME`` (a BPF program, by its id and by its pin).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from typing import TypeVar

    _Record = TypeVar("_Record", bound=tuple[Any, ...])


BY_ID, PINNED = "progid:", "pin:"
"""How the handles of BPF programs begin that are there before."""


def kind_of(handle: str) -> str:
    """What a handle is of: ``map`` of ``map:counters``."""
    return handle.partition(":")[0]


def name_of(handle: str) -> str:
    """The name in a handle: ``counters`` of ``map:counters``."""
    return handle.partition(":")[2]


class Slot(NamedTuple):
    """Where a handle's file descriptor goes: the byte `offset` in the step's bytes, `size` bytes wide, host order.

    In instructions the offset is that of an ``imm`` (4 bytes); in a struct_ops value that of a function pointer
    (8 bytes); in the value of a map in map or a program array 0 (4 bytes).
    """

    offset: int
    handle: str
    size: int = 4


class CreateToken(NamedTuple):
    """``BPF_TOKEN_CREATE``: all that follows is made with the rights that the bpffs at `path` delegates.

    An empty path says that there shall be none, whatever the environment says (see `rawbpf.kernel.token`).
    """

    handle: str
    path: str
    reason: str = ""


class LoadBtf(NamedTuple):
    """``BPF_BTF_LOAD``: the object's BTF, fixed up."""

    handle: str
    data: bytes
    reason: str = ""


class CreateMap(NamedTuple):
    """``BPF_MAP_CREATE``, or the reuse of what is pinned at `pin_path`.

    Attributes:
        handle: ``map:NAME``, NAME as the user knows it.
        name: what the kernel is told (15 bytes at most).
        btf: the handle of the BTF that `btf_key_type_id` and `btf_value_type_id` are of, or empty.
        value_type_btf: the handle of the module whose BTF `btf_vmlinux_value_type_id` is of, or empty for vmlinux.
        inner_map: the handle of the template of a map in map, or empty.
        excl_prog_hash: the SHA-256 of the one program that may use it, or empty.
        pin_path: pinning by name: reuse what is there if it fits, else create it; `PinMap` pins it.
        kind: what it is in the object (`MapSpec.kind`): a data section's memory is mapped for live variables.
    """

    handle: str
    name: str
    map_type: int
    key_size: int = 0
    value_size: int = 0
    max_entries: int = 0
    map_flags: int = 0
    map_extra: int = 0
    numa_node: int = 0
    map_ifindex: int = 0
    btf: str = ""
    btf_key_type_id: int = 0
    btf_value_type_id: int = 0
    btf_vmlinux_value_type_id: int = 0
    value_type_btf: str = ""
    inner_map: str = ""
    pin_path: str = ""
    kind: str = ""
    excl_prog_hash: bytes = b""
    reason: str = ""


class UpdateMap(NamedTuple):
    """``BPF_MAP_UPDATE_ELEM``: an initial value; `slots` are into the value."""

    map: str
    key: bytes
    value: bytes
    slots: tuple[Slot, ...] = ()
    flags: int = 0
    reason: str = ""


class FillArena(NamedTuple):
    """Initial contents of an arena's globals: `data` is copied to byte `offset` of the arena's memory."""

    map: str
    offset: int
    data: bytes
    reason: str = ""


class FreezeMap(NamedTuple):
    """``BPF_MAP_FREEZE``: no more writes by system call."""

    map: str
    reason: str = ""


class PinMap(NamedTuple):
    """``BPF_OBJ_PIN`` of a map at its `CreateMap.pin_path`, now that it has its contents: others may use it now.

    It does nothing for a map that is used again. If another process has pinned one meanwhile, that one is used.
    """

    map: str
    path: str
    reason: str = ""


class LoadProgram(NamedTuple):
    """``BPF_PROG_LOAD``.

    Attributes:
        handle: ``prog:NAME``.
        name: the C function's name (the kernel is told 15 bytes of it).
        section: the SEC() that it was found in.
        insns: the relocated instructions, in the byte order of the object; `slots` are the fds still missing in them.
        func_info, line_info: as the kernel reads them, each record `func_info_rec_size` / `line_info_rec_size` bytes.
        attach_btf: whose BTF `attach_btf_id` is of: empty for vmlinux, or the handle of a module or a BPF program.
        attach_btf_print: of a BPF program: the fingerprint of its BTF, so that no other is taken for it.
        signature, keyring_id: a PKCS #7 signature of the instructions, and the keyring that has its key.
        fd_array: handles for kfunc calls into modules; index 0 is never used by an instruction.
        auto_attach: how it attaches (the SEC() table's word), empty if it shall not with all others.
        target: what the SEC() names behind the slash.
    """

    handle: str
    name: str
    section: str
    prog_type: int
    expected_attach_type: int
    insns: bytes
    slots: tuple[Slot, ...] = ()
    license: str = ""
    prog_flags: int = 0
    kern_version: int = 0
    btf: str = ""
    func_info: bytes = b""
    func_info_rec_size: int = 0
    line_info: bytes = b""
    line_info_rec_size: int = 0
    attach_btf_id: int = 0
    attach_btf: str = ""
    fd_array: tuple[str, ...] = ()
    prog_ifindex: int = 0
    signature: bytes = b""
    keyring_id: int = 0
    log_level: int = 0
    auto_attach: str = ""
    target: str = ""
    reason: str = ""
    attach_btf_print: str = ""


class BindMap(NamedTuple):
    """``BPF_PROG_BIND_MAP``: the map lives as long as the program, though no instruction uses it (for tools that
    look for a program's .rodata). A kernel before 5.10 does without.
    """

    program: str
    map: str
    reason: str = ""


class SetStructOps(NamedTuple):
    """``BPF_MAP_UPDATE_ELEM`` of key 0 of a struct_ops map: its function pointers become program fds.

    Without a link (``SEC(".struct_ops")``) this registers at once, until the element is deleted.
    """

    map: str
    name: str
    type_name: str
    value: bytes
    slots: tuple[Slot, ...] = ()
    link: bool = False
    reason: str = ""


class CreateLink(NamedTuple):
    """``BPF_LINK_CREATE`` of a struct_ops value, which must be set before.

    Attributes:
        handle: ``link:NAME``.
        source: the handle of the struct_ops map.
        attach_type: ``enum bpf_attach_type``.
    """

    handle: str
    source: str
    attach_type: int
    reason: str = ""


class Attach(NamedTuple):
    """A program is attached by a function of ``rawbpf.attach``, which takes as many calls as the kernel needs.

    Attributes:
        handle: ``link:NAME``.
        source: the program's handle.
        kind: the function, such as ``kprobe``.
        arguments: its keyword arguments: numbers, strings, booleans.
    """

    handle: str
    source: str
    kind: str
    arguments: dict[str, Any]
    reason: str = ""


class Pin(NamedTuple):
    """``BPF_OBJ_PIN`` below a bpffs. Missing directories are made (0700)."""

    handle: str
    path: str
    reason: str = ""


class Close(NamedTuple):
    """close(2) of what only helped to make something else (the template of a map in map)."""

    handle: str
    reason: str = ""


Step = (
    CreateToken
    | LoadBtf
    | CreateMap
    | UpdateMap
    | FillArena
    | FreezeMap
    | PinMap
    | LoadProgram
    | BindMap
    | SetStructOps
    | CreateLink
    | Attach
    | Pin
    | Close
)

STEPS: dict[str, type[Any]] = {
    "create_token": CreateToken,
    "load_btf": LoadBtf,
    "create_map": CreateMap,
    "update_map": UpdateMap,
    "fill_arena": FillArena,
    "freeze_map": FreezeMap,
    "pin_map": PinMap,
    "load_program": LoadProgram,
    "bind_map": BindMap,
    "set_struct_ops": SetStructOps,
    "create_link": CreateLink,
    "attach": Attach,
    "pin": Pin,
    "close": Close,
}
"""The name of each step in JSON."""

_NAMES = {cls: name for name, cls in STEPS.items()}
_BYTES = frozenset({"data", "insns", "key", "value", "func_info", "line_info", "excl_prog_hash", "signature"})


def step_name(step: Step) -> str:
    """The step's name, such as ``create_map``."""
    return _NAMES[type(step)]


def step_to_json(step: Step) -> dict[str, Any]:
    """The step as JSON data; bytes as hex."""
    out: dict[str, Any] = {"step": step_name(step)}
    for name, value in step._asdict().items():
        if name in _BYTES:
            out[name] = value.hex()
        elif name == "slots":
            out[name] = [slot._asdict() for slot in value]
        else:
            out[name] = list(value) if isinstance(value, tuple) else value
    return out


def step_from_json(data: dict[str, Any]) -> Step:
    """The reverse of `step_to_json`. Raises KeyError, TypeError, ValueError or AttributeError for what is no step."""
    fields = dict(data)
    cls = STEPS[fields.pop("step")]
    for name, value in fields.items():
        if name in _BYTES:
            fields[name] = bytes.fromhex(value)
        elif name == "slots":
            fields[name] = tuple(checked(Slot(**slot)) for slot in value)
        elif isinstance(value, list):
            fields[name] = tuple(value)
    step: Step = checked(cls(**fields))
    return step


_TYPES: dict[str, type] = {"int": int, "str": str, "bool": bool, "bytes": bytes, "dict[str, Any]": dict}


def checked(record: _Record) -> _Record:
    """The record, if its fields are of the types that they are declared with. Raises `TypeError`."""
    for (name, annotation), value in zip(type(record).__annotations__.items(), record, strict=True):
        declared: Any = getattr(annotation, "__forward_arg__", annotation)  # what a NamedTuple makes of a string
        items, kind = (value, str) if declared == "tuple[str, ...]" else ((value,), _TYPES.get(declared, object))
        if not all(isinstance(item, kind) for item in items):
            raise TypeError(f"{name} of {type(record).__name__} is {value!r}, which is no {declared}")
    return record
