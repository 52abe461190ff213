# SPDX-License-Identifier: BSD-2-Clause
"""rawbpf hands over what libbpf does, for objects of other compilers and for those that Debian's packages ship.

Each object is loaded as a whole, then each of its programs alone. The running kernel refuses many of the tracing
programs: then it is still compared what it was asked to load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from skips import unavailable

from tools.lib.oracle.contest import Options, contest
from tools.lib.oracle.recorder import OracleUnavailable

from . import compilers, packages

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.oracle, pytest.mark.kernel]

# Sources that a compiler cannot build, each with a piece of its reason
REFUSED = {
    "clang-14": {
        "arena": "unknown target CPU 'v4'",
        "instructions": "unknown target CPU 'v4'",
        "core": "llvm.bpf.preserve.type.info",  # BPF_TYPE_MATCHES is of clang 15
    },
    "clang-16": {"arena": "unknown target CPU 'v4'", "instructions": "unknown target CPU 'v4'"},
    "gcc-14": {"btf_kinds": "attributes should be specified before the declarator"},
    "gcc-newest": {"btf_kinds": "attributes should be specified before the declarator"},
}

# Objects of which rawbpf loads what libbpf does not, by compiler ("" for all): see DECISIONS of test_parity.py
DECIDED = {
    # libbpf's next release knows the fentry.multi that attach_kernel has
    "": {"attach_kernel", "struct_ops_mismatch"},
    # libbpf fills the slots of a map of maps when that is made, and refuses slots for maps that come later
    "gcc-14": {"map_in_map"},
}


def differences(objs: list[Path]) -> dict[str, dict[str, list[str]]]:
    """By object and program, where there are any."""
    found: dict[str, dict[str, list[str]]] = {}
    loads = 0
    for match in contest(objs, Options(each=True)):
        loads += 1
        if match.differences:
            found.setdefault(match.obj.stem, {})[match.program] = match.differences
    assert loads >= len(objs) > 0
    return found


@pytest.mark.parametrize("compiler", compilers.COMPILERS, ids=lambda compiler: compiler.name)
def test_other_compilers(libbpf_library: Path, compiler: compilers.Compiler) -> None:
    try:
        built = compilers.build(compiler)
    except OracleUnavailable as error:
        unavailable(str(error))
    refused = REFUSED.get(compiler.name, {})
    assert built.refused.keys() == {f"{stem}.c" for stem in refused}, built.refused
    assert all(reason in built.refused[f"{stem}.c"] for stem, reason in refused.items()), built.refused
    decided = DECIDED[""] | DECIDED.get(compiler.name, set())
    found = differences(built.objects)
    assert {stem: it for stem, it in found.items() if stem not in decided} == {}
    assert found.keys() == decided


@pytest.mark.parametrize(
    ("suite", "package"), [(suite, package) for suite, names in packages.PACKAGES.items() for package in names]
)
def test_shipped_objects(libbpf_library: Path, suite: str, package: str) -> None:
    try:
        objs = packages.shipped(suite, package)
    except OracleUnavailable as error:
        unavailable(str(error))
    assert differences(objs) == {}
