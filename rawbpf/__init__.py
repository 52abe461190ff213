# SPDX-License-Identifier: BSD-2-Clause
"""rawbpf: an eBPF loader in pure Python."""
