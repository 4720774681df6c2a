#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scores the simulator, and the published models beside it, against measured runs.

    score.py [--set long|brief] [--runs FILE] [--half tune|report] [--cells PART-OF-NAME]...
             [--host FILE] [--worst N] [--page docs/model.md]

For each cell and version the median of the repeats is the truth. Errors: total time and bytes in percent,
passes as right when the repeats showed that number (or one more or less where they differ), downtime as
right within 5 ms or 10 %. "QEMU again" is what a simulator could reach at best: each repeat scored
against the median of the others. Rows beside which others kept the processors busy are left out, and counted, if they
were not measured --ahead of them. --page writes the tables of all sets between the marks of that file.
"""
import argparse
import collections
import concurrent.futures
import json
import lzma
import math
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)

import cells  # noqa: E402
import curve  # noqa: E402
import pack  # noqa: E402

BUILD = os.path.join(ROOT, "build")
MIGBENCH = os.environ.get("MIGBENCH") or os.path.join(BUILD, "migbench")
FORECAST = os.environ.get("FORECAST") or os.path.join(BUILD, "tests", "truth", "forecast")
BUSY = 0.2  # processors that worked for others, from which a row doesn't count
PAGE = 4096
PAGE_TABLES = 0x20000  # of the guest, 7 pages
PROGRAM_PAGES = 11  # that are not zero: counters, page tables, the ROM's
OTHER_BLOCKS = 131072 + 65536  # bytes of pc.rom and pc.bios
SETTLED_MS = 530  # that it has run when it is migrated: measure.py's SETTLE, and commands
DEVICES = 8 << 10  # of a pc machine without any, beside their description
# a unix socket has the writer's buffer alone: net.core.wmem_default
UNIX_LINK = {"bandwidth": "40Gbit/s", "latency": "5us", "framing": "none", "send-buffer": 212992,
             "receive-buffer": PAGE}
TCP_BUFFER = 4141312  # tcp_wmem's most, less what the kernel counts beside the bytes
TCP_SEGMENT = 65160  # at most: the buffer is let go by whole ones
TCP_BUFFER_MS = 94  # of the line that the buffer holds, up to that
TCP_START_MS = 60  # in which a new connection sends less than the line takes
RUNS = 15
WIRE_FRAME, TBF_FRAME = 1538, 1514  # tbf knows neither preamble nor checksum nor gap
COUNTERS_RATE = 20000  # of the guest's own page, which every look at its clock writes
QEMU_COSTS = os.path.join(pack.FOLDER, "qemu-costs.json")
OURS, AGAIN = "migbench sim", "QEMU again"
MARKS = ("<!-- scoreboard -->", "<!-- end of the scoreboard -->")


def profile_of(of):
    """The costs of the host on which the set was measured, fitted on its tune half."""
    return os.path.join(pack.FOLDER, f"{of}-host.json")


def hosts_with(costs):
    """{version: what a scenario says of its host}: |costs|, and over them those that this QEMU has for itself."""
    with open(QEMU_COSTS, encoding="utf-8") as file:
        own = json.load(file)["costs"]
    return {version: {**costs, **own.get(version, {})} for version in cells.ALL}


def hosts_of(path):
    with open(path, encoding="utf-8") as file:
        return hosts_with(json.load(file)["costs"])


def random(offset, pages):
    return {"offset": offset, "length": pages * PAGE, "kind": "random"}


def workload(region):
    return {"block": "mem", "offset": region["offset"], "length": region["length"],
            "pattern": region["pattern"], "rate": region["rate"], "pace": region["pace"],
            "catch-up": f"{region['catch-up-ms']}ms", "write": region["write"],
            **({"hot": region["hot"]} if "hot" in region else {}),
            **({"period": f"{region['period-ms']}ms"} if "period-ms" in region else {})}


def tcp_link(rate):
    """A TCP connection of Linux over tbf, docs/model.md; TCP_BUFFER_MS and TCP_START_MS are fitted on the tune half."""
    buffer = min(rate // 8 * TCP_BUFFER_MS // 1000, TCP_BUFFER)
    bandwidth = f"{rate * WIRE_FRAME // TBF_FRAME}bit/s"
    return {"bandwidth": bandwidth, "bandwidth-trace": [["0", "0"], [f"{TCP_START_MS}ms", bandwidth]],
            "latency": "20us", "framing": "ethernet-tcp", "send-buffer": buffer, "send-wake": buffer // 3 + TCP_SEGMENT}


def scenario(name, version, host):
    cell = cells.parts(name)
    fill, link = cell.set.fill, cell.link
    ring = "dirty-limit" in cell.capabilities
    counters = {"block": "mem", "offset": PAGE, "length": PAGE, "pattern": "sequential",
                "rate": COUNTERS_RATE, "pace": "cpu", "write": "counter"}
    return {
        "schema": "migbench-scenario-1", "qemu": version, "seed": 1,
        "guest": {"machine": "none", "dirty-tracking": "kvm-ring" if ring else "kvm-manual-clear",
                  "ran": f"{SETTLED_MS}ms", "device-state": DEVICES,
                  "ram": [{"name": "mem", "size": cell.set.ram,
                           "content": [random(PAGE, 1), random(PAGE_TABLES, 7),
                                       random(fill["offset"], fill["length"] // PAGE)]},
                          {"name": "pc.rom", "size": 131072},
                          {"name": "pc.bios", "size": 65536,  # the program, and its first jump
                           "content": [random(0, 2), random(61440, 1)]}],
                  "workload": [counters, *map(workload, cell.regions)] if cell.regions else []},
        "link": tcp_link(link["rate"]) if "rate" in link else UNIX_LINK,
        "host": host,
        "capabilities": cell.capabilities, "parameters": cell.parameters,
        "events": ([{"at": f"{cells.POSTCOPY_MS}ms", "do": "migrate-start-postcopy"}]
                   if "postcopy-ram" in cell.capabilities else []),
        "limit": f"{cell.set.limit}s"}


def simulate(name, version, host):
    """One run; over TCP, where milliseconds decide how often a writer sleeps in the end, the median of RUNS."""
    several = ("--runs", str(RUNS)) if "rate" in cells.parts(name).link else ()
    with tempfile.TemporaryDirectory() as folder:
        path, out = os.path.join(folder, "scenario.json"), os.path.join(folder, "result.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(scenario(name, version, host), file)
        done = subprocess.run([MIGBENCH, "sim", "--accounting", *several, path, "--result", out],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode not in (0, 1):
            raise SystemExit(f"{name}: migbench sim: {done.stdout}")
        with open(out, encoding="utf-8") as file:
            result = json.load(file)
        return median_of(result["runs"]) if several else summary(result["query-migrate"])


def forecasts(name):
    """What each published model says of the cell: {name: summary}. None knows versions."""
    cell = cells.parts(name)
    if "postcopy-ram" in cell.capabilities:
        return {}
    pages = (cell.set.ram + OTHER_BLOCKS) // PAGE
    fill = cell.set.fill
    outside = [r for r in cell.regions if r["offset"] >= fill["offset"] + fill["length"]]
    zero = pages - fill["length"] // PAGE - PROGRAM_PAGES - curve.pages_ever(outside, SETTLED_MS)
    bandwidth = min(cell.parameters["max-bandwidth"], cell.link.get("rate", 1 << 60) / 8)
    points = [f"{ms}:{dirty:.1f}" for ms, dirty in curve.points(cell.regions)]
    done = subprocess.run([FORECAST, *map(str, (pages, zero, bandwidth,
                                                cell.parameters["downtime-limit"],
                                                cell.set.limit * 1000)), *points],
                          stdout=subprocess.PIPE, check=True, text=True)
    out = {}
    for line in done.stdout.splitlines():
        model, converges, total, downtime, size, passes = line.split()
        out[model] = {"converges": converges == "1", "time": float(total), "downtime": float(downtime),
                      "bytes": float(size), "passes": int(passes)}
    return out


def summary(said):
    """Of what query-migrate said in the end."""
    return {"converges": said["status"] == "completed", "time": said.get("total-time", 0),
            "downtime": said.get("downtime", 0), "bytes": said["ram"]["transferred"],
            "passes": said["ram"]["dirty-sync-count"]}


def median_of(runs):
    """Of what `sim --runs` wrote."""
    ended = [r for r in runs if r["status"] == "completed"]
    keys = {"time": "total-time", "downtime": "downtime", "bytes": "transferred", "passes": "dirty-sync-count"}
    return {"converges": len(ended) * 2 > len(runs),
            **{key: statistics.median_low([r[name] for r in ended] or [0]) for key, name in keys.items()}}


def read_rows(path):
    with (lzma.open if path.endswith(".xz") else open)(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def truth(path, half, wanted, limit):
    """{(cell, version): [summary of each repeat]}, and how many rows were left out."""
    runs, busy = collections.defaultdict(list), 0
    for row in read_rows(path):
        if row["cell"].split("/")[1] != half or wanted and not any(w in row["cell"] for w in wanted):
            continue
        if row.get("others", 0) > limit and not row["ahead"]:
            busy += 1
            continue
        runs[row["cell"], row["qemu"]].append(summary(row["query-migrate"]))
    return runs, busy


def percent(got, want):
    return 100 * (got - want) / want


def compare(runs, got):
    """How far |got| is from what the |runs| of a cell were."""
    ended = [r for r in runs if r["converges"]]
    if len(ended) * 2 <= len(runs) or not got["converges"]:
        return {"converges": got["converges"] == (len(ended) * 2 > len(runs))}
    median = {key: statistics.median(r[key] for r in ended) for key in ("time", "downtime", "bytes")}
    counts = [r["passes"] for r in ended]
    slack = 1 if len(set(counts)) > 1 else 0
    late = abs(got["downtime"] - median["downtime"])
    return {
        "converges": True,
        "time": percent(got["time"], median["time"]), "bytes": percent(got["bytes"], median["bytes"]),
        "passes": min(counts) - slack <= got["passes"] <= max(counts) + slack,
        "downtime": late <= max(5, median["downtime"] / 10),
        "text": f"total {got['time']:.0f} for {min(r['time'] for r in ended):.0f} to "
                f"{max(r['time'] for r in ended):.0f} ms, passes {got['passes']} for "
                f"{sorted(set(counts))}, downtime {got['downtime']:.0f} for {median['downtime']:.0f} ms"}


def compare_again(runs):
    """Each repeat as if it had been predicted from the others."""
    if len(runs) > 2:
        for i, run in enumerate(runs):
            yield compare(runs[:i] + runs[i + 1:], run)


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


COLUMNS = ("", "cells", "converges", "time median", "p90", "worst", "bytes median", "p90", "worst",
           "passes right", "downtime right")


def line_of(title, rows):
    ended = [r for r in rows if "time" in r]
    cols = [title, str(len(rows)), f"{sum(r['converges'] for r in rows)}"]
    for key in ("time", "bytes"):
        errors = [abs(r[key]) for r in ended]
        cols += ([f"{statistics.median(errors):.2f} %", f"{quantile(errors, 0.9):.2f} %",
                  f"{max(errors):.2f} %"] if errors else ["-"] * 3)
    for key in ("passes", "downtime"):
        cols.append(f"{100 * sum(r[key] for r in ended) / len(ended):.0f} %" if ended else "-")
    return cols


def table(lines):
    lines = [list(COLUMNS)] + lines
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    for number, line in enumerate(lines):
        yield "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths)) + " |"
        if number == 0:
            yield "|" + "|".join("-" * (w + 2) for w in widths) + "|"


def score(runs, hosts, models=True):
    """({title: rows of it}, [(error, line)]); |hosts|: as hosts_with()"""
    groups, lines = collections.defaultdict(list), []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        ours = dict(zip(sorted(runs), pool.map(lambda k: simulate(*k, hosts[k[1]]), sorted(runs))))
        names = sorted({name for name, _ in runs})
        others = dict(zip(names, pool.map(forecasts, names if models else [])))
    for (name, version), repeats in sorted(runs.items()):
        row = compare(repeats, ours[name, version])
        for group in (OURS, f"QEMU {version}", *name.split("/")[:2:-1]):
            groups[group].append(row)
        groups[AGAIN].extend(compare_again(repeats))
        for model, said in others.get(name, {}).items():
            groups[model].append(compare(repeats, said))
        if "time" in row:
            lines.append((abs(row["time"]), f"{version} {name}: {row['text']}"))
        elif not row["converges"]:
            lines.append((math.inf, f"{version} {name}: whether it converges"))
    return groups, sorted(lines, reverse=True)


def page_of(groups, lines, worst, title):
    first = [OURS, AGAIN, *(g for g in ("gudkov", "constant-rate", "simgrid", "bytes") if g in groups)]
    rest = [g for g in groups if g not in first]
    yield f"{title}, {len(groups[OURS])} pairs of cell and version:"
    yield ""
    yield from table([line_of(g, groups[g]) for g in first if groups[g]])
    yield ""
    yield "The simulator per version, feature and link:"
    yield ""
    yield from table([line_of(g, groups[g]) for g in sorted(rest)])
    yield ""
    yield "The worst cells:"
    yield ""
    for error, line in lines[:worst]:
        yield f"- {error:.2f} %: {line}"


def write_page(path, text):
    with open(path, encoding="utf-8") as file:
        old = file.read()
    head, _, tail = old.partition(MARKS[0])
    tail = tail.partition(MARKS[1])[2]
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{head}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{tail}")


def text_of(of, options):
    """The tables of a set."""
    runs, busy = truth(options.runs or f"{pack.plain(of)}.xz", options.half, options.cells, options.busy)
    if busy:
        print(f"left out {busy} rows of a busy machine")
    if not runs:
        raise SystemExit("score.py: no measured rows are left to be scored")
    groups, lines = score(runs, hosts_of(options.host or profile_of(of)))
    title = f"The {options.half} half of the set {of}"
    return "\n".join(page_of(groups, lines, options.worst, title))


def main():
    parser = argparse.ArgumentParser(description="score the simulator against measured runs")
    parser.add_argument("--set", choices=sorted(cells.SETS), help="default: all, the long one first")
    parser.add_argument("--runs", help="default: the set's")
    parser.add_argument("--half", default="report", choices=("tune", "report"))
    parser.add_argument("--cells", action="append", default=[])
    parser.add_argument("--host", help="default: the set's")
    parser.add_argument("--busy", type=float, default=BUSY,
                        help="count rows beside which so many processors worked for others")
    parser.add_argument("--worst", type=int, default=10)
    parser.add_argument("--page", help="write it into this file, too")
    options = parser.parse_args()
    sets = [options.set] if options.set else sorted(cells.SETS, reverse=True)
    text = "\n\n".join(text_of(of, options) for of in sets)
    print(text)
    if options.page:
        write_page(options.page, text)


if __name__ == "__main__":
    main()
