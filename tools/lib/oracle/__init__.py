# SPDX-License-Identifier: BSD-2-Clause
"""What does libbpf hand to the kernel for an object, and does rawbpf hand over the same?

- ``record.c``: a shim that writes down each bpf(2) call of a process; ``recorder`` runs a command under it, ``attrs``
  has the fields of the attribute.
- ``libbpf`` and ``ours``: drivers that load objects, whole or each program alone, as child processes
  (``drive_libbpf.py``, ``drive_rawbpf.py``); ``debian`` gets the newest libbpf.
- ``normalise``: a recording without probes, with names in place of descriptors and ids.
- ``compare``: the differences of two recordings, in lines to read; ``btftext`` shows BTF for it.
- ``contest``: both loaders on many objects.

>>> from tools.lib.oracle import libbpf, ours
>>> from tools.lib.oracle.compare import compare
>>> print(*compare(ours.driver().record(obj), libbpf.driver().record(obj)), sep="\\n")
"""
