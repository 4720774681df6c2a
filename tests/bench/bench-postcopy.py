#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a vCPU waits for a missing page in postcopy over a unix socket: migbench source to
migbench dest beside QEMU to QEMU, one after the other on this machine, with one vCPU that writes to
random pages. From the moment at which the destination hears of the fault until the page is there.
Prints; judges nothing.

QEMU tells it as a distribution over powers of two (10.2 on: query-migrate, postcopy-latency-dist), so
the middle of a bucket stands for what is in it, for us as well; what we know exactly stands behind.

MIGBENCH_BENCH_ROUNDS: how often (default 3); the figures are of all rounds together.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "live"))

import ends  # noqa: E402
import peer  # noqa: E402
import running  # noqa: E402

ROUNDS = int(os.environ.get("MIGBENCH_BENCH_ROUNDS", "3"))
VERSION = "11.1"  # the one that knows latencies
PLAIN = ("postcopy-ram", "postcopy-blocktime")
ACCESSES = 20000  # per second
# (title, capabilities, bytes of memory, max-postcopy-bandwidth)
CASES = (("preempt, background 16 MiB/s", PLAIN + ("postcopy-preempt",), 64 * ends.MIB, 16 << 20),
         ("preempt, unlimited", PLAIN + ("postcopy-preempt",), 512 * ends.MIB, 0),
         ("no preempt, unlimited", PLAIN, 512 * ends.MIB, 0))


def parameters(limit):
    return {"max-bandwidth": 256 << 20, "downtime-limit": 1, "max-postcopy-bandwidth": limit}


def qemu_pair(space, capabilities, size, limit):
    """(buckets, None) of one migration."""
    guest = running.guest_parameters(size, rate=ACCESSES, pace="cpu")
    wire = os.path.join(space.files, "wire")
    with running.Machine(space, "source", size, guest) as here, \
            running.Machine(space, "dest", size, guest) as there, \
            peer.Peer(VERSION, here.argv) as source, \
            peer.Peer(VERSION, there.argv + ["-incoming", "defer"]) as dest:
        here.wait_ready()
        source.set_capabilities(["events", *capabilities])
        dest.set_capabilities(["events", *capabilities])
        source.set_parameters(parameters(limit))
        dest.qmp("migrate-incoming", uri=f"unix:{wire}")
        source.qmp("migrate", uri=f"unix:{wire}")
        while source.status().get("ram", {}).get("transferred", 0) < size // 2:
            time.sleep(0.01)
        source.qmp("migrate-start-postcopy")
        dest.wait_migration("completed")
        return dest.status()["postcopy-latency-dist"], None


def migbench_pair(space, capabilities, size, limit):
    file, result = (os.path.join(space.files, f) for f in ("scenario.json", "result.json"))
    wire = os.path.join(space.files, "wire")
    quarter = size // 4
    ends.save(file, {
        "schema": "migbench-scenario-1", "qemu": VERSION, "seed": 3,
        "guest": {"machine": "none", "vcpus": 1, "ram": [{"name": "ram", "size": size, "content": [
            {"offset": quarter, "length": quarter, "kind": "random"},
            {"offset": 2 * quarter, "length": quarter, "kind": "repeated", "byte": 85}]}],
            "workload": [{"block": "ram", "offset": quarter, "length": 3 * quarter,
                          "pattern": "random", "rate": ACCESSES, "pace": "cpu", "write": "counter"}]},
        "capabilities": {name: True for name in capabilities}, "parameters": parameters(limit),
        "events": [{"when": f"remaining-below {2 * quarter}", "do": "migrate-start-postcopy"}],
        "limit": "120s"})
    with ends.Program("dest", "--scenario", file, "--uri", f"unix:{wire}", "--result",
                      result) as dest:
        dest.listening()
        with ends.Program("source", "--scenario", file, "--uri", f"unix:{wire}") as source:
            source.finish()
        dest.finish()
    latency = ends.load(result)["destination"]["postcopy"]["latency-ns"]
    return latency["buckets"], latency


def percentile(buckets, percent):
    """Microseconds: the middle, on a scale of ratios, of the bucket that it falls in."""
    left = sum(buckets) * percent / 100
    for number, count in enumerate(buckets):
        left -= count
        if left <= 0 and count:
            return 2 ** (number + 0.5)
    return float("nan")


def measure(space, function, capabilities, size, limit):
    total, exact = [0] * 24, []
    for _ in range(ROUNDS):
        buckets, latency = function(space, capabilities, size, limit)
        total = [a + b for a, b in zip(total, buckets)]
        if latency and latency["count"]:
            exact.append(latency)
    return total, exact


def show(name, total, exact):
    text = ", ".join(f"p{p} {percentile(total, p):.0f} us" for p in (50, 99))
    note = "".join(f"; exactly p50 {e['p50'] / 1000:.0f}, p99 {e['p99'] / 1000:.0f}" for e in exact)
    print(f"  {name:18} {sum(total):6} faults, {text}{note}")


def main():
    peer.path_of(VERSION)
    with peer.Workspace() as space:
        for title, capabilities, size, limit in CASES:
            print(title)
            theirs, _ = measure(space, qemu_pair, capabilities, size, limit)
            show(f"QEMU {VERSION}", theirs, [])
            ours, exact = measure(space, migbench_pair, capabilities, size, limit)
            show("migbench", ours, exact)
            for p in (50, 99):
                print(f"  p{p}: migbench / QEMU = {percentile(ours, p) / percentile(theirs, p):.2f}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except peer.Skip as reason:
        print(f"skipped: {reason}")
        sys.exit(77)
