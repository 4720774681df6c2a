#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What commands say of inputs that they can't use: which one, what was expected, what was found."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402
from tap import Fail  # noqa: E402

MIGBENCH, ROOT, TRACES = (os.environ[name] for name in ("MIGBENCH", "SOURCE_ROOT", "TRACES"))
SCENARIO = os.path.join(ROOT, "docs", "examples", "two-blocks.json")
STREAM = os.path.join(TRACES, "none-idle-10.0.mig.zst")

# Names in the folder where everything runs, and what they hold (None: a folder).
INPUTS = {"dir": None, "empty": b"", "noise": bytes(range(255, 100, -1)), "open.json": b"{", "array.json": b"[]",
          "facts.json": b'{"qemu": "10.0", "ram": 67108864, "filled": 16777216, '
                        b'"dirty-rates": [{"calc-time": 1, "dirty-rate": 4}]}'}

KNOB = ["--knob", "parameters.downtime-limit=1,2"]
GOAL = ["--goal", "downtime<=300ms"]

# Title: exit status, what standard error says, the arguments.
ROWS = {
    "sim-missing": (4, "“missing”: No such file", ["sim", "missing"]),
    "sim-empty": (2, "empty:1:1: expected JSON, found nothing", ["sim", "empty"]),
    "sim-noise": (2, "noise:1:1: expected JSON, found something else", ["sim", "noise"]),
    "sim-open": (2, "open.json:1:2: the text ends too early", ["sim", "open.json"]),
    "sim-array": (2, "array.json: (top): expected an object, found an array", ["sim", "array.json"]),
    "sim-key": (2, 'unknown key "lnk"; did you mean "link"?', ["sim", SCENARIO, "--set", "lnk=1"]),
    "sim-unit": (2, 'link.latency: "5" is not a time (it has no unit)', ["sim", SCENARIO, "--set", 'link.latency="5"']),
    "sim-silent-link": (2, "link.bandwidth: expected above 0", ["sim", SCENARIO, "--set", "link.bandwidth=0bit/s"]),
    "sweep-folder": (4, "“dir”: Is a directory", ["sweep", "dir", "-o", "new"]),
    "csv-folder": (4, "dir: is a directory", ["sweep", "csv", "dir"]),
    "csv-empty": (2, "empty: expected the header of a sweep's rows", ["sweep", "csv", "empty"]),
    "tune-knob": (2, "the same kind of unit", ["tune", SCENARIO, "--knob", "a=4M,1Gbit/s", *GOAL]),
    "tune-goal": (2, '"3parsec": expected a number, a time', ["tune", SCENARIO, *KNOB, "--goal", "downtime<=3parsec"]),
    "predict-downtime": (2, '--downtime: "1parsec" is not a number of milliseconds',
                         ["predict", "--qmp", "unix:nobody", "--downtime", "1parsec"]),
    "predict-range": (2, "--downtime: 3000s is not from 0 to 2000000 ms",
                      ["predict", "--facts", "facts.json", "--downtime", "3000s"]),
    "predict-bandwidth": (2, '--bandwidth: "fast" is not a bandwidth',
                          ["predict", "--qmp", "unix:nobody", "--bandwidth", "fast"]),
    "predict-facts": (2, 'array.json: "dirty-rates": expected', ["predict", "--facts", "array.json"]),
    "predict-recording": (2, "noise: it has no times", ["predict", "--recording", "noise"]),
    "fit-recording": (2, f"{STREAM}: it has no times", ["sim", "--workload-from", STREAM]),
    "import-missing": (4, "record: missing: No such file", ["record", "--import", "missing", "-o", "new"]),
    "import-noise": (4, "noise: unknown file format; expected captured packets",
                     ["record", "--import", "noise", "-o", "new"]),
    "replay-empty": (4, "empty: expected a recording or a stream", ["replay", "empty", "--connect", "unix:nobody"]),
    "mutate-missing": (4, "mutate: missing: No such file", ["mutate", "missing", "-o", "new"]),
    "check-folder": (4, "dir: is a directory", ["check", "dir"]),
    "recode-noise": (1, 'expected 5145564d ("QEVM")', ["recode", "noise", "-o", "new"]),
    "recode-full": (4, "cannot write the output: No space left", ["recode", STREAM, "-o", "/dev/full"]),
    "scrub-full": (4, "cannot write the output: No space left", ["scrub", STREAM, "-o", "/dev/full"]),
    "sim-full": (4, "cannot write /dev/full: No space left", ["sim", SCENARIO, "--stream", "/dev/full"]),
}


def make_inputs(folder):
    for name, content in INPUTS.items():
        path = os.path.join(folder, name)
        if content is None:
            os.mkdir(path)
            continue
        with open(path, "wb") as file:
            file.write(content)


def refused(status, words, arguments):
    if "/dev/full" in arguments and not os.path.exists("/dev/full"):
        raise tap.Skip("no /dev/full")
    with tempfile.TemporaryDirectory() as folder:
        make_inputs(folder)
        done = subprocess.run([MIGBENCH, *arguments], cwd=folder, check=False, timeout=60, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        left = sorted(set(os.listdir(folder)) - set(INPUTS))
    if done.returncode != status or words not in done.stderr or left:
        raise Fail(f"exit status {done.returncode} for {status}, left behind: {left}, without {words!r}:\n"
                   f"{done.stderr}")


if __name__ == "__main__":
    tap.main((f"/errors/{title}", refused, *row) for title, row in ROWS.items())
