# SPDX-License-Identifier: BSD-2-Clause
"""The names of the talk's subtests."""

from __future__ import annotations

SUBTESTS = (
    *("base", "mptcpify", "subflow", "iters_subflow", "netlink_pm", "bpf_netlink_pm", "userspace_pm"),
    *("bpf_userspace_pm", "iters_netlink_address", "iters_userspace_address", "bpf_hashmap_pm", "sockopt"),
    *("default", "first", "bkup", "rr", "red", "burst", "stale"),
)
"""In the order of the talk 'BPF on MPTCP'."""
