# SPDX-License-Identifier: BSD-2-Clause
"""BTF as data: read it, build it, print it as C, read and write values of its types, compute CO-RE relocations."""
