#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same postcopy in virtual time and between real ends: `migbench sim` beside `migbench source` and
`migbench dest` over a token bucket on a veth pair. How many requests there are and what the median
fault waits, side by side; QEMU takes no part.

    postcopy-shaped.py [--repeats 3] [--cases PART-OF-NAME]... [--host FILE]

--host is a profile of this machine; without one `migbench calibrate --no-qemu` makes it now.

Aims: requests within 10 %, median latency within 20 %. Prints, and exits with 1 where an aim is missed. Needs root
for the link, permission for userfaultfd, and a machine that does nothing else.
"""
import argparse
import collections
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)

import measure  # noqa: E402
import score  # noqa: E402

MIB = 1 << 20
MIGBENCH = os.environ.get("MIGBENCH") or os.path.join(ROOT, "build", "migbench")
PATIENCE = 180  # seconds
VERSION = "11.1"
SIZE, FILLED = 256 * MIB, 128 * MIB
VCPUS, ACCESSES = 8, 5000  # of each per second
SEND_BUFFER = 256 << 10
SEGMENT = 65160  # bytes that TCP hands to the device as one
BURST = 128 << 10  # bytes, as measure.TBF_BURST
# Bytes of each socket that stood in tbf's line, by the link's rate: tcp_info's unacked in such runs (bbr), of the
# main one half a segment less, as tbf has half of the first one's tokens already.
QUEUES = {50_000_000: {"main": 47000, "preempt": 18000}, 200_000_000: {"main": 111000, "preempt": 17400},
          1_000_000_000: {"main": 111000, "preempt": 17400}}
REQUESTS_AIM, LATENCY_AIM = 10, 20  # percent

# rate: of the link, bit/s; limit: max-postcopy-bandwidth, bytes/s, 0: none
Case = collections.namedtuple("Case", "name preempt rate limit")
CASES = (Case("full", False, 200_000_000, 0), Case("full-preempt", True, 200_000_000, 0),
         Case("limited", False, 200_000_000, 8 * MIB), Case("limited-preempt", True, 200_000_000, 8 * MIB),
         Case("slow-preempt", True, 50_000_000, 0), Case("fast-preempt", True, 1_000_000_000, 32 * MIB))
# What both ends tell of a run: requests, ns of the median and of the 99th percentile, ns of all.
Figures = collections.namedtuple("Figures", "requests p50 p99 total")


def scenario(case, host):
    """A quarter of a second of precopy, then postcopy with most of memory missing."""
    capabilities = ("postcopy-ram", "postcopy-blocktime") + (("postcopy-preempt",) if case.preempt else ())
    return {
        "schema": "migbench-scenario-1", "qemu": VERSION, "seed": 11,
        "guest": {"machine": "none", "vcpus": VCPUS,
                  "ram": [{"name": "ram", "size": SIZE, "content": [
                      {"offset": 0, "length": FILLED, "kind": "random"}]}],
                  "workload": [{"block": "ram", "offset": 0, "length": FILLED, "pattern": "random",
                                "rate": ACCESSES, "pace": "cpu", "write": "counter"}
                               for _ in range(VCPUS)]},
        "link": {"bandwidth": "40Gbit/s", "latency": "20us", "framing": "ethernet-tcp", "send-buffer": SEND_BUFFER,
                 "send-wake": SEND_BUFFER // 3, "segment": SEGMENT, "queue": QUEUES[case.rate],
                 "token-bucket": {"rate": f"{case.rate * score.WIRE_FRAME // score.TBF_FRAME}bit/s", "burst": BURST}},
        "host": os.path.abspath(host), "destination-host": os.path.abspath(host),
        "capabilities": {name: True for name in capabilities},
        "parameters": {"max-bandwidth": 1 << 40, "downtime-limit": 1, "max-postcopy-bandwidth": case.limit},
        "events": [{"at": "250ms", "do": "migrate-start-postcopy"}], "limit": "120s"}


def profile(folder):
    """Of this machine."""
    path = os.path.join(folder, "host.json")
    subprocess.run([MIGBENCH, "calibrate", "--no-qemu", "-o", path], check=True, stdout=subprocess.DEVNULL)
    return path


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def figures(result, requests, latency):
    return Figures(requests, latency["p50"], latency["p99"], result["query-migrate"]["total-time"])


def simulated(folder, case, host):
    path, out = (os.path.join(folder, name) for name in ("scenario.json", "sim.json"))
    with open(path, "w", encoding="utf-8") as file:
        json.dump(scenario(case, host), file)
    subprocess.run([MIGBENCH, "sim", path, "--result", out], check=True, stdout=subprocess.DEVNULL)
    result = load(out)
    return figures(result, result["postcopy"]["requests"], result["postcopy"]["fault-latency-ns"])


def live(folder, case, host):
    path, *outs = (os.path.join(folder, name) for name in ("scenario.json", "source.json", "dest.json"))
    with open(path, "w", encoding="utf-8") as file:
        json.dump(scenario(case, host), file)
    with measure.Link({"rate": case.rate}, str(os.getpid())) as link:
        argv = {side: link.command(side, [MIGBENCH, command, "--scenario", path, "--uri", link.uri, "--result", out])
                for side, command, out in (("a", "source", outs[0]), ("b", "dest", outs[1]))}
        with subprocess.Popen(argv["b"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as dest:
            try:
                if not dest.stdout.readline().startswith("listening on "):
                    raise SystemExit(f"migbench dest does not listen: {dest.stdout.read()}")
                subprocess.run(argv["a"], check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)
                dest.communicate(timeout=PATIENCE)
            finally:
                dest.kill()
    source, postcopy = load(outs[0]), load(outs[1])["destination"]["postcopy"]
    return figures(source, source["postcopy"]["requests"], postcopy["latency-ns"])


def off(got, want):
    """Percent."""
    return 100 * (got - want) / want


def text_of(f):
    return f"{f.requests:6.0f} requests, p50 {f.p50 / 1e6:7.3f} ms, p99 {f.p99 / 1e6:7.3f} ms, {f.total:6.0f} ms in all"


def compare(folder, case, options):
    """Prints both; true where the aims are met."""
    ours = simulated(folder, case, options.host)
    runs = [live(folder, case, options.host) for _ in range(options.repeats)]
    real = Figures(*(statistics.median(column) for column in zip(*runs)))
    requests, latency = off(ours.requests, real.requests), off(ours.p50, real.p50)
    met = abs(requests) <= REQUESTS_AIM and abs(latency) <= LATENCY_AIM
    print(f"{case.name} ({case.rate / 1e6:.0f} Mbit/s, background "
          f"{f'{case.limit >> 20} MiB/s' if case.limit else 'unlimited'})")
    print(f"  live  {text_of(real)} (median of {len(runs)}; requests {sorted(r.requests for r in runs)})")
    print(f"  sim   {text_of(ours)}")
    print(f"  requests {requests:+.1f} %, p50 {latency:+.1f} %: {'met' if met else 'MISSED'}", flush=True)
    return met


def main():
    parser = argparse.ArgumentParser(description="compare postcopy in virtual time with postcopy on a shaped link")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cases", action="append", default=[])
    parser.add_argument("--host", help="measured costs (migbench calibrate) of this machine")
    options = parser.parse_args()
    chosen = [c for c in CASES if not options.cases or any(part in c.name for part in options.cases)]
    with tempfile.TemporaryDirectory() as folder:
        options.host = options.host or profile(folder)
        met = [compare(folder, case, options) for case in chosen]
    print(f"{sum(met)} of {len(met)} cases meet both aims")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
