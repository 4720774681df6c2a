#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mutate from outside: manifest and files agree, seeds repeat, check finds what is promised, shrinking."""
import json
import os
import subprocess
import sys
import tempfile

MIGBENCH = os.environ["MIGBENCH"]
TRACES = os.environ["TRACES"]
sys.path.insert(0, os.path.join(TRACES, "gen"))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402
import walk  # noqa: E402

TRACE = os.path.join(TRACES, "none-stopped-10.0.mig.zst")


def run(*arguments):
    return subprocess.run([MIGBENCH, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)


def mutate(folder, *arguments):
    result = run("mutate", TRACE, "-o", folder, *arguments)
    if result.returncode:
        raise AssertionError(result.stderr.decode())
    with open(os.path.join(folder, "manifest.ndjson"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def contents(folder):
    return {name: open(os.path.join(folder, name), "rb").read() for name in os.listdir(folder)}


def manifest_describes_the_files():
    good = walk.read_stream(TRACE)
    with tempfile.TemporaryDirectory() as folder:
        lines = mutate(folder, "--count", "150")
        files = contents(folder)
    mutants = lines[1:-1]
    for m in mutants:
        data = files.pop(m["mutant"])
        same = next((n for n, (a, b) in enumerate(zip(good, data)) if a != b),
                    min(len(good), len(data)))
        # What is put in or left out may begin like what was there.
        if data == good or len(data) != m["bytes"] or same < m["offset"]:
            print("#", m, same)
            return False
    return (len(mutants) == 150 and list(files) == ["manifest.ndjson"] and lines[0]["seed"] == 1
            and lines[-1] == {"type": "end", "complete": True})


def seeds_repeat():
    with tempfile.TemporaryDirectory() as folder:
        sets = []
        for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
            path = os.path.join(folder, name)
            mutate(path, "--seed", seed, "--count", "40")
            sets.append(contents(path))
    return sets[0] == sets[1] and sets[0] != sets[2]


def check_finds_what_is_promised():
    with tempfile.TemporaryDirectory() as folder:
        mutants = mutate(folder, "--count", "60", "--seed", "9")[1:-1]
        for m in mutants:
            result = run("check", "--profile", m["profile"], "--format", "ndjson",
                         os.path.join(folder, m["mutant"]))
            found = [json.loads(line)["rule"] for line in result.stdout.splitlines()
                     if json.loads(line)["type"] == "finding"]
            if (m["breaks"] not in found) if m["breaks"] else found:
                print("#", m, found)
                return False
    return True


def shrink():
    with tempfile.TemporaryDirectory() as folder:
        m = mutate(folder, "--count", "1", "--rule", "SECTION-FOOTER-ID")[1]
        small = os.path.join(folder, "small")
        again = os.path.join(folder, "again")
        mutant = os.path.join(folder, m["mutant"])
        status = run("mutate", "--shrink", mutant, "--rule", "SECTION-FOOTER-ID", "-o",
                     small).returncode
        run("mutate", "--shrink", mutant, "--rule", "SECTION-FOOTER-ID", "-o", again)
        other = run("mutate", "--shrink", mutant, "--rule", "RAM-HOOK-ABSENT", "-o",
                    os.path.join(folder, "none")).returncode
        size = os.path.getsize(small)
        report = run("check", small).stdout
        return (status == 0 and other == 1 and size * 100 < m["bytes"]
                and b"SECTION-FOOTER-ID" in report and not os.path.exists(folder + "/none")
                and open(small, "rb").read() == open(again, "rb").read())


def exit_codes():
    with tempfile.TemporaryDirectory() as folder:
        bad = os.path.join(folder, "bad")
        with open(bad, "wb") as file:
            file.write(walk.read_stream(TRACE)[:100])
        out = os.path.join(folder, "out")
        codes = [run("mutate", TRACE).returncode, run("mutate", "-o", out).returncode,
                 run("mutate", TRACE, "-o", out, "--rule", "NO-SUCH-RULE").returncode,
                 run("mutate", TRACE, "-o", out, "--rule", "RAM-XBZRLE-DELTA").returncode,
                 run("mutate", TRACE, "-o", out, "--shrink").returncode,
                 run("mutate", TRACE, "-o", out, "--count", "-1").returncode,
                 run("mutate", bad, "-o", out).returncode,
                 run("mutate", "/no/such/file", "-o", out).returncode,
                 run("mutate", TRACE, "-o", os.path.join(bad, "x")).returncode]
        return codes == [2] * 6 + [4] * 3 and not os.path.exists(out)


TESTS = [("/mutate/manifest-describes-the-files", manifest_describes_the_files),
         ("/mutate/seeds-repeat", seeds_repeat),
         ("/mutate/check-finds-what-is-promised", check_finds_what_is_promised),
         ("/mutate/shrink", shrink),
         ("/mutate/exit-codes", exit_codes)]

tap.main(TESTS)
