#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`migbench peers` and `migbench matrix` with real QEMU: what a probe says, a few cells of each kind, what
is kept of them, shares, runs that are broken off, a program that is no QEMU, and the steps of the CI
examples. With MIGBENCH_FULL the whole matrix of all installed versions, against docs/interop.expect.
"""
import glob
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

import peer

sys.path.insert(0, os.path.join(peer.ROOT, "tests", "command"))
ci = importlib.import_module("ci-examples")

IDLE = "*/none/unix/plain/idle/none"
# A program that is no QEMU: our own ends behind another command line. SIZE is what it gives its guest.
VMM = """
import json, os, sys
role, machine, size, qmp = sys.argv[1:5]
scenario = qmp + ".json"
with open(scenario, "w", encoding="utf-8") as file:
    json.dump({"schema": "migbench-scenario-1", "qemu": "10.0", "guest": {"machine": machine, "ram": [
        {"name": "ram", "size": SIZE, "content": [{"offset": 0, "length": 1 << 20, "kind": "text"}]}]}}, file)
program = os.environ["MIGBENCH"]
os.execv(program, [program, "source" if role == "source" else "dest", "--scenario", scenario,
                   "--qmp", "unix:" + qmp])
"""


def call(*arguments, **more):
    return subprocess.run([peer.MIGBENCH, *arguments], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=3600,
                          env=dict(os.environ, MIGBENCH=peer.MIGBENCH), **more)


def matrix(folder, *arguments, status=0, peers=None):
    options = peers or ["--peer", peer.path_of(peer.REQUIRED)]
    done = call("matrix", "-o", folder, *options, *arguments)
    if done.returncode != status:
        raise peer.Fail(f"matrix {' '.join(arguments)}: exit status {done.returncode}, expected "
                        f"{status}\n{done.stdout}{done.stderr}")
    return done.stdout


def log_of(folder):
    with open(os.path.join(folder, "run.ndjson"), encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def cells_of(folder):
    return {line["subject"]: line for line in log_of(folder) if line["type"] == "cell"}


def expect(condition, what):
    if not condition:
        raise peer.Fail(str(what))


# peers -----------------------------------------------------------------------------------


def peers_are_asked():
    path = peer.path_of(peer.REQUIRED)
    done = call("peers", "--format", "json", "--peer", path, "--peer", f"mine={path}")
    expect(done.returncode == 0, done.stderr)
    one, mine = json.loads(done.stdout)["peers"]
    expect(mine["name"] == "mine" and one["name"] == f"qemu-{peer.REQUIRED}", (one["name"], mine["name"]))
    with peer.Peer(peer.REQUIRED, ["-M", "none", "-S", *peer.QUIET]) as qemu:
        said = qemu.qmp("query-version")["qemu"]
        capabilities = {c["capability"] for c in qemu.qmp("query-migrate-capabilities")}
        machines = {m["name"] for m in qemu.qmp("query-machines")}
        expect(one["version"] == f"{said['major']}.{said['minor']}.{said['micro']}", one["version"])
        expect(capabilities == {f["name"] for f in one["features"] if "=" not in f["name"]}, capabilities)
        expect(machines <= set(one["machines"]), machines - set(one["machines"]))
        expect(one["parameters"] == qemu.qmp("query-migrate-parameters"), one["parameters"])
    refused = {f["name"]: f.get("refusal") for f in one["features"]}
    expect(refused["multifd"] is None and "postcopy-ram" in refused["postcopy-preempt"], refused)
    text = call("peers", "--peer", path).stdout
    expect(one["version"] in text and "multifd-compression=zlib" in text, text)


def no_peer_is_an_error():
    done = call("peers", "--peer", "/bin/false")
    expect(done.returncode == 4 and "ERROR" in done.stdout, done.stdout)
    expect(call("peers", "--peer", "'").returncode == 2, "no shell syntax")
    expect(call("matrix", "--list", "--peer", "/bin/false").returncode == 4, "matrix of no peer")


# matrix ----------------------------------------------------------------------------------


def listed(*arguments):
    done = call("matrix", "--list", "--peer", peer.path_of(peer.REQUIRED), *arguments)
    expect(done.returncode == 0, done.stderr)
    return [line for line in done.stdout.splitlines() if not line.startswith("sanity-")]


def shares_make_the_whole():
    whole = listed()
    shares = [listed("--shard", f"{k}/3") for k in (1, 2, 3)]
    expect(sorted(sum(shares, [])) == sorted(whole) and len(set(whole)) == len(whole), "shares")
    expect(max(map(len, shares)) - min(map(len, shares)) <= 1, [len(s) for s in shares])
    singles = listed("--strength", "1")
    expect(set(singles) < set(whole) and not any("+" in name for name in singles), "strength 1")
    for arguments in (["--shard", "4/3"], ["--only", "nothing"], ["--strength", "3"]):
        done = call("matrix", "--list", "--peer", peer.path_of(peer.REQUIRED), *arguments)
        expect(done.returncode == 2, arguments)
    return [f"{len(whole)} cells, {len(singles)} of them without pairs of features"]


def reports_agree(folder, cells):
    html = peer.read(os.path.join(folder, "matrix.html")).decode()
    expect("ABORTED" not in html and "http://" not in html and "<script" not in html, "matrix.html")
    expect(all(name in html for name in cells if not name.startswith("sanity")), "cells in matrix.html")
    suites = ElementTree.parse(os.path.join(folder, "junit.xml")).getroot()
    outcomes = [c["outcome"] for c in cells.values()]
    expect(len(suites) == len(cells), "a testsuite for each cell")
    expect(int(suites.get("skipped")) == outcomes.count("refused"), "refused is skipped")
    expect(int(suites.get("failures")) == int(suites.get("errors")) == 0, "nothing failed")
    tap = call("report", os.path.join(folder, "run.ndjson"), "--format", "tap")
    expect(tap.returncode == 0 and tap.stdout.count("\nok ") == len(cells), tap.stdout)
    page = call("report", os.path.join(folder, "run.ndjson"), "--format", "markdown").stdout
    expect("## Refused" in page and "ABORTED" not in page, page)


def artefacts_are_kept(folder, cells):
    for name, cell in cells.items():
        inside = os.path.join(folder, "cells", name)
        names = os.listdir(inside)
        expect({"qmp.log", "source.log", "destination.log"} <= set(names), names)
        streams = glob.glob(os.path.join(inside, "stream.*.zst"))
        expect(len(streams) == (cell["outcome"] != "refused"), names)
        for stream in streams:
            expect(call("check", stream).returncode == 0, stream)
    again = next(name for name in cells if "/migbench/" in name)
    out = os.path.join(folder, "again")
    done = subprocess.run(["sh", os.path.join(folder, "cells", again, "repro.sh"), out],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    expect(done.returncode == 0 and list(cells_of(out)) == [again], done.stdout)


def cells_run():
    with tempfile.TemporaryDirectory() as folder:
        matrix(folder, "--only", IDLE, "--only", "qemu-*/qemu-*/multifd/rewriting/none",
               "--only", "qemu-*/qemu-*/exec/plain/*", "--only", "qemu-*/qemu-*/postcopy-preempt/*")
        cells = cells_of(folder)
        outcomes = [c["outcome"] for c in cells.values()]
        # Two sanity cells, three pairs with our own end, multifd, exec, and what is refused.
        expect(len(cells) == 8 and outcomes.count("pass") == 7 and outcomes.count("refused") == 1, cells)
        expect(all(c["compared"] for c in cells.values() if c["outcome"] == "pass"), "memory")
        refused = next(c for c in cells.values() if c["outcome"] == "refused")
        expect("requires postcopy-ram" in refused["words"], refused)
        expect(log_of(folder)[-1]["refused"] == 1, "totals")
        reports_agree(folder, cells)
        artefacts_are_kept(folder, cells)
        return [f"{name}: {c['outcome']}" for name, c in cells.items()]


def aborted_runs_say_so():
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen([peer.MIGBENCH, "matrix", "-o", folder, "--peer",
                                    peer.path_of(peer.REQUIRED), "--only", "*/plain/*"],
                                   stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        process.stdout.close()
        expect(process.wait() == 3 and "ABORTED" in rest, rest)
        expect(all(line["type"] != "end" for line in log_of(folder)), "the log has an end")
        expect(b"ABORTED" in peer.read(os.path.join(folder, "matrix.html")), "matrix.html")
        expect(b"aborted" in peer.read(os.path.join(folder, "junit.xml")), "junit.xml")


# another program -------------------------------------------------------------------------


def other_program(folder, size):
    path = os.path.join(folder, "vmm.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write(VMM.replace("SIZE", size))
    return ["--only-peer", f"vmm={sys.executable} {path} {{role}} {{machine}} {{size}} {{qmp}}"]


def another_program_is_tested():
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        matrix(out, "--only", IDLE, "--only", "*/multifd/idle/none",
               peers=other_program(folder, "int(size)"))
        cells = {name: c["outcome"] for name, c in cells_of(out).items()}
        ends = {tuple(name.split("/")[:2]) for name in cells if not name.startswith("sanity")}
        expect(ends == {("vmm", "vmm"), ("vmm", "migbench"), ("migbench", "vmm")}, ends)
        expect(set(cells.values()) == {"pass"}, cells)


def a_red_cell_is_red():
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        said = matrix(out, "--no-sanity", "--only", IDLE, status=1,
                      peers=other_program(folder, "int(size) // 2 if role == 'source' else int(size)"))
        cells = {name: c["outcome"] for name, c in cells_of(out).items()}
        expect(cells[f"vmm/migbench/{IDLE[2:]}"] == "fail" and "FAIL" in said, cells)
        suites = ElementTree.parse(os.path.join(out, "junit.xml")).getroot()
        expect(int(suites.get("failures")) > 0, "JUnit")
        expect(b"CELL-MIGRATION-COMPLETES" in peer.read(os.path.join(out, "matrix.html")), "HTML")


# CI, and all of it -----------------------------------------------------------------------


def ci_step(script):
    peer.path_of(peer.REQUIRED)
    if not shutil.which("qemu-system-x86_64"):
        raise peer.Skip("no QEMU on PATH")
    with tempfile.TemporaryDirectory() as folder:
        done = ci.execute(script, folder, CELLS="qemu-*/qemu-*/none/unix/plain/idle/none",
                          MIGBENCH_PEERS=folder, CI_NODE_INDEX="1", CI_NODE_TOTAL="1")
        expect(done.returncode == 0, done.stdout)
        expect(ci.failures(os.path.join(folder, "matrix", "junit.xml")) == 0, "JUnit")


def whole_matrix():
    if "MIGBENCH_FULL" not in os.environ:
        raise peer.Skip("takes half an hour: MIGBENCH_FULL=1")
    with tempfile.TemporaryDirectory() as folder:
        done = call("matrix", "--strength", "1", "--expect",
                    os.path.join(peer.ROOT, "docs", "interop.expect"), "-o", folder)
        expect(done.returncode == 0, done.stdout)
        return done.stdout.splitlines()[-1:]


def main():
    tap = peer.Tap(share=2)
    for title, function, *arguments in (
            ("cells", cells_run), ("peers/none", no_peer_is_an_error), ("red", a_red_cell_is_red),
            ("shares", shares_make_the_whole), ("aborted", aborted_runs_say_so),
            ("another-program", another_program_is_tested), ("peers/asked", peers_are_asked),
            ("ci/gitlab", ci_step, ci.gitlab_scripts()["matrix"]),
            ("ci/github", ci_step, ci.github_steps()["matrix"]), ("whole", whole_matrix)):
        tap.run(f"/live/matrix/{title}", function, *arguments)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
