# SPDX-License-Identifier: BSD-2-Clause
"""The child process of ``tools/bench maps``: does as libbpf_maps.c does, prints CPU nanoseconds an element as JSON."""

from __future__ import annotations

import json
import sys
import time
from array import array
from typing import TYPE_CHECKING, Any

from rawbpf import Map

if TYPE_CHECKING:
    from collections.abc import Callable

FORMS: dict[str, tuple[Any, Any, Callable[[int], Any], Callable[[int], Any]]] = {
    "bytes": (4, 8, lambda i: i.to_bytes(4, sys.byteorder), lambda i: i.to_bytes(8, sys.byteorder)),
    "buffers": ("u32", "u64", int, int),
    "numbers": ("u32", "u64", int, int),
    "structs": ("u32", {"packets": "u32", "drops": "u32"}, int, lambda i: {"packets": i, "drops": 1}),
}
"""Types of key and value, and what makes one of a number."""


def main() -> None:
    form, count = sys.argv[1], int(sys.argv[2])
    key_type, value_type, key, value = FORMS[form]
    keys, values = list(map(key, range(count))), list(map(value, range(count)))
    spent: dict[str, float] = {}

    def clock(name: str, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = work()
        spent[name] = 1e9 * (time.process_time() - start) / count
        return result

    with Map.create("hash", key_type, value_type, count, name="bench") as m:

        def update() -> None:
            for k, v in zip(keys, values, strict=True):
                m[k] = v

        def lookup() -> None:
            for k in keys:
                m[k]

        clock("update", update)
        clock("lookup", lookup)
        if form == "buffers":
            raw = array("I", keys), array("Q", values)
            clock("update, batch", lambda: m.update_batch(*raw))
            assert clock("lookup, batch", lambda: sum(len(found.cast("I")) for found, _ in m.chunks())) == count
            assert clock("delete, batch", lambda: m.delete_batch(raw[0])) == count
            print(json.dumps({name: value for name, value in spent.items() if "batch" in name}))
            return
        clock("update, batch", lambda: m.update_many(zip(keys, values, strict=True)))
        found = clock("lookup, batch", lambda: list(m.items()))
        assert len(found) == count
        assert clock("delete, batch", lambda: m.delete_many(keys)) == count
    print(json.dumps(spent))


if __name__ == "__main__":
    main()
