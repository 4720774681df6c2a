#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The short tour: `./run demo` calls it with the program. Simulates the example, judges its stream,
then judges every recorded trace and writes each of them again from its decoded records."""
import json
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCENARIO = os.path.join("docs", "examples", "demo.json")


def call(*argv):
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")
    return done.returncode, done.stdout


def stop(what, out):
    print(out.rstrip(), file=sys.stderr)
    sys.exit(f"demo: {what}")


def size(count):
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} GiB"


def simulate(program, folder):
    """Returns the lines of the summary that the simulation earned."""
    stream, result = os.path.join(folder, "demo.mig"), os.path.join(folder, "demo.result.json")
    status, out = call(program, "sim", SCENARIO, "--stream", stream, "--result", result)
    if status:
        stop(f"migbench sim {SCENARIO}: exit status {status}", out)
    with open(result, encoding="utf-8") as file:
        answer = json.load(file)
    migration = answer["query-migrate"]
    status, out = call(program, "check", stream)
    print(out.rstrip())
    if status:
        stop(f"migbench check {stream}: exit status {status}", out)
    return [f"simulated  {SCENARIO}: {migration['status']} after {len(answer['passes'])} syncs, "
            f"{migration['total-time']} ms, {migration['downtime']} ms of them downtime",
            f"stream     {size(os.path.getsize(stream))}, conformant"]


def decompressed(path):
    return subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout


def validate(program, folder):
    """Checks and recodes every trace; returns the lines of the summary and whether all is well."""
    traces = sorted(f for f in os.listdir(os.path.join(ROOT, "traces")) if f.endswith(".zst"))
    bad, total = [], 0
    out_file = os.path.join(folder, "recoded")
    for name in traces:
        path = os.path.join(ROOT, "traces", name)
        status, out = call(program, "check", path)
        if status:
            bad.append(f"{name}: check says {status}")
            print(out.rstrip())
        status, out = call(program, "recode", path, "-o", out_file)
        want = decompressed(path)
        total += len(want)
        if status:
            bad.append(f"{name}: recode says {status}")
            print(out.rstrip())
        else:
            with open(out_file, "rb") as file:
                if file.read() != want:
                    bad.append(f"{name}: recode does not give the same bytes")
    good = len(traces) - len({b.split(":")[0] for b in bad})
    lines = [f"traces     {len(traces)} recorded from real QEMU ({size(total)}): {good} conformant "
             "and, decoded and encoded, the same bytes"]
    return lines + [f"           {b}" for b in bad], bool(traces) and not bad


def main():
    program = os.path.abspath(sys.argv[1])
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="migbench-demo-") as folder:
        lines = simulate(program, folder)
        more, fine = validate(program, folder)
    print()
    print("\n".join(lines + more))
    print(f"{'all well' if fine else 'NOT all well'} ({time.monotonic() - start:.1f} s)")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
