#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The line breaks somewhere in postcopy, at MIGBENCH_CUTS random places (a few of them where it is not
set): both ends pause, go on over a new connection, and complete; no page is lost, torn or old.

From us to us, of all eras, with and without the preempt channel; and from and to QEMU, which is told by
its monitor to recover.
"""
import os
import random
import sys

import ends
import line
import peer
import postcopied

CUTS = int(os.environ.get("MIGBENCH_CUTS", 5))
SEED = int(os.environ.get("MIGBENCH_SEED", 1))
SIZE = 16 * ends.MIB
RATE = 16 << 20
ERAS = ("3.0", "4.1", "5.2", "7.2", "8.2", "10.0", "11.1")


def scenario(era, capabilities, seed):
    workload = [{"block": "ram", "offset": 0, "length": SIZE, "pattern": "random", "rate": 40000,
                 "pace": "cpu", "write": "counter"} for _ in range(4)]
    return {"schema": "migbench-scenario-1", "qemu": era, "seed": seed,
            "guest": {"machine": "none", "vcpus": 4, "workload": workload, "ram": [
                {"name": "ram", "size": SIZE, "content": [
                    {"offset": 0, "length": SIZE // 2, "kind": "random"}]}]},
            "capabilities": {name: True for name in capabilities},
            "parameters": {"max-bandwidth": 64 << 20, "downtime-limit": 1},
            "events": [{"after-pass": 1, "do": "migrate-start-postcopy"}], "limit": "120s"}


def statuses(result):
    return [e["data"]["status"] for e in result["events"] if e["event"] == "MIGRATION"]


def expect_recovered(source, destination, cuts):
    """Both ends say that they were paused as often as the line broke, and what the guest saw."""
    went = statuses(source)
    if went.count("postcopy-paused") < cuts or went[-1] != "completed":
        raise peer.Fail(f"the source went {went}")
    there = destination["destination"]["postcopy"]
    if there["pauses"] < cuts or there["guest"]["wrong"] or not there["guest"]["touches"]:
        raise peer.Fail(f"the destination: {there}")
    return there


def one_cut(era, capabilities, seed, offset, space):
    """Returns what the test says of itself."""
    file, wire, far, ours, theirs, here, there = (
        os.path.join(space.files, f) for f in ("s.json", "wire", "far", "r.json", "d.json", "a", "b"))
    ends.save(file, scenario(era, capabilities, seed))
    with line.Line(wire, far) as between, \
            ends.Program("dest", "--scenario", file, "--uri", f"unix:{far}", "--result", theirs,
                         "--dump", f"ram={there}") as destination:
        destination.listening()
        between.cut_in_postcopy(offset, RATE)
        with ends.Program("source", "--scenario", file, "--uri", f"unix:{wire}", "--result", ours,
                          "--dump", f"ram={here}") as source:
            source.finish()
            destination.finish()
        if between.cuts != 1:
            raise peer.Fail(f"{between.cuts} cuts, {between.passed} bytes passed, postcopy began at "
                            f"{between.began}")
    peer.expect_equal_memory(f"memory after a cut {offset} bytes into postcopy", peer.read(there),
                             peer.read(here))
    source, destination = ends.load(ours), ends.load(theirs)
    for result in (source, destination):
        ends.expect_no_leak(result)
    seen = expect_recovered(source, destination, 1)
    return f"{offset} bytes into it: {seen['requests']} requests, {seen['dropped-pages']} pages torn"


def to_ourselves(number, space):
    dice = random.Random(SEED * 1000 + number)
    era = ERAS[number % len(ERAS)]
    has_preempt = era in ("7.2", "8.2", "10.0", "11.1")
    capabilities = ("postcopy-ram", "postcopy-preempt") if has_preempt and dice.random() < 0.5 else \
        ("postcopy-ram",)
    offset = dice.randrange(4096, SIZE * 5 // 8)
    return [f"{era} {' '.join(capabilities)}, " +
            one_cut(era, capabilities, SEED * 1000 + number, offset, space)]


def with_qemu(number, space):
    """One end is QEMU, of each version and in both directions by turns."""
    dice = random.Random(SEED * 1000 + number)
    version = peer.VERSIONS[number // 2 % len(peer.VERSIONS)]
    fast = version not in ("5.2",) and dice.random() < 0.5
    capabilities = ("postcopy-ram", "postcopy-preempt") if fast else ("postcopy-ram",)
    offset = dice.randrange(1, postcopied.SIZE // 4)
    said = f"{version} {' '.join(capabilities)}, {offset} bytes into it: "
    if number % 2:
        _, outcome = postcopied.receive(version, offset, space, capabilities)
        return [f"from {said}{outcome['requests']} requests, {outcome['dropped-pages']} pages torn"]
    kept = postcopied.send(version, offset, space, capabilities)
    return [f"to {said}{sum(1 for pair in kept if pair[0])} connections"]


def main():
    tap = peer.Tap()
    with peer.Workspace() as space:
        for number in range(CUTS):
            tap.run(f"/live/postcopy-cuts/ours/{SEED}/{number}", to_ourselves, number, space)
        for number in range(1, CUTS + 1 if "MIGBENCH_CUTS" in os.environ else 2):
            tap.run(f"/live/postcopy-cuts/qemu/{SEED}/{number}", with_qemu, number, space)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
