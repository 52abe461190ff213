# SPDX-License-Identifier: BSD-2-Clause
"""Kconfig externs: the kernel's .config, and what is asked of it by name, become the contents of ``.kconfig``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.btf import types as t
from rawbpf.errors import ExternError, where
from rawbpf.objfile.externs import kconfig_layout

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf
    from rawbpf.objfile.spec import ExternSpec, ObjectSpec
    from rawbpf.plan.target import Target

_MAX_U64 = 0xFFFFFFFFFFFFFFFF
TRISTATE = {"n": 0, "y": 1, "m": 2}
VIRTUAL = ("LINUX_KERNEL_VERSION", "LINUX_HAS_BPF_COOKIE", "LINUX_HAS_SYSCALL_WRAPPER")


def kconfig_contents(spec: ObjectSpec, target: Target, extra: str = "") -> bytes:
    """The bytes of the map ``.kconfig``.

    Args:
        spec: the object.
        target: the kernel.
        extra: lines ``CONFIG_X=y`` that win over the kernel's own.

    Raises:
        ExternError: a value that is not weak is not set, or does not fit its type.
    """
    externs = [extern for extern in spec.externs.values() if extern.kind == "kconfig"]
    offsets, size = kconfig_layout(externs)
    contents = bytearray(size)
    config = _Config(target, extra)
    for extern in externs:
        with where(symbol=extern.name):
            assert spec.btf is not None
            value = _value(spec.btf, extern, config, target)
            if value is None:
                if not extern.weak:
                    raise _unset(extern, config)
                continue
            data = value.to_bytes(extern.size, "little" if spec.little else "big") if isinstance(value, int) else value
            contents[offsets[extern.name] : offsets[extern.name] + len(data)] = data
    return bytes(contents)


class _Config:
    # the settings, the user's first; the kernel's are read only if something is missing

    def __init__(self, target: Target, extra: str) -> None:
        self._target = target
        self._extra = _settings(extra)
        self._kernel: dict[str, str] | None = None
        self.available = True

    def get(self, name: str) -> str | None:
        if name in self._extra:
            return self._extra[name]
        if self._kernel is None:
            text = self._target.kconfig
            self.available = text is not None
            self._kernel = _settings(text or "")
        return self._kernel.get(name)


def _settings(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.split("\n"):  # at nothing else: strings may have other separators of lines in them
        if line.startswith("CONFIG_"):
            name, separator, value = line.strip().partition("=")
            if not separator or not value:
                raise ExternError(f"{line!r} is no setting", hint="CONFIG_NAME=value")
            found.setdefault(name, value)
    return found


def _unset(extern: ExternSpec, config: _Config) -> ExternError:
    if not config.available:
        return ExternError(
            f"{extern.name} is needed, and the kernel's configuration cannot be read",
            hint="/proc/config.gz (CONFIG_IKCONFIG_PROC) or /boot/config-RELEASE has it; or give the value as text",
        )
    return ExternError(
        f"the kernel's configuration does not set {extern.name}",
        hint="declare it `extern … __kconfig __weak` if the program can do without (it is 0 then)",
    )


def _value(btf: Btf, extern: ExternSpec, config: _Config, target: Target) -> int | bytes | None:
    form = _form(btf, extern)
    if not extern.name.startswith("CONFIG_"):
        return _virtual(extern, target, form)
    text = config.get(extern.name)
    if text is None:
        return None
    if text[0] in TRISTATE:
        return _tristate(extern, form, text[0])
    if text[0] == '"':
        return _string(extern, form, text)
    if form not in ("int", "char"):
        raise ExternError(f"{extern.name}={text} is a number, but declared as {form}")
    return _number(btf, extern, text)


def _form(btf: Btf, extern: ExternSpec) -> str:
    kind = btf.type(extern.type_id)
    if isinstance(kind, t.Int) and kind.bool and kind.size == 1:
        return "bool"
    if isinstance(kind, t.Int) and not kind.bool and kind.size in (1, 2, 4, 8):
        return "char" if kind.size == 1 else "int"
    if isinstance(kind, t.Enum) and kind.name == "libbpf_tristate" and kind.size == 4:
        return "tristate"
    if isinstance(kind, t.Array) and kind.nelems:
        element = btf.type(btf.resolve(kind.type_id))
        if isinstance(element, t.Int) and element.size == 1 and not element.bool:
            return "string"
    from rawbpf.btf.decl import type_name

    raise ExternError(
        f"a kconfig extern cannot be declared as `{type_name(btf, extern.type_id)}`",
        hint="bool, enum libbpf_tristate, an integer, char, or an array of char",
    )


def _virtual(extern: ExternSpec, target: Target, form: str) -> int | None:
    if extern.name not in VIRTUAL:
        if extern.name.startswith("LINUX_") and extern.weak:
            return 0
        raise ExternError(f"{extern.name} is no value that loaders make up", hint=f"known are {', '.join(VIRTUAL)}")
    if extern.name == "LINUX_KERNEL_VERSION":
        value = target.version
    else:
        value = int(target.features.has(extern.name.removeprefix("LINUX_HAS_").lower()))
    if form not in ("int", "char", "bool") or value >> (8 * extern.size):
        raise ExternError(f"the value {value} of {extern.name} does not fit its type ({form}, {extern.size} bytes)")
    if extern.name == "LINUX_KERNEL_VERSION" and not value:
        raise ExternError("the kernel's version is not known for this target", hint="give the target a version")
    return value


def _tristate(extern: ExternSpec, form: str, letter: str) -> int:
    if form == "bool":
        if letter == "m":
            raise ExternError(f"{extern.name}=m, but declared as bool", hint="use enum libbpf_tristate")
        return int(letter == "y")
    if form == "tristate":
        return TRISTATE[letter]
    if form == "char":
        return ord(letter)
    raise ExternError(f"{extern.name}={letter}, but declared as {form}", hint="bool, enum libbpf_tristate or char")


def _string(extern: ExternSpec, form: str, text: str) -> bytes:
    if form != "string":
        raise ExternError(f"{extern.name}={text} is a string, but declared as {form}", hint="use an array of char")
    if len(text) < 2 or not text.endswith('"'):
        raise ExternError(f"{extern.name}={text} has no closing quote")
    # too long ones are cut, as users of libbpf expect, and always terminated
    return text[1:-1].encode(errors="surrogateescape")[: extern.size - 1] + b"\0"


def _number(btf: Btf, extern: ExternSpec, text: str) -> int:
    # as strtoull(3) reads it: decimal, octal behind 0, hexadecimal behind 0x; and modulo 2^64 if there is a sign
    digits = text.lstrip("+-")
    try:
        value = int(text, 16 if digits[:2] in ("0x", "0X") else 8 if digits[:1] == "0" else 10)
    except ValueError:
        value = None
    if value is None or "_" in text:
        raise ExternError(f"{extern.name}={text} is no number")
    kind = btf.type(extern.type_id)
    signed = isinstance(kind, t.Int) and kind.signed
    bits = 8 * extern.size
    # a signed integer of n bits holds v if v + 2^(n-1), modulo 2^64, is below 2^n
    shifted = (value + (1 << (bits - 1) if signed else 0)) & _MAX_U64
    if abs(value) > _MAX_U64 or shifted >> bits:
        raise ExternError(f"{extern.name}={text} does not fit into {extern.size} bytes")
    return value & ((1 << bits) - 1)
