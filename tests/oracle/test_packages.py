# SPDX-License-Identifier: BSD-2-Clause
"""Objects within programs are found whole, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from .packages import embedded

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).parents[2]
SMALL = (ROOT / "objs/mptcp_bpf_first.o").read_bytes()
OTHER = (ROOT / "objs/mptcp_sock.o").read_bytes()
BIG_ENDIAN = (ROOT / "tests/objs/data.eb.o").read_bytes()
FOR_THIS_MACHINE = SMALL[:18] + (62).to_bytes(2, "little") + SMALL[20:]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (SMALL, [SMALL]),
        (b"before" + SMALL + b"between" + OTHER + b"after", [SMALL, OTHER]),
        (b"\x7fELF\x02\x01 is how it begins" + SMALL, [SMALL]),
        (SMALL[:-1], []),
        (BIG_ENDIAN + FOR_THIS_MACHINE, []),
        (b"", []),
    ],
    ids=["alone", "two", "magic", "cut", "others", "empty"],
)
def test_embedded_objects(data: bytes, found: list[bytes]) -> None:
    assert list(embedded(data)) == found
