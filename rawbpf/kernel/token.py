# SPDX-License-Identifier: BSD-2-Clause
"""BPF tokens: rights that a bpffs delegates into a user namespace (Linux 6.9; ``delegate_cmds`` and other options of
mount).

The rule is libbpf's: a path that is given has to work; without one the variable LIBBPF_BPF_TOKEN_PATH says it; without
that, /sys/fs/bpf is tried in silence. An empty path means no token. The initial user namespace has no tokens, so there
nothing is tried unasked.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from errno import EINVAL, ENOENT, EOPNOTSUPP, EPERM
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, NotSupportedError, where
from rawbpf.kernel import syscall
from rawbpf.kernel.log import debug
from rawbpf.pins import BPFFS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.kernel.fd import Fd

VARIABLE = "LIBBPF_BPF_TOKEN_PATH"
_INITIAL_USER_NAMESPACE = 0xEFFFFFFD  # its inode (include/uapi/linux/nsfs.h)

_WHY = {
    ENOENT: "the bpffs delegates nothing: mount it with delegate_cmds, delegate_maps, delegate_progs, delegate_attachs",
    EOPNOTSUPP: "the initial user namespace has no tokens, and needs none: root has all rights",
    EPERM: "a token takes CAP_BPF in the user namespace that the bpffs belongs to, and that this process is in",
}


@contextmanager
def use(path: str | None = None) -> Iterator[None]:
    """Make a token, and let all that is loaded or created meanwhile in this thread have its rights.

    Args:
        path: the root of a bpffs; empty for no token; None for the rule above.

    Raises:
        KernelError: there is no token to be had at a path that was given.
    """
    token = _by_rule(path)
    if token is None:
        yield
        return
    with token, syscall.with_token(token.fileno()):
        yield


def _by_rule(path: str | None) -> Fd | None:
    if path is None:
        path = os.environ.get(VARIABLE)
    if path is not None:
        return create(path) if path else None
    if in_initial_user_namespace():
        return None
    try:
        return create(BPFFS)
    except KernelError as failure:
        debug("no token: %s", failure)
        return None


def create(path: str) -> Fd:
    """A token of the bpffs that is mounted at `path`.

    Raises:
        NotSupportedError: a kernel before 6.9.
        KernelError: with the reason, as far as it is known.
    """
    with where(path=path):
        try:
            directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (OSError, ValueError) as failure:  # ValueError: a NUL in the path
            why, number = getattr(failure, "strerror", str(failure)), getattr(failure, "errno", None) or EINVAL
            raise KernelError(f"no bpffs for a token: {why}", errno=number) from failure
        try:
            return syscall.token_create(directory)
        except NotSupportedError:
            raise
        except KernelError as failure:
            failure.hint = _WHY.get(
                failure.errno or 0, "the root of a bpffs has to be named; Linux 6.9 and newer have tokens"
            )
            raise
        finally:
            os.close(directory)


def in_initial_user_namespace() -> bool:
    """Whether this process is in the namespace that the kernel started with; yes where that cannot be told."""
    try:
        return os.stat("/proc/self/ns/user").st_ino == _INITIAL_USER_NAMESPACE
    except OSError:
        return True
