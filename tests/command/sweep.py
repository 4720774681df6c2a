#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""migbench sweep from outside: shares, threads, kills, resuming, and the words around it. TAP."""
import csv
import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402

MIGBENCH, ROOT = os.environ["MIGBENCH"], os.environ["SOURCE_ROOT"]
SCHEDULERS = ("SLURM_", "PBS_", "LSB_", "JOB_COMPLETION_INDEX", "AWS_BATCH_", "OMPI_", "PMI_")
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(SCHEDULERS)}


class Folder:
    """Where a test works; commands run inside of it."""

    def __init__(self, path):
        self.path = path

    def run(self, *arguments, env=None):
        return subprocess.run([MIGBENCH, "sweep", *arguments], cwd=self.path, env=dict(CLEAN, **(env or {})),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, text=True)

    def start(self, *arguments):
        return subprocess.Popen([MIGBENCH, "sweep", *arguments], cwd=self.path, env=CLEAN,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def read(self, name):
        try:
            with open(os.path.join(self.path, name), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return b""

    def write(self, name, data):
        with open(os.path.join(self.path, name), "wb") as f:
            f.write(data)

    def rows(self, name):
        lines = [json.loads(line) for line in self.read(name).splitlines(keepends=True) if line.endswith(b"\n")]
        return [line for line in lines if "index" in line]

    def merged(self, *names):
        """What merge prints (rows and hash), and its exit status."""
        r = self.run("merge", *names, "-o", "merged.ndjson")
        return r.returncode, r.stdout


def spec(folder, count=30, **more):
    """A small Latin hypercube, twice: 2 x 2 x |count| cells."""
    with open(os.path.join(ROOT, "docs", "examples", "sweep-latin.json"), encoding="utf-8") as f:
        v = json.load(f)
    v["axes"][0]["count"] = count
    v["replicates"] = 2
    v.update(more)
    folder.write("s.json", json.dumps(v).encode())
    return 4 * count


def same_whatever_the_split(folder):
    cells = spec(folder)
    results = []
    for name, jobs in (("one", "-j1"), ("two", "-j2"), ("five", "-j5")):
        results.append(folder.run("s.json", jobs, "-o", name).returncode)
        results.append(folder.merged(name))
    for k in range(1, 5):
        results.append(folder.run("s.json", "-j", "1", "--shard", f"{k}/4", "-o", f"part{k}").returncode)
    results.append(folder.merged("part3", "part1", "part4", "part2", "part3"))
    hashes = [r for r in results if r != 0]
    indexes = [row["index"] for row in folder.rows("merged.ndjson")]
    return (len(hashes) == 4 and len(set(hashes)) == 1 and hashes[0][0] == 0
            and f"{cells} rows" in hashes[0][1] and indexes == list(range(cells)))


def rows_vary(folder):
    """Replicates and cells have other seeds and other digests: equality above means something."""
    cells = spec(folder)
    folder.run("s.json", "-o", "a")
    rows = folder.rows("a")
    return len({r["seed"] for r in rows}) == cells and len({r["digest"] for r in rows}) > cells / 2


def bytes_and_accounting(folder):
    """With bytes: the same events, a digest of the stream, memory compared."""
    spec(folder, count=3)
    folder.run("s.json", "-o", "a")
    spec(folder, count=3, bytes=True)
    folder.run("s.json", "-o", "b")
    a, b = ({r["index"]: r for r in folder.rows(n)} for n in "ab")
    return (len(a) == 12 and all(a[i]["digest"] == b[i]["digest"] and b[i]["stream-digest"] for i in a)
            and all(r["metrics"]["destination.memory"] == "equal" for r in b.values() if r["fine"]))


def as_sim_says(folder):
    """A row is what sim gives for the same scenario."""
    spec(folder, count=2, metrics=["query-migrate.total-time", "guest.writes"])
    folder.run("s.json", "-o", "a")
    with open(os.path.join(folder.path, "s.json"), encoding="utf-8") as f:
        folder.write("base.json", json.dumps(json.load(f)["scenario"]).encode())
    for row in folder.rows("a"):
        sets = [a for k, v in row["params"].items() for a in ("--set", f"{k}={v}")]
        subprocess.run([MIGBENCH, "sim", "base.json", "--accounting", "--seed", str(row["seed"]), *sets, "--result",
                        "result"], cwd=folder.path, stdout=subprocess.DEVNULL, check=False)
        result = json.loads(folder.read("result"))
        wanted = {"query-migrate.total-time": result["query-migrate"].get("total-time"),
                  "guest.writes": result["guest"]["writes"]}
        if row["metrics"] != wanted or row["digest"] != result["digests"]["events"]:
            return False
    return len(folder.rows("a")) == 8


def end_in_the_middle(folder, number):
    """Ends runs again and again, at other places; how many rows there were then."""
    places = []
    for wanted in range(10, 400, 60):
        p = folder.start("s.json", "-j2", "--resume", "-o", "killed")
        while p.poll() is None and folder.read("killed").count(b"\n") < wanted:
            time.sleep(0.002)
        if p.poll() is None:
            p.send_signal(number)
        p.wait()
        places.append(len(folder.rows("killed")))
    return places


def loses_nothing(folder, number):
    cells = spec(folder, count=100)
    places = end_in_the_middle(folder, number)
    before = folder.rows("killed")
    r = folder.run("s.json", "--resume", "-j2", "-o", "killed")
    after = folder.rows("killed")
    folder.run("s.json", "-j1", "-o", "whole")
    indexes = [row["index"] for row in after]
    print(f"#   ended at {places} of {cells} rows")
    return (any(0 < n < cells for n in places) and r.returncode == 0 and after[:len(before)] == before
            and len(indexes) == cells and sorted(indexes) == list(range(cells))
            and folder.merged("killed") == folder.merged("whole"))


def kill_and_resume(folder):
    return loses_nothing(folder, signal.SIGKILL)


def interrupt_and_resume(folder):
    return loses_nothing(folder, signal.SIGINT)


def interrupted_says_so(folder):
    spec(folder, count=5000)
    p = subprocess.Popen([MIGBENCH, "sweep", "s.json", "-j1", "-o", "a"], cwd=folder.path, env=CLEAN,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while p.poll() is None and folder.read("a").count(b"\n") < 5:
        time.sleep(0.002)
    p.send_signal(signal.SIGTERM)
    _, text = p.communicate()
    whole = folder.read("a").endswith(b"\n") and b'"end"' not in folder.read("a").splitlines()[-1]
    return p.returncode == 3 and "interrupted, unfinished; --resume goes on with a" in text and whole


def resume_refuses(folder):
    spec(folder, count=2)
    folder.run("s.json", "--shard", "1/2", "-o", "a")
    again = folder.run("s.json", "--shard", "1/2", "-o", "a")
    other_share = folder.run("s.json", "--shard", "2/2", "--resume", "-o", "a")
    before = folder.read("a")
    folder.write("b", before.replace(b'"build":"', b'"build":"0'))
    other_build = folder.run("s.json", "--shard", "1/2", "--resume", "-o", "b")
    spec(folder, count=2, seed=7)
    other_spec = folder.run("s.json", "--shard", "1/2", "--resume", "-o", "a")
    folder.write("c", b"hello\n")
    no_rows = folder.run("s.json", "--resume", "-o", "c")
    return (all(r.returncode == 2 for r in (again, other_share, other_spec, other_build, no_rows))
            and "is there already; --resume goes on with it" in again.stderr
            and "has the rows of share 1/2, this is 2/2" in other_share.stderr
            and "come from another spec" in other_spec.stderr
            and "come from another build of migbench" in other_build.stderr
            and folder.read("a") == before and folder.read("c") == b"hello\n")


def resume_when_done(folder):
    spec(folder, count=2)
    folder.run("s.json", "-o", "a")
    before = folder.read("a")
    r = folder.run("s.json", "--resume", "-o", "a")
    return r.returncode == 0 and "8 cells: 0 run, 8 there before" in r.stdout and folder.read("a") == before


def one_writer(folder):
    spec(folder, count=2)
    with open(os.path.join(folder.path, "a"), "wb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        r = folder.run("s.json", "--resume", "-o", "a")
    return r.returncode == 4 and "another process writes it" in r.stderr


def disk_full(folder):
    spec(folder, count=2)
    limit = "import os, resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); " \
            "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); os.execv(sys.argv[1], sys.argv[1:])"
    r = subprocess.run([sys.executable, "-c", limit, MIGBENCH, "sweep", "s.json", "-o", "a"], cwd=folder.path,
                       stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, check=False, text=True)
    torn = folder.read("a")
    again = folder.run("s.json", "--resume", "-o", "a")
    return (r.returncode == 4 and "cannot write a: " in r.stderr and len(torn) == 3000
            and again.returncode == 0 and folder.merged("a")[0] == 0)


def schedulers(folder):
    """Every scheduler's variables lead to the share that they say."""
    spec(folder, count=2)
    rows = [("auto", {"SLURM_ARRAY_TASK_ID": "11", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "10"}),
            ("auto/4", {"PBS_ARRAY_INDEX": "2"}),
            ("auto", {"LSB_JOBINDEX": "2", "LSB_JOBINDEX_END": "4"}),
            ("auto/4", {"JOB_COMPLETION_INDEX": "1"}),
            ("auto", {"AWS_BATCH_JOB_ARRAY_INDEX": "1", "AWS_BATCH_JOB_ARRAY_SIZE": "4"}),
            ("auto", {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4"}),
            ("auto", {"PMI_RANK": "1", "PMI_SIZE": "4"})]
    for number, (shard, env) in enumerate(rows):
        r = folder.run("s.json", "--shard", shard, "-o", f"p{number}", env=env)
        if r.returncode != 0 or sorted(row["index"] for row in folder.rows(f"p{number}")) != [1, 5]:
            print(f"#   {env}: {r.returncode} {r.stderr}")
            return False
    none = folder.run("s.json", "--shard", "auto", "-o", "x")
    no_count = folder.run("s.json", "--shard", "auto", "-o", "x", env={"JOB_COMPLETION_INDEX": "1"})
    return (none.returncode == 2 and "no scheduler's number" in none.stderr and no_count.returncode == 2
            and "not how many there are" in no_count.stderr and not folder.read("x"))


def expand_and_missing(folder):
    cells = spec(folder)
    everything = folder.run("expand", "s.json").stdout
    parts = [folder.run("expand", "s.json", "--shard", f"{k}/3").stdout for k in (1, 2, 3)]
    folder.run("s.json", "--shard", "2/3", "-o", "a")
    missing = folder.run("missing", "s.json", "a")
    lines = [json.loads(line) for line in everything.splitlines()]
    keys = ("index", "cell", "replicate", "seed", "params")
    ran = [{k: row[k] for k in keys} for row in sorted(folder.rows("a"), key=lambda r: r["index"])]
    folder.run("s.json", "-o", "b")
    none = folder.run("missing", "s.json", "b")
    return (len(lines) == cells and sorted("".join(parts).splitlines()) == sorted(everything.splitlines())
            and missing.returncode == 3 and missing.stdout.splitlines() == sorted(
                (parts[0] + parts[2]).splitlines(), key=lambda line: json.loads(line)["index"])
            and ran == lines[1::3] and none.returncode == 0 and none.stdout == "")


def merge_incomplete(folder):
    spec(folder, count=2)
    folder.run("s.json", "--shard", "1/2", "-o", "a")
    status, _ = folder.merged("a")
    return status == 3 and b'"end"' not in folder.read("merged.ndjson") and len(folder.rows("merged.ndjson")) == 4


def merge_contradiction(folder):
    spec(folder, count=2)
    folder.run("s.json", "-o", "a")
    folder.write("b", folder.read("a").replace(b'"fine":true', b'"fine":null', 1))
    r = folder.run("merge", "a", "b", "-o", "m")
    return r.returncode == 1 and "has two different rows" in r.stderr and not folder.read("m")


def verify(folder):
    cells = spec(folder, count=5)
    folder.run("s.json", "-o", "a")
    good = folder.run("verify", "s.json", "a", "--fraction", "1", "-j2")
    some = folder.run("verify", "s.json", "a", "--fraction", "10%")
    folder.write("b", folder.read("a").replace(b'"digest":"', b'"digest":"0', 1))
    bad = folder.run("verify", "s.json", "b", "--fraction", "1")
    odd = folder.run("verify", "s.json", "a", "--fraction", "0")
    return ((good.returncode, good.stdout) == (0, f"{cells} of {cells} rows run again, 0 differ\n")
            and some.stdout.startswith("2 of 2 rows") and bad.returncode == 1 and ", 1 differ" in bad.stdout
            and "differs\nwas: " in bad.stderr and odd.returncode == 2)


def table(folder):
    cells = spec(folder, count=2)
    folder.run("s.json", "-o", "a")
    rows = list(csv.DictReader(io.StringIO(folder.run("csv", "a").stdout)))
    wanted = sorted(folder.rows("a"), key=lambda r: r["index"])
    return (len(rows) == cells and all(
        r["index"] == str(w["index"]) and r["status"] == w["status"] and r["digest"] == w["digest"]
        and r["params.link.bandwidth"] == w["params"]["link.bandwidth"]
        and r["metrics.guest.writes"] == str(w["metrics"]["guest.writes"]) for r, w in zip(rows, wanted)))


def quoting(folder):
    """Commas, quotation marks and line ends go through CSV."""
    first = b'{"schema":"migbench-sweep-rows-1","spec":"s","build":"b","version":"v","cells":1}\n'
    text = 'a,"b"\nc'
    folder.write("a", first + json.dumps({"index": 0, "status": "failed", "params": {"x,y": text}}).encode() + b"\n")
    r = subprocess.run([MIGBENCH, "sweep", "csv", "a"], cwd=folder.path, stdout=subprocess.PIPE, check=False)
    rows = list(csv.reader(io.StringIO(r.stdout.decode(), newline="")))
    return rows == [["index", "status", "params.x,y"], ["0", "failed", text]]


def data_is_no_failure(folder):
    """Migrations that don't end are data."""
    with open(os.path.join(ROOT, "docs", "examples", "never-converges.json"), encoding="utf-8") as f:
        scenario = json.load(f)
    scenario["limit"] = "1s"
    folder.write("s.json", json.dumps({"schema": "migbench-sweep-1", "scenario": scenario, "axes": []}).encode())
    r = folder.run("s.json", "-o", "a")
    row = folder.rows("a")[0]
    return r.returncode == 0 and row["outcome"] == "limit" and row["fine"] is False


def invalid_cell(folder):
    """Values that only together make no scenario: a row that says why, exit status 3."""
    axes = [{"kind": "grid", "path": "guest.ram[0].size", "values": ["64M", "4M"]},
            {"kind": "grid", "path": "guest.ram[0].content[0].length", "values": ["1M", "16M"]}]
    scenario = {"schema": "migbench-scenario-1",
                "guest": {"ram": [{"name": "r", "size": "64M", "content": [{"kind": "random"}]}]}}
    folder.write("s.json", json.dumps({"schema": "migbench-sweep-1", "scenario": scenario, "axes": axes}).encode())
    r = folder.run("s.json", "-o", "a")
    bad = [row for row in folder.rows("a") if row["status"] == "x-invalid"]
    again = folder.run("s.json", "--resume", "-o", "a")
    folder.run(os.path.join(folder.path, "s.json"), "-o", "b")
    elsewhere = folder.merged("b")
    return (r.returncode == 3 and "1 cells are no valid scenario" in r.stderr and len(folder.rows("a")) == 4
            and len(bad) == 1 and bad[0]["index"] == 3 and "are not inside block" in bad[0]["error"]
            and again.returncode == 3 and "0 run, 4 there before, 1 invalid" in again.stdout
            and folder.path not in bad[0]["error"] and elsewhere == folder.merged("a"))


def usage(folder):
    spec(folder, count=2)
    rows = [((), 2, "run: expected SPEC"), (("s.json",), 2, "expected -o FILE"),
            (("s.json", "-o", "-"), 2, "expected -o FILE"), (("s.json", "-j", "-1", "-o", "x"), 2, "-j: expected"),
            (("s.json", "-o", "x", "--shard", "5/4"), 2, "is not K/N"), (("none.json", "-o", "x"), 4, "none.json"),
            (("s.json", "-o", "no/x"), 4, "cannot open no/x"),
            (("merge", "s.json", "-o", "x"), 2, "s.json: expected the header"),
            (("merge", "-o", "x"), 2, "merge: expected ROWS..."), (("csv", "none"), 4, "none"),
            (("missing", "s.json"), 2, "missing: expected SPEC ROWS..."), (("expand", "s.json", "-j1"), 2, "-j")]
    for arguments, status, text in rows:
        r = folder.run(*arguments)
        if r.returncode != status or text not in r.stderr or "\033" in r.stderr:
            print(f"#   {arguments}: {r.returncode} {r.stderr}")
            return False
    return not folder.read("x") and folder.run("--help").returncode == 0 and "--fraction" in folder.run(
        "verify", "--help").stdout


TESTS = [same_whatever_the_split, rows_vary, bytes_and_accounting, as_sim_says, kill_and_resume,
         interrupt_and_resume, interrupted_says_so, resume_refuses, resume_when_done, one_writer, disk_full,
         schedulers, expand_and_missing, merge_incomplete, merge_contradiction, verify, table, quoting,
         data_is_no_failure, invalid_cell, usage]


def in_folder(test):
    with tempfile.TemporaryDirectory() as path:
        return test(Folder(path))


if __name__ == "__main__":
    tap.main((title, in_folder, test) for title, test in tap.named("sweep", TESTS))
