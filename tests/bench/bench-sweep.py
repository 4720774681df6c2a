#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cells per minute of `migbench sweep`, with one thread and with two, each the best of some rounds.

The cells are those of docs/examples/sweep-latin.json (16 MiB of RAM, a busy guest), fewer of them,
and those of sweep-demo.json (64 MiB); SWEEP_CELLS says how many of the former (default 2000). The
hash of the merged rows is printed beside each figure: it has to be the same in all rounds.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time

ROOT = os.environ.get("SOURCE_ROOT") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MIGBENCH = os.environ.get("MIGBENCH") or os.path.join(ROOT, "build", "migbench")
EXAMPLES = os.path.join(ROOT, "docs", "examples")
CELLS, ROUNDS = int(os.environ.get("SWEEP_CELLS", "2000")), 3


def load(name):
    with open(os.path.join(EXAMPLES, name), encoding="utf-8") as file:
        return json.load(file)


def specs():
    latin, demo = load("sweep-latin.json"), load("sweep-demo.json")
    latin["axes"][0]["count"] = CELLS // 2
    demo["scenario"] = load(demo["scenario"])
    demo["replicates"] = 20
    return {"latin": latin, "demo": demo}


def once(folder, spec, threads, number):
    """Seconds and the merged hash."""
    out = os.path.join(folder, f"rows-{number}-{threads}")
    began = time.monotonic()
    subprocess.run([MIGBENCH, "sweep", spec, "-j", str(threads), "-o", out], check=True,
                   stdout=subprocess.DEVNULL)
    took = time.monotonic() - began
    merged = subprocess.run([MIGBENCH, "sweep", "merge", out, "-o", out + ".merged"], check=True,
                            stdout=subprocess.PIPE).stdout.decode()
    os.remove(out + ".merged")
    os.remove(out)
    return took, re.search(r"(\d+) rows, sha256 (\w+)", merged).groups()


def main():
    hashes = {}
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} when it began")
    with tempfile.TemporaryDirectory() as folder:
        for name, value in specs().items():
            spec = os.path.join(folder, name + ".json")
            with open(spec, "w", encoding="utf-8") as file:
                json.dump(value, file)
            for threads in (1, 2):
                results = [once(folder, spec, threads, i) for i in range(ROUNDS)]
                best, cells = min(r[0] for r in results), int(results[0][1][0])
                hashes.setdefault(name, set()).update(r[1][1] for r in results)
                print(f"{name:6} -j{threads}  {cells} cells in {best:6.2f} s  "
                      f"{cells / best * 60:8.0f} cells/min  {results[0][1][1][:16]}")
    sys.exit(0 if all(len(h) == 1 for h in hashes.values()) else 1)


main()
