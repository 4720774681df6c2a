# SPDX-License-Identifier: Apache-2.0
"""Where a real QEMU and our judge disagree, with the reason, and what QEMU does with streams that break
a rule: docs/peer-errata.md."""
import collections

# (base, mutator or None, versions, what QEMU does, why): a disagreement that no row explains fails.
KNOWN = (
    ("compress", None, ("5.2", "7.2"), "crashed",
     "with the capability compress, a load that fails before its threads have been made ends in a "
     "segmentation fault when they are taken down; the message before it is the right one"),
    ("ignore-shared", "list.page-behind", ("5.2", "7.2", "10.0", "11.1"), "rejected",
     "a page of a block that the destination shares is refused; which blocks those are can't be seen in "
     "the stream"),
    ("mapped-ram", "section.repeat-start", ("10.0", "11.1"), "hung",
     "a second block list reads its bitmap and pages from places in the file that hold something else; "
     "QEMU neither ends nor says anything, we call the header contradictory"),
)


def reason_for(version, mutant):
    for base, kind, versions, theirs, why in KNOWN:
        if (mutant.base == base and kind in (None, mutant.kind) and version in versions
                and mutant.theirs[0] == theirs):
            return why
    return None


def describe(mutant):
    last = mutant.theirs[2].splitlines()[-2:] if mutant.theirs[2] else [""]
    return (f"{mutant.line['mutant']} {mutant.line['operation']} at {mutant.line['path']} breaks "
            f"{mutant.line['breaks']}: we say {' '.join(mutant.ours[:2])} "
            f"{mutant.ours[2].get('rule', '')}, QEMU {' '.join(mutant.theirs[:2])}, memory "
            f"{mutant.memory}; {' | '.join(last)}")


HEAD = """<!-- SPDX-License-Identifier: Apache-2.0 -->
# Peer errata

What real QEMUs do with damaged streams. Written by tests/live/differ.py (with
MIGBENCH_PEER_ERRATA=docs/peer-errata.md), which makes seeded mutants of real streams, has every installed
QEMU load them, and compares outcome, reason and final memory with `migbench check --loader`.
"""


class Log:
    """Counts what a run of differ.py found."""

    def __init__(self, seed, count):
        self.seed, self.count = seed, count
        self.total, self.agree = collections.Counter(), collections.Counter()
        self.rules = collections.defaultdict(collections.Counter)  # (rule, version) -> outcomes
        self.random = {}  # version -> (streams, agree, refused by QEMU and accepted by us)
        self.bad = collections.defaultdict(collections.Counter)

    def add(self, version, mutant):
        self.total[version] += 1
        self.agree[version] += mutant.agrees()
        if mutant.line["breaks"]:
            self.rules[mutant.line["breaks"], version][mutant.theirs[0]] += 1
        if not mutant.agrees():
            self.bad[mutant.kind, mutant.base, " ".join(mutant.ours[:2]).strip(),
                     " ".join(mutant.theirs[:2]).strip(),
                     reason_for(version, mutant) or "unexplained"][version] += 1

    def write(self, path):
        versions = list(self.total)
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join([HEAD, *self.agreement(versions), *self.disagreements(),
                                  *self.reactions(versions)]) + "\n")

    def agreement(self, versions):
        yield f"Seed {self.seed}.\n"
        yield ("| version | mutants | agree | spoiled bytes | same outcome | refused, and accepted by us |\n"
               "|---|---|---|---|---|---|")
        for v in versions:
            count, same, missed = self.random.get(v, ("-", "-", "-"))
            yield (f"| {v} | {self.total[v]} | {100 * self.agree[v] / self.total[v]:.2f} % | {count} | "
                   f"{same} | {missed} |")

    def disagreements(self):
        yield "\n## Disagreements\n"
        yield "| mutator | of | we say | QEMU | how many | why |\n|---|---|---|---|---|---|"
        for (kind, base, ours, theirs, why), counts in sorted(self.bad.items()):
            many = ", ".join(f"{n} on {v}" for v, n in counts.items())
            yield f"| {kind} | {base} | {ours} | {theirs} | {many} | {why} |"

    def reactions(self, versions):
        yield "\n## What QEMU does when a rule is broken\n"
        yield ("Counted over the mutants that were made for the rule. `loads` where the table of rules "
               "says MUST is a leniency: the memory or the devices are then not what was saved.\n")
        yield "| rule | " + " | ".join(versions) + " |\n" + "|---" * (len(versions) + 1) + "|"
        words = {"accepted": "loads", "complained": "loads, says", "rejected": "refuses",
                 "crashed": "crashes", "hung": "waits"}
        for rule in sorted({rule for rule, _ in self.rules}):
            cells = [", ".join(f"{words[what]} {n}" for what, n in self.rules[rule, v].most_common())
                     or "-" for v in versions]
            yield f"| {rule} | " + " | ".join(cells) + " |"
