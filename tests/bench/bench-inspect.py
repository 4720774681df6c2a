#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast `migbench inspect --summary` is, beside a walk over the same records in Python.

The input is a stream of 256 MiB of RAM in which every page is full, written here, and warm in the
page cache. The walk is traces/gen/walk.py; where MIGBENCH_ANALYZE_MIGRATION names QEMU's analyze-migration
script, that one is measured, too. Each figure is the best of some rounds in this one run: noise
only ever slows a round down. Through a pipe nothing can be skipped by seeking, so that figure
stands apart.
"""
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


def pages():
    """PART sections of all pages, in order."""
    content = os.urandom(PAGES_PER_PART * PAGE)
    for first in range(0, SIZE // PAGE, PAGES_PER_PART):
        body = []
        for page in range(first, min(first + PAGES_PER_PART, SIZE // PAGE)):
            head = be64(page * PAGE | 0x28) if page else be64(0x08) + b"\3ram"
            at = (page - first) * PAGE
            body += [head, content[at:at + PAGE]]
        yield section(2, 2, b"".join(body) + be64(0x10))


def write_stream(path):
    description = b'{"page_size":4096,"devices":[]}'
    with open(path, "wb") as file:
        file.write(b"QEVM" + be32(3) + b"\7" + be32(4) + b"none")
        file.write(section(1, 2, b"\3ram" + be32(0) + be32(4) + be64(SIZE | 4) + b"\3ram"
                           + be64(SIZE) + be64(0x10)))
        for part in pages():
            file.write(part)
        file.write(section(3, 2, be64(0x10)) + b"\0\6" + be32(len(description)) + description)


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
        write_stream(sys.argv[2])
    else:
        main()
