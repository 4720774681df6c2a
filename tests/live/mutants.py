#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Differential run: the same mutants for our judge and for real QEMUs.

Each QEMU gets mutants of its own `-M none` trace. What it does with one is accepted, complained
(loaded with a message), rejected, crashed or hung; what we say is reject (a MUST is broken), warn (only a
SHOULD is) or accept. The test fails where QEMU rejects, crashes or hangs and we accept, and prints
everything else: both as a table, and each mutant where the rule predicts another reaction.

MIGBENCH_LIVE_MUTANTS: how many for each version (default 24). MIGBENCH_LIVE_SEED: which (default 1).
"""
import collections
import json
import os
import subprocess
import sys

import peer

COUNT = int(os.environ.get("MIGBENCH_LIVE_MUTANTS", "24"))
SEED = os.environ.get("MIGBENCH_LIVE_SEED", "1")
HANGING = 20  # seconds without an answer; a load takes some hundredths of one
OUTCOMES = ("accepted", "complained", "rejected", "crashed", "hung")
VERDICTS = ("accept", "warn", "reject", "inconclusive")


def make_mutants(trace, folder):
    """[manifest line of each mutant]; the file that stands in it is in |folder|."""
    peer.migbench("mutate", trace, "-o", folder, "--seed", SEED, "--count", str(COUNT))
    with open(os.path.join(folder, "manifest.ndjson"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    if lines[-1] != {"type": "end", "complete": True} or len(lines) != COUNT + 2:
        raise peer.Fail("the manifest is incomplete")
    return lines[1:-1]


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


def ended(qemu):
    """How a QEMU that gives up ends."""
    try:
        status = qemu.process.wait(HANGING)
    except subprocess.TimeoutExpired:
        return "hung"
    return "rejected" if status == 1 else "crashed"


def outcome(version, path, memory):
    """(outcome, what it printed)"""
    argv = peer.machine_argv("none", [("m0", 1 << 20)], memory) + ["-incoming", "defer"]
    with peer.Peer(version, argv) as qemu:
        qemu.set_capabilities(["events"])
        try:
            qemu.qmp("migrate-incoming", uri=f"exec:cat {path}")
            status = qemu.receive(lambda m: m.get("event") == "MIGRATION" and m["data"]["status"]
                                  in ("completed", "failed"), HANGING)["data"]["status"]
        except (peer.qemu.QemuError, OSError):
            status = "silent"
        if status in ("silent", "failed"):  # it may have closed its monitor on the way out
            status = ended(qemu)
        text = qemu.error_text()
    if status == "completed":
        return ("complained" if text else "accepted"), text
    return status, text


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


def table(counts):
    yield "we say        " + "".join(f"{name:>12}" for name in OUTCOMES)
    for verdict in VERDICTS:
        row = "".join(f"{counts[verdict, name]:>12}" for name in OUTCOMES)
        yield f"  {verdict:<12}{row}"


def describe(mutant, found, text):
    last = text.splitlines()[-1] if text else ""
    return (f"{mutant['mutant']} {mutant['operation']} at {mutant['path']}, breaks "
            f"{mutant['breaks']}; found {' '.join(found) or 'nothing'}; {last}")


def sanity(version, trace, space, when):
    got = outcome(version, trace, space.memory)
    if got[0] != "accepted":
        raise peer.Fail(f"the good stream, {when}: {got}")


def differ(version, reactions):
    peer.path_of(version)
    trace = os.path.join(peer.ROOT, "traces", f"none-stopped-{version}.mig.zst")
    counts, other, missed = collections.Counter(), [], []
    with peer.Workspace() as space:
        plain = os.path.join(space.files, "good.mig")
        peer.migbench("recode", trace, "-o", plain)
        mutants = make_mutants(trace, os.path.join(space.files, "mutants"))
        paths = [os.path.join(space.files, "mutants", m["mutant"]) for m in mutants]
        verdicts = judge(paths)
        sanity(version, plain, space, "first")
        for mutant, path in zip(mutants, paths):
            verdict, found = verdicts[path]
            got, text = outcome(version, path, space.memory)
            counts[verdict, got] += 1
            line = f"{got}: " + describe(mutant, found, text)
            if verdict == "accept" and got in ("rejected", "crashed", "hung"):
                missed.append(line)
            elif (got in ("crashed", "hung")
                  or got not in expected_outcomes({reactions[rule] for rule in found})):
                other.append(line)
        sanity(version, plain, space, "last")
    notes = [*table(counts), f"{len(other)} crashed, hung or otherwise than the rules predict", *other]
    if missed:
        raise peer.Fail("\n".join(notes + [f"{len(missed)} that QEMU refuses and we accept"]
                                  + missed))
    return notes


if __name__ == "__main__":
    tap = peer.Tap()
    predicted = predictions()
    for version_ in peer.VERSIONS:
        tap.run(f"/live/mutants/{version_}", differ, version_, predicted)
    sys.exit(tap.done())
