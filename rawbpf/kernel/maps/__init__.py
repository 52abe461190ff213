# SPDX-License-Identifier: BSD-2-Clause
"""Maps in the kernel, as Python mappings."""

from rawbpf.kernel.maps.map import Map as Map
