#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""migbench source and dest from outside, with each other and with bad company: no QEMU needed."""
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402
from tap import Fail  # noqa: E402

MIGBENCH = os.environ["MIGBENCH"]
PATIENCE = 120
CUTS, FLIPS = 100, 200
MIB = 1 << 20
PONG, SHUT = 2, 1


def check(condition, text):
    if not condition:
        raise Fail(text)


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Place:
    """A folder with a scenario, and the commands run in it."""

    def __init__(self, folder, name, **changes):
        self.folder = tempfile.mkdtemp(prefix=name + "-", dir=folder)
        self.socket = self.path("socket")
        ram = [{"name": "ram", "size": 4 * MIB, "content": [{"length": 2 * MIB, "kind": "random"}]},
               {"name": "second", "size": MIB, "content": [{"length": MIB, "kind": "random"}]}]
        scenario = {"schema": "migbench-scenario-1", "qemu": "10.0", "seed": 5,
                    "guest": {"machine": "none", "ram": ram},
                    "capabilities": {"return-path": True}, "limit": "60s"}
        for key, value in changes.items():
            if isinstance(value, dict):
                scenario.setdefault(key, {}).update(value)
            else:
                scenario[key] = value
        with open(self.path("scenario.json"), "w", encoding="utf-8") as file:
            json.dump(scenario, file)

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self, command, uri, *more):
        argv = [MIGBENCH, command, "--scenario", self.path("scenario.json"), "--uri", uri,
                "--result", self.path(command + ".result")]
        for block in ("ram", "second"):
            argv += ["--dump", f"{block}={self.path(command + '.' + block)}"]
        return subprocess.Popen(argv + list(more), stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def listen(self, *more):
        dest = self.start("dest", f"unix:{self.socket}", *more)
        line = dest.stderr.readline()
        check(line.startswith("listening on "), f"dest says {line!r}")
        return dest

    def finish(self, process, status):
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Fail(f"{process.args[1]} hangs") from None
        check(process.returncode == status,
              f"{process.args[1]}: exit status {process.returncode}, expected {status}\n{out}{err}")
        return out + err

    def result(self, command):
        with open(self.path(command + ".result"), encoding="utf-8") as file:
            value = json.load(file)
        wire = value["x-transport"]
        check(wire["descriptors-before"] == wire["descriptors-after"], f"a leak: {wire}")
        return value

    def memory(self, command):
        return [read(self.path(f"{command}.{block}")) for block in ("ram", "second")]

    def original(self):
        """What the guest holds when nothing happens to it, as the simulator says."""
        argv = [MIGBENCH, "sim", self.path("scenario.json"), "--set", "guest.workload=[]", "--set", "capabilities={}",
                "--set", "events=[]"]
        for block in ("ram", "second"):
            argv += ["--dump", f"{block}={self.path('sim.' + block)}"]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        return self.memory("sim")


def expect_running(result):
    """The guest was let run again if it was stopped."""
    names = [e["event"] for e in result["events"]]
    check(names.count("STOP") == names.count("RESUME"), f"the guest stands still: {names}")


# Each other ----------------------------------------------------------------------------------------
WORKLOAD = [{"block": block, "offset": 0, "length": MIB, "pattern": "random", "rate": 20000,
             "write": write} for block in ("ram", "second") for write in ("page", "zero", "counter")]


def pair(folder, return_path):
    # The first pass takes several windows: at its end a bandwidth is known, and what is dirty decides.
    place = Place(folder, "pair", guest={"workload": WORKLOAD},
                  parameters={"max-bandwidth": 10000000, "downtime-limit": 1},
                  capabilities={"return-path": return_path},
                  events=[{"after-pass": 4, "do": "migrate-set-parameters",
                           "arguments": {"downtime-limit": 1000}}])
    dest = place.listen()
    place.finish(place.start("source", f"unix:{place.socket}"), 0)
    place.finish(dest, 0)
    source, loaded = place.result("source"), place.result("dest")
    check(place.memory("source") == place.memory("dest"), "memory differs")
    check(place.memory("source") != place.original(), "the guest has written nothing")
    ram = source["query-migrate"]["ram"]
    for theirs, ours in ((ram["normal"], "normal"), (ram["duplicate"], "duplicate"),
                         (ram["transferred"], "bytes")):
        check(theirs == loaded["destination"][ours], f"{ours}: {theirs}, {loaded['destination']}")
    check(len(source["passes"]) > 3, f"only {len(source['passes'])} passes")
    check(loaded["destination"]["return-path"] == return_path, "the return path")


def virtual_equals_sim(folder, kind, return_path):
    place = Place(folder, "virtual", guest={"workload": WORKLOAD},
                  link={"bandwidth": "200Mbit/s"}, capabilities={"return-path": return_path})
    want, got = place.path("want"), place.path("got")
    subprocess.run([MIGBENCH, "sim", place.path("scenario.json"), "--stream", want], check=True,
                   stdout=subprocess.DEVNULL)
    if kind == "file":
        place.finish(place.start("source", f"file:{got}", "--clock", "virtual"), 0)
    elif kind == "exec":
        place.finish(place.start("source", f"exec:cat > {got}", "--clock", "virtual"), 0)
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            source = place.start("source", f"tcp:127.0.0.1:{port}", "--clock", "virtual")
            with server.accept()[0] as connection, open(got, "wb") as file:
                while os.path.getsize(got) < os.path.getsize(want):
                    piece = connection.recv(65536)
                    check(piece, "the stream is too short")
                    file.write(piece)
                    file.flush()
                if return_path:
                    connection.sendall(message(PONG, 1) + message(SHUT, 0))
                check(not connection.recv(1), "the stream is too long")
        place.finish(source, 0)
    check(read(got) == read(want), "the bytes differ")


# Bad company ---------------------------------------------------------------------------------------
def message(kind, value):
    return struct.pack(">HHI", kind, 4, value)


ANSWERS = [
    ("shut-1", message(SHUT, 1), "Sibling indicated error 1"),
    ("shut-early", message(SHUT, 0), "before the end of the stream was sent"),
    ("pong-unasked", message(PONG, 77), "answers ping 77, which was not sent"),
    ("pong-twice", message(PONG, 1) * 2, "answers ping 1, which was not sent or was answered"),
    ("type-0", message(0, 0), "a message type from 1"),
    ("type-99", message(99, 0), "a message type from 1"),
    ("pong-length", struct.pack(">HH", PONG, 5) + b"12345", "4 bytes for pong"),
    ("request", struct.pack(">HHQI", 4, 12, 0, 4096), "req-pages"),
    ("bitmap", struct.pack(">HHB3sQQ", 5, 4, 3, b"ram", 8, 0), "recv-bitmap"),
    ("ack", message(6, 1), "which a precopy migration never has"),
    ("closes", b"", "closed it before it said how the migration ended"),
    ("stutter", message(PONG, 1) + b"\0", "closed it before it said how the migration ended"),
    ("noise", bytes(range(1, 256)), "expected"),
]


def bad_answer(folder, answer, expected):
    """The destination reads the stream's head, says |answer|, and closes its half; nobody reads."""
    place = Place(folder, "answer", parameters={"max-bandwidth": 10000000})
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(place.socket)
        server.listen()
        source = place.start("source", f"unix:{place.socket}")
        with server.accept()[0] as connection:
            connection.recv(100000)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            threading.Thread(target=drain, args=(connection,)).start()
            place.finish(source, 1)
    result = place.result("source")
    status = result["query-migrate"]
    check(status["status"] == "failed", str(status))
    check(expected in status["error-desc"], f"{status['error-desc']!r} should tell of {expected!r}")
    expect_running(result)
    check(place.memory("source") == place.original(), "the guest's memory has changed")


def drain(connection):
    try:
        while connection.recv(65536):
            pass
    except OSError:
        pass


def relay(listener, target, limit):
    """Passes |limit| bytes on from one source, and answers back; then cuts both."""
    source = listener.accept()[0]
    with source, socket.socket(socket.AF_UNIX) as dest:
        dest.connect(target)
        back = threading.Thread(target=pump, args=(dest, source, None))
        back.start()
        pump(source, dest, limit)
        for end in (source, dest):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        back.join()


def pump(one, other, limit):
    try:
        while limit is None or limit > 0:
            piece = one.recv(65536 if limit is None else min(limit, 65536))
            if not piece:
                return
            other.sendall(piece)
            limit = None if limit is None else limit - len(piece)
    except OSError:
        pass


def cut_anywhere(folder):
    """Both ends fail whatever the last byte was; the guest has lost nothing."""
    place = Place(folder, "cut")
    dest = place.listen()
    place.finish(place.start("source", f"unix:{place.socket}"), 0)
    place.finish(dest, 0)
    total = place.result("dest")["destination"]["bytes"]
    original = place.original()
    random_offsets = random.Random(7)
    for _ in range(CUTS):
        limit = random_offsets.randrange(total)
        dest = place.listen()
        with socket.socket(socket.AF_UNIX) as listener:
            between = place.path("between")
            listener.bind(between)
            listener.listen()
            thread = threading.Thread(target=relay, args=(listener, place.socket, limit))
            thread.start()
            place.finish(place.start("source", f"unix:{between}"), 1)
            thread.join()
            os.unlink(between)
        place.finish(dest, 1)
        result = place.result("source")
        check(result["query-migrate"]["status"] == "failed", f"cut at {limit}: {result}")
        check(place.result("dest")["query-migrate"]["error-desc"], f"cut at {limit}: no reason")
        check(place.memory("source") == original, f"cut at {limit}: the memory has changed")
        expect_running(result)


def damaged(folder):
    """A destination takes no byte on trust: wherever one is flipped, it loads the stream (the byte
    was a page's) or ends with a reason; it neither hangs nor crashes."""
    place = Place(folder, "damaged", capabilities={"return-path": False})
    stream = place.path("stream")
    place.finish(place.start("source", f"file:{stream}"), 0)
    good, numbers = read(stream), random.Random(3)
    refused = 0
    for turn in range(FLIPS):
        # The beginning and the end have the structure; between them there are mostly pages.
        where = (numbers.randrange(110), numbers.randrange(len(good) - 2000, len(good)),
                 numbers.randrange(len(good)))[turn % 3]
        bad = bytearray(good)
        bad[where] ^= 1 << numbers.randrange(8)
        with open(stream, "wb") as file:
            file.write(bad)
        dest = place.start("dest", f"file:{stream}")
        out = dest.communicate(timeout=PATIENCE)
        check(dest.returncode in (0, 1), f"byte {where}: exit status {dest.returncode}: {out}")
        status = place.result("dest")["query-migrate"]
        check(dest.returncode == 0 or status["error-desc"], f"byte {where}: no reason")
        refused += dest.returncode
    check(refused > FLIPS // 8, f"only {refused} of {FLIPS} were refused")


def paused(folder, then):
    """pause-before-switchover: the guest stands still until migrate-continue, or runs on after a
    cancel."""
    place = Place(folder, "paused", capabilities={"pause-before-switchover": True},
                  events=[{"at": "500ms", "do": then}])
    dest = place.listen()
    place.finish(place.start("source", f"unix:{place.socket}"), then == "migrate_cancel")
    place.finish(dest, then == "migrate_cancel")
    result = place.result("source")
    states = [e["data"]["status"] for e in result["events"] if e["event"] == "MIGRATION"]
    want = ["device", "completed"] if then == "migrate-continue" else ["cancelling", "cancelled"]
    check(states == ["setup", "active", "pre-switchover", *want], str(states))
    check(place.memory("source") == place.original(), "the guest's memory has changed")
    if then == "migrate_cancel":
        expect_running(result)


def killed_destination(folder, return_path):
    place = Place(folder, "killed", parameters={"max-bandwidth": 5000000},
                  capabilities={"return-path": return_path})
    dest = place.listen()
    source = place.start("source", f"unix:{place.socket}")
    # It reads from the socket, so it has connected; the rate leaves most of the memory to be sent.
    while not os.path.exists(f"/proc/{dest.pid}/fd") or count_sockets(dest.pid) < 1:
        pass
    dest.kill()
    dest.communicate()
    place.finish(source, 1)
    result = place.result("source")
    check(result["query-migrate"]["status"] == "failed", str(result["query-migrate"]))
    check(place.memory("source") == place.original(), "the guest's memory has changed")
    expect_running(result)


def count_sockets(pid):
    names = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            names.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            pass
    return sum(n.startswith("socket:") for n in names)


def interrupted(folder, kind):
    """SIGINT while sleeping in the rate limit, or while a full channel blocks."""
    place = Place(folder, "interrupted", parameters={"max-bandwidth": 0 if kind == "blocked"
                                                     else 1000000})
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(place.socket)
        server.listen()
        source = place.start("source", f"unix:{place.socket}")
        with server.accept()[0] as connection:
            connection.recv(1)
            source.send_signal(signal.SIGINT)
            place.finish(source, 1)
    result = place.result("source")
    check(result["query-migrate"]["status"] == "cancelled", str(result["query-migrate"]))
    states = [e["data"]["status"] for e in result["events"] if e["event"] == "MIGRATION"]
    check(states[-2:] == ["cancelling", "cancelled"], str(states))
    check(place.memory("source") == place.original(), "the guest's memory has changed")
    expect_running(result)


ERRORS = [
    ("source", "tcp:127.0.0.1:1", 1, "Connection refused"),
    ("source", "unix:/nonexistent/socket", 1, "No such file or directory"),
    ("source", "file:/nonexistent/file", 1, "No such file or directory"),
    ("source", "fd:77", 1, "no such descriptor"),
    ("source", "exec:exit 3", 1, "ended with status 3"),
    ("source", "rdma:host:1", 1, "RDMA is not spoken here"),
    ("source", "tcp:nothing", 2, "byte 11: expected ':PORT' behind the host"),
    ("source", "smtp:nothing", 2, "byte 0: expected tcp:HOST:PORT"),
    ("dest", "unix:/nonexistent/socket", 4, "No such file or directory"),
    ("dest", "file:/nonexistent/file", 4, "No such file or directory"),
    ("dest", "exec:true", 1, "end of stream"),
    ("dest", "exec:echo nonsense", 1, "found"),
    ("dest", "exec:exit 5", 1, "ended with status 5"),
    ("dest", "tcp:no.such.host.invalid:1", 4, "cannot look up"),
]


def error(folder, command, uri, status, expected):
    place = Place(folder, "error", capabilities={"return-path": False})
    text = place.finish(place.start(command, uri), status)
    check(expected in text, f"{text!r} should tell of {expected!r}")


def no_way_back(folder):
    place = Place(folder, "back")
    text = place.finish(place.start("source", f"file:{place.path('out')}"), 1)
    check("return-path: this transport has no way back" in text, text)


def tests(folder):
    for on in (False, True):
        yield f"pair/return-path-{'on' if on else 'off'}", pair, folder, on
        yield f"killed/return-path-{'on' if on else 'off'}", killed_destination, folder, on
    for kind, on in (("file", False), ("exec", False), ("tcp", False), ("tcp", True)):
        yield f"virtual/{kind}{'/return-path' if on else ''}", virtual_equals_sim, folder, kind, on
    for name, answer, expected in ANSWERS:
        yield f"answer/{name}", bad_answer, folder, answer, expected
    for then in ("migrate-continue", "migrate_cancel"):
        yield f"paused/{then}", paused, folder, then
    for kind in ("sleeping", "blocked"):
        yield f"interrupted/{kind}", interrupted, folder, kind
    for command, uri, status, expected in ERRORS:
        yield f"error/{command} {uri}", error, folder, command, uri, status, expected
    yield "error/no-way-back", no_way_back, folder
    yield f"damage/{FLIPS}-flips", damaged, folder
    yield f"cut/{CUTS}-offsets", cut_anywhere, folder


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as everything:
        tap.main(("live/" + name, *row) for name, *row in tests(everything))
