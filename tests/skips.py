# SPDX-License-Identifier: BSD-2-Clause
"""A test that the machine cannot run."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def unavailable(reason: str) -> NoReturn:
    """Skips the test, or fails it where the environment says RAWBPF_REQUIRE=1."""
    if os.environ.get("RAWBPF_REQUIRE") == "1":
        pytest.fail(f"RAWBPF_REQUIRE=1, and {reason}")
    pytest.skip(reason)
