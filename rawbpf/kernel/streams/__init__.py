# SPDX-License-Identifier: BSD-2-Clause
"""What programs and user space talk through: ring buffers both ways, perf buffers, streams of text."""
