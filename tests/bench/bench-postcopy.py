#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a vCPU waits for a missing page in postcopy over a unix socket: migbench source to
migbench dest beside QEMU to QEMU, in turns on this machine, with one vCPU that writes to random
pages. From the moment at which the destination hears of the fault until the page is there. Prints;
judges nothing.

QEMU tells it as a mean and a distribution over powers of two (10.2 on: query-migrate, postcopy-latency and
postcopy-latency-dist). So ours is put into the same buckets, and what falls into one counts, for both, as
spread over it evenly on a scale of ratios. What we know exactly, round by round, stands behind.

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
    """(buckets, sum in ns, None) of one migration."""
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
        status = dest.status()
        buckets = status["postcopy-latency-dist"]
        return buckets, status["postcopy-latency"] * sum(buckets), None


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
    return latency["buckets"], latency.get("mean", 0) * latency["count"], latency


class Side:
    """What all rounds of one of the two have shown together."""

    def __init__(self, name, function):
        self.name, self.function = name, function
        self.buckets, self.sum, self.rounds = [0] * 24, 0, []

    def measure(self, space, *case):
        buckets, total, exact = self.function(space, *case)
        self.buckets = [a + b for a, b in zip(self.buckets, buckets)]
        self.sum += total
        if exact and exact["count"]:
            self.rounds.append(f"p50 {exact['p50'] / 1000:.0f}, p99 {exact['p99'] / 1000:.0f}")
        else:
            self.rounds.append(f"p99 {percentile(buckets, 99):.0f}")

    def figures(self):
        """Of all rounds, in microseconds."""
        return {"mean": self.sum / max(sum(self.buckets), 1) / 1000,
                "p50": percentile(self.buckets, 50), "p99": percentile(self.buckets, 99)}

    def show(self):
        text = ", ".join(f"{key} {value:.0f} us" for key, value in self.figures().items())
        print(f"  {self.name:12} {sum(self.buckets):6} faults, {text}; rounds: {'; '.join(self.rounds)}")


def percentile(buckets, percent):
    """Microseconds: how far into its bucket, from 2^n to 2^(n + 1), the share of the bucket says."""
    left = sum(buckets) * percent / 100
    for number, count in enumerate(buckets):
        if count and left <= count:
            return 2 ** (number + left / count)
        left -= count
    return float("nan")


def compare(space, title, *case):
    print(title)
    theirs, ours = Side(f"QEMU {VERSION}", qemu_pair), Side("migbench", migbench_pair)
    for _ in range(ROUNDS):
        theirs.measure(space, *case)
        ours.measure(space, *case)
    theirs.show()
    ours.show()
    figures = theirs.figures()
    print("  migbench / QEMU: " + ", ".join(f"{key} {value / figures[key]:.2f}"
                                            for key, value in ours.figures().items()), flush=True)


def main():
    peer.path_of(VERSION)
    with peer.Workspace() as space:
        for case in CASES:
            compare(space, *case)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except peer.Skip as reason:
        print(f"skipped: {reason}")
        sys.exit(77)
