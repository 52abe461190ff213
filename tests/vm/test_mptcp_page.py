# SPDX-License-Identifier: BSD-2-Clause
"""docs/mptcp.md is true: its commands are run in the test kernel, one after the other, and print what the page shows.

Numbers may differ, and so may the width of columns. A line of the page that is … stands for any lines.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

import pytest
from in_guest import ROOT, VM

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.vm

PAGE = (ROOT / "docs" / "mptcp.md").read_text()
MARK = "=====of the test====="
ANYTHING = "…"
SAVED = re.compile(r"`(build/\w+\.c)`:\n\n```c\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\b[0-9a-f]{16}\b|\d+(?:\.\d+)*")


class Command(NamedTuple):
    line: str
    output: list[str]


def commands(page: str) -> list[Command]:
    found: list[Command] = []
    for block in BLOCK.findall(page):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Command(line[2:], []))
            else:
                found[-1].output.append(line)
    return found


def normal(line: str) -> str:
    return " ".join(NUMBER.sub("#", line.replace(f"{ROOT}/", "")).split())


def matches(page: Sequence[str], printed: Sequence[str]) -> bool:
    """Whether the lines are those of the page."""
    if not page or not printed:
        return not printed and all(line == ANYTHING for line in page)
    if page[0] == ANYTHING:
        return matches(page[1:], printed) or matches(page, printed[1:])
    return normal(page[0]) == normal(printed[0]) and matches(page[1:], printed[1:])


def test_lines_match_but_for_their_numbers() -> None:
    assert matches(["a 5 MiB", "b"], ["a   71.25 MiB", "b"])
    assert matches(["tag ab34567890abcdef", ANYTHING, "c"], ["tag 1234567890abcdef", "x", "y", "c"])
    assert matches(["a", ANYTHING], ["a"])
    assert not matches(["a 5 MiB"], ["a 5 KiB"])
    assert not matches(["a"], ["a", "b"])
    assert not matches(["a", ANYTHING, "c"], ["a", "c", "d"])


@pytest.fixture(scope="module")
def outputs(built: object) -> Iterator[list[list[str]]]:
    """What each command of the page prints."""
    (ROOT / "build").mkdir(exist_ok=True)
    written = []
    for name, text in SAVED.findall(PAGE):
        written.append(ROOT / name)
        written[-1].write_text(text)
    script = "\n".join(f"echo {shlex.quote(MARK)}; {{ {command.line}\n}} 2>&1" for command in commands(PAGE))
    words = [*VM, "--", "bash", "-c", script]
    done = subprocess.run(words, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=500)
    yield [part.strip("\n").splitlines() for part in done.stdout.split(MARK + "\n")[1:]]
    for path in written:
        path.unlink()


def test_the_page_has_commands() -> None:
    assert len(commands(PAGE)) > 15
    assert [name for name, _ in SAVED.findall(PAGE)] == ["build/lowrtt.c", "build/spare.c"]


@pytest.mark.parametrize("number", range(len(commands(PAGE))), ids=[command.line for command in commands(PAGE)])
def test_a_command_prints_what_the_page_shows(number: int, outputs: list[list[str]]) -> None:
    assert len(outputs) == len(commands(PAGE))
    shown = [line for line in commands(PAGE)[number].output if line.strip()]
    printed = [line for line in outputs[number] if line.strip()]
    assert matches(shown, printed), "\n".join(["the page shows", *shown, "", "and this is printed", *printed])


def output(outputs: list[list[str]], word: str) -> list[str]:
    """Of the one command with that word."""
    (found,) = [out for command, out in zip(commands(PAGE), outputs, strict=True) if word in command.line]
    return found


def test_the_tutorials_scheduler_prefers_the_faster_path(outputs: list[list[str]]) -> None:
    lab = output(outputs, "--plot build/lowrtt.svg")
    near, far = [
        [float(part) for part in re.findall(r"([\d.]+) %", line)] for line in lab if ">" in line and "%" in line
    ]
    assert near[1] > far[1]
    assert near[0] + far[0] == pytest.approx(100, abs=0.2)
    assert near[1] + far[1] == pytest.approx(100, abs=0.2)
    (rates,) = [re.findall(r"([\d.]+) MB/s", line) for line in lab if line.split()[:1] == ["rate"]]
    assert all(float(rate) > 0 for rate in rates)


def test_the_tutorials_scheduler_has_picked(outputs: list[list[str]]) -> None:
    """It did so itself: its counters say so, which the default scheduler would leave at zero."""
    _, dumped = output(outputs, "lowrtt/maps")[0].split(": ", 1)
    picks = json.loads(dumped)["picks"]
    assert len(picks) == 9
    assert picks[1] > picks[2] >= 0
    assert sum(picks) == picks[1] + picks[2] > 10


def test_the_laboratory_tells_what_the_variable_holds(outputs: list[list[str]]) -> None:
    (line,) = [line for line in output(outputs, "--scheduler build/lowrtt.o") if line.startswith("lowrtt: picks = ")]
    picks = json.loads(line.partition(" = ")[2])
    assert sum(picks) == picks[1] + picks[2] > 10


def test_the_tutorials_path_manager_makes_two_backups(outputs: list[list[str]]) -> None:
    lab = output(outputs, "--path-manager spare")
    sent = {line.split()[3]: float(line.split()[4]) for line in lab if ">" in line and "%" in line}
    assert len(sent) == 3
    assert sent.pop("10.0.1.2") >= 4
    assert set(sent.values()) == {0}
    assert output(outputs, "spare/maps") == ['0: {"spares": 2}']


def test_plots_of_the_page_are_there() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", PAGE)
    assert "mptcp/paths.svg" in pictures
    for picture in pictures:
        assert ElementTree.parse(ROOT / "docs" / picture).getroot().get("width")
