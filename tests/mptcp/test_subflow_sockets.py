# SPDX-License-Identifier: BSD-2-Clause
"""A packet scheduler goes from subflows to their TCP sockets, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from building import compiled
from lab import IPV4
from netlink import Address, Flag

import rawbpf

if TYPE_CHECKING:
    from lab import Lab

COUNTS = ("back", "elsewhere", "not_one", "most_turns")


def test_from_a_subflow_to_its_socket_and_back(lab: Lab, test_kernel: None) -> None:
    with rawbpf.load(compiled("subflow_sockets")) as obj:
        obj.attach()
        lab.sysctl("scheduler", "bpf_sockets")
        lab.endpoints(Address(IPV4[1], flags=Flag.SUBFLOW))
        with lab.connection() as connection:
            connection.wait_locals(*IPV4[:2])
            connection.send(1 << 20)
        back, elsewhere, not_one, most_turns = (obj.variables[name].value for name in COUNTS)
    assert elsewhere == 0
    assert 1 < most_turns < not_one < back
