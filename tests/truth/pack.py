#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The measured rows as they stand in the tree: traces/truth/runs.ndjson.xz, one row of JSON a line, sorted.

    pack.py [ROWS...]     adds rows (traces/truth/runs.ndjson, where measure.py leaves them)
"""
import json
import lzma
import os
import sys

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                      "traces", "truth")
PLAIN, PACKED = os.path.join(FOLDER, "runs.ndjson"), os.path.join(FOLDER, "runs.ndjson.xz")


def key(row):
    return row["repeat"], row["cell"], row["qemu"]


def read(path, how):
    if not os.path.exists(path):
        return {}
    with how(path, "rt", encoding="utf-8") as file:
        return {key(row): row for row in map(json.loads, file)}


def unpack():
    if not os.path.exists(PLAIN) and os.path.exists(PACKED):
        with lzma.open(PACKED, "rt") as packed, open(PLAIN, "w", encoding="utf-8") as out:
            out.write(packed.read())


def main():
    rows = read(PACKED, lzma.open)
    for path in sys.argv[1:] or [PLAIN]:
        rows.update(read(path, open))
    with lzma.open(PACKED, "wt", preset=9, encoding="utf-8") as out:
        for _, row in sorted(rows.items()):
            out.write(json.dumps(row, separators=(",", ":")) + "\n")
    print(f"{len(rows)} rows in {os.path.relpath(PACKED)}")


if __name__ == "__main__":
    main()
