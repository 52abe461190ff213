# SPDX-License-Identifier: BSD-2-Clause
"""What the pages of docs/ show is true: their examples are run, and print what is said."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["maps.md"])
def test_the_examples_of_a_page(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = (DOCS / page).read_text()
    examples = "".join(re.findall(r"^```python\n(>>> .*?)^```$", text, re.MULTILINE | re.DOTALL))
    test = doctest.DocTestParser().get_doctest(examples, {}, page, page, 0)
    assert len(test.examples) > 10
    failed, _ = doctest.DocTestRunner().run(test)
    assert not failed, capsys.readouterr().out
