# SPDX-License-Identifier: BSD-2-Clause
"""The benchmarks behind tools/bench: how time is taken, of what, and how it is shown."""
