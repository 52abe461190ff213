# SPDX-License-Identifier: BSD-2-Clause
"""Maps that a kernel refuses with BTF: the second attempt without, and both reasons told."""

from __future__ import annotations

from errno import E2BIG, EINVAL, ENOMEM
from typing import Any

import pytest

from rawbpf.errors import KernelError
from rawbpf.kernel import creation, syscall
from rawbpf.uapi import MapType

TYPES = {"btf_fd": 5, "btf_key_type_id": 1, "btf_value_type_id": 2}
FIELDS = {"map_type": MapType.HASH, "key_size": 4, "value_size": 8, "max_entries": 1, "map_name": "flows"}


class Answers:
    """A map_create that fails with one errno after the other, 0 for success."""

    def __init__(self, *errnos: int) -> None:
        self.errnos = list(errnos)
        self.asked: list[dict[str, Any]] = []

    def __call__(self, fields: dict[str, Any], log: bytearray | None = None) -> str:
        if log is not None:
            raise KernelError("no log", errno=EINVAL, command="BPF_MAP_CREATE")
        self.asked.append(fields)
        errno = self.errnos.pop(0)
        if errno:
            raise KernelError("no", errno=errno, command="BPF_MAP_CREATE")
        return "a descriptor"


def test_again_without_btf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscall, "map_create", answers := Answers(EINVAL, 0))
    assert creation.create_map(FIELDS | TYPES) == "a descriptor"  # type: ignore[comparison-overlap]
    assert answers.asked == [FIELDS | TYPES, FIELDS | dict.fromkeys(TYPES, 0)]


def test_both_reasons_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscall, "map_create", Answers(EINVAL, ENOMEM))
    with pytest.raises(KernelError) as error:
        creation.create_map(FIELDS | TYPES)
    assert error.value.errno == ENOMEM
    assert "Cannot allocate memory (ENOMEM); with BTF it was Invalid argument (EINVAL)" in str(error.value)


def test_the_same_reason_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscall, "map_create", Answers(E2BIG, E2BIG))
    with pytest.raises(KernelError, match=r"\(E2BIG\)$"):
        creation.create_map(FIELDS | TYPES)


def test_without_types_there_is_one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscall, "map_create", answers := Answers(ENOMEM))
    with pytest.raises(KernelError) as error:
        creation.create_map(FIELDS | {"btf_fd": 5})
    assert "asked for: type hash, key_size 4, value_size 8, max_entries 1" in str(error.value.hint)
    assert len(answers.asked) == 1
