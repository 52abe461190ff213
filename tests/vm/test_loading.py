# SPDX-License-Identifier: BSD-2-Clause
"""Loading that takes the test kernel: programs that attach to programs, reasons of the kernel, tokens."""

from __future__ import annotations

from typing import Any

import in_guest
import pytest

pytestmark = pytest.mark.vm

Report = dict[str, Any]


@pytest.fixture(scope="module")
def reports(built: object) -> list[Report]:
    """What the guest prints: of functions, logs, a token, a bpffs that delegates nothing, the initial namespace."""
    return in_guest.reports("loading_guest.py", timeout=240)


def test_a_function_of_another_program_is_replaced_and_traced(reports: list[Report]) -> None:
    told = reports[0]
    assert (told["before"], told["replaced"], told["after"]) == (2, 1, 2)
    assert told["seen"] == [1, 4]
    assert told["command"] == []


def test_a_plan_is_for_the_program_that_it_was_made_for(reports: list[Report]) -> None:
    told = reports[0]
    assert told["gone"]["message"] == "nothing is pinned at /sys/fs/bpf/other"
    assert told["another"]["message"].endswith("is another than the one that the plan was made for")


def test_the_kernel_s_reasons(reports: list[Report]) -> None:
    messages = {name: told["message"] for name, told in reports[1].items()}
    assert messages == {
        "map": "the kernel refused to create the map: Invalid map_extra (EINVAL)",
        "name": "the kernel refused to create the map: Invalid map_name (EINVAL)",
        "btf": "the kernel refused the BTF: [3] PTR (anon) type_id=99 Invalid type_id (EINVAL)",
    }


def test_a_token_gives_the_rights_of_the_namespace(reports: list[Report]) -> None:
    told = reports[2]
    assert told["initial"] is False
    assert told["named"] == "ext_target"
    assert told["unasked"] is True
    assert told["plan"][0].startswith("CreateToken(handle='token', path='/sys/fs/bpf'")


def test_no_token(reports: list[Report]) -> None:
    told, nothing, initial = reports[2:]
    assert told["none"]["errno"] == nothing["unasked"]["errno"] == 1
    assert "--token" in told["none"]["hint"]
    assert "the root of a bpffs" in told["no_bpffs"]["hint"]
    assert told["nowhere"]["message"] == "no bpffs for a token: No such file or directory"
    assert "delegates nothing" in nothing["named"]["hint"]
    assert "the initial user namespace has no tokens" in initial["hint"]
