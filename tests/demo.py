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
    report = os.path.join(os.path.dirname(program), "demo.html")
    status, out = call(program, "sim", SCENARIO, "--stream", stream, "--result", result, "--report", report)
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
            f"stream     {size(os.path.getsize(stream))}, conformant",
            f"report     {os.path.relpath(report, ROOT)}: open it in a browser"]


def decompressed(path):
    return subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout


def manifests():
    folder = os.path.join(ROOT, "traces")
    for name in sorted(f for f in os.listdir(folder) if f.endswith(".json")):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            yield json.load(file)


def check(program, path):
    """None, or what is wrong with the trace."""
    status, out = call(program, "check", path)
    if status:
        print(out.rstrip())
    return f"check says {status}" if status else None


def recode(program, path, out_file):
    """Likewise. A container holds more than the one stream that recode writes."""
    status, out = call(program, "recode", path, "-o", out_file)
    if status:
        print(out.rstrip())
        return f"recode says {status}"
    with open(out_file, "rb") as file:
        same = file.read() == decompressed(path)
    return None if same else "recode does not give the same bytes"


def validate(program, folder):
    """Checks every trace, recodes those of one channel; returns lines of the summary and whether
    all is well."""
    checked = recoded = total = 0
    bad, apart = [], []
    for manifest in manifests():
        if manifest.get("offset"):
            apart.append(manifest["id"])
            continue
        path = os.path.join(ROOT, "traces", manifest["file"])
        problem = check(program, path)
        checked += 1
        total += manifest["bytes"]
        if not problem and manifest["container"] == "raw":
            problem = recode(program, path, os.path.join(folder, "recoded"))
            recoded += 1
        if problem:
            bad.append(f"{manifest['id']}: {problem}")
    lines = [f"traces     {checked} recorded from real QEMU ({size(total)}), "
             f"{checked - len(bad)} as they should be: conformant, and the {recoded} of a single "
             "stream decoded and encoded to the same bytes"]
    lines += [f"           not judged: {name}, which begins inside its file" for name in apart]
    return lines + [f"           {b}" for b in bad], checked > 0 and not bad


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
