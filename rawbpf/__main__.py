# SPDX-License-Identifier: BSD-2-Clause
"""``python -m rawbpf``."""

import sys

try:
    from rawbpf.cli import main
except KeyboardInterrupt:
    sys.exit(130)

sys.exit(main())
