#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""migbench sim against the medians of somebody else's QEMU 8.1.2 over real Ethernet. TAP.

Two constants of that host (a zero page's cost, and what stands before the first page) are fitted on
one set of measurements, and total time and bytes are judged on the other. What the guest wrote was not
logged, so the number of pages sent is an input, as pages that a workload makes dirty once; how long that
takes is the simulator's word.
"""
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402

MIGBENCH, ROOT = os.environ["MIGBENCH"], os.environ["SOURCE_ROOT"]
TABLE = os.path.join(ROOT, "tests", "data", "ucsc-qemu-8.1.2.csv")
FITTED, REPORTED = "experiments_1core", "experiments_2core_2"
PAGE = 4096
MAPE = 1.5  # percent, at most
ROUNDING_MB = 0.1


def rows(of):
    with open(TABLE, encoding="utf-8") as file:
        table = csv.DictReader(line for line in file if not line.startswith("#"))
        return [{k: v if k == "set" else float(v) for k, v in row.items()}
                for row in table if row["set"] == of]


def scenario(row, host):
    """Zero pages at the end; pages that are sent again at the beginning, written when they are gone."""
    pages = int(row["total-bytes"]) // PAGE
    normal, again = pages - int(row["duplicate"]), int(row["normal"]) - (pages - int(row["duplicate"]))
    seconds = row["total-ms"] / 1000
    return {
        "schema": "migbench-scenario-1", "qemu": "8.1", "host": host,
        "guest": {
            "ram": [{"name": "pc.ram", "size": pages * PAGE,
                     "content": [{"offset": 0, "length": normal * PAGE, "kind": "random"}]}],
            "dirty-tracking": "kvm-manual-clear",
            "workload": [{"offset": 0, "length": again * PAGE, "pattern": "once",
                          "start": f"{int(seconds * 500)}ms", "rate": int(again / (seconds / 4))}]},
        "link": {"bandwidth": "1Gbit/s", "latency": "100us", "framing": "ethernet-tcp"}}


def simulate(row, host):
    with tempfile.TemporaryDirectory() as folder:
        path, out = os.path.join(folder, "scenario.json"), os.path.join(folder, "result.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(scenario(row, host), file)
        subprocess.run([MIGBENCH, "sim", "--accounting", path, "--result", out], check=True,
                       stdout=subprocess.DEVNULL)
        with open(out, encoding="utf-8") as file:
            return json.load(file)["query-migrate"]


def line(xs, ys):
    """Slope and start of the line that is nearest to the points."""
    mx, my = statistics.mean(xs), statistics.mean(ys)
    slope = sum((x - mx) * (y - my) for x, y in zip(xs, ys)) / sum((x - mx) ** 2 for x in xs)
    return slope, my - slope * mx


def fit(table):
    """What is missing of a host on which neither costs anything."""
    host = {"zero_page": 0, "connect": 0}
    for _ in range(2):
        missing = [r["total-ms"] - simulate(r, host)["total-time"] for r in table]
        slope, start = line([r["duplicate"] for r in table], missing)
        host = {"zero_page": max(0, host["zero_page"] + round(slope * 1e9)),
                "connect": max(0, host["connect"] + round(start * 1e6))}
    return host


def reported(host):
    out = []
    for row in rows(REPORTED):
        said = simulate(row, host)
        out.append((100 * abs(said["total-time"] - row["total-ms"]) / row["total-ms"],
                    abs(said["ram"]["transferred"] / 1e6 - row["transferred-mb"]), row, said))
    return out


def total_time(judged):
    mape = statistics.mean(error for error, _, _, _ in judged)
    if mape > MAPE:
        raise tap.Fail(f"mean error {mape:.2f} %")
    return f"mean error {mape:.2f} %, worst {max(j[0] for j in judged):.2f} %"


def transferred(judged):
    off = [f"{row['ram-mib']:.0f} MiB: {said['ram']['transferred'] / 1e6:.2f} for {row['transferred-mb']} MB"
           for _, far, row, said in judged if far > ROUNDING_MB]
    if off:
        raise tap.Fail("\n".join(off))
    return f"all {len(judged)} within {ROUNDING_MB} MB"


def main():
    host = fit(rows(FITTED))
    judged = reported(host)
    tap.main([(f"total time of set {REPORTED}, costs {host} fitted on {FITTED}", total_time, judged),
              (f"bytes of set {REPORTED}", transferred, judged)])


if __name__ == "__main__":
    main()
