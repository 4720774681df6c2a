#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`source --qmp` and `dest --qmp` from outside: several migrations one after another, peers that are
silent or gone, how they end. Prints TAP. Nothing here depends on how long something takes."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402
from tap import Skip  # noqa: E402

MIGBENCH = os.environ["MIGBENCH"]
PATIENCE = 120  # seconds, met by a hanging program only
FOLDER = tempfile.mkdtemp(prefix="migbench-live-monitor-")
MIB = 1 << 20

SCENARIO = {
    "schema": "migbench-scenario-1", "qemu": "10.0", "seed": 5,
    "guest": {"machine": "none", "dirty-tracking": "kvm-log",
              "ram": [{"name": "ram", "size": "16M",
                       "content": [{"offset": 0, "length": "8M", "kind": "random"}]}],
              "workload": [{"block": "ram", "offset": "4M", "length": "4M", "pattern": "sequential",
                            "rate": 2560, "pace": "clock", "write": "counter"}]},
    "capabilities": {"events": True},
    "limit": "1ms"}  # which a monitor's migrations don't look at


def path(name):
    return os.path.join(FOLDER, name)


class Program:
    """One end with --qmp, and a client of it. Ends with its block; `status` is its exit status."""

    def __init__(self, command, *arguments):
        with open(path("scenario.json"), "w", encoding="utf-8") as file:
            json.dump(SCENARIO, file)
        self.address = path(command + ".sock")
        self.process = subprocess.Popen(
            [MIGBENCH, command, "--scenario", path("scenario.json"), "--qmp",
             "unix:" + self.address, *arguments], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.hello = self.process.stderr.readline()
        self.events = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(self.address)
        self.file = self.socket.makefile("r", encoding="utf-8", newline="\n")
        self.read()
        self.run("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *args):
        if self.process.poll() is None and args[0]:
            self.process.kill()
        self.file.close()
        self.socket.close()
        self.output, self.errors = self.process.communicate(timeout=PATIENCE)
        self.status = self.process.returncode

    def read(self):
        line = self.file.readline()
        return json.loads(line) if line else None

    def ask(self, command, **arguments):
        """The whole answer."""
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.socket.sendall((json.dumps({"execute": command, "arguments": arguments})
                             + "\n").encode())
        while True:
            message = self.read()
            if message is None or "event" not in message:
                return message
            self.events.append(message)

    def run(self, command, **arguments):
        answer = self.ask(command, **arguments)
        if answer is None or "return" not in answer:
            raise AssertionError(f"{command}: {answer}")
        return answer["return"]

    def migrate(self, **arguments):
        """Once the last one is cleaned up, which is a moment behind its last event."""
        for _ in range(6000):
            answer = self.ask("migrate", **arguments)
            if "cleaned up" not in (answer or {}).get("error", {}).get("desc", ""):
                break
            time.sleep(0.01)
        if "return" not in (answer or {}):
            raise AssertionError(f"migrate: {answer}")

    def refused(self, command, **arguments):
        answer = self.ask(command, **arguments)
        expect(command, answer.get("error", {}).get("class"), "GenericError")

    def statuses(self):
        return [e["data"]["status"] for e in self.events if e["event"] == "MIGRATION"]

    def wait(self, *wanted):
        """Until an event says so, one that was not waited for before."""
        while True:
            while self.events:
                event = self.events.pop(0)
                if event["event"] == "MIGRATION" and event["data"]["status"] in wanted:
                    return event["data"]["status"]
            message = self.read()
            if message is None:
                raise AssertionError(f"it ended before it was {wanted}")
            self.events.append(message)


def expect(what, got, want):
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, expected {want!r}")


def uri(name):
    return "unix:" + path(name)


def settled(source):
    """`completed` is told when everything is over here: there is no later run state."""
    return source.run("query-status")["status"]


def same_memory(source, dest):
    for program, name in ((source, "source.mem"), (dest, "dest.mem")):
        program.run("pmemsave", val=0, size=16 * MIB, filename=path(name))
    with open(path("source.mem"), "rb") as one, open(path("dest.mem"), "rb") as two:
        expect("memory", one.read() == two.read(), True)


def migrates():
    with Program("source") as source, Program("dest") as dest:
        expect("dest", dest.run("query-status")["status"], "inmigrate")
        dest.run("migrate-incoming", uri=uri("m"))
        source.migrate(uri=uri("m"))
        source.wait("completed")
        dest.wait("completed")
        expect("source", settled(source), "postmigrate")
        expect("dest", dest.run("query-status")["status"], "running")
        same_memory(source, dest)
        source.run("quit")
        dest.run("quit")
    expect("exit statuses", (source.status, dest.status), (0, 0))


def over_the_limit_of_the_scenario():
    with Program("source") as source:
        source.run("migrate-set-parameters", max_bandwidth=MIB)
        source.migrate(uri="exec:cat >/dev/null")
        source.wait("active")
        source.run("migrate-set-parameters", max_bandwidth=0)
        source.wait("completed")
        source.run("quit")


def fails_and_migrates_again():
    """Nobody listens; somebody goes away; somebody cancels. The guest runs on each time."""
    with Program("source") as source:
        source.migrate(uri=uri("nobody"))
        source.wait("failed")
        expect("guest", source.run("query-status")["status"], "running")
        expect("why", "cannot connect" in source.run("query-migrate")["error-desc"], True)
        source.run("migrate-set-parameters", max_bandwidth=MIB)
        source.migrate(uri="exec:head -c 200000 >/dev/null")
        source.wait("failed")
        expect("guest", source.run("query-status")["status"], "running")
        source.migrate(uri="exec:cat >/dev/null")
        source.wait("active")
        source.refused("migrate", uri="exec:cat >/dev/null")
        source.run("migrate_cancel")
        source.wait("cancelled")
        expect("guest", source.run("query-status")["status"], "running")
        source.run("migrate-set-parameters", max_bandwidth=0)
        with Program("dest") as dest:
            dest.run("migrate-incoming", uri=uri("m"))
            source.migrate(uri=uri("m"))
            source.wait("completed")
            dest.wait("completed")
            same_memory(source, dest)
            dest.run("quit")
        source.refused("migrate", uri="exec:cat >/dev/null")
        source.run("cont")
        source.migrate(uri="exec:cat >/dev/null")
        source.wait("completed")
        source.run("quit")
    expect("exit status", source.status, 0)


def silent_destination():
    """Its buffers are full for ever; questions are answered, and a cancel gets through."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path("silent"))
    listener.listen()
    with Program("source") as source:
        source.run("migrate-set-parameters", max_bandwidth=0)
        source.migrate(uri=uri("silent"))
        source.wait("active")
        expect("status", source.run("query-migrate")["status"], "active")
        source.run("stop")
        source.run("cont")
        source.run("migrate_cancel")
        source.wait("cancelled")
        source.run("quit")
    listener.close()
    os.unlink(path("silent"))
    expect("exit status", source.status, 1)


def silent_source():
    """Somebody connects and says nothing."""
    with Program("dest") as dest:
        dest.run("migrate-incoming", uri=uri("m"))
        silent = socket.socket(socket.AF_UNIX)
        silent.connect(path("m"))
        dest.wait("active")
        expect("status", dest.run("query-migrate")["status"], "active")
        dest.run("quit")
        silent.close()
    expect("exit status", dest.status, 1)


def stays_after_a_failure():
    with Program("dest") as dest:
        dest.run("migrate-incoming", uri=uri("m"), exit_on_error=False)
        with socket.socket(socket.AF_UNIX) as source:
            source.connect(path("m"))
            source.sendall(b"nonsense" * 10)
        dest.wait("failed")
        expect("why", "error-desc" in dest.run("query-migrate"), True)
        dest.run("quit")
    expect("exit status", dest.status, 1)


def ends_after_a_failure():
    with Program("dest") as dest:
        dest.run("migrate-incoming", uri=uri("m"))
        with socket.socket(socket.AF_UNIX) as source:
            source.connect(path("m"))
            source.sendall(b"nonsense" * 10)
        dest.wait("failed")
        expect("end", dest.read(), None)
    expect("exit status", dest.status, 1)


def at_once():
    """--uri beside --qmp: neither has to be told to begin."""
    with Program("dest", "--uri", uri("m")) as dest:
        dest.refused("migrate-incoming", uri=uri("other"))
        with Program("source", "--uri", uri("m")) as source:
            dest.wait("completed")
            while source.run("query-migrate")["status"] in ("setup", "active", "device"):
                pass
            source.run("quit")
        dest.run("quit")
    expect("exit statuses", (source.status, dest.status), (0, 0))


def by_channels():
    where = [{"channel-type": "main",
              "addr": {"transport": "socket", "type": "unix", "path": path("m")}}]
    with Program("source") as source, Program("dest") as dest:
        source.refused("migrate", uri=uri("m"), channels=where)
        dest.run("migrate-incoming", channels=where)
        source.migrate(channels=where)
        source.wait("completed")
        dest.wait("completed")
        source.run("quit")
        dest.run("quit")


def multifd():
    with Program("source") as source, Program("dest") as dest:
        for program in (source, dest):
            program.run("migrate-set-capabilities",
                        capabilities=[{"capability": "multifd", "state": True}])
            program.run("migrate-set-parameters", multifd_channels=3)
        source.refused("migrate", uri="exec:cat >/dev/null")
        dest.run("migrate-incoming", uri=uri("m"))
        source.migrate(uri=uri("m"))
        source.wait("completed")
        dest.wait("completed")
        same_memory(source, dest)
        source.run("quit")
        dest.run("quit")


def dirty_rate():
    """2560 pages a second: 10 MiB/s. The clock is real, but what is counted goes by it."""
    with Program("source") as source:
        source.refused("calc-dirty-rate", calc_time=1, mode="dirty-ring")
        expect("before", source.run("query-dirty-rate")["status"], "unstarted")
        for mode in ("dirty-bitmap", "page-sampling"):
            samples = {"sample-pages": 16384} if mode == "page-sampling" else {}
            source.run("calc-dirty-rate", calc_time=400, calc_time_unit="millisecond", mode=mode,
                       **samples)
            source.refused("calc-dirty-rate", calc_time=1)
            answer = source.run("query-dirty-rate")
            while answer["status"] != "measured":
                expect("status", answer["status"], "measuring")
                answer = source.run("query-dirty-rate")
            expect("mode", answer["mode"], mode)
            if not 0 < answer["dirty-rate"] <= 11:
                raise AssertionError(f"{mode}: {answer}")
        source.run("quit")


def quits_in_the_middle():
    with Program("source") as source, Program("dest") as dest:
        dest.run("migrate-incoming", uri=uri("m"))
        source.run("migrate-set-parameters", max_bandwidth=MIB)
        source.migrate(uri=uri("m"))
        source.wait("active")
        source.run("quit")
        expect("closed", source.read(), None)
        dest.wait("failed")
        expect("closed", dest.read(), None)
    expect("exit statuses", (source.status, dest.status), (1, 1))


def interrupted():
    for command in ("source", "dest"):
        with Program(command) as program:
            program.process.send_signal(signal.SIGINT)
            expect("closed", program.read(), None)
        expect("exit status", program.status, 1)
        expect("its socket is gone", os.path.exists(program.address), False)


def with_socat():
    if not shutil.which("socat"):
        raise Skip("socat is not installed")
    with Program("dest") as dest:
        lines = ['{"execute":"qmp_capabilities"}', '{"execute":"query-status"}',
                 '{"execute":"migrate-incoming","arguments":{"uri":"exec:false"}}']
        done = subprocess.run(["socat", "-t", "30", "-", "UNIX-CONNECT:" + dest.address],
                              input="\n".join(lines) + "\n", stdout=subprocess.PIPE, text=True,
                              timeout=PATIENCE)
        answers = [m for m in map(json.loads, done.stdout.splitlines()) if "return" in m]
        expect("answers", answers, [{"return": {}},
                                    {"return": {"status": "inmigrate", "running": False}},
                                    {"return": {}}])
        dest.wait("failed")
    expect("exit status", dest.status, 1)


def refused_command_lines():
    scenario = path("scenario.json")
    for arguments in (["source", "--scenario", scenario], ["dest", "--scenario", scenario],
                      ["source", "--scenario", scenario, "--qmp", "unix:" + path("q"), "--clock",
                       "virtual"]):
        done = subprocess.run([MIGBENCH, *arguments], stdin=subprocess.DEVNULL, timeout=PATIENCE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        expect(f"{arguments}: {done.stdout}", done.returncode, 2)
    for command in ("source", "dest"):
        done = subprocess.run([MIGBENCH, command, "--scenario", scenario, "--qmp", "nonsense"],
                              stdin=subprocess.DEVNULL, timeout=PATIENCE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        expect(f"{command}: {done.stdout}", done.returncode, 4)


TESTS = [migrates, over_the_limit_of_the_scenario, fails_and_migrates_again, silent_destination,
         silent_source, stays_after_a_failure, ends_after_a_failure, at_once, by_channels, multifd,
         dirty_rate, quits_in_the_middle, interrupted, with_socat, refused_command_lines]


if __name__ == "__main__":
    try:
        tap.main(tap.named("command/live-monitor", TESTS))
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
