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


def readable(name):
    """False for recordings that check and recode can't open yet: several channels in one container,
    and streams that begin inside their file."""
    with open(os.path.join(ROOT, "traces", name), encoding="utf-8") as file:
        manifest = json.load(file)
    return manifest["container"] == "raw" and not manifest.get("offset")


def judge(program, path, want, out_file):
    """None, or what is wrong with the trace."""
    status, out = call(program, "check", path)
    if status:
        print(out.rstrip())
        return f"check says {status}"
    status, out = call(program, "recode", path, "-o", out_file)
    if status:
        print(out.rstrip())
        return f"recode says {status}"
    with open(out_file, "rb") as file:
        return None if file.read() == want else "recode does not give the same bytes"


def validate(program, folder):
    """Checks and recodes every trace; returns the lines of the summary and whether all is well."""
    manifests = sorted(f for f in os.listdir(os.path.join(ROOT, "traces")) if f.endswith(".json"))
    names = [m[:-len(".json")] + ".mig.zst" for m in manifests if readable(m)]
    bad, total = [], 0
    for name in names:
        path = os.path.join(ROOT, "traces", name)
        want = decompressed(path)
        total += len(want)
        problem = judge(program, path, want, os.path.join(folder, "recoded"))
        if problem:
            bad.append(f"{name}: {problem}")
    lines = [f"traces     {len(names)} recorded from real QEMU ({size(total)}): "
             f"{len(names) - len(bad)} conformant and, decoded and encoded, the same bytes"]
    if len(manifests) > len(names):
        lines.append(f"           {len(manifests) - len(names)} more are not judged here: they hold "
                     "several channels, or begin inside their file")
    return lines + [f"           {b}" for b in bad], bool(names) and not bad


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
