#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The monitor answers as real QEMU does: one script goes to both, and what they say is compared.

Compared are the names, types and presence of fields, the class of errors, statuses and run states,
the order of events, and that of answers. Not compared are times, counts of bytes and pages, the words
of errors and of HMP, how many passes a migration took, and what real QEMU leaves to chance: whether
an event of its migration thread comes before or behind the answer to a command.

Real QEMU migrates a machine `none` with some random memory into `cat`; the simulation has memory like
it, and its clock is moved by x-advance whenever the script waits.
"""
import json
import os
import select
import socket
import subprocess
import sys
import time

import peer

MIB = 1 << 20
MEMORY = 16 * MIB
SLOW, FAST = 4 * MIB, 0  # bytes per second; 0: no limit


class Session:
    """A client of a monitor: sends lines, and keeps what comes, in order."""

    def __init__(self):
        self.buffer = b""
        self.history = []  # lines, for messages
        self.events = []   # canonical

    def message(self):
        """The next message, as it came."""
        end = time.monotonic() + peer.PATIENCE
        while b"\n" not in self.buffer:
            if not select.select([self.descriptor()], [], [], max(0, end - time.monotonic()))[0]:
                raise peer.Fail(f"{self.name}: silent for {peer.PATIENCE} s; before that: "
                                f"{self.history[-6:]}")
            piece = os.read(self.descriptor(), 65536)
            if not piece:
                return None
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        self.history.append(line.decode())
        return json.loads(line)

    def say(self, line):
        """Everything up to the answer to |line|."""
        self.send(line.encode() + b"\n")
        return self.until(lambda m: "return" in m or "error" in m)

    def until(self, wanted):
        got = []
        while not got or not wanted(got[-1]):
            message = self.message()
            if message is None:
                got.append({"end": True})
                break
            got.append(message)
        return got


ENDS = ("completed", "failed", "cancelled")


def is_status(message, *wanted):
    return message.get("event") == "MIGRATION" and message["data"]["status"] in wanted


class Real(Session):
    def __init__(self, version, space):
        super().__init__()
        self.name = f"QEMU {version}"
        memory = os.path.join(space.memory, f"monitor-{version}")
        with open(memory, "wb") as file:
            file.write(os.urandom(MEMORY // 2))
            file.truncate(MEMORY)
        argv = [peer.path_of(version), "-accel", "tcg", *peer.QUIET,
                "-object", f"memory-backend-file,id=ram,size={MEMORY},share=on,mem-path={memory}",
                "-M", "none,memory-backend=ram", "-m", f"size={MEMORY}B", "-qmp", "stdio"]
        self.log = open(os.path.join(space.files, f"monitor-{version}.log"), "w+b")
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log)

    def descriptor(self):
        return self.process.stdout.fileno()

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def wait(self, status):
        return self.until(lambda m: is_status(m, status, *ENDS))

    def cut(self):
        return []  # whoever reads has only so many bytes to read

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.log):
            try:
                file.close()
            except OSError:
                pass


class Ours(Session):
    def __init__(self, version, space):
        super().__init__()
        self.name = f"migbench as {version}"
        path = os.path.join(space.files, f"monitor-{version}.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"schema": "migbench-scenario-1", "qemu": version, "seed": 3,
                       "guest": {"machine": "none", "ram": [{"name": "ram", "size": MEMORY,
                                 "content": [{"offset": 0, "length": MEMORY // 2,
                                              "kind": "random"}]}]},
                       "link": {"bandwidth": "10Gbit/s", "latency": "10us", "framing": "none",
                                "send-buffer": "64k", "receive-buffer": "64k"},
                       "limit": "10000s"}, file)
        address = os.path.join(space.files, f"monitor-{version}.sock")
        self.process = subprocess.Popen([peer.MIGBENCH, "sim", path, "--qmp", "unix:" + address],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.process.stderr.readline()  # it listens
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(address)

    def descriptor(self):
        return self.socket.fileno()

    def send(self, data):
        self.socket.sendall(data)

    def advance(self, step):
        return self.say(json.dumps({"execute": "x-advance", "arguments": {"time": step}}))[:-1]

    def wait(self, status):
        """Some time more, until it came; no answer to x-advance is part of the transcript."""
        got = []
        for _ in range(3000):
            got += self.advance("1ms")
            if any(is_status(m, status, *ENDS) for m in got):
                return got
        raise peer.Fail(f"{self.name}: no {status} within three seconds of its own: {got}")

    def cut(self):
        answers = self.say('{"execute": "x-cut-link"}')
        return answers[:-1]

    def close(self):
        self.socket.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


# What is compared --------------------------------------------------------------------------------

def shape(value):
    """Names and types; words stay as they are where they say a state."""
    if isinstance(value, dict):
        return {key: value[key] if key in ("status", "running", "singlestep")
                else "text" if key == "error-desc" else shape(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [shape(v) for v in value]
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) \
        else type(value).__name__


def exact(value):
    if isinstance(value, list):
        return sorted(json.dumps(v, sort_keys=True) for v in value)
    return value


def kind_of_text(value):
    """HMP: nothing, an error, or something else."""
    return "" if not value else "error" if value.startswith("Error") else "text"


def canonical(message, how):
    if "event" in message:
        if set(message["timestamp"]) != {"seconds", "microseconds"}:
            raise peer.Fail(f"an event with a strange timestamp: {message}")
        return f"{message['event']} {json.dumps(message.get('data', {}), sort_keys=True)}"
    if "error" in message:
        if not isinstance(message["error"]["desc"], str):
            raise peer.Fail(f"an error without words: {message}")
        rest = {key: message[key] for key in message if key != "error"}
        return f"error {message['error']['class']} {json.dumps(rest, sort_keys=True)}"
    if "return" in message:
        rest = {key: message[key] for key in message if key != "return"}
        return f"return {json.dumps(how(message['return']), sort_keys=True)} {json.dumps(rest)}"
    return json.dumps(message)


def in_order(side):
    """The events of a whole script. Passes must count up from one of them; those of the active phase,
    whose number depends on the speed of the machine, are left out then."""
    left, last, active = [], None, False
    for line in side.events:
        name, data = line.split(" ", 1)
        data = json.loads(data)
        if name == "MIGRATION":
            active = data["status"] == "active"
            last = None if data["status"] == "setup" else last
        active = active and name != "STOP"
        if name != "MIGRATION_PASS":
            left.append(line)
            continue
        if last and data["pass"] != last + 1:
            raise peer.Fail(f"{side.name}: pass {data['pass']} follows pass {last}")
        last = data["pass"]
        if not active:
            left.append(name)
    return left


class Both:
    """Does the same with both and compares what they say."""

    def __init__(self, version, space):
        self.version = tuple(int(n) for n in version.split("."))
        self.sides = []
        self.bad = []
        self.count = 0
        self.sides.append(Real(version, space))
        self.sides.append(Ours(version, space))
        for side in self.sides:
            hello = side.message()["QMP"]
            if shape(hello["version"]) != {"package": "str", "qemu": {
                    "major": "number", "micro": "number", "minor": "number"}}:
                raise peer.Fail(f"{side.name} greets with {hello}")

    def __enter__(self):
        return self

    def __exit__(self, *args):
        for side in self.sides:
            side.close()

    def compare(self, what, real, ours):
        self.count += 1
        if real != ours:
            self.bad.append(f"{what}\n  QEMU: {real}\n  ours: {ours}")

    def take(self, side, messages, how=shape):
        """Remembers the events; returns the answer, with the events that always precede it."""
        lines = [canonical(m, how) for m in messages]
        side.events += [line for m, line in zip(messages, lines) if "event" in m]
        return [line for m, line in zip(messages, lines)
                if "event" not in m or is_status(m, "setup", "cancelling")]

    def say(self, line, how=shape):
        self.compare(line, *[self.take(side, side.say(line), how) for side in self.sides])

    def run(self, command, how=shape, **arguments):
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.say(json.dumps({"execute": command, "arguments": arguments} if arguments
                            else {"execute": command}), how)

    def capability(self, name, state=True):
        self.run("migrate-set-capabilities", capabilities=[{"capability": name, "state": state}])

    def hmp(self, line):
        self.run("human-monitor-command", kind_of_text, command_line=line)

    def wait(self, status):
        """Until an event says so, or that the migration ended; it may have come with an answer."""
        for side in self.sides:
            last = [line for line in side.events if line.startswith("MIGRATION {")][-1]
            if json.loads(last.split(" ", 1)[1])["status"] not in (status, *ENDS):
                self.take(side, side.wait(status))

    def migrate(self, uri="exec:cat >/dev/null", bandwidth=SLOW):
        self.run("migrate-set-parameters", max_bandwidth=bandwidth)
        self.run("migrate", uri=uri)

    def verdict(self):
        self.compare("the order of events", *[in_order(side) for side in self.sides])
        if self.bad:
            raise peer.Fail(f"{len(self.bad)} of {self.count} exchanges differ:\n"
                            + "\n".join(self.bad))
        return [f"{self.count} exchanges are alike"]


# The scripts -------------------------------------------------------------------------------------

def negotiate(both):
    both.run("query-status")
    both.run("no-such-command")
    both.run("qmp_capabilities", x=1)
    both.run("qmp_capabilities", enable=["no-such-capability"])
    both.run("qmp_capabilities")
    both.run("qmp_capabilities")


SHAPES = """
{"execute": "nope", "id": {"a": [1, null, 1.5, "x"]}}
{"execute": "query-status", "id": 7}
{"execute": "query-status", "bad": 1, "id": 8}
{"execute": "query-status", "arguments": {"x": 1}, "id": 9}
{"execute": "query-status", "arguments": [], "id": null}
{"execute": 5, "id": 3}
{"arguments": {}}
{"id": "alone"}
5
"x"
[1]
null
garbage
{"execute": "query-status",}
{"execute": "query-status", "execute": "query-status"}
]
{"execute": "query-status", "id": "after the errors"}
"""

REFUSED = [
    ("migrate", {}), ("migrate", {"uri": 5}), ("migrate", {"nope": 1, "uri": "exec:cat"}),
    ("migrate", {"uri": "exec:cat", "resume": True}), ("migrate", {"uri": "exec:cat", "blk": 1}),
    ("migrate", {"channels": []}), ("migrate", {"channels": 5}),
    ("migrate-incoming", {}), ("migrate-incoming", {"uri": "tcp:127.0.0.1:0"}),
    ("migrate_cancel", {}), ("migrate_cancel", {"x": 1}),
    ("migrate-continue", {}), ("migrate-continue", {"state": "bogus"}),
    ("migrate-continue", {"state": "pre-switchover"}), ("migrate-continue", {"state": 1}),
    ("migrate-start-postcopy", {}), ("migrate-pause", {}),
    ("migrate-recover", {}), ("migrate-recover", {"uri": "tcp:127.0.0.1:0"}),
    ("migrate-set-capabilities", {}), ("migrate-set-capabilities", {"capabilities": {}}),
    ("migrate-set-capabilities", {"capabilities": []}),
    ("migrate-set-capabilities", {"capabilities": [5]}),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "foo", "state": True}]}),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "events"}]}),
    ("migrate-set-capabilities", {"capabilities": [{"state": True}]}),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": 1}]}),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": True, "x": 1}]}),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "postcopy-ram", "state": True},
                                                   {"capability": "x-ignore-shared",
                                                    "state": True}]}),
    ("pmemsave", {}), ("pmemsave", {"val": "0", "size": 1, "filename": "x"}),
    ("pmemsave", {"val": 0, "size": 4096, "filename": "/nonexistent/x"}),
    ("human-monitor-command", {}), ("human-monitor-command", {"command-line": 5}),
    ("quit", {"x": 1}), ("stop", {"x": 1}),
    # What versions have or lack.
    ("migrate_set_speed", {}), ("migrate_set_speed", {"value": 33554432}),
    ("migrate_set_downtime", {"value": 0.25}), ("migrate-set-cache-size", {"value": 1048576}),
    ("migrate-set-cache-size", {"value": 5000}),
]

# (Not in it: multifd-zlib-level, of which 5.2 and 7.2 take any value and use none.)
PARAMETERS = [
    {}, {"bogus": 5}, {"downtime-limit": 2000001}, {"downtime-limit": -1}, {"downtime-limit": 1.5},
    {"downtime-limit": "5"}, {"downtime-limit": None}, {"downtime-limit": 250},
    {"max-bandwidth": -1}, {"max-bandwidth": 1 << 63}, {"max-bandwidth": 1 << 20},
    {"multifd-channels": 0}, {"multifd-channels": 4}, {"multifd-compression": "foo"},
    {"multifd-compression": 5}, {"multifd-compression": "zlib"},
    {"tls-creds": None}, {"tls-creds": 5}, {"tls-creds": "foo"}, {"tls-creds": ""},
    {"xbzrle-cache-size": 5000}, {"xbzrle-cache-size": 2048}, {"xbzrle-cache-size": 1 << 20},
    {"max-cpu-throttle": 5}, {"cpu-throttle-initial": 0}, {"cpu-throttle-tailslow": 1},
    {"cpu-throttle-tailslow": True}, {"throttle-trigger-threshold": 101},
    {"announce-max": 100001}, {"announce-step": 0}, {"announce-step": 20},
    {"downtime-limit": 7, "multifd-channels": 0}, {"downtime-limit": 8, "bogus": 0},
    {"compress-level": 2}, {"direct-io": True}, {"zero-page-detection": "none"},
    {"avail-switchover-bandwidth": 1000}, {"vcpu-dirty-limit": 0}, {"mode": "nope"},
    {"max-postcopy-bandwidth": 5}, {"block-incremental": True}, {"x-checkpoint-delay": 10},
]

HMP = ["", "nope", "migrate", "migrate -z foo:1", "migrate_set_capability foo on",
       "migrate_set_capability events maybe", "migrate_set_capability events on extra",
       "migrate_set_capability events on", "migrate_set_capability events off",
       "migrate_set_parameter max-bandwidth 64", "migrate_set_parameter max-bandwidth 64k",
       "migrate_set_parameter downtime-limit foo", "migrate_set_parameter downtime-limit 333",
       "migrate_set_parameter foo 5", "migrate_set_parameter cpu-throttle-tailslow on",
       "migrate_set_parameter multifd-compression zlib", "migrate_set_speed 32",
       "migrate_set_downtime 0.5", "migrate_continue pre-switchover", "migrate_continue bogus",
       "migrate_pause", "migrate_recover tcp:127.0.0.1:0", "migrate_incoming tcp:127.0.0.1:0",
       "migrate_start_postcopy", "migrate_cancel", "info migrate_capabilities",
       "info migrate_parameters", "info status", "stop", "stop", "info status", "cont", "cont"]


def answers(both):
    negotiate(both)
    for line in SHAPES.strip().splitlines():
        both.say(line)
    both.run("query-migrate", exact)
    both.run("query-status", exact)
    both.run("query-migrate-capabilities", exact)
    both.run("query-migrate-parameters", exact)
    for command, arguments in REFUSED:
        both.say(json.dumps({"execute": command, "arguments": arguments}))
    for parameters in PARAMETERS:
        both.say(json.dumps({"execute": "migrate-set-parameters", "arguments": parameters}))
    both.run("query-migrate-parameters", exact)
    for line in HMP:
        both.hmp(line)
    both.run("query-migrate-parameters", exact)
    both.run("query-migrate-capabilities", exact)
    expect_known_commands(both)
    both.run("quit")


def expect_known_commands(both):
    """What we have (x-... apart), that version has, too."""
    names = [{c["name"] for c in side.say('{"execute": "query-commands"}')[-1]["return"]}
             for side in both.sides]
    more = sorted(name for name in names[1] - names[0] if not name.startswith("x-"))
    if more:
        raise peer.Fail(f"QEMU has no {', '.join(more)}")


def completes(both):
    negotiate(both)
    both.capability("events")
    both.migrate()
    both.wait("active")
    both.run("query-migrate")
    both.run("query-status")
    both.run("migrate", uri="exec:cat >/dev/null")
    both.capability("return-path")
    both.run("migrate-continue", state="device")
    both.run("migrate-start-postcopy")
    both.run("migrate-pause")
    both.hmp("info migrate")
    both.run("migrate-set-parameters", max_bandwidth=FAST)
    both.wait("completed")
    both.run("query-migrate")
    both.run("query-status")
    both.hmp("info migrate")
    both.run("migrate_cancel")
    both.run("cont")
    both.run("query-status")
    both.hmp("migrate -d exec:cat>/dev/null")
    both.wait("completed")
    both.run("quit")


def cancelled(both):
    negotiate(both)
    both.capability("events")
    both.migrate()
    both.wait("active")
    both.run("migrate_cancel")
    both.wait("cancelled")
    both.run("query-migrate")
    both.run("query-status")
    both.run("migrate_cancel")
    both.migrate(bandwidth=FAST)
    both.wait("completed")
    both.run("query-migrate")


def pauses(both):
    negotiate(both)
    both.capability("events")
    both.capability("pause-before-switchover")
    both.migrate(bandwidth=FAST)
    both.wait("pre-switchover")
    both.run("query-migrate")
    both.run("query-status")
    both.run("cont")
    both.run("stop")
    both.run("migrate-continue", state="device")
    both.run("migrate-continue", state="pre-switchover")
    both.wait("completed")
    both.run("query-migrate")
    both.run("query-status")
    both.run("cont")


def cancelled_in_pause(both):
    """QEMU wakes its thread before it changes the status, so that the thread may be the faster one:
    then it was not cancelled in the pause."""
    negotiate(both)
    both.capability("events")
    both.capability("pause-before-switchover")
    both.migrate(bandwidth=FAST)
    both.wait("pre-switchover")
    both.run("migrate_cancel")
    both.wait("cancelled")
    if any('"device"' in line for line in both.sides[0].events):
        raise peer.Skip("QEMU went on to device before it cancelled, a race of its own")
    both.run("query-migrate")
    both.run("query-status")


def stopped_guest(both):
    negotiate(both)
    both.capability("events")
    both.run("stop")
    both.migrate(bandwidth=FAST)
    both.wait("completed")
    both.run("query-status")
    both.run("query-migrate")
    both.run("cont")


def stopped_meanwhile(both):
    negotiate(both)
    both.capability("events")
    both.migrate()
    both.wait("active")
    both.run("stop")
    both.run("query-status")
    both.run("migrate_cancel")
    both.wait("cancelled")
    both.run("query-status")
    both.run("cont")


def fails(both):
    """The reader goes away after a megabyte; our link is cut."""
    negotiate(both)
    both.capability("events")
    both.migrate(uri="exec:head -c 1000000 >/dev/null")
    both.wait("active")
    both.sides[1].cut()
    both.wait("failed")
    both.run("query-migrate")
    both.run("query-status")
    both.migrate(bandwidth=FAST)
    both.wait("completed")


SCRIPTS = {"answers": answers, "completes": completes, "cancelled": cancelled, "pauses": pauses,
           "cancelled-in-pause": cancelled_in_pause, "stopped-guest": stopped_guest,
           "stopped-meanwhile": stopped_meanwhile, "fails": fails}


def alike(version, script, space):
    peer.path_of(version)
    with Both(version, space) as both:
        SCRIPTS[script](both)
        return both.verdict()


def main():
    tap = peer.Tap()
    with peer.Workspace() as space:
        for version in peer.VERSIONS:
            for script in SCRIPTS:
                tap.run(f"/live/monitor/{script}/{version}", alike, version, script, space)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
