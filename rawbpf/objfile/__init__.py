# SPDX-License-Identifier: BSD-2-Clause
"""What an object file says: ELF sections, programs, maps, variables, externs. No kernel, no root, any OS."""
