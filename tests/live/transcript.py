# SPDX-License-Identifier: Apache-2.0
"""Transcripts: one script is said to a real QEMU and to us, and what they say is compared.

Compared are the names, types and presence of fields, the class of errors, statuses and run states,
the order of events, and that of answers. Not compared are times, counts of bytes and pages, the words
of errors and of HMP, how many passes a migration took, and what real QEMU leaves to chance: whether
an event of its migration thread comes before or behind the answer to a command.

Real QEMU is a machine `none` with some random memory; ours has memory like it. `sim` has a clock that
x-advance moves whenever the script waits; `source` and `dest` have the real one.
"""
import json
import os
import select
import socket
import subprocess
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
    """A QEMU; with |incoming| it waits for migrate-incoming."""

    def __init__(self, version, space, incoming=False):
        super().__init__()
        self.name = f"QEMU {version}"
        self.listener = os.path.join(space.files, f"real-{version}-in.sock")
        memory = os.path.join(space.memory, f"monitor-{version}")
        with open(memory, "wb") as file:
            file.write(os.urandom(MEMORY // 2))
            file.truncate(MEMORY)
        argv = [peer.path_of(version), "-accel", "tcg", *peer.QUIET,
                "-object", f"memory-backend-file,id=ram,size={MEMORY},share=on,mem-path={memory}",
                "-M", "none,memory-backend=ram", "-m", f"size={MEMORY}B", "-qmp", "stdio"]
        argv += ["-incoming", "defer"] if incoming else []
        self.log = open(os.path.join(space.files, f"monitor-{version}.log"), "w+b")
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log)

    def descriptor(self):
        return self.process.stdout.fileno()

    def send(self, data):
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except BrokenPipeError:
            self.explain_end()
            raise

    def message(self):
        message = super().message()
        if message is None:
            self.explain_end()
        return message

    def explain_end(self):
        """Where QEMU has crashed there is nothing to compare with."""
        status = self.process.wait(peer.PATIENCE)
        if status < 0:
            self.log.seek(0)
            raise peer.Skip(f"{self.name} was ended by signal {-status}: "
                            f"{self.log.read().decode(errors='replace')[-300:]!r}")

    def wait(self, status):
        got = self.until(lambda m: is_status(m, status, "colo", *ENDS))
        if is_status(got[-1], "colo"):
            raise peer.Skip(f"{self.name} met the error while it was active and went to COLO, which "
                            "is off: a defect and a race of its own")
        return got

    def settle(self):
        """Its thread says `completed` before its main loop has changed the run state."""
        end = time.monotonic() + peer.PATIENCE
        got = []
        while time.monotonic() < end:
            got += self.say('{"execute": "query-status"}')
            if got.pop()["return"]["status"] != "finish-migrate":
                return got
        raise peer.Fail(f"{self.name} stays in finish-migrate")

    def pass_time(self):
        """Between two questions."""

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
    """migbench as that version: |command| is sim, source or dest."""

    def __init__(self, command, version, space):
        super().__init__()
        self.name = f"migbench {command} as {version}"
        self.listener = os.path.join(space.files, f"ours-{version}-in.sock")
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
        scenario = [path] if command == "sim" else ["--scenario", path]
        self.process = subprocess.Popen([peer.MIGBENCH, command, *scenario, "--qmp",
                                         "unix:" + address],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.process.stderr.readline()  # it listens
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(address)

    def descriptor(self):
        return self.socket.fileno()

    def send(self, data):
        self.socket.sendall(data)

    def wait(self, status):
        return self.until(lambda m: is_status(m, status, *ENDS))

    def settle(self):
        return []

    def cut(self):
        return []

    def pass_time(self):
        pass

    def close(self):
        self.socket.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


class Simulated(Ours):
    """Its clock stands still unless it is told to move."""

    def __init__(self, version, space):
        super().__init__("sim", version, space)

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

    def pass_time(self):
        self.advance("100ms")

    def cut(self):
        answers = self.say('{"execute": "x-cut-link"}')
        return answers[:-1]


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

    def __init__(self, command, version, space):
        self.version = tuple(int(n) for n in version.split("."))
        self.sides = []
        self.bad = []
        self.count = 0
        self.sides.append(Real(version, space, command == "dest"))
        self.sides.append(Simulated(version, space) if command == "sim"
                          else Ours(command, version, space))
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

    def each(self, command, arguments, how=shape):
        """The same command with arguments that |arguments|(side) makes."""
        lines = [json.dumps({"execute": command, "arguments": arguments(side)})
                 for side in self.sides]
        self.compare(lines[1], *[self.take(side, side.say(line), how)
                                 for side, line in zip(self.sides, lines)])

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
            if status == "completed":
                self.take(side, side.settle())

    def measured(self):
        """Until calc-dirty-rate is done. (QEMU's thread may need a while even to begin.)"""
        for side in self.sides:
            status = None
            while status != "measured":
                side.pass_time()
                status = side.say('{"execute": "query-dirty-rate"}')[-1]["return"]["status"]

    def migrate(self, uri="exec:cat >/dev/null", bandwidth=SLOW):
        self.run("migrate-set-parameters", max_bandwidth=bandwidth)
        self.run("migrate", uri=uri)

    def verdict(self):
        self.compare("the order of events", *[in_order(side) for side in self.sides])
        if self.bad:
            raise peer.Fail(f"{len(self.bad)} of {self.count} exchanges differ:\n"
                            + "\n".join(self.bad))
        return [f"{self.count} exchanges are alike"]


