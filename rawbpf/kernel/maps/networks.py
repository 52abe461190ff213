# SPDX-License-Identifier: BSD-2-Clause
"""Keys of LPM tries as networks of `ipaddress`: a prefix length, and an address in network byte order."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any

from rawbpf.btf.codec import Codec, Misfit, raw_bytes

_LENGTH = struct.Struct("=I")


class NetworkForm(Codec):
    """A network. Written from a network, an address (which is looked up: the longest prefix wins), or their text.

    Args:
        size: of the key: 8 bytes for IPv4, 20 for IPv6.
        typed: the codec of its BTF type, whose values are taken too.
    """

    def __init__(self, size: int, typed: Codec | None) -> None:
        self._network: type[IPv4Network] | type[IPv6Network] = IPv4Network if size == 8 else IPv6Network
        super().__init__(f"an IPv{4 if size == 8 else 6} network", size)
        self._typed = typed

    def read(self, data: Any, offset: int) -> Any:
        (length,) = _LENGTH.unpack_from(data, offset)
        return self._network((bytes(data[offset + 4 : offset + self.size]), length), strict=False)

    def write(self, buffer: bytearray, offset: int, value: Any) -> None:
        if isinstance(value, str):
            value = self.from_text(value)
        elif isinstance(value, (IPv4Address, IPv6Address)):
            value = ip_network(value)
        if isinstance(value, self._network):
            _LENGTH.pack_into(buffer, offset, value.prefixlen)
            buffer[offset + 4 : offset + self.size] = value.network_address.packed
        elif self._typed is not None and not isinstance(value, (IPv4Network, IPv6Network)):
            self._typed.write(buffer, offset, value)
        elif raw_bytes(value) is None:
            raise Misfit(f"{self.label} is what the map's keys are, not {value!r}")
        else:
            raise Misfit(f"{self.label} has {self.size} bytes; there are {len(value)}")

    def from_text(self, text: str) -> Any:
        try:
            return self._network(text, strict=False)
        except ValueError:
            raise Misfit(f"{text!r} is not {self.label}") from None
