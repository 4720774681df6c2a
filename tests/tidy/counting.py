#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The counting of tests/all.py, on lines as meson's testlog.json has them."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True

import all as runner  # noqa: E402

# title, result, standard output, (passed, failed, skipped)
CASES = (
    ("all-pass", "OK", "1..2\nok 1 /a/b\nok 2 /a/c\n", (2, 0, 0)),
    ("dashes-and-notes", "OK", "# Start of a\nok 1 - a thing\n# note: not ok 7\n1..1\n", (1, 0, 0)),
    ("one-fails", "FAIL", "1..2\nok 1 /a\nnot ok 2 /b\n", (1, 1, 0)),
    ("skip-with-reason", "OK", "1..2\nok 1 /a # SKIP no such QEMU\nok 2 /b\n", (1, 0, 1)),
    ("skip-in-lower-case", "OK", "ok 1 /a # skip no such QEMU\n1..1\n", (0, 0, 1)),
    ("all-skipped", "SKIP", "1..0 # no KVM\n", (0, 0, 1)),
    ("exit-status-77", "SKIP", "no KVM here\n", (0, 0, 1)),
    ("not-done-yet", "OK", "1..1\nnot ok 1 /a # TODO later\n", (0, 0, 1)),
    ("crash-after-one", "ERROR", "1..2\nok 1 /a\nBail out! assertion\n", (1, 1, 0)),
    ("crash-counts-once", "ERROR", "1..2\nnot ok 1 /a\n", (0, 1, 0)),
    ("timeout", "TIMEOUT", "1..2\nok 1 /a\n", (1, 1, 0)),
    ("silent-failure", "FAIL", "", (0, 1, 0)),
    ("indented-is-a-subtest-of-a-line", "OK", "    ok 1 - inner\nok 1 - outer\n1..1\n", (1, 0, 0)),
)


def main():
    failed = 0
    print(f"1..{len(CASES)}")
    for number, (title, result, out, want) in enumerate(CASES, 1):
        tally = runner.Tally()
        runner.count_tap(tally, "build", {"name": "migbench:unit / x", "result": result,
                                          "stdout": out, "returncode": 1})
        got = (tally.passed, tally.failed, tally.skipped)
        if got != want:
            failed += 1
            print(f"# passed, failed, skipped: {got}, expected {want}")
        print(f"{'ok' if got == want else 'not ok'} {number} - counting/{title}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
