# SPDX-License-Identifier: BSD-2-Clause
"""What to do about an object: a spec and a `Target` become a `Plan`, an ordered list of bpf(2) calls as data."""
