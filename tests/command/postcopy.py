#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""migbench source and dest in postcopy, with each other and without permission: no QEMU needed."""
import ctypes
import json
import os
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402
from tap import Fail, Skip  # noqa: E402

MIGBENCH = os.environ["MIGBENCH"]
PATIENCE = 120
MIB = 1 << 20
SIZE = 16 * MIB


def check(condition, text):
    if not condition:
        raise Fail(text)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def scenario(folder, capabilities=("postcopy-ram",), **changes):
    value = {"schema": "migbench-scenario-1", "qemu": "10.0", "seed": 5, "limit": "60s",
             "guest": {"machine": "none", "vcpus": 2, "ram": [
                 {"name": "ram", "size": SIZE, "content": [{"length": SIZE // 2, "kind": "random"}]}],
                 "workload": [{"block": "ram", "length": SIZE, "pattern": "random", "rate": 20000,
                               "pace": "cpu"} for _ in range(2)]},
             "capabilities": {name: True for name in capabilities},
             "parameters": {"max-bandwidth": 64 * MIB, "downtime-limit": 1},
             "events": [{"after-pass": 1, "do": "migrate-start-postcopy"}]}
    value.update(changes)
    path = os.path.join(folder, "scenario.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file)
    return path


# Without userfaultfd ---------------------------------------------------------------------------

def filter_of(architecture, call):
    """A seccomp program: this system call is not permitted, everything else is."""
    load, equal, answer = 0x20, 0x15, 0x06
    allow, refuse = 0x7fff0000, 0x00050001  # ERRNO, EPERM
    code = [(load, 0, 0, 4), (equal, 0, 2, architecture), (load, 0, 0, 0), (equal, 1, 0, call),
            (answer, 0, 0, allow), (answer, 0, 0, refuse)]
    return b"".join(struct.pack("<HBBI", *line) for line in code)


def forbid():
    """For a child in front of its program: nobody, and no userfaultfd."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    program = filter_of(0xc000003e, 323)  # x86_64
    buffer = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    what = Program(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(what), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def run_forbidden(*arguments, cwd):
    if os.uname().machine != "x86_64":
        raise Skip("the filter is for x86_64")
    try:
        return subprocess.run([MIGBENCH, *arguments], preexec_fn=forbid, stdin=subprocess.DEVNULL, cwd=cwd,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=PATIENCE)
    except (subprocess.SubprocessError, PermissionError) as error:
        raise Skip(f"cannot take the permission away here: {error}") from None


def check_open():
    """Nobody must be able to reach our program and the folder."""
    if os.access("/dev/userfaultfd", os.R_OK) and os.getuid() != 0:
        raise Skip("/dev/userfaultfd is open to everybody here")


def refused(folder):
    check_open()
    done = run_forbidden("dest", "--scenario", scenario(folder), "--uri", f"unix:{folder}/s", cwd=folder)
    check(done.returncode == 4, f"exit status {done.returncode}, expected 4\n{done.stdout}")
    for word in ("userfaultfd", "/dev/userfaultfd", "vm.unprivileged_userfaultfd", "CAP_SYS_PTRACE",
                 "postcopy-ram"):
        check(word in done.stdout, f"the message has no '{word}':\n{done.stdout}")
    check("listening" not in done.stdout, "it listened before it knew")


def sim_is_unaffected(folder):
    done = run_forbidden("sim", scenario(folder), cwd=folder)
    check(done.returncode == 0, f"exit status {done.returncode}, expected 0\n{done.stdout}")
    check("completed" in done.stdout, done.stdout)


# With each other -------------------------------------------------------------------------------

class Program:
    def __init__(self, *arguments):
        self.process = subprocess.Popen([MIGBENCH, *arguments], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def listening(self):
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            rest = line + self.process.communicate()[0]
            if "userfaultfd is not available" in rest:
                raise Skip(rest.strip())
            raise Fail(rest)

    def finish(self, status=0):
        out = self.process.communicate(timeout=PATIENCE)[0]
        check(self.process.returncode == status,
              f"exit status {self.process.returncode}, expected {status}\n{out}")
        return out


def pair(folder, path, statuses=(0, 0)):
    """Runs both; returns their results."""
    wire = os.path.join(folder, "socket")
    ours, theirs = os.path.join(folder, "r.json"), os.path.join(folder, "d.json")
    with Program("dest", "--scenario", path, "--uri", f"unix:{wire}", "--result", theirs,
                 "--dump", f"ram={folder}/there") as dest:
        dest.listening()
        with Program("source", "--scenario", path, "--uri", f"unix:{wire}", "--result", ours,
                     "--dump", f"ram={folder}/here") as source:
            source.finish(statuses[0])
        dest.finish(statuses[1])
    return json.loads(read(ours)), json.loads(read(theirs))


def completes(folder, capabilities, version):
    source, dest = pair(folder, scenario(folder, capabilities, qemu=version))
    check(read(folder + "/here") == read(folder + "/there"), "memory differs")
    there = dest["destination"]["postcopy"]
    check(there["guest"]["ran"] and there["guest"]["touches"] > 0, f"the guest: {there['guest']}")
    check(there["guest"]["wrong"] == 0, f"{there['guest']['wrong']} wrong pages")
    asked = source["query-migrate"]["ram"]["postcopy-requests"]
    check(asked == there["requests"], f"{asked} requests heard, {there['requests']} sent")
    check(source["query-migrate"]["status"] == "completed", source["query-migrate"]["status"])


def without_start(folder):
    """The capability alone: precopy completes, no guest has run."""
    path = scenario(folder, events=[], parameters={"max-bandwidth": 0})
    _, dest = pair(folder, path)
    check(read(folder + "/here") == read(folder + "/there"), "memory differs")
    check(not dest["destination"]["postcopy"]["guest"]["ran"], "the guest has run")


def capability_of_one(folder):
    """The source wants postcopy, the destination has it off: both fail, the source's guest lives."""
    wire = os.path.join(folder, "socket")
    ours = os.path.join(folder, "r.json")
    off = scenario(folder, ("return-path",), events=[])
    with Program("dest", "--scenario", off, "--uri", f"unix:{wire}") as dest:
        dest.listening()
        with Program("source", "--scenario", scenario(folder), "--uri", f"unix:{wire}", "--result",
                     ours) as source:
            source.finish(1)
        out = dest.finish(1)
    check("postcopy-ram" in out, out)
    check(json.loads(read(ours))["query-migrate"]["status"] == "failed", read(ours))


TESTS = [
    ("without-permission/dest", refused),
    ("without-permission/sim", sim_is_unaffected),
    ("without-start", without_start),
    ("capability-of-one", capability_of_one),
] + [(f"completes/{version}/{name}", completes, ("postcopy-ram", *more), version)
     for version, name, more in (("2.6", "plain", ()), ("4.1", "plain", ()), ("5.2", "plain", ()),
                                 ("7.2", "plain", ()), ("7.2", "preempt", ("postcopy-preempt",)),
                                 ("10.0", "plain", ()), ("10.0", "preempt", ("postcopy-preempt",)),
                                 ("11.1", "plain", ()), ("11.1", "preempt", ("postcopy-preempt",)))]


def in_folder(function, *arguments):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        function(folder, *arguments)


if __name__ == "__main__":
    tap.main(("/command/postcopy/" + name, in_folder, *row) for name, *row in TESTS)
