#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast `migbench inspect --summary` is, beside a walk over the same records in Python.

The input is a stream of 256 MiB of RAM in which every page is full, written here, and warm in the
page cache. The walk is traces/gen/walk.py; where MIGBENCH_ANALYZE_MIGRATION names QEMU's analyze-migration
script, that one is measured, too. Each figure is the best of some rounds in this one run: noise
only ever slows a round down. Through a pipe nothing can be skipped by seeking, so that figure
stands apart.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.environ.get("SOURCE_ROOT") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MIGBENCH = os.environ.get("MIGBENCH") or os.path.join(ROOT, "build", "migbench")
PAGE, SIZE = 4096, 256 << 20
PAGES_PER_PART = 3000


def be32(value):
    return struct.pack(">I", value)


def be64(value):
    return struct.pack(">Q", value)


def section(kind, number, body):
    return bytes([kind]) + be32(number) + body + b"\x7e" + be32(number)


def pages(size):
    """PART sections of all pages, in order, in pieces. One buffer holds the pages of a part; only
    their headers change from part to part."""
    step = 8 + PAGE
    part = bytearray(b"".join(bytes(8) + os.urandom(PAGE) for _ in range(PAGES_PER_PART)))
    for first in range(0, size // PAGE, PAGES_PER_PART):
        count = min(PAGES_PER_PART, size // PAGE - first)
        for n in range(count):
            struct.pack_into(">Q", part, n * step, (first + n) * PAGE | 0x28)
        yield bytes([2]) + be32(2)
        if first == 0:  # the first page names its block
            yield be64(0x08) + b"\3ram"
        yield memoryview(part)[0 if first else 8:count * step]
        yield be64(0x10) + b"\x7e" + be32(2)


def write_stream(file, size=SIZE):
    description = json.dumps({"page_size": PAGE, "devices": [
        {"name": "globalstate", "instance_id": 0, "vmsd_name": "globalstate", "version": 1,
         "fields": [{"name": "size", "type": "uint32", "size": 4},
                    {"name": "runstate", "type": "buffer", "size": 100}]}]}).encode()
    file.write(b"QEVM" + be32(3) + b"\7" + be32(4) + b"none")
    file.write(section(1, 2, b"\3ram" + be32(0) + be32(4) + be64(size | 4) + b"\3ram"
                       + be64(size) + be64(0x10)))
    for piece in pages(size):
        file.write(piece)
    file.write(section(3, 2, be64(0x10)))
    file.write(section(4, 3, b"\x0bglobalstate" + be32(0) + be32(1) + be32(8)
                       + b"running".ljust(100, b"\0")))
    file.write(b"\0\6" + be32(len(description)) + description)


def measure(argv, rounds, stdin=None):
    """(best seconds, peak memory in MiB); stdin: a file to be pumped through a pipe."""
    best, peak = None, 0
    for _ in range(rounds):
        pump = subprocess.Popen(["cat", stdin], stdout=subprocess.PIPE) if stdin else None
        start = time.monotonic()
        child = subprocess.Popen(argv, stdin=pump.stdout if pump else subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL)
        if pump:
            pump.stdout.close()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - start
        if pump:
            pump.wait()
        if status:
            sys.exit(f"{' '.join(argv)}: wait status {status:#x}")
        best = seconds if best is None else min(best, seconds)
        peak = max(peak, usage.ru_maxrss / 1024)
    return best, peak


def main():
    with tempfile.TemporaryDirectory(prefix="migbench-bench-") as folder:
        path = os.path.join(folder, "stream")
        # In a child: the peak of a process counts what its parent had when it was forked.
        subprocess.run([sys.executable, os.path.abspath(__file__), "--write", path], check=True)
        inspect = [MIGBENCH, "inspect", "--summary"]
        walk = [sys.executable, os.path.join(ROOT, "traces", "gen", "walk.py")]
        rows = [("inspect --summary FILE", *measure(inspect + [path], 5)),
                ("inspect --summary, pipe", *measure(inspect + ["-"], 5, stdin=path)),
                ("walk.py FILE", *measure(walk + [path], 2))]
        analyzer = os.environ.get("MIGBENCH_ANALYZE_MIGRATION")
        if analyzer:
            rows.append(("analyze-migration", *measure([sys.executable, analyzer, "-f", path], 1)))
    for name, seconds, peak in rows:
        print(f"{name:26} {seconds * 1000:9.1f} ms {SIZE / seconds / 2**30:9.2f} GiB/s "
              f"peak {peak:6.1f} MiB {seconds / rows[0][1]:8.1f} x")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        with open(sys.argv[2], "wb") as out:
            write_stream(out)
    else:
        main()
