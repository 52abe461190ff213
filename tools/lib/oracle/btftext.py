# SPDX-License-Identifier: BSD-2-Clause
"""BTF as text, one line a type, to show where two blobs differ: a reader apart from rawbpf's, which is judged here."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# fmt: off
KINDS = (
    "VOID", "INT", "PTR", "ARRAY", "STRUCT", "UNION", "ENUM", "FWD", "TYPEDEF", "VOLATILE", "CONST", "RESTRICT", "FUNC",
    "FUNC_PROTO", "VAR", "DATASEC", "FLOAT", "DECL_TAG", "TYPE_TAG", "ENUM64",
)
# fmt: on

# what follows the twelve bytes of a type: format and field names of its one record, or of each of its vlen records
_SINGLE = {
    "INT": ("I", "encoding"),
    "ARRAY": ("III", "type index_type nelems"),
    "VAR": ("I", "linkage"),
    "DECL_TAG": ("i", "component_idx"),
}
_MEMBERS = {
    "STRUCT": ("III", "name type offset"),
    "UNION": ("III", "name type offset"),
    "ENUM": ("Ii", "name value"),
    "ENUM64": ("III", "name low high"),
    "FUNC_PROTO": ("II", "name type"),
    "DATASEC": ("III", "type offset size"),
}


def lines(blob: bytes) -> list[str]:
    """A line for each type in order of its id, beginning with 1; the header's and string section's size come first."""
    magic, version, flags, header, type_off, type_len, str_off, str_len = struct.unpack_from("=HBBIIIII", blob)
    strings = blob[header + str_off : header + str_off + str_len]
    types = blob[header + type_off : header + type_off + type_len]
    head = f"magic={magic:#x} version={version} flags={flags} header={header} types={type_len} strings={str_len}"
    return [head, *(f"[{number}] {text}" for number, text in enumerate(_types(types, strings), 1))]


def _types(types: bytes, strings: bytes) -> Iterator[str]:
    def name(offset: int) -> str:
        return strings[offset : strings.find(b"\0", offset)].decode("utf-8", "backslashreplace")

    offset = 0
    while offset + 12 <= len(types):
        name_off, info, size = struct.unpack_from("=III", types, offset)
        offset += 12
        number = info >> 24 & 0x7F
        kind = KINDS[number] if number < len(KINDS) else f"KIND{number}"
        vlen, flag = info & 0xFFFFFF, info >> 31
        form, names = _SINGLE.get(kind) or _MEMBERS.get(kind) or ("", "")
        records = []
        for _ in range(1 if kind in _SINGLE else vlen if kind in _MEMBERS else 0):
            values = struct.unpack_from("=" + form, types, offset)
            offset += struct.calcsize("=" + form)
            shown = [
                f"{field}={name(value) or '-'}" if field == "name" else f"{field}={value}"
                for field, value in zip(names.split(), values, strict=True)
            ]
            records.append(" ".join(shown))
        yield f"{kind} {name(name_off) or '-'} size/type={size} vlen={vlen} flag={flag} {{{'; '.join(records)}}}"
