#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""migbench check --loader and --writer, without an emulator.

--loader answers for every trace and version what docs/cross-version.md says that the real one did (where
it differs, the document says so, too). --writer: every trace is what its own version writes, no version
takes one of another for its own where the bytes tell them apart, and what our simulator writes as a version
is canonical for it.
"""
import collections
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402

MIGBENCH, ROOT = os.environ["MIGBENCH"], os.environ["SOURCE_ROOT"]
DOCS = os.path.join(ROOT, "docs", "cross-version.md")
VERSIONS = ("5.2", "7.2", "10.0", "11.1")
WORDS = {"accepts": "loads", "complains": "loads, says", "rejects": "refuses", "crashes": "crashes",
         "hangs": "waits", "unknown": "unknown"}
# Real streams that are not canonical, and why.
ODD = {"s390x-ccw-7.2": "its description contradicts itself (VMDESC-SIZES-ADD)"}


def check(*arguments):
    return subprocess.run([MIGBENCH, "check", *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)


def traces():
    for path in sorted(glob.glob(os.path.join(ROOT, "traces", "*.json"))):
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
        where = os.path.join(ROOT, "traces", manifest["file"])
        if manifest.get("offset") and manifest["container"] == "raw":
            where = f"file:{where},offset={manifest['offset']}"
        yield manifest["id"], where, manifest["producer"]["machine"]


def documented():
    """{(trace, version): what our cell has to be}"""
    cells, versions = {}, []
    with open(DOCS, encoding="utf-8") as file:
        for line in file:
            row = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if row[0] == "trace":
                versions = row[1:]
            elif versions and len(row) == len(versions) + 1 and not row[0].startswith("--"):
                for version, cell in zip(versions, row[1:]):
                    ours = re.search(r"\(we: (.*)\)", cell)
                    cells[row[0].strip("`"), version] = ours.group(1) if ours else cell
    return cells


def answers(version):
    """{trace: cell} of --loader, with the machine type of each trace."""
    by_machine, cells = collections.defaultdict(dict), {}
    for name, where, machine in traces():
        by_machine[machine][where] = name
    for machine, names in by_machine.items():
        out = check("--loader", version, "--machine", machine, "--format", "ndjson", *names).stdout
        for line in map(json.loads, out.splitlines()[1:-1]):
            reason = f": {line['reason']}" if line.get("reason") else ""
            cells[names[line["subject"]]] = WORDS[line["load"]] + reason
    return cells


def cross_version():
    bad, wanted, count = [], documented(), 0
    for version in VERSIONS:
        got = answers(version)
        for (name, into), cell in wanted.items():
            if into == version:
                count += 1
                if got.get(name) != cell:
                    bad.append(f"{name} into {version}: '{got.get(name)}', documented is '{cell}'")
    print(f"# {count} cells of docs/cross-version.md, {len(bad)} answered otherwise")
    return tap_lines(bad) and count >= 400


def tap_lines(bad):
    for line in bad:
        print(f"# {line}")
    return not bad


def version_of(name):
    return re.search(r"-([\d.]+)$", name).group(1)


def verdicts(writer, names):
    """{trace: set of rules that it breaks as |writer|'s}"""
    out = check("--writer", writer, "--format", "ndjson", *names).stdout
    found = {name: set() for name in names.values()}
    for line in map(json.loads, out.splitlines()):
        if line["type"] == "finding":
            found[names[line["subject"]]].add(line["rule"])
    return found


def own_traces():
    bad, count = [], 0
    for version in VERSIONS:
        names = {where: name for name, where, _ in traces() if version_of(name) == version}
        for name, rules in verdicts(version, names).items():
            count += 1
            if rules and name not in ODD:
                bad.append(f"{name} as {version}'s: {' '.join(sorted(rules))}")
    print(f"# {count} traces as their own version's, {len(bad)} are not; known: {ODD}")
    return tap_lines(bad)


def others_traces():
    """Streams of another release are told from the writer's: of each pair, at least one trace."""
    bad = []
    for writer in VERSIONS:
        for version in VERSIONS:
            names = {where: name for name, where, _ in traces() if version_of(name) == version
                     and name.startswith(("none-stopped", "postcopy-" + version, "multifd-none-2"))}
            rules = set().union(*verdicts(writer, names).values())
            print(f"# {version} as {writer}: {' '.join(sorted(rules)) or 'canonical'}")
            if (writer == version) != (not rules):
                bad.append(f"{version} as {writer}: {rules}")
    return tap_lines(bad)


SINCE = {"xbzrle": (1, 4), "compress": (2, 4), "postcopy-ram": (2, 5), "multifd": (4, 0),
         "mapped-ram": (9, 0), None: (1, 4)}
UNTIL = {"compress": (9, 1)}
ERAS = ("1.4", "1.7", "2.3", "2.5", "2.12", "4.0", "5.2", "6.2", "7.2", "8.2", "9.2", "10.0", "10.2", "11.1")


def scenario(version, capability, machine):
    write = "bytes:8" if capability == "xbzrle" else "page"
    name = "x-postcopy-ram" if (capability, version) == ("postcopy-ram", "2.5") else capability
    events = [{"after-pass": 2, "do": "migrate-start-postcopy"}] if capability == "postcopy-ram" else []
    return {"schema": "migbench-scenario-1", "qemu": version, "seed": 3,
            "guest": {"machine": machine,
                      "ram": [{"name": "m0", "size": "2M",
                               "content": [{"offset": 0, "length": "1M", "kind": "random"}]}],
                      "workload": [{"block": "m0", "offset": "256k", "length": "256k",
                                    "pattern": "random", "rate": 2000, "pace": "clock",
                                    "write": write}]},
            "link": {"bandwidth": "200Mbit/s", "latency": "100us", "send-buffer": "128k",
                     "receive-buffer": "128k"},
            "capabilities": {name: True} if capability else {},
            "parameters": {"downtime-limit": 5}, "limit": "60s",
            "events": events + [{"after-pass": 6, "do": "migrate-set-parameters",
                                 "arguments": {"downtime-limit": 1000}}]}


def simulate(version, capability, machine, folder):
    """The stream, or None and why the simulator refused."""
    path, stream = os.path.join(folder, "s.json"), os.path.join(folder, "stream")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(scenario(version, capability, machine), file)
    done = subprocess.run([MIGBENCH, "sim", path, "--stream", stream], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    return (stream if done.returncode == 0 else None), done.stdout


def simulated():
    bad, count = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for version in ERAS:
            era = tuple(map(int, version.split(".")))
            for capability, since in SINCE.items():
                machine = "none" if era >= (2, 4) else f"pc-i440fx-{version}" if era > (1, 6) else \
                    f"pc-{version}"
                if not since <= era < UNTIL.get(capability, (99, 0)):
                    continue
                stream, said = simulate(version, capability, machine, folder)
                done = check("--writer", version, stream) if stream else None
                out = done.stdout if done else said
                count += 1
                if not stream or done.returncode:
                    bad.append(f"{version} {capability}: {out.strip()[-600:]}")
    print(f"# {count} simulated streams of {len(ERAS)} eras, {len(bad)} not canonical")
    return tap_lines(bad) and count >= 40


def refuses():
    trace = os.path.join(ROOT, "traces", "none-stopped-7.2.mig.zst")
    bad = [check("--loader", "7", trace), check("--loader", "12.0", trace), check("--writer", "x", trace),
           check("--machine", "none", trace), check("--loader", "7.2", "--writer", "7.2", trace),
           check("--loader", "7.2", "--format", "tap", trace)]
    return all(r.returncode == 2 and r.stderr and not r.stdout for r in bad)


def statuses():
    """0 loads, 1 refuses; the text says the place and the rule or the version."""
    old, new = (os.path.join(ROOT, "traces", f"none-stopped-{v}.mig.zst") for v in ("7.2", "10.0"))
    fine, bad = check("--loader", "10.0", old), check("--loader", "7.2", new)
    return (fine.returncode == 0 and "QEMU 10.0 loads it" in fine.stdout and bad.returncode == 1
            and "switchover-start" in bad.stdout and "byte " in bad.stdout)


tap.main([("/loader/answers-as-the-real-one", cross_version),
          ("/loader/exit-status", statuses),
          ("/loader/bad-arguments-are-refused", refuses),
          ("/writer/own-traces-are-canonical", own_traces),
          ("/writer/others-are-told-apart", others_traces),
          ("/writer/simulated-eras-are-canonical", simulated)])
