# SPDX-License-Identifier: BSD-2-Clause
"""In the test kernel: measure as `tools/mptcp-lab --figures` does, but little of it, and report what comes out.

Prints one JSON object: the page, and the files beside it by name.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path

from tools.lab import figures
from tools.lib.machine import ROOT

SMALL = figures.Extent(paths=2, schedulers=("default", "rr"), seconds=1, file_size=8 << 20, requests=200, tries=1)


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        page = Path(directory) / "mptcp.md"
        page.write_text((ROOT / "docs" / "mptcp.md").read_text())
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            figures.measure(page, SMALL)
        files = {path.name: path.read_text() for path in page.with_suffix("").iterdir()}
        print(json.dumps({"page": page.read_text(), "printed": printed.getvalue(), "files": files}))


if __name__ == "__main__":
    main()
