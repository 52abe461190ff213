# SPDX-License-Identifier: BSD-2-Clause
"""What other programs say of the same files: libbpf, bpftool, clang, llvm-objdump."""
