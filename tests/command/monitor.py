#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`sim --qmp` from outside: a client that is slow, hasty, several or gone, and a clock that only
moves when it is told to. Prints TAP."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402
from tap import Skip  # noqa: E402

MIGBENCH = os.environ["MIGBENCH"]
PATIENCE = 60  # seconds, met by a hanging program only
FOLDER = tempfile.mkdtemp(prefix="migbench-monitor-")
ADDRESS = os.path.join(FOLDER, "qmp.sock")

SCENARIO = {
    "schema": "migbench-scenario-1", "qemu": "10.0", "seed": 5,
    "guest": {"machine": "none",
              "ram": [{"name": "ram", "size": "16M",
                       "content": [{"offset": 0, "length": "8M", "kind": "random"}]}],
              "workload": [{"block": "ram", "offset": "4M", "length": "1M", "pattern": "random",
                            "rate": 4000, "pace": "clock", "write": "counter"}]},
    "link": {"bandwidth": "200Mbit/s", "latency": "100us"}, "limit": "600s"}


class Monitored:
    """A simulation with --qmp. Ends with its block; `status` is its exit status then."""

    def __init__(self, *arguments, address="unix:" + ADDRESS):
        path = os.path.join(FOLDER, "scenario.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(SCENARIO, file)
        self.process = subprocess.Popen([MIGBENCH, "sim", path, "--qmp", address, *arguments],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.hello = self.process.stderr.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        if self.process.poll() is None and args[0]:
            self.process.kill()
        self.output = self.process.communicate(timeout=PATIENCE)[0]
        self.status = self.process.returncode


class Client:
    def __init__(self, address=ADDRESS, negotiate=True):
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX)
        else:
            self.socket = socket.socket(socket.AF_INET)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(address)
        self.file = self.socket.makefile("r", encoding="utf-8", newline="\n")
        self.greeting = self.read()
        self.events = []
        if negotiate:
            self.run("qmp_capabilities")

    def read(self):
        line = self.file.readline()
        return json.loads(line) if line else None

    def send(self, data):
        self.socket.sendall(data.encode())

    def answer(self):
        while True:
            message = self.read()
            if message is None or "event" not in message:
                return message
            self.events.append(message)

    def run(self, command, **arguments):
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.send(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        message = self.answer()
        return message["return"] if message and "return" in message else message

    def advance(self, step):
        return self.run("x-advance", time=step)["status"]

    def close(self):
        self.file.close()
        self.socket.close()


def expect(what, got, want):
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, expected {want!r}")


def migrate(client):
    """A policy: asks every 50 ms, and raises the bandwidth after the third time."""
    client.run("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
    client.run("migrate-set-parameters", max_bandwidth=4 << 20)
    client.run("migrate", uri="tcp:localhost:1")
    log = []
    for turn in range(200):
        status = client.advance("50ms")
        log.append(client.run("query-migrate"))
        if status == "completed":
            return log + client.events
        if turn == 2:
            client.run("migrate-set-parameters", max_bandwidth=0)
    raise AssertionError("it never completes")


def same_every_time():
    runs = []
    for _ in range(2):
        with Monitored() as simulation:
            client = Client()
            log = migrate(client)
            client.run("quit")
            client.close()
        expect("exit status", simulation.status, 0)
        runs.append((log, simulation.output))
    expect("the second run", runs[1], runs[0])


def stands_still():
    with Monitored() as simulation:
        client = Client()
        client.run("migrate", uri="tcp:localhost:1")
        first = client.run("query-migrate")
        expect("status", first, {"status": "setup"})
        for _ in range(20):
            expect("the same again", client.run("query-migrate"), first)
        expect("x-advance", client.run("x-advance", time="123us"),
               {"now-ns": 123000, "status": "setup"})
        client.run("quit")
    expect("exit status", simulation.status, 1)  # it was not over


def byte_by_byte():
    with Monitored():
        client = Client(negotiate=False)
        for byte in '{"execute":"qmp_capabilities"}{"execute":"query-status","id":-15}\n':
            client.send(byte)
        expect("first", client.read(), {"return": {}})
        expect("second", client.read(),
               {"return": {"status": "running", "running": True}, "id": -15})
        client.run("quit")


def pipelined():
    """Everything at once: what stands behind an x-advance waits for it."""
    with Monitored():
        client = Client(negotiate=False)
        commands = ["qmp_capabilities", ["migrate", {"uri": "tcp:localhost:1"}],
                    ["x-advance", {"time": "1ms"}], "query-migrate", ["x-advance", {"time": "10s"}],
                    "query-status", "bogus", "quit"]
        lines = [{"execute": c} if isinstance(c, str) else {"execute": c[0], "arguments": c[1]}
                 for c in commands]
        client.send("".join(json.dumps(dict(line, id=n)) for n, line in enumerate(lines)))
        answers = [client.answer() for _ in commands]
        expect("order", [a["id"] for a in answers], list(range(len(commands))))
        expect("in between", answers[3]["return"]["status"], "setup")
        expect("in the end", answers[5]["return"]["status"], "postmigrate")
        expect("unknown", answers[6]["error"]["class"], "CommandNotFound")
        expect("end of file", client.read(), None)


def several_clients():
    with Monitored():
        one, two = Client(), Client()
        one.run("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
        two.run("migrate", uri="tcp:localhost:1")
        one.advance("10s")
        states = [e["data"]["status"] for e in one.events if e["event"] == "MIGRATION"]
        expect("one sees", states, ["setup", "active", "device", "completed"])
        two.run("query-status")
        expect("two sees the same", two.events, one.events)
        one.close()
        expect("two goes on", two.run("query-status")["status"], "postmigrate")
        two.run("quit")


def client_goes_away():
    """Also in the middle of a command, and while its clock runs."""
    with Monitored():
        for last in ('{"execute": "query-', '{"execute": "x-advance", "arguments": {"time": "1s"}}'):
            client = Client()
            client.run("migrate", uri="tcp:localhost:1")
            client.send(last)
            client.close()
        client = Client()
        client.run("quit")


def half_closed():
    """As `socat - UNIX-CONNECT:...` at the end of its input: the answers still come."""
    with Monitored() as simulation:
        client = Client()
        client.send('{"execute":"x-advance","arguments":{"time":"1s"}}{"execute":"quit"}\n')
        client.socket.shutdown(socket.SHUT_WR)
        expect("advanced", client.answer(), {"return": {"now-ns": 1000000000, "status": "none"}})
        expect("quit", client.answer(), {"return": {}})
        expect("closed", client.read(), None)
    expect("exit status", simulation.status, 1)


def with_socat():
    if not shutil.which("socat"):
        raise Skip("socat is not installed")
    with Monitored():
        done = subprocess.run(["socat", "-t", "30", "-", "UNIX-CONNECT:" + ADDRESS], timeout=PATIENCE,
                              input='{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n',
                              stdout=subprocess.PIPE, text=True)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        expect("answers", [line for line in lines if "return" in line], [{"return": {}}] * 2)


def over_tcp():
    with Monitored(address="tcp:127.0.0.1:0") as simulation:
        host, port = simulation.hello.rsplit("tcp:", 1)[1].rsplit(":", 1)
        client = Client((host, int(port)))
        expect("status", client.run("query-status")["status"], "running")
        client.run("quit")


def paced():
    """The clock moves by itself; x-advance is refused."""
    with Monitored("--pace", "1000") as simulation:
        client = Client()
        expect("x-advance", client.run("x-advance", time="1s")["error"]["class"], "GenericError")
        client.run("migrate-set-capabilities",
                   capabilities=[{"capability": "events", "state": True}])
        client.run("migrate", uri="tcp:localhost:1")
        while True:
            message = client.read()
            if message.get("data", {}).get("status") == "completed":
                break
        client.run("quit")
    expect("exit status", simulation.status, 0)


def again_after_cancel():
    with Monitored() as simulation:
        client = Client()
        for _ in range(3):
            client.run("migrate", uri="tcp:localhost:1")
            expect("running", client.advance("20ms"), "active")
            client.run("migrate_cancel")
            expect("cancelled", client.advance("1s"), "cancelled")
        client.run("migrate", uri="tcp:localhost:1")
        expect("completed", client.advance("10s"), "completed")
        client.run("cont")
        client.advance("1s")  # the source's guest writes on: what arrived stays what it was
        client.run("quit")
    expect("exit status", simulation.status, 0)


def recovers_from_a_cut():
    with Monitored() as simulation:
        client = Client()
        client.run("migrate", uri="tcp:localhost:1")
        client.advance("20ms")
        client.run("x-cut-link")
        expect("failed", client.advance("1s"), "failed")
        expect("why", "error-desc" in client.run("query-migrate"), True)
        expect("guest", client.run("query-status")["status"], "running")
        client.run("migrate", uri="tcp:localhost:1")
        expect("completed", client.advance("10s"), "completed")
        client.run("quit")
    expect("exit status", simulation.status, 0)


def interrupted():
    with Monitored() as simulation:
        client = Client()
        simulation.process.send_signal(signal.SIGINT)
        expect("closed", client.read(), None)
    expect("exit status", simulation.status, 1)
    expect("its socket is gone", os.path.exists(ADDRESS), False)


def killed_before():
    """A socket that a killed process left is replaced; one in use is not."""
    with Monitored() as simulation:
        Client().close()
        second = subprocess.run([MIGBENCH, "sim", os.path.join(FOLDER, "scenario.json"), "--qmp",
                                 "unix:" + ADDRESS], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                timeout=PATIENCE, check=False)
        expect("exit status of a second one", second.returncode, 4)
        simulation.process.kill()
    with Monitored() as simulation:
        Client().run("quit")


def bad_addresses():
    for address in ("", "x", "unix:", "tcp:", "tcp:1", "tcp:127.0.0.1:x", "tcp:no.such.host.:1",
                    "unix:/no/such/folder/x"):
        with Monitored(address=address) as simulation:
            pass
        expect(f"exit status of '{address}'", simulation.status, 4)
        expect(f"'{address}' is named", address in simulation.hello, True)


TESTS = [same_every_time, stands_still, byte_by_byte, pipelined, several_clients, client_goes_away,
         half_closed, with_socat, over_tcp, paced, again_after_cancel, recovers_from_a_cut,
         interrupted, killed_before, bad_addresses]


if __name__ == "__main__":
    try:
        tap.main(tap.named("command/monitor", TESTS))
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
