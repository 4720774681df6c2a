# SPDX-License-Identifier: Apache-2.0
"""How every test script of the tree prints its results: TAP (Python 3, standard library only)."""
import os
import sys
import traceback


class Skip(Exception):
    """The test can't run here; the text says why."""


class Fail(Exception):
    """The test ran and found something."""


class Tap:
    """Numbers the tests and prints them; run(title, function, ...) never raises.

    A test fails when it raises, or returns something false; text or a list of it is no verdict,
    but lines to print.
    Without MIGBENCH_FULL only one of |share| is run, counted from the first.
    """

    def __init__(self, share=1):
        self.share = 1 if "MIGBENCH_FULL" in os.environ else share
        self.asked = self.count = self.failed = 0

    def run(self, title, function, *arguments):
        self.asked += 1
        if (self.asked - 1) % self.share:
            return
        self.count += 1
        notes, verdict, skipped = (), "ok", ""
        try:
            result = function(*arguments)
            if isinstance(result, (str, list)):
                notes = [result] if isinstance(result, str) else result
            elif result is not None and not result:
                verdict = "not ok"
        except Skip as reason:
            skipped = f" # SKIP {reason}"
        except Fail as problem:
            verdict, notes = "not ok", str(problem).splitlines()
        except Exception:  # pylint: disable=broad-except
            verdict, notes = "not ok", traceback.format_exc().splitlines()
        self.failed += verdict != "ok"
        for note in notes:
            print(f"# {note}")
        print(f"{verdict} {self.count} - {title}{skipped}", flush=True)

    def done(self):
        """Prints the plan; the exit status."""
        if self.count < self.asked:
            print(f"# {self.count} of {self.asked}, all with MIGBENCH_FULL=1")
        print(f"1..{self.count}")
        return 1 if self.failed else 0


def main(tests):
    """Runs |tests|, rows (title, function, arguments...), and ends the program."""
    tap = Tap()
    for title, function, *arguments in tests:
        tap.run(title, function, *arguments)
    sys.exit(tap.done())


def named(prefix, functions):
    """Rows for main() of functions without arguments: the function's name is the title."""
    return [(f"{prefix}/{f.__name__.replace('_', '-')}", f) for f in functions]
