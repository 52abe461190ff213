# SPDX-License-Identifier: BSD-2-Clause
"""``python -m rawbpf``."""

import sys

from rawbpf.cli import main

sys.exit(main())
