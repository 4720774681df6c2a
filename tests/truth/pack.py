#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The measured rows as they stand in the tree: traces/truth/SET.ndjson.xz, one row of JSON a line, sorted.

    pack.py [ROWS...]     packs rows (traces/truth/SET.ndjson, where measure.py leaves them)
"""
import json
import lzma
import os
import sys

import cells

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                      "traces", "truth")


def plain(of):
    """Where the rows of a set grow."""
    return os.path.join(FOLDER, f"{of}.ndjson")


def key(row):
    return row["repeat"], row["cell"], row["qemu"]


def read(path, how):
    if not os.path.exists(path):
        return {}
    with how(path, "rt", encoding="utf-8") as file:
        return {key(row): row for row in map(json.loads, file)}


def unpack(path):
    if not os.path.exists(path) and os.path.exists(f"{path}.xz"):
        with lzma.open(f"{path}.xz", "rt") as packed, open(path, "w", encoding="utf-8") as out:
            out.write(packed.read())


def main():
    for path in sys.argv[1:] or filter(os.path.exists, map(plain, cells.SETS)):
        packed = plain(next(iter(read(path, open)))[1].split("/")[0]) + ".xz"
        rows = {**read(packed, lzma.open), **read(path, open)}
        with lzma.open(packed, "wt", preset=9, encoding="utf-8") as out:
            for _, row in sorted(rows.items()):
                out.write(json.dumps(row, separators=(",", ":")) + "\n")
        print(f"{len(rows)} rows in {os.path.relpath(packed)}")


if __name__ == "__main__":
    main()
