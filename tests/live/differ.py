#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Differential mode: mutants for `migbench check --loader` and for every installed QEMU.

Seeded mutants of real streams of the version go to both. Compared are the outcome (accepted,
complained, rejected, crashed, hung), the class of the reason, and, where both load it, the memory with
what `migbench extract` says that a destination ends with. Then streams with random bytes changed: none
may be rejected by QEMU and accepted by us.

    python3 tests/live/differ.py [VERSION...]

MIGBENCH_DIFFER: mutants for each version (default 16, 2000 with MIGBENCH_FULL); as many random ones, all
versions together. MIGBENCH_LIVE_SEED: which. MIGBENCH_PEER_ERRATA: where to write docs/peer-errata.md.
MIGBENCH_DIFFER_LOG: a folder that keeps what QEMUs did with which bytes, one file for each version: a run
that was broken off goes on there, and a judge that was mended is compared again without them.
"""
import collections
import concurrent.futures
import hashlib
import json
import os
import random
import subprocess
import sys
import time

import outcome
import peer
import errata

FULL = "MIGBENCH_FULL" in os.environ
COUNT = int(os.environ.get("MIGBENCH_DIFFER", "2000" if FULL else "16"))
SEED = int(os.environ.get("MIGBENCH_LIVE_SEED", "1"))
LEAST = 8  # mutants of each rule
WORKERS = int(os.environ.get("MIGBENCH_DIFFER_WORKERS", "2"))
LOG = os.environ.get("MIGBENCH_DIFFER_LOG")
MEMORY = 1 << 20
UUID = "6d696762-656e-4368-8000-000000000001"
# Trace, its share of the mutants in percent (of those that break a rule, of those that break none),
# capabilities of the destination. A version takes those that it has.
BASES = (("none-stopped", 60, 20, []), ("ignore-shared", 8, 0, ["x-ignore-shared"]),
         ("compress", 6, 6, ["compress"]), ("mapped-ram", 6, 0, ["mapped-ram"]))
# Reasons that show as any other: what stands behind a wrong length is read as anything, and behind the
# end QEMU reads zeros.
ANYTHING = ("desync", "end")


class Mutant:
    def __init__(self, line, folder, base, capabilities):
        self.line, self.base, self.capabilities = line, base, capabilities
        self.path = os.path.join(folder, line["mutant"])
        self.ours = self.theirs = None
        self.memory, self.rank = "not compared", 0.0

    @property
    def kind(self):
        return self.line["mutator"]

    def same_reason(self):
        return (self.ours[1] == self.theirs[1] or self.ours[1] in ANYTHING
                or self.theirs[1] == outcome.UNSAID
                or self.theirs[0] in ("accepted", "crashed", "hung"))

    def agrees(self):
        return (self.ours[0] == self.theirs[0] and self.same_reason()
                and self.memory != "differs")

    def comparable(self, theirs):
        """Both load it."""
        return {self.ours[0], theirs[0]} <= {"accepted", "complained"}

    def dangerous(self):
        return self.ours[0] in ("accepted", "complained") and self.theirs[0] not in ("accepted",
                                                                                     "complained")


def bases(version):
    for name, breaking, harmless, capabilities in BASES:
        trace = os.path.join(peer.ROOT, "traces", f"{name}-{version}.mig.zst")
        if os.path.exists(trace):
            yield name, trace, breaking, harmless, capabilities


def make(version, folder):
    """[Mutant], COUNT of them; shares of bases that the version doesn't have go to the first."""
    found, all_bases = [], list(bases(version))
    spare = 100 - sum(breaking + harmless for _, _, breaking, harmless, _ in all_bases)
    for number, (name, trace, breaking, harmless, capabilities) in enumerate(all_bases):
        for share, rule in ((breaking, None), (harmless + (spare if number == 0 else 0), "none")):
            count = COUNT * share // 100
            if not count:
                continue
            found += mutate(trace, folder, name, rule, count, capabilities)
    # Interleaved: a run that is broken off has some of everything.
    return sorted(found + few_more(version, folder, found), key=lambda m: m.rank)


def mutate(trace, folder, name, rule, count, capabilities):
    where = os.path.join(folder, f"{name}-{rule}-{count}")
    peer.migbench("mutate", trace, "-o", where, "--seed", str(SEED), "--count", str(count),
                  *(["--rule", rule] if rule else []))
    with open(os.path.join(where, "manifest.ndjson"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file][1:-1]
    found = [Mutant(line, where, name, capabilities) for line in lines]
    for number, mutant in enumerate(found):
        mutant.rank = number / len(found)
    return found


def few_more(version, folder, found):
    """Of rules that came too short, where all are to be judged."""
    rules = collections.Counter((m.base, m.line["breaks"]) for m in found if m.line["breaks"])
    total = collections.Counter(m.line["breaks"] for m in found)
    more = []
    for name, trace, _, _, capabilities in bases(version):
        for rule in sorted({r for b, r in rules if b == name}) if COUNT >= 1000 else ():
            if total[rule] < LEAST:
                more += mutate(trace, folder, name, rule, LEAST - total[rule], capabilities)
                total[rule] = LEAST
    return more


def machine_argv(memory):
    """The machine of the traces, its memory in a file."""
    return ["-M", "none,memory-backend=m0", "-m", "1M", "-accel", "tcg", "-S", "-uuid", UUID,
            *peer.QUIET, "-object",
            f"memory-backend-file,id=m0,size={MEMORY},share=on,mem-path={memory}"]


class Cells:
    """What is known of a version from earlier runs, by the bytes that it was given."""

    def __init__(self, version):
        self.known, self.file, self.loaded = {}, None, 0
        if LOG:
            os.makedirs(LOG, exist_ok=True)
            path = os.path.join(LOG, f"{version}.ndjson")
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    for row in map(json.loads, file):
                        self.known[row["key"]] = row
            self.file = open(path, "a", encoding="utf-8")

    @staticmethod
    def key(mutant):
        digest = hashlib.sha256(peer.read(mutant.path)).hexdigest()
        return f"{digest[:32]} {' '.join(mutant.capabilities)}"

    def fetch(self, mutant):
        """True: no emulator is needed."""
        row = self.known.get(self.key(mutant)) if LOG else None
        if row and (row["memory"] != "not compared" or not mutant.comparable(row["theirs"])):
            mutant.theirs, mutant.memory = tuple(row["theirs"]), row["memory"]
            return True
        return False

    def keep(self, mutant):
        if self.file:
            row = {"key": self.key(mutant), "theirs": mutant.theirs, "memory": mutant.memory}
            self.file.write(json.dumps(row) + "\n")
            self.file.flush()


def cell(version, mutant, space, number, cells):
    if not cells.fetch(mutant):
        really(version, mutant, space, number)
        cells.loaded += 1
        cells.keep(mutant)


def really(version, mutant, space, number):
    """Loads one; its memory is compared with ours at once, and both are thrown away."""
    memory = os.path.join(space.memory, f"ram-{number}")
    with open(memory, "wb") as file:
        file.truncate(MEMORY)
    uri = (f"file:{mutant.path}" if "mapped-ram" in mutant.capabilities
           else f"exec:cat {mutant.path}")
    mutant.theirs = outcome.load(version, machine_argv(memory), uri, mutant.capabilities)
    if mutant.comparable(mutant.theirs):
        mutant.memory = compare(mutant, memory)
    os.unlink(memory)


def compare(mutant, memory):
    if mutant.base == "ignore-shared":
        return "not sent"
    out = memory + ".ours"
    done = subprocess.run([peer.MIGBENCH, "extract", mutant.path, "--block", "m0", "-o", out],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if not os.path.exists(out):
        return f"not extracted: {done.stdout.strip()[-120:]}"
    want, got = peer.read(out), peer.read(memory)
    os.unlink(out)
    # A block that the stream says is shorter leaves the rest as it was: zero.
    return "same" if got[:len(want)] == want and not any(got[len(want):]) else "differs"


def load_all(version, mutants, space):
    """Runs them; says how fast."""
    ours = outcome.answers(version, [m.path for m in mutants], "none")
    for mutant in mutants:
        mutant.ours = ours[mutant.path]
    cells, begin = Cells(version), time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for done in [pool.submit(cell, version, m, space, n, cells) for n, m in enumerate(mutants)]:
            done.result()
    rate = cells.loaded / (time.monotonic() - begin)
    return (f"{cells.loaded} loaded at {rate:.1f} cells/s"
            + (f", {len(mutants) - cells.loaded} known from the log" if cells.loaded < len(mutants) else ""))


def sanity(version, folder, space, when):
    """The good streams load: else nothing that follows means anything."""
    for name, trace, _, _, capabilities in bases(version):
        plain = os.path.join(folder, f"good-{name}.mig")
        peer.migbench("recode", trace, "-o", plain)
        good = Mutant({"mutant": plain, "mutator": "good"}, "", name, capabilities)
        good.ours = ("accepted", "", {})
        really(version, good, space, when)
        if good.theirs[0] != "accepted" or good.memory == "differs":
            raise peer.Fail(f"the good stream {name}, {when}: {good.theirs}, memory {good.memory}")


def by_class(mutants):
    """Lines: each class of our answers, how many, how many agree."""
    rows = collections.defaultdict(lambda: [0, 0])
    for m in mutants:
        row = rows[m.ours[0] + (f": {m.ours[1]}" if m.ours[1] else "")]
        row[0] += 1
        row[1] += m.agrees()
    for name in sorted(rows):
        yield f"  {name:<28} {rows[name][1]:>5} of {rows[name][0]:>5}"


def reasons(mutants):
    """How those agree that both reject."""
    both = [m for m in mutants if m.ours[0] == m.theirs[0] == "rejected"]
    same = sum(m.ours[1] == m.theirs[1] for m in both)
    unsaid = sum(m.ours[1] != m.theirs[1] == outcome.UNSAID for m in both)
    anything = sum(m.ours[1] in ANYTHING and m.theirs[1] not in (m.ours[1], outcome.UNSAID) for m in both)
    memory = collections.Counter(m.memory.split(":")[0] for m in mutants)
    yield (f"{len(both)} rejected by both: {same} for a reason of the same class, in {unsaid} QEMU said none, "
           f"{anything} are ends and wrong lengths, which show as anything; memory: "
           + ", ".join(f"{n} {what}" for what, n in memory.most_common()))


def strata(mutants):
    rules = collections.Counter(m.line["breaks"] for m in mutants if m.line["breaks"])
    few = sorted(rule for rule, n in rules.items() if n < LEAST)
    flips = sum(m.kind == "page.data-flip" for m in mutants)
    accepted = sum(m.theirs[0] in ("accepted", "complained") for m in mutants)
    yield (f"{len(rules)} rules, {len(few)} with fewer than {LEAST} mutants: {' '.join(few[:6])}; accepted "
           f"{100 * accepted / len(mutants):.0f} %; flips of RAM {100 * flips / len(mutants):.1f} %")


def differ(version, log):
    peer.path_of(version)
    with peer.Workspace() as space:
        folder = os.path.join(space.files, "m")
        os.mkdir(folder)
        mutants = make(version, folder)
        sanity(version, folder, space, "first")
        rate = load_all(version, mutants, space)
        sanity(version, folder, space, "last")
        for m in mutants:
            log.add(version, m)
    bad = [m for m in mutants if not m.agrees()]
    share = 100 * (len(mutants) - len(bad)) / len(mutants)
    notes = [f"{len(mutants)} mutants, {share:.2f} % agree; {rate}", *strata(mutants), *reasons(mutants),
             *by_class(mutants)]
    unknown = [m for m in bad if not errata.reason_for(version, m)]
    if share < 99 or unknown or any(m.dangerous() for m in unknown):
        raise peer.Fail("\n".join(notes + [f"{len(unknown)} without a reason in errata"]
                                  + [errata.describe(m) for m in unknown[:400]]))
    return notes + [errata.describe(m) for m in bad[:20]]


# random bytes ------------------------------------------------------------------------------


def spoil(good, draw):
    bad = bytearray(good)
    for _ in range(draw.choice((1, 1, 2, 8))):
        at = draw.choice((draw.randrange(len(bad)), draw.randrange(min(512, len(bad))),
                          len(bad) - 1 - draw.randrange(min(2048, len(bad)))))
        bad[at] = draw.choice((0, 1, 0x7f, 0x80, 0xff, bad[at] ^ 1 << draw.randrange(8),
                               draw.randrange(256)))
    return bytes(bad)


def randomly(version, count, log):
    peer.path_of(version)
    draw = random.Random(f"{SEED} {version}")
    with peer.Workspace() as space:
        plain = os.path.join(space.files, "good.mig")
        peer.migbench("recode", os.path.join(peer.ROOT, "traces", f"none-stopped-{version}.mig.zst"),
                      "-o", plain)
        good, mutants = peer.read(plain), []
        for number in range(count):
            m = Mutant({"mutant": f"random-{number}", "mutator": "random", "operation": "bytes",
                        "path": "", "breaks": None}, space.files, "none-stopped", [])
            with open(m.path, "wb") as file:
                file.write(spoil(good, draw))
            mutants.append(m)
        rate = load_all(version, mutants, space)
    agree = sum(m.ours[0] == m.theirs[0] and m.memory != "differs" for m in mutants)
    missed = [errata.describe(m) for m in mutants if m.dangerous() or m.memory == "differs"]
    others = [errata.describe(m) for m in mutants if not m.dangerous() and m.ours[0] != m.theirs[0]]
    notes = [f"{count} streams with random bytes, {agree} with the same outcome and memory, "
             f"{len(missed)} that QEMU refuses and we accept; {rate}"]
    log.random[version] = count, agree, len(missed)
    if missed:
        raise peer.Fail("\n".join(notes + missed + others))
    return notes + others[:20]


if __name__ == "__main__":
    tap, errata_log = peer.Tap(), errata.Log(SEED, COUNT)
    wanted = sys.argv[1:] or peer.VERSIONS
    for version_ in wanted:
        tap.run(f"/live/differ/{version_}", differ, version_, errata_log)
    for version_ in wanted:
        tap.run(f"/live/differ/random/{version_}", randomly, version_, max(4, COUNT // 4), errata_log)
    if "MIGBENCH_PEER_ERRATA" in os.environ:
        errata_log.write(os.environ["MIGBENCH_PEER_ERRATA"])
    sys.exit(tap.done())
