#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A sweep as an array of a real Slurm, by the recipe in docs/sweep.md. TAP.

Starts munged, slurmctld and slurmd by hand in a folder of its own, on ports of its own, and ends
them by their process ids. Skips with a reason where they are missing or don't start.
SWEEP_CELLS says how many cells (default 400).
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

MIGBENCH, ROOT = os.environ["MIGBENCH"], os.environ["SOURCE_ROOT"]
CELLS = int(os.environ.get("SWEEP_CELLS", "400"))
SECONDS = 60  # that a daemon may take to come up

CONFIG = """ClusterName=migbench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld}
SlurmdPort={slurmd}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def skip(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


def find(name):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not path:
        skip(f"{name} is not installed (Debian: slurmctld slurmd slurm-client munge)")
    return path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Slurm:
    def __init__(self, folder):
        self.folder, self.processes = folder, []
        self.munged, self.ctld, self.slurmd = (find(n) for n in ("munged", "slurmctld", "slurmd"))
        for name in ("sbatch", "sinfo"):
            find(name)
        if os.geteuid() != 0:
            skip("slurmd has to run as root here")
        for name in ("state", "spool"):
            os.mkdir(os.path.join(folder, name))
        key = os.path.join(folder, "munge.key")
        with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as f:
            f.write(os.urandom(1024))
        self.config = os.path.join(folder, "slurm.conf")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(CONFIG.format(folder=folder, host=socket.gethostname().split(".")[0],
                                  ctld=free_port(), slurmd=free_port(), user="root",
                                  cpus=os.cpu_count()))
        self.env = dict(os.environ, SLURM_CONF=self.config,
                        PATH=os.path.dirname(MIGBENCH) + ":" + os.environ["PATH"])

    def start(self, name, *command):
        log = open(os.path.join(self.folder, name + ".log"), "wb")  # pylint: disable=R1732
        self.processes.append(subprocess.Popen(command, env=self.env, stdout=log, stderr=log,
                                               stdin=subprocess.DEVNULL))

    def tail(self, name):
        with open(os.path.join(self.folder, name + ".log"), encoding="utf-8") as f:
            return " | ".join(f.read().splitlines()[-2:])

    def up(self):
        path = os.path.join
        self.start("munged", self.munged, "--foreground", "--force",
                   "--key-file=" + path(self.folder, "munge.key"),
                   "--socket=" + path(self.folder, "munge.sock"),
                   "--pid-file=" + path(self.folder, "munge.pid"),
                   "--log-file=" + path(self.folder, "munge.log"),
                   "--seed-file=" + path(self.folder, "munge.seed"))
        self.wait(lambda: os.path.exists(path(self.folder, "munge.sock")), "munged")
        self.start("slurmctld", self.ctld, "-D", "-i", "-f", self.config)
        self.start("slurmd", self.slurmd, "-D", "-f", self.config)
        self.wait(self.is_idle, "slurmctld")

    def is_idle(self):
        r = subprocess.run(["sinfo", "-h", "-o", "%T"], env=self.env, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, check=False, timeout=120)
        return r.stdout.strip() == b"idle"

    def wait(self, ready, name):
        end = time.monotonic() + SECONDS
        while not ready():
            dead = [p.args[0] for p in self.processes if p.poll() is not None]
            if dead or time.monotonic() > end:
                skip(f"{dead[0] if dead else name} does not come up here: {self.tail(name)}")
            time.sleep(0.5)

    def down(self):
        for p in reversed(self.processes):
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
                try:
                    p.wait(20)
                except subprocess.TimeoutExpired:
                    p.kill()
                    p.wait()

    def run(self, *command, env=None):
        return subprocess.run(command, env=dict(self.env, **(env or {})), cwd=self.folder,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def recipe():
    with open(os.path.join(ROOT, "docs", "sweep.md"), encoding="utf-8") as f:
        return re.search(r"<!-- recipe: slurm -->\n```sh\n(.*?)```", f.read(), re.S).group(1)


def spec(folder):
    with open(os.path.join(ROOT, "docs", "examples", "sweep-latin.json"), encoding="utf-8") as f:
        v = json.load(f)
    v["axes"][0]["count"] = CELLS // 2
    path = os.path.join(folder, "sweep.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(v, f)
    return path


def merge(slurm, out, parts):
    r = slurm.run(MIGBENCH, "sweep", "merge", *parts, "-o", out)
    return r.returncode, r.stdout.decode().strip()


def check(number, fine, name, more=""):
    print(f"{'ok' if fine else 'not ok'} {number} {name}")
    if more and not fine:
        print("\n".join("# " + line for line in more.splitlines()))
    return fine


def tests(slurm):
    script, sweep = os.path.join(slurm.folder, "sweep.sbatch"), spec(slurm.folder)
    with open(script, "w", encoding="utf-8") as f:
        f.write(recipe())
    began = time.monotonic()
    job = slurm.run("sbatch", "--wait", "--export=ALL,SPEC=" + sweep, script)
    took = time.monotonic() - began
    names = [f"part-{i}.ndjson" for i in range(4)]
    logs = "".join(open(os.path.join(slurm.folder, n), encoding="utf-8").read()
                   for n in os.listdir(slurm.folder) if n.startswith("slurm-"))
    print(f"1..3\n# {CELLS} cells as an array of 4 in {took:.1f} s: {CELLS / took * 60:.0f} cells/min"
          " with the scheduler's own time")
    fine = check(1, job.returncode == 0, "sweep/slurm/array-runs", job.stdout.decode() + logs)
    shards = []
    for name in names:
        with open(os.path.join(slurm.folder, name), encoding="utf-8") as f:
            shards.append(json.loads(f.readline()).get("shard"))
    fine &= check(2, shards == ["1/4", "2/4", "3/4", "4/4"], "sweep/slurm/each-task-its-share",
                  str(shards))
    alone = slurm.run(MIGBENCH, "sweep", sweep, "-j", "1", "-o", "alone.ndjson")
    a, b = merge(slurm, "a.ndjson", names), merge(slurm, "b.ndjson", ["alone.ndjson"])
    print(f"# {a[1]}\n# {alone.stdout.decode().strip()}")
    return fine & check(3, a == b and a[0] == 0, "sweep/slurm/same-hash-as-one-thread", f"{a}\n{b}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        slurm = Slurm(folder)
        try:
            slurm.up()
            fine = tests(slurm)
        finally:
            slurm.down()
    sys.exit(0 if fine else 1)


main()
