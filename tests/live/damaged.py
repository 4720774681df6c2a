#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A destination that is fed damaged streams: mutants of real QEMU's traces (one record changed in
each), flipped bytes, and streams that end too early.

Whatever comes, `migbench dest` ends by itself with status 0 or 1, says in the latter case what was wrong
and where, and stays within its memory. It must refuse every mutant of which the rule that it breaks says
that QEMU refuses it (but for lengths of devices, of which it has none), and every stream that ends early
but for one that ends in its VMDESCRIPTION (which no QEMU misses either).

MIGBENCH_DAMAGED: how many of each kind for each trace (default 12). MIGBENCH_LIVE_SEED: which.
"""
import json
import os
import random
import re
import resource
import subprocess
import sys

import peer
from outcome import OUTCOMES

OF_DEVICES = {"SECTION-BODY-LENGTH"}
COUNT = int(os.environ.get("MIGBENCH_DAMAGED", "12"))
SEED = int(os.environ.get("MIGBENCH_LIVE_SEED", "1"))
MEMORY = 96 << 20  # bytes, beside guest RAM
HANGING = 60  # seconds; a load takes some hundredths of one
TRACES = ("none-stopped-5.2", "none-stopped-10.0", "none-idle-11.1", "xbzrle-7.2", "compress-5.2",
          "compress-7.2", "microvm-scripted-10.0", "pc-idle-7.2")


def judge(paths):
    """{path: (verdict, [ids of broken rules])}"""
    done = subprocess.run([peer.MIGBENCH, "check", "--profile", "strict", "--format", "ndjson",
                           *paths], stdout=subprocess.PIPE, timeout=peer.PATIENCE * 4)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode not in (0, 1, 3) or not lines[-1].get("complete"):
        raise peer.Fail(f"check ended with status {done.returncode}")
    rules, levels, verdicts = {}, {}, {}
    for line in lines:
        if line["type"] == "finding":
            rules.setdefault(line["subject"], []).append(line["rule"])
            levels.setdefault(line["subject"], set()).add(line["level"])
        elif line["type"] == "subject":
            found = levels.get(line["subject"], set())
            verdict = ("reject" if "MUST" in found else "warn" if found else
                       "inconclusive" if line["verdict"] == "inconclusive" else "accept")
            verdicts[line["subject"]] = (verdict, rules.get(line["subject"], []))
    return verdicts


def predictions():
    lines = subprocess.run([peer.MIGBENCH, "rules", "--format", "ndjson"], check=True,
                           stdout=subprocess.PIPE).stdout.splitlines()
    return {rule["id"]: rule["reaction"] for rule in map(json.loads, lines)}


def expected_outcomes(reactions):
    """What the rules that a mutant breaks predict; nothing broken: it loads."""
    allowed = {"rejects": {"rejected"}, "complains": {"complained"}, "silent": {"accepted"},
               "cannot-see": {"accepted"}, "crashes": {"crashed"}, "varies": set(OUTCOMES)}
    worst = [name for name in ("varies", "crashes", "rejects", "complains", "silent", "cannot-see")
             if name in reactions]
    return allowed[worst[0]] if worst else {"accepted"}


class Destination:
    """A destination for the machine of a trace, once for each stream that it is given."""

    def __init__(self, name, space):
        with open(os.path.join(peer.ROOT, "traces", f"{name}.json"), encoding="utf-8") as file:
            manifest = json.load(file)
        self.ram = [{"name": b["name"], "size": b["used_length"]} for b in manifest["ram"]]
        self.scenario = os.path.join(space.files, "scenario.json")
        machine = manifest["expect"]["stats"]["machine"]
        capabilities = [c for c in manifest["capabilities"] if c != "events"]
        with open(self.scenario, "w", encoding="utf-8") as file:
            json.dump({"schema": "migbench-scenario-1",
                       "qemu": re.search(r"-([\d.]+)$", name).group(1),
                       "guest": {"machine": machine, "ram": self.ram},
                       "capabilities": {c: True for c in capabilities}}, file)

    def load(self, path):
        """(exit status, what it printed)"""
        process = subprocess.Popen(
            [peer.MIGBENCH, "dest", "--scenario", self.scenario, "--uri", f"file:{path}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (self.limit(),) * 2))
        try:
            text = process.communicate(timeout=HANGING)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise peer.Fail(f"{path}: the destination hangs") from None
        return process.returncode, text

    def limit(self):
        """Bytes of private memory that it may ask for: past it malloc() aborts, and that is seen."""
        return MEMORY + sum(block["size"] for block in self.ram)


def expect_an_end(what, status, text):
    if status not in (0, 1):
        raise peer.Fail(f"{what}: exit status {status}: {text}")
    if status == 1 and not re.search(r"byte \d+, .+: expected .+, found|return path", text):
        raise peer.Fail(f"{what}: refused without saying what and where: {text}")


def feed_mutants(destination, plain, folder, reactions):
    peer.migbench("mutate", plain, "-o", folder, "--seed", str(SEED), "--count", str(COUNT))
    with open(os.path.join(folder, "manifest.ndjson"), encoding="utf-8") as file:
        mutants = [json.loads(line) for line in file][1:-1]
    paths = {os.path.join(folder, m["mutant"]): m for m in mutants}
    refused, missed = 0, []
    for path, (verdict, found) in judge(list(paths)).items():
        mutant = paths[path]
        what = f"{mutant['mutant']} {mutant['operation']} at {mutant['path']}"
        status, text = destination.load(path)
        expect_an_end(what, status, text)
        refused += status
        said = {reactions[rule] for rule in found if rule not in OF_DEVICES}
        if status == 0 and expected_outcomes(said) == {"rejected"}:
            missed.append(f"{what}: breaks {' '.join(found)}, which QEMU refuses; loaded")
    if missed:
        raise peer.Fail("\n".join(missed))
    return f"{refused} of {len(paths)} mutants refused"


def feed_bytes(destination, good, folder):
    """Streams with some bytes changed: anything may come of them but a crash."""
    draw, refused = random.Random(SEED), 0
    for number in range(COUNT):
        bad = bytearray(good)
        for _ in range(draw.choice((1, 1, 2, 8))):
            at = draw.choice((draw.randrange(len(bad)), draw.randrange(min(512, len(bad))),
                              len(bad) - 1 - draw.randrange(min(2048, len(bad)))))
            bad[at] = draw.choice((0, 1, 0x7f, 0x80, 0xff, draw.randrange(256)))
        path = os.path.join(folder, f"flip-{number}")
        with open(path, "wb") as file:
            file.write(bad)
        status, text = destination.load(path)
        expect_an_end(path, status, text)
        refused += status
    return f"{refused} of {COUNT} with changed bytes refused"


def end_of_stream(plain):
    """Where the records that a destination waits for are over: behind END_OF_STREAM."""
    out = peer.migbench("inspect", plain, "--format", "ndjson")
    ends = [json.loads(line) for line in out.splitlines() if '"END_OF_STREAM"' in line
            or '"end-of-stream"' in line]
    if not ends:
        raise peer.Fail("inspect shows no end of the stream")
    return ends[-1]["offset"] + 1


def feed_short(destination, good, end, folder):
    draw = random.Random(SEED + 1)
    cuts = {0, 1, 7, 8, 9, end - 1} | {draw.randrange(end) for _ in range(COUNT)}
    for cut in sorted(cuts):
        path = os.path.join(folder, f"cut-{cut}")
        with open(path, "wb") as file:
            file.write(good[:cut])
        status, text = destination.load(path)
        expect_an_end(f"cut at {cut}", status, text)
        if status == 0:
            raise peer.Fail(f"a stream cut at {cut} of {len(good)} was loaded")
    return f"{len(cuts)} short ones refused"


def damaged(name, reactions):
    with peer.Workspace() as space:
        destination = Destination(name, space)
        plain = os.path.join(space.files, "good.mig")
        peer.migbench("recode", os.path.join(peer.ROOT, "traces", f"{name}.mig.zst"), "-o", plain)
        good = peer.read(plain)
        if destination.load(plain)[0] != 0:
            raise peer.Fail(f"the good stream: {destination.load(plain)[1]}")
        notes = [feed_mutants(destination, plain, os.path.join(space.files, "m"), reactions),
                 feed_bytes(destination, good, space.files),
                 feed_short(destination, good, end_of_stream(plain), space.files)]
        if destination.load(plain)[0] != 0:
            raise peer.Fail("the good stream, last")
        return notes


if __name__ == "__main__":
    tap = peer.Tap()
    predicted = predictions()
    for trace in TRACES:
        tap.run(f"/live/damaged/{trace}", damaged, trace, predicted)
    sys.exit(tap.done())
