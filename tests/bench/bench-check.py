#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast `migbench check` judges, beside copying the same bytes in memory, and how much memory it
needs for a long stream through a pipe.

The first input is bench-inspect's: full pages in a file, warm in the page cache. Then streams of the
same kind come through a pipe from a program that makes them while they are read, of a sixteenth of
the size and of the whole: the peaks of memory are to be the same but for the bitmaps of pages (one
bit a page). The size is 2 GiB; with MIGBENCH_FULL 16 GiB; MIGBENCH_BENCH_BYTES says another one.
"""
import importlib
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
streams = importlib.import_module("bench-inspect")

GIB = 1 << 30
SIZE = int(os.environ.get("MIGBENCH_BENCH_BYTES") or (16 if "MIGBENCH_FULL" in os.environ else 2) * GIB)
CHECK = [streams.MIGBENCH, "check", "-o", os.devnull]


def print_memcpy(size=256 << 20, rounds=5):
    """Bytes/s of one copy from memory to memory, the best of some. In a process of its own: the peak
    of a child counts what its parent had."""
    source, target = os.urandom(1 << 20) * (size >> 20), bytearray(size)
    best = None
    for _ in range(rounds):
        start = time.monotonic()
        memoryview(target)[:] = source
        seconds = time.monotonic() - start
        best = seconds if best is None else min(best, seconds)
    print(size / best)


def piped(size):
    """(seconds, peak memory in MiB) of judging a stream of that size that another program writes."""
    maker = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--write", str(size)],
                             stdout=subprocess.PIPE)
    start = time.monotonic()
    child = subprocess.Popen([*CHECK, "-"], stdin=maker.stdout)
    maker.stdout.close()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - start
    if status or maker.wait():
        sys.exit(f"check of {size} piped bytes: wait status {status:#x}")
    return seconds, usage.ru_maxrss / 1024


def row(name, size, seconds, peak, copy):
    rate = size / seconds
    print(f"{name:24} {size / GIB:7.2f} GiB {seconds:8.2f} s {rate / GIB:7.2f} GiB/s "
          f"{rate / copy * 100:6.1f} % of memcpy, peak {peak:6.1f} MiB", flush=True)


def main():
    copy = float(subprocess.run([sys.executable, os.path.abspath(__file__), "--memcpy"], check=True,
                                stdout=subprocess.PIPE).stdout)
    print(f"{'memcpy':24} {copy / GIB:39.2f} GiB/s", flush=True)
    with tempfile.TemporaryDirectory(prefix="migbench-bench-") as folder:
        path = os.path.join(folder, "stream")
        with open(path, "wb") as file:  # by a child: a peak counts what the parent had
            subprocess.run([sys.executable, os.path.abspath(__file__), "--write", str(streams.SIZE)],
                           stdout=file, check=True)
        row("check FILE", streams.SIZE, *streams.measure([*CHECK, path], 3), copy)
    small, large = piped(SIZE // 16), piped(SIZE)
    row("check, pipe", SIZE // 16, *small, copy)
    row("check, pipe", SIZE, *large, copy)
    print(f"16 times the stream: {large[1] - small[1]:+.1f} MiB of memory "
          f"({SIZE // 4096 // 8 / 2**20:.2f} MiB are the bits of its pages)")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        streams.write_stream(sys.stdout.buffer, int(sys.argv[2]))
    elif sys.argv[1:] == ["--memcpy"]:
        print_memcpy()
    else:
        main()
