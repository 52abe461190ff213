# SPDX-License-Identifier: BSD-2-Clause
"""The machine: the one gate to bpf(2), and what lives behind it. The only room that touches ctypes, /sys and /proc."""
