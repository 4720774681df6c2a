#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fits the costs of the measured host on the tune half, and writes them into its profile.

    fit.py [--set long|brief] [--runs FILE] [--host FILE] [--rounds N] [COST...]

One cost after the other is moved by a factor of STEPS and stays where the score is best; a round goes
through all of them. The score is the mean error of the total times plus that of the bytes, in
percent, of the cells of the tune half alone: a cell of the report half is never looked at.
"""
import argparse
import json
import statistics

import cells
import pack
import score

COSTS = ("zero_page", "wake", "normal_page", "setup", "devices")
STEPS = (0.8, 0.9, 0.95, 1.05, 1.1, 1.25)


def error_of(runs, costs):
    groups, _ = score.score(runs, score.hosts_with(costs), models=False)
    ended = [r for r in groups[score.OURS] if "time" in r]
    return statistics.mean(abs(r["time"]) + abs(r["bytes"]) for r in ended)


def fit(runs, profile, names, rounds):
    costs = profile["costs"]
    best = error_of(runs, costs)
    for _ in range(rounds):
        before = best
        for name in names:
            value = costs[name]
            for step in STEPS:
                tried = {**costs, name: round(value * step)}
                error = error_of(runs, tried)
                if error < best:
                    best, costs[name] = error, tried[name]
            print(f"{name:<14} {costs[name]:>10}  error {best:.3f} %", flush=True)
        if best == before:
            break


def main():
    parser = argparse.ArgumentParser(description="fit the host's costs to the tune half")
    parser.add_argument("--set", default="long", choices=sorted(cells.SETS))
    parser.add_argument("--runs", help="default: the set's")
    parser.add_argument("--host", help="default: the set's")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("costs", nargs="*", default=COSTS)
    options = parser.parse_args()
    host = options.host or score.profile_of(options.set)
    runs, _ = score.truth(options.runs or f"{pack.plain(options.set)}.xz", "tune", [], score.BUSY)
    with open(host, encoding="utf-8") as file:
        profile = json.load(file)
    fit(runs, profile, options.costs or COSTS, options.rounds)
    with open(host, "w", encoding="utf-8") as file:
        json.dump(profile, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main()
