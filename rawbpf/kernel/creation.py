# SPDX-License-Identifier: BSD-2-Clause
"""Making a map, or taking one that is pinned: with the retries that old kernels need, and the reasons of a refusal."""

from __future__ import annotations

from errno import E2BIG, EINVAL, ENOENT, EPERM
from typing import TYPE_CHECKING, Any

from rawbpf.errors import KernelError, NotSupportedError, SpecError, errno_name, errno_text, where
from rawbpf.kernel import features, info, known_types, memlock, syscall
from rawbpf.kernel.log import debug
from rawbpf.uapi import MapFlag, MapType, known

if TYPE_CHECKING:
    from rawbpf.kernel.fd import Fd

_BTF_FIELDS = ("btf_fd", "btf_key_type_id", "btf_value_type_id")
_LOG_SIZE = 4096


def create_map(fields: dict[str, Any]) -> Fd:
    """``BPF_MAP_CREATE`` with these fields. BTF of key and value is left out if the kernel does not take it.

    Raises:
        NotSupportedError: the kernel has no maps of this type.
        PermissionDeniedError, KernelError: with what the kernel itself says, where it says something.
    """
    try:
        return _create(fields)
    except KernelError as failure:
        first = failure
    if not fields.get("btf_key_type_id") and not fields.get("btf_value_type_id"):
        raise _refusal(first, fields) from None
    debug("map %s: %s; again without BTF", fields.get("map_name"), first)
    try:
        return _create(fields | dict.fromkeys(_BTF_FIELDS, 0))
    except KernelError as second:
        if second.errno == first.errno:
            raise _refusal(first, fields) from None
        error = _refusal(second, fields | dict.fromkeys(_BTF_FIELDS, 0))
        error.message += f"; with BTF it was {errno_text(first.errno or 0)} ({errno_name(first.errno or 0)})"
        raise error from None


def _create(fields: dict[str, Any]) -> Fd:
    try:
        return syscall.map_create(fields)
    except KernelError as failure:
        if failure.errno == EPERM and memlock.lift():
            return syscall.map_create(fields)
        if failure.errno == E2BIG and fields.get("map_name") and features.probe("prog_name") is False:
            return syscall.map_create(fields | {"map_name": ""})
        raise


def _refusal(failure: KernelError, fields: dict[str, Any]) -> KernelError:
    number = failure.errno or 0
    if number == EPERM:
        return memlock.explain(failure)
    if isinstance(failure, NotSupportedError):
        return failure
    if number == E2BIG and fields.get("excl_prog_hash"):
        return NotSupportedError("maps for one program", min_version="6.18", errno=number, command="BPF_MAP_CREATE")
    kind = known(MapType, fields["map_type"])
    said = _reason(fields)
    if not said and number == EINVAL and (missing := known_types.missing_map_type(kind)):
        return missing
    failure.message = f"the kernel refused to create the map: {said or errno_text(number)} ({errno_name(number)})"
    if not said:
        name = kind.name.lower() if isinstance(kind, MapType) else str(kind)
        shape = ", ".join(f"{field} {fields.get(field, 0)}" for field in ("key_size", "value_size", "max_entries"))
        failure.hint = f"asked for: type {name}, {shape}, flags {_flags(fields.get('map_flags', 0))}"
    return failure


def _reason(fields: dict[str, Any]) -> str:
    # What the kernel writes about it, if it knows BPF_COMMON_ATTRS; others say EINVAL to that, and nothing else
    log = bytearray(_LOG_SIZE)
    try:
        syscall.map_create(fields, log).close()
    except KernelError:
        return log.split(b"\0", 1)[0].decode(errors="replace").strip().rstrip(".")
    return ""


def _flags(flags: int) -> str:
    return "|".join(flag.name.lower() for flag in MapFlag if flag.name and flags & flag) or f"{flags:#x}"


# -- pinned maps


def reuse_map(path: str, wanted: dict[str, Any]) -> Fd | None:
    """The map that is pinned at `path`, if it is what is wanted; None if nothing is pinned there.

    Raises:
        SpecError: it differs; each difference is named.
        KernelError: it cannot be opened.
    """
    with where(path=path):
        try:
            fd = syscall.obj_get(path)
        except KernelError as failure:
            if failure.errno == ENOENT:
                return None
            raise
        differences = _differences(info.map_info(fd.fileno()), wanted)
        if not differences:
            return fd
        fd.close()
        raise SpecError(
            f"the map that is pinned here does not fit: {'; '.join(differences)}",
            hint=f"remove the pin (rm {path}) if nobody needs that map, or change the definition in the object",
        )


def _differences(there: info.MapInfo, wanted: dict[str, Any]) -> list[str]:
    flags = there.map_flags
    if wanted["map_type"] in (MapType.DEVMAP, MapType.DEVMAP_HASH):
        flags &= ~MapFlag.RDONLY_PROG  # the kernel sets it by itself
    pairs: list[tuple[str, int, int]] = [
        ("type", there.type, wanted["map_type"]),
        ("key_size", there.key_size, wanted["key_size"]),
        ("value_size", there.value_size, wanted["value_size"]),
        ("max_entries", there.max_entries, wanted["max_entries"]),
        ("map_flags", flags, wanted["map_flags"]),
        ("map_extra", there.map_extra, wanted["map_extra"]),
    ]
    return [
        f"{name} is {_shown(name, have)} there, {_shown(name, want)} in the object"
        for name, have, want in pairs
        if have != want
    ]


def _shown(name: str, value: int) -> str:
    if name == "type":
        kind = known(MapType, value)
        return kind.name.lower() if isinstance(kind, MapType) else str(value)
    return f"{value:#x}" if name in ("map_flags", "map_extra") else str(value)
