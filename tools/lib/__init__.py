# SPDX-License-Identifier: BSD-2-Clause
"""What the scripts of tools/ share: getting a machine ready, building the test kernel, running commands in it.

Only the standard library, so that a fresh checkout can run it before anything is installed. A script reaches it with
the root of the checkout on its path::

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tools.lib import machine
"""
