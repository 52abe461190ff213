# SPDX-License-Identifier: BSD-2-Clause
"""What an object file says: ELF, sections, instructions, map definitions, and all of it as an `ObjectSpec`."""
