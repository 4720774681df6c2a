#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scores the simulator, and the published models beside it, against measured runs.

    score.py [--runs FILE] [--half tune|report] [--cells PART-OF-NAME]... [--host FILE] [--worst N]

For each cell and version the median of the repeats is the truth. Errors: total time and bytes in percent,
passes as right when the repeats showed that number (or one more or less where they differ), downtime as
right within 5 ms or 10 %. Rows that were made on a busy machine, and not --ahead of what kept it busy,
are left out, and counted.
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

import cells  # noqa: E402

MIGBENCH = os.environ.get("MIGBENCH") or os.path.join(ROOT, "build", "migbench")
BUSY = 1.0  # load average from which a row doesn't count
PAGE = 4096
COUNTERS_RATE = 20000  # of the guest's own page, which every look at its clock writes


def workload(region):
    return {"block": "pc.ram", "offset": region["offset"], "length": region["length"],
            "pattern": region["pattern"], "rate": region["rate"], "pace": region["pace"],
            "catch-up": f"{region['catch-up-ms']}ms", "write": region["write"],
            **({"hot": region["hot"]} if "hot" in region else {}),
            **({"period": f"{region['period-ms']}ms"} if "period-ms" in region else {})}


def scenario(name, version, host):
    regions, link, capabilities, parameters = cells.parts(name)
    fill = cells.RANDOM_FILL
    counters = {"block": "pc.ram", "offset": PAGE, "length": PAGE, "pattern": "sequential",
                "rate": COUNTERS_RATE, "pace": "cpu", "write": "counter"}
    return {
        "schema": "migbench-scenario-1", "qemu": version, "seed": 1,
        "guest": {"machine": "none", "dirty-tracking": "kvm-manual-clear",
                  "ram": [{"name": "pc.ram", "size": cells.RAM,
                           "content": [{"offset": fill["offset"], "length": fill["length"],
                                        "kind": "random"}]},
                          {"name": "pc.bios", "size": 65536,
                           "content": [{"offset": 0, "length": 32768, "kind": "random"}]},
                          {"name": "pc.rom", "size": 131072}],
                  "workload": [counters, *map(workload, regions)] if regions else []},
        "link": ({"bandwidth": f"{link['rate']}bit/s", "latency": "20us", "framing": "ethernet-tcp"}
                 if "rate" in link else {"bandwidth": "40Gbit/s", "latency": "5us", "framing": "none"}),
        **({"host": host} if host else {}),
        "capabilities": capabilities, "parameters": parameters, "limit": f"{cells.LIMIT_S}s"}


def simulate(name, version, host, folder):
    path = os.path.join(folder, "scenario.json")
    out = os.path.join(folder, "result.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(scenario(name, version, host), file)
    done = subprocess.run([MIGBENCH, "sim", path, "--result", out], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{name}: migbench sim: {done.stdout}")
    with open(out, encoding="utf-8") as file:
        return json.load(file)["query-migrate"]


def truth(path, half, wanted, limit):
    """{(cell, version): [query-migrate of each repeat]}, and how many rows were left out."""
    runs, busy = collections.defaultdict(list), 0
    with open(path, encoding="utf-8") as file:
        for row in map(json.loads, file):
            if not row["cell"].startswith(half) or wanted and not any(w in row["cell"] for w in wanted):
                continue
            if row["load"] > limit and not row["ahead"]:
                busy += 1
                continue
            runs[row["cell"], row["qemu"]].append(row["query-migrate"])
    return runs, busy


def percent(got, want):
    return 100 * (got - want) / want


def compare(runs, ours):
    """One line of the score: errors of a cell."""
    if any(r["status"] != "completed" for r in runs) or ours["status"] != "completed":
        agree = ours["status"] != "completed" and all(r["status"] != "completed" for r in runs)
        return {"converges": agree}
    median = {key: statistics.median(r[key] for r in runs) for key in ("total-time", "downtime")}
    counts = [r["ram"]["dirty-sync-count"] for r in runs]
    passes = ours["ram"]["dirty-sync-count"]
    slack = 1 if len(set(counts)) > 1 else 0
    late = abs(ours["downtime"] - median["downtime"])
    return {
        "converges": True,
        "time": percent(ours["total-time"], median["total-time"]),
        "bytes": percent(ours["ram"]["transferred"],
                         statistics.median(r["ram"]["transferred"] for r in runs)),
        "passes": min(counts) - slack <= passes <= max(counts) + slack,
        "downtime": late <= max(5, median["downtime"] / 10),
        "text": f"total {ours['total-time']} for {median['total-time']:.0f} ms, passes {passes} for "
                f"{sorted(set(counts))}, downtime {ours['downtime']} for {median['downtime']:.0f} ms"}


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(rows):
    ended = [r for r in rows if "time" in r]
    yield f"cells                    {len(rows)}"
    yield f"convergence agrees       {sum(r['converges'] for r in rows)} of {len(rows)}"
    for key, title in (("time", "total time"), ("bytes", "bytes")):
        errors = [abs(r[key]) for r in ended]
        if errors:
            yield (f"{title:<24} median {statistics.median(errors):.2f} %, p90 "
                   f"{quantile(errors, 0.9):.2f} %, worst {max(errors):.2f} %")
    for key in ("passes", "downtime"):
        if ended:
            yield f"{key + ' right':<24} {100 * sum(r[key] for r in ended) / len(ended):.0f} %"


def main():
    parser = argparse.ArgumentParser(description="score the simulator against measured runs")
    parser.add_argument("--runs", default=os.path.join(ROOT, "traces", "truth", "runs.ndjson"))
    parser.add_argument("--half", default="report", choices=("tune", "report"))
    parser.add_argument("--cells", action="append", default=[])
    parser.add_argument("--host")
    parser.add_argument("--busy", type=float, default=BUSY, help="count rows up to this load average")
    parser.add_argument("--worst", type=int, default=10)
    options = parser.parse_args()
    runs, busy = truth(options.runs, options.half, options.cells, options.busy)
    if busy:
        print(f"left out {busy} rows of a busy machine")
    groups, lines = collections.defaultdict(list), []
    with tempfile.TemporaryDirectory() as folder:
        for (name, version), repeats in sorted(runs.items()):
            row = compare(repeats, simulate(name, version, options.host, folder))
            for group in ("all", f"QEMU {version}", name.split("/")[3]):
                groups[group].append(row)
            lines.append((abs(row.get("time", 1000)), f"{version} {name}: {row.get('text', 'convergence')}"))
    for group, rows in groups.items():
        print(f"\n{group}", *(f"  {line}" for line in table(rows)), sep="\n")
    print("\nworst cells")
    for error, line in sorted(lines, reverse=True)[:options.worst]:
        print(f"  {error:7.2f} %  {line}")


if __name__ == "__main__":
    main()
