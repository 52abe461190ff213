# SPDX-License-Identifier: BSD-2-Clause
"""A laboratory for MPTCP: network namespaces, paths between them, a transfer, and what each subflow carried of it.

Needs root, and pyroute2 (the extra `net`), so it runs with the Python of the checkout's virtual environment. Namespaces
have no names: they end with the process that made them, however it ends.
"""
