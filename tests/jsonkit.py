# SPDX-License-Identifier: BSD-2-Clause
"""The fields that docs/json.md promises, and a check of what a command printed against them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

HEX = re.compile(r"([0-9a-f]{2})*")
OPTIONAL_TEXT = (str, type(None))

ERROR: dict[str, Any] = {"code": str, "message": str}
SOURCE: dict[str, Any] = {"file": str, "line": int, "column": int, "text": str}
NOTE: dict[str, Any] = {"insn": int, "text": str}
PROGRAM: dict[str, Any] = {
    "name": str,
    "section": str,
    "type": str,
    "attach_type": int,
    "attach_type_name": str,
    "attach_btf_id": int,
    "flags": int,
    "insns": HEX,
    "func_info": HEX,
    "func_info_rec_size": int,
    "line_info": HEX,
    "line_info_rec_size": int,
    "notes": [NOTE],
}
MAP: dict[str, Any] = {
    "name": str,
    "kernel_name": str,
    "type": str,
    "key_size": int,
    "value_size": int,
    "max_entries": int,
    "flags": int,
    "map_extra": int,
    "btf_key_type_id": int,
    "btf_value_type_id": int,
    "btf_vmlinux_value_type_id": int,
}
VARIABLE: dict[str, Any] = {"name": str, "map": str, "offset": int, "size": int, "type_id": int}
KEPT_PLAN: dict[str, Any] = {
    "format": int,
    "name": str,
    "path": str,
    "target": str,
    "little_endian": bool,
    "steps": [{"step": str}],
    "variables": [VARIABLE],
    "notes": dict,
}
PLAN: dict[str, Any] = {
    "object": str,
    "path": str,
    "target": str,
    "programs": [PROGRAM],
    "maps": [MAP],
    "warnings": [str],
    "plan": KEPT_PLAN,
    "errors": [ERROR],
}
LOAD: dict[str, Any] = PLAN | {
    "programs": [PROGRAM | {"id": int, "tag": HEX, "xlated_len": int}],
    "maps": [MAP | {"id": int}],
    "links": [{"name": str, "id": int}],
    "pinned_at": OPTIONAL_TEXT,
    "not_attached": [{"program": str, "reason": str}],
    "usage": list,
}
UNLOAD: dict[str, Any] = {
    "path": str,
    "removed": [str],
    "still_chosen": [{"sysctl": str, "value": str}],
    "errors": [ERROR],
}
LIST: dict[str, Any] = {
    "objects": [{"name": str, "path": str, "pins": [{"path": str, "kind": str, "id": int}]}],
    "errors": [ERROR],
}
NAMED: dict[str, Any] = {"name": str}
INSPECT: dict[str, Any] = {
    "object": str,
    "path": str,
    "byte_order": str,
    "license": str,
    "btf_types": int,
    "sections": [NAMED],
    "programs": [NAMED],
    "subprograms": [NAMED],
    "maps": [NAMED],
    "variables": [NAMED],
    "struct_ops": [NAMED],
    "externs": [NAMED],
    "errors": [ERROR],
}
MAP_ELEMENT: dict[str, Any] = {"key": object, "value": object, "errors": [ERROR]}
BTF_DUMP: dict[str, Any] = {"types": [{"id": int, "kind": str, "name": str}], "errors": [ERROR]}


def check(value: Any, schema: Any, place: str = "$") -> None:
    """Asserts that a value has all fields of a schema, with their types; there may be more of them."""
    if isinstance(schema, dict):
        assert isinstance(value, dict), place
        assert schema.keys() - value.keys() == set(), place
        for name, field in schema.items():
            check(value[name], field, f"{place}.{name}")
    elif isinstance(schema, list):
        assert isinstance(value, list), place
        for index, item in enumerate(value):
            check(item, schema[0], f"{place}[{index}]")
    elif isinstance(schema, re.Pattern):
        assert isinstance(value, str), place
        assert schema.fullmatch(value), place
    else:
        assert isinstance(value, schema), place
        assert schema is not int or not isinstance(value, bool), place  # Python's bool is an int, JSON's is not


def documented_steps() -> dict[str, set[str]]:
    """The fields of each step, from the table in docs/json.md."""
    text = (Path(__file__).parents[1] / "docs/json.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (`handle`.*|`map`.*|`program`.*) \|$", text, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", fields)) | {"step"} for name, fields in rows}


def check_error(data: Any, code: str, *fields: str) -> dict[str, Any]:
    """Asserts that an error, with these fields, is all there is; returns it."""
    assert data.keys() == {"errors"}
    (error,) = data["errors"]
    check(error, ERROR | dict.fromkeys(fields, object))
    assert error["code"] == code
    assert "\n" not in error["message"]
    if "source" in error:
        check(error["source"], SOURCE)
    return dict(error)
