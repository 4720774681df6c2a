#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every test of the tree and counts them. `./run test` calls it and installs what it needs.

The parts are independent; each builds in its own folder beside build/. A TAP line of a test
program counts as one test; a program that crashed, timed out or broke off counts as one more
failure; where a part has no TAP (a build, a comparison, a fuzzer) each thing checked counts as
one.
"""
import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TAP_LINE = re.compile(r"^(ok|not ok)\b\s*\d*\s*-?\s*([^#]*?)\s*(?:#\s*(\w+)\s*(.*))?$")
LOG_LINES = 60
# What --full asks for: streams generated and loaded, places where traces are cut and how much of
# them is decoded for that, mutants.
FULL = {"MIGBENCH_FULL": "1", "MIGBENCH_STREAMS": "100000", "MIGBENCH_LIVE_STREAMS": "500",
        "MIGBENCH_MUTANTS": "2000", "MIGBENCH_SEEDS": "10000", "MIGBENCH_CUTS": "50",
        "MIGBENCH_DIFFER": "2000", "MIGBENCH_DAMAGED": "200",
        "MIGBENCH_CUT_BYTES": str(2 << 30)}
# Where a program runs several times slower, long tests are left to the build without sanitizers.
FAST = {"MIGBENCH_SEEDS": "20", "MIGBENCH_CUT_BYTES": str(1 << 20)}


class Tally:
    """What passed, failed and was skipped; failures keep their logs."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.skips = []

    def add(self, name, ok, log=""):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
            self.failures.append((name, log))

    def skip(self, name, reason):
        self.skipped += 1
        self.skips.append((name, reason))

    def merge(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures
        self.skips += other.skips

    def words(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def call(argv, env=None, timeout=3600, cwd=ROOT, before=None):
    """(exit status, everything that was printed); |before|: what the child does first"""
    full = dict(os.environ, **(env or {}))
    try:
        done = subprocess.run(argv, env=full, cwd=cwd, timeout=timeout, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=before)
    except subprocess.TimeoutExpired as error:
        out = (error.stdout or b"").decode(errors="replace")
        return 124, out + f"\nstopped after {timeout} s\n"
    except OSError as error:
        return 127, f"{argv[0]}: {error}\n"
    return done.returncode, done.stdout.decode(errors="replace")


def tail(text, lines=LOG_LINES):
    return "\n".join(text.rstrip().splitlines()[-lines:])


# Building -----------------------------------------------------------------------------------------
# Everything that is compiled: {folder: compiler, meson's options, targets (none: all)}.
Build = collections.namedtuple("Build", "compiler options targets")
BUILDS = {
    "build": Build("gcc", [], []),
    "build-clang": Build("clang", ["-Doptimization=3"], []),
    # One build for both: it tells which lines its tests have run.
    "build-asan": Build("gcc", ["-Db_sanitize=address,undefined", "-Db_coverage=true",
                                "-Doptimization=1"], []),
    "build-gcc-O0": Build("gcc", ["-Doptimization=0"], ["migbench"]),
    "build-gcc-O3": Build("gcc", ["-Doptimization=3"], ["migbench"]),
    "build-clang-O0": Build("clang", ["-Doptimization=0"], ["migbench"]),
    "build-fuzz": Build("clang", ["-Dfuzz=true", "-Db_sanitize=address,undefined", "-Db_lundef=false",
                                  "-Dc_args=-fsanitize=fuzzer-no-link"], ["fuzzers"]),
}


def setup(folder, how=call):
    """Configures once; None or what was said when that failed."""
    path = os.path.join(ROOT, folder)
    if os.path.exists(os.path.join(path, "build.ninja")):
        return None
    status, out = how(["meson", "setup", path, ROOT, *BUILDS[folder].options],
                      env={"CC": BUILDS[folder].compiler, "CFLAGS": "", "LDFLAGS": ""})
    if status:
        # A half-made folder would be taken for a configured one the next time.
        shutil.rmtree(path, ignore_errors=True)
    return out if status else None


def ninja(folder):
    return ["ninja", "-C", os.path.join(ROOT, folder), *BUILDS[folder].targets]


def build(tally, folder):
    """One test: that it compiles without a warning. The folder's path, or None."""
    name = f"{folder}: compiles with {BUILDS[folder].compiler}"
    wrong = setup(folder)
    status, out = (1, wrong) if wrong else call(ninja(folder))
    tally.add(name, status == 0, tail(out))
    return os.path.join(ROOT, folder) if status == 0 else None


def idle():
    """This process gets the processors when nobody else wants them."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


class Ahead:
    """Compiles |folders| while live tests wait for QEMUs. What goes wrong, or isn't done when they have ended, is left
    to build(), which says so."""

    def __init__(self, folders):
        self.folders, self.process, self.lock = folders, None, threading.Lock()
        self.ended = False
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        with self.lock:
            self.ended = True
            if self.process:
                self.process.send_signal(signal.SIGINT)  # ninja takes up its work again
        self.thread.join()

    def run(self):
        for folder in self.folders:
            if self.ended or setup(folder, how=lambda *args, **more: call(*args, **more, before=idle)):
                continue
            with self.lock:
                if self.ended:
                    return
                self.process = subprocess.Popen(ninja(folder), preexec_fn=idle, stdin=subprocess.DEVNULL,
                                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.process.wait()
            with self.lock:
                self.process = None


def count_tap(tally, prefix, entry):
    """Counts one line of meson's testlog.json."""
    # meson writes "project:suite / name".
    name, result = f"{prefix}/{entry['name'].rpartition(' / ')[2]}", entry["result"]
    out, log = entry.get("stdout", ""), entry.get("stdout", "") + entry.get("stderr", "")
    failed_before = tally.failed
    for line in out.splitlines():
        if line.startswith("1..0"):
            tally.skip(name, line.partition("#")[2].strip() or "no reason given")
        match = TAP_LINE.match(line)
        if not match:
            continue
        ok, title, directive, reason = match.groups()
        label = f"{name}: {title}" if title else name
        if directive and directive.upper().startswith("SKIP"):
            tally.skip(label, reason)
        elif directive and directive.upper() == "TODO":
            tally.skip(label, "not done yet: " + reason)
        else:
            tally.add(label, ok == "ok", tail(log))
    if result not in ("OK", "SKIP", "EXPECTEDFAIL") and tally.failed == failed_before:
        tally.add(f"{name}: {result.lower()} (status {entry.get('returncode')})", False, tail(log))
    elif result == "SKIP" and not TAP_LINE.search(out) and not out.startswith("1..0"):
        tally.skip(name, tail(log, 1))


def meson_tests(tally, path, suites, env=None, fast=True):
    log = os.path.join(path, "meson-logs", "testlog.json")
    if os.path.exists(log):
        os.unlink(log)
    patience = "60" if "MIGBENCH_FULL" in os.environ else "4"
    argv = ["meson", "test", "-C", path, "--no-rebuild", "--timeout-multiplier", patience,
            "--num-processes", str((os.cpu_count() or 1) + 1)]  # live tests wait much
    for suite in suites:
        argv += ["--suite", suite]
    if fast and "MIGBENCH_FULL" not in os.environ:
        argv += ["--no-suite", "slow"]
        env = {**FAST, **(env or {})}
    status, out = call(argv, env=env, timeout=6 * 3600)
    if not os.path.exists(log):
        if "No tests defined" in out or "No suitable tests" in out:
            tally.skip(f"{os.path.basename(path)}: {' '.join(suites)}", "no such tests")
        else:
            tally.add(f"{os.path.basename(path)}: meson test", False, tail(out))
        return
    before = tally.failed
    with open(log, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            count_tap(tally, os.path.basename(path), json.loads(line))
    if status and tally.failed == before:
        tally.add(f"{os.path.basename(path)}: meson test says {status}", False, tail(out))


# The parts ----------------------------------------------------------------------------------------
def part_gcc(tally, args):
    path = build(tally, "build")
    if path:
        meson_tests(tally, path, ["unit", "command", "fuzz", "tidy"], fast=False)
        with Ahead([folder for part in args.after for folder in FOLDERS[part]]):
            meson_tests(tally, path, ["live"], fast=False)


def part_clang(tally, args):
    # Its programs run in the parts determinism and fuzz.
    path = build(tally, "build-clang")
    if path and "MIGBENCH_FULL" in os.environ:
        meson_tests(tally, path, ["unit"])


def report_coverage(tally, path, html):
    """Prints what share of the lines the tests in |path| have run."""
    info = os.path.join(path, "coverage.info")
    rooms = [arg for room in ("stream", "sim", "conformance", "migbench.p")
             for arg in ("--directory", os.path.join(path, room))]
    # The baseline puts in files that no test runs, with all their lines.
    captures = (["--initial", "--output-file", info + ".none"], ["--output-file", info + ".ran"])
    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda more: call(["lcov", "-q", "--capture", *rooms, *more]), captures))
    for argv in (["--add-tracefile", info + ".none", "--add-tracefile", info + ".ran",
                  "--output-file", info + ".all"],
                 ["--extract", info + ".all", f"{ROOT}/stream/*", f"{ROOT}/sim/*",
                  f"{ROOT}/conformance/*", f"{ROOT}/migbench.c", "--output-file", info]):
        if not any(status for status, _ in done):
            done.append(call(["lcov", "-q", *argv]))
    status, out = max(done)
    tally.add("coverage: report", status == 0, tail(out))
    if status:
        return
    _, out = call(["lcov", "--summary", info])
    for line in out.splitlines():
        if "%" in line:
            print("   " + re.sub(r"\.+:", ":", line.strip()))
    if html:
        status, out = call(["genhtml", "-q", "--prefix", ROOT, "--output-directory",
                            os.path.join(path, "html"), info])
        tally.add("coverage: HTML", status == 0, tail(out))
        if status == 0:
            print(f"   {os.path.relpath(path, ROOT)}/html/index.html")


def part_asan(tally, args):
    path = build(tally, "build-asan")
    if path:
        call(["lcov", "-q", "--directory", path, "--zerocounters"])
        meson_tests(tally, path, ["unit", "command", "fuzz"], {
            "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:abort_on_error=0",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
            "G_SLICE": "always-malloc"})
        report_coverage(tally, path, args.html)


def simulate(program, scenario, seed, folder):
    """(digests of the result, hash of the stream, problem or None)"""
    stream, result = os.path.join(folder, "stream"), os.path.join(folder, "result.json")
    status, out = call([program, "sim", scenario, "--seed", str(seed), "--stream", stream,
                        "--result", result], timeout=600)
    if status:
        return None, None, f"{program} sim {scenario}: exit status {status}\n{tail(out)}"
    with open(stream, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    with open(result, encoding="utf-8") as file:
        return json.load(file)["digests"], digest, None


def compare_builds(tally, name, outcomes, other):
    """|outcomes|: {build: (digests, hash, problem)} of one seed; |other|: another seed's."""
    problems = [f"{b}: {p}" for b, (_, _, p) in outcomes.items() if p]
    if problems or other[2]:
        tally.add(f"determinism/{name}: runs", False, "\n".join(problems + [other[2] or ""]))
        return
    for what, index in (("digests", 0), ("stream bytes", 1)):
        values = {json.dumps(o[index], sort_keys=True) for o in outcomes.values()}
        table = "\n".join(f"{b}: {o[index]}" for b, o in outcomes.items())
        tally.add(f"determinism/{name}: same {what} with {', '.join(outcomes)}", len(values) == 1,
                  table)
        first = next(iter(outcomes.values()))
        tally.add(f"determinism/{name}: another seed has other {what}",
                  other[index] != first[index], f"seeds 11 and 12 both give {first[index]}")


def part_determinism(tally, args):
    programs = {}
    for folder in FOLDERS["determinism"]:
        path = build(tally, folder)
        if path:
            programs[folder] = os.path.join(path, "migbench")
    with open(os.path.join(ROOT, "tests", "determinism.txt"), encoding="utf-8") as file:
        scenarios = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    for scenario in scenarios:
        path = os.path.join(ROOT, scenario)
        name = os.path.splitext(os.path.basename(scenario))[0]
        with tempfile.TemporaryDirectory() as folder:
            outcomes = {b: simulate(p, path, 11, folder) for b, p in programs.items()}
            if outcomes:
                other = simulate(next(iter(programs.values())), path, 12, folder)
                compare_builds(tally, name, outcomes, other)


def fuzz(path, program, seconds):
    # What the fuzzer finds goes to the build folder; the committed corpus is read only.
    name = os.path.basename(program)
    found = os.path.join(path, "found", name)
    os.makedirs(found, exist_ok=True)
    seeds = os.path.join(ROOT, "tests", "fuzz", "corpus", name[len("fuzz-"):])
    argv = [program, f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048",
            "-print_final_stats=1", f"-artifact_prefix={found}-", found]
    return call(argv + ([seeds] if os.path.isdir(seeds) else []), timeout=seconds + 300)


def part_fuzz(tally, args):
    path = build(tally, "build-fuzz")
    if not path:
        return
    folder = os.path.join(path, "tests", "fuzz")
    programs = sorted(p for p in os.listdir(folder) if p.startswith("fuzz-") and
                      os.access(os.path.join(folder, p), os.X_OK) and os.path.isfile(os.path.join(folder, p)))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(lambda program: fuzz(path, os.path.join(folder, program), args.seconds), programs)
    for program, (status, out) in zip(programs, done):
        tally.add(f"fuzz/{program[len('fuzz-'):]}: {args.seconds} s", status == 0, tail(out))


PARTS = {
    "gcc": part_gcc,
    "clang": part_clang,
    "asan": part_asan,
    "determinism": part_determinism,
    "fuzz": part_fuzz,
}
# What each of them compiles.
FOLDERS = {
    "gcc": ["build"],
    "clang": ["build-clang"],
    "asan": ["build-asan"],
    "determinism": ["build-gcc-O0", "build-gcc-O3", "build-clang-O0", "build-clang"],
    "fuzz": ["build-fuzz"],
}


def report(total, seconds):
    for name, reason in total.skips:
        print(f"skipped: {name}: {reason}")
    logs = {}
    for name, log in total.failures:
        logs.setdefault(log, []).append(name)
    for log, names in logs.items():
        print()
        for name in names:
            print(f"FAILED: {name}")
        for line in log.splitlines():
            print("    " + line)
    print(f"\n{seconds:.0f} s in all")
    print(total.words(), flush=True)


def main():
    parser = argparse.ArgumentParser(prog="./run test",
                                     description="Runs the tests and counts them.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="only the part gcc")
    parser.add_argument("--full", action="store_true",
                        help="big counts, and fuzz each target for a minute")
    parser.add_argument("--seconds", type=int, help="per fuzz target (5)")
    parser.add_argument("--html", action="store_true", help="the coverage of part asan as HTML, too")
    args = parser.parse_args()
    for part in args.parts:
        if part not in PARTS:
            parser.error(f"no part '{part}'; there are: {', '.join(PARTS)}")
    args.seconds = args.seconds or (60 if args.full else 5)
    if args.full:
        for name, value in FULL.items():
            os.environ.setdefault(name, value)
    total, start = Tally(), time.monotonic()
    parts = args.parts or (["gcc"] if args.quick else list(PARTS))
    args.after = parts[parts.index("gcc") + 1:] if "gcc" in parts else []
    for part in parts:
        tally, began = Tally(), time.monotonic()
        print(f"{part} ...", flush=True)
        PARTS[part](tally, args)
        print(f"   {tally.words()} ({time.monotonic() - began:.0f} s)", flush=True)
        total.merge(tally)
    report(total, time.monotonic() - start)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())
