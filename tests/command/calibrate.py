#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""migbench calibrate and sim --host, --runs from outside. No test looks at how long anything took. TAP."""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402

MIGBENCH, ROOT = os.environ["MIGBENCH"], os.environ["SOURCE_ROOT"]
DEMO = os.path.join(ROOT, "docs", "examples", "demo.json")
MEASURED = {"zero_page", "normal_page", "receive_page", "first_touch", "xbzrle_page", "receive_delta", "zlib_page",
            "zstd_page", "inflate_page", "sync_gib", "wake", "connect", "multifd_threads", "compress_threads"}


def run(*arguments, status=0):
    done = subprocess.run([MIGBENCH, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode != status:
        raise tap.Fail(f"{arguments}: exit status {done.returncode}, not {status}\n{done.stdout}{done.stderr}")
    return done


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def profile(folder):
    out = os.path.join(folder, "host.json")
    text = run("calibrate", "--no-qemu", "--rounds", "1", "-o", out).stdout
    host = load(out)
    missing = MEASURED - set(host["costs"])
    same = set(host["costs"]) == set(host["noise"]) == set(host["host"]["measured"])
    if host["schema"] != "migbench-host-1" or missing or not same:
        raise tap.Fail(f"missing {missing}: {host}")
    return all(name in text for name in MEASURED) and "no QEMU" in text


def profile_is_used(folder):
    """A host on which pages cost a lot is a slower one; both ends are meant."""
    host, out = os.path.join(folder, "slow.json"), os.path.join(folder, "result.json")
    times = []
    for cost in (0, 200000000):
        with open(host, "w", encoding="utf-8") as file:
            json.dump({"schema": "migbench-host-1", "costs": {"normal_page": cost}}, file)
        run("sim", DEMO, "--accounting", "--host", host, "--result", out)
        times.append(load(out)["query-migrate"]["total-time"])
    return times[0] < times[1]


def runs(folder):
    out = os.path.join(folder, "runs.json")
    first = run("sim", DEMO, "--runs", "8", "--result", out).stdout
    result = load(out)
    again = run("sim", DEMO, "--runs", "8").stdout
    return (first == again and result["schema"] == "migbench-runs-1" and len(result["runs"]) == 8
            and set(result["downtime"]) == {"p5", "p50", "p95"} and "downtime-limit" in first)


def nothing_to_compare(folder):
    host = os.path.join(folder, "empty.json")
    with open(host, "w", encoding="utf-8") as file:
        json.dump({"schema": "migbench-host-1", "costs": {}}, file)
    return "--peer" in run("calibrate", "--no-qemu", "--host", host, "--validate", status=3).stderr


def refused(arguments, word):
    done = run(*arguments, status=2)
    return word in done.stderr


def main():
    with tempfile.TemporaryDirectory() as folder:
        bad = os.path.join(folder, "bad.json")
        with open(bad, "w", encoding="utf-8") as file:
            file.write('{"schema": "migbench-host-1", "costs": {"zero_pages": 1}}')
        tap.main([
            ("profile/names-what-was-measured", profile, folder),
            ("profile/sim-uses-it", profile_is_used, folder),
            ("runs/quantiles-and-the-same-again", runs, folder),
            ("validate/without-a-qemu", nothing_to_compare, folder),
            ("refuses/rounds", refused, ("calibrate", "--rounds", "0"), "--rounds"),
            ("refuses/host-without-validate", refused, ("calibrate", "--host", bad), "--validate"),
            ("refuses/pair", refused, ("calibrate", "--validate", "--pair", "x"), "idle-limited"),
            ("refuses/unknown-cost", refused, ("sim", DEMO, "--host", bad), "zero_page"),
            ("refuses/runs-with-stream", refused, ("sim", DEMO, "--runs", "2", "--stream", "x"), "--runs"),
        ])


if __name__ == "__main__":
    main()
