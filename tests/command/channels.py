#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Multifd in bad company: channels that come in any order, break, stay away or say nonsense; ends
that are killed or told to stop while all channels are full. No QEMU needed."""
import os
import random
import selectors
import signal
import socket
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import live  # noqa: E402
import tap  # noqa: E402
from live import Place, check, expect_running  # noqa: E402
from tap import Skip  # noqa: E402

CUTS = 20  # of each kind
MULTIFD = {"return-path": True, "multifd": True}


def place_of(folder, name, channels, compression="none", **more):
    limits = {"multifd-channels": channels, "multifd-compression": compression}
    limits.update(more.pop("parameters", {}))
    return Place(folder, name, capabilities=MULTIFD | more.pop("capabilities", {}),
                 parameters=limits, **more)


class Relay(threading.Thread):
    """Between a source and a destination: takes |count| connections, opens as many, in the order of
    |order|, and passes bytes on; cuts `victims` (all: None) behind |limit| bytes."""

    def __init__(self, place, count, order=None, limit=None, victims=None):
        super().__init__()
        self.listener = socket.socket(socket.AF_UNIX)
        self.path = place.path("between")
        self.listener.bind(self.path)
        self.listener.listen(count)
        self.target, self.count, self.limit = place.socket, count, limit
        self.order = order or range(count)
        self.victims = range(count) if victims is None else victims
        self.passed = 0
        self.stop = False

    def run(self):
        pairs = [[self.accept(), None] for _ in range(self.count)]
        if None in (source for source, _ in pairs):
            return
        for index in self.order:
            pairs[index][1] = socket.socket(socket.AF_UNIX)
            pairs[index][1].connect(self.target)
        try:
            self.pass_on(pairs)
        finally:
            for one in (s for pair in pairs for s in pair):
                one.close()

    def accept(self):
        self.listener.settimeout(live.PATIENCE)
        try:
            return self.listener.accept()[0]
        except OSError:
            return None

    def pass_on(self, pairs):
        selector = selectors.DefaultSelector()
        for index, (source, dest) in enumerate(pairs):
            selector.register(source, selectors.EVENT_READ, (index, dest, True))
            selector.register(dest, selectors.EVENT_READ, (index, source, False))
        while selector.get_map() and not self.stop:
            for key, _ in selector.select(0.2):
                index, other, counts = key.data
                if not self.pump(key.fileobj, other, counts):
                    selector.unregister(key.fileobj)
            if self.limit is not None and self.passed >= self.limit:
                for index in self.victims:
                    for one in pairs[index]:
                        try:
                            one.shutdown(socket.SHUT_RDWR)
                        except OSError:
                            pass
                self.limit = None

    def pump(self, one, other, counts):
        room = 65536 if self.limit is None or not counts else min(65536, self.limit - self.passed)
        try:
            piece = one.recv(max(room, 1))
            other.sendall(piece)
        except OSError:
            piece = b""
        if not piece:
            try:
                other.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        self.passed += len(piece) if counts else 0
        return bool(piece)

    def close(self):
        self.stop = True
        self.listener.close()
        self.join()
        os.unlink(self.path)


def any_order(folder, version, order):
    place = place_of(folder, "order", 3, qemu=version)
    dest = place.listen()
    relay = Relay(place, 4, order)
    relay.start()
    source = place.start("source", f"unix:{relay.path}")
    place.finish(source, 0)
    place.finish(dest, 0)
    relay.close()
    check(place.memory("source") == place.memory("dest"), "memory differs")
    place.result("dest")


def cut(folder, version, channels, compression, one):
    """Whatever was on its way, both ends say the same and nothing hangs; the guest has lost nothing."""
    place = place_of(folder, "cut", channels, compression, qemu=version)
    dest = place.listen()
    place.finish(place.start("source", f"unix:{place.socket}"), 0)
    place.finish(dest, 0)
    loaded = place.result("dest")["destination"]
    total = loaded["bytes"] + loaded["multifd-bytes"]
    original, numbers = place.original(), random.Random(channels)
    for _ in range(CUTS):
        limit = numbers.randrange(100 * (channels + 1), total)
        victims = [numbers.randrange(channels + 1)] if one else None
        where = f"cut of {victims or 'all'} at {limit}"
        dest = place.listen()
        relay = Relay(place, channels + 1, limit=limit, victims=victims)
        relay.start()
        source = place.start("source", f"unix:{relay.path}")
        # A channel that had nothing more to say may go unnoticed.
        text = [p.communicate(timeout=live.PATIENCE) for p in (source, dest)]
        relay.close()
        early = dest.returncode == 4 and "a connection begins with its end" in text[1][1]
        codes = {source.returncode, 1 if early else dest.returncode}
        check(codes == {1} or (one and codes == {0}), f"{where}: exit status {codes}: {text}")
        result = place.result("source")
        want = "failed" if codes == {1} else "completed"
        check(result["query-migrate"]["status"] == want, f"{where}: {result['query-migrate']}")
        check(early or codes == {0} or place.result("dest")["query-migrate"].get("error-desc"),
              f"{where}: no reason")
        check(place.memory("source") == original, f"{where}: the memory has changed")
        if codes == {1}:
            expect_running(result)


def killed(folder, state):
    """The destination dies while the source is in |state|."""
    pause = {"pause-before-switchover": True} if state == "pre-switchover" else {}
    place = place_of(folder, "killed", 2, capabilities=pause,
                     parameters={"max-bandwidth": 5000000 if state == "active" else 0})
    dest = place.listen()
    if state == "setup":
        dest.send_signal(signal.SIGSTOP)  # it accepts nobody: the backlog does
    source = place.start("source", f"unix:{place.socket}")
    while live.count_sockets(source.pid) < 3 and source.poll() is None:
        pass
    if state == "pre-switchover":
        while live.count_sockets(dest.pid) < 3 and dest.poll() is None:
            pass
        threading.Event().wait(0.5)
    dest.kill()
    dest.communicate()
    place.finish(source, 1)
    result = place.result("source")
    check(result["query-migrate"]["status"] == "failed", str(result["query-migrate"]))
    check(place.memory("source") == place.original(), "the guest's memory has changed")
    expect_running(result)


def told_to_stop(folder, state, channels):
    """SIGINT while the source connects, sleeps, stands still or is blocked by full channels."""
    rate = {"sleeping": 1000000}.get(state, 0)
    place = place_of(folder, "stop", channels, parameters={"max-bandwidth": rate},
                     capabilities={"pause-before-switchover": state == "pre-switchover"})
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(place.socket)
        server.listen(channels if state != "connecting" else 0)
        source = place.start("source", f"unix:{place.socket}")
        connections = []
        if state != "connecting":
            connections = [server.accept()[0] for _ in range(channels + 1)]
            connections[1].recv(64)
        if state == "pre-switchover":
            for one in connections:
                threading.Thread(target=live.drain, args=(one,), daemon=True).start()
        threading.Event().wait(0.3)
        source.send_signal(signal.SIGINT)
        place.finish(source, 1)
        for one in connections:
            one.close()
    result = place.result("source")
    check(result["query-migrate"]["status"] == "cancelled", str(result["query-migrate"]))
    check(place.memory("source") == place.original(), "the guest's memory has changed")
    expect_running(result)


def init(number, magic=0x11223344, version=1):
    return magic.to_bytes(4, "big") + version.to_bytes(4, "big") + bytes(16) + bytes([number]) + bytes(39)


COMPANY = [  # what connects to a 10.1 destination of two channels, and what it says of that
    ("id-twice", [b"QEVM", init(1), init(1)], "a channel that nobody else is"),
    ("id-too-high", [b"QEVM", init(0), init(2)], "a channel below multifd-channels"),
    ("version", [b"QEVM", init(0), init(1, version=2)], "multifd"),
    ("magic", [b"QEVM", b"GET / HTTP/1.0\r\n"], "a connection begins with 47455420"),
    ("two-mains", [b"QEVM", b"QEVM"], "the main channel is there"),
    ("three-channels", [init(0), init(1), init(2)], "all multifd channels are there"),
    ("nothing", [b""], "with its end"),
    ("two-bytes", [b"QE"], "with its end"),
    ("a-packet-first", [b"QEVM", init(0), init(1)[:8] + bytes(1400)], "multifd"),
]


def company(folder, streams, expected):
    place = place_of(folder, "company", 2, qemu="10.1")
    dest = place.listen()
    connections = []
    for stream in streams:
        one = socket.socket(socket.AF_UNIX)
        one.connect(place.socket)
        one.sendall(stream)
        connections.append(one)
    if len(streams) < 3:
        connections[-1].shutdown(socket.SHUT_WR)
    status = 4 if expected.startswith(("a connection", "with its", "the main", "all multi")) else 1
    text = place.finish(dest, status)
    for one in connections:
        one.close()
    check(expected in text, f"{text!r} should tell of {expected!r}")


def never_complete(folder, come):
    """A channel that doesn't come, or says nothing, keeps it waiting; a signal ends that."""
    place = place_of(folder, "waiting", 2, qemu="10.1")
    dest = place.listen()
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
        one.connect(place.socket)
        one.sendall(b"QEVM")
        if come:
            two.connect(place.socket)
        while live.count_sockets(dest.pid) < 2 + come:
            pass
        dest.send_signal(signal.SIGINT)
        text = place.finish(dest, 4)
    check("interrupted" in text, text)


def damaged(folder, compression):
    """Bytes of channels are flipped on their way: the destination loads it or says why not."""
    place = place_of(folder, "damaged", 1, compression)
    numbers = random.Random(11)
    refused = 0
    for _ in range(20):
        dest = place.listen()
        relay = Flipping(place, numbers)
        relay.start()
        source = place.start("source", f"unix:{relay.path}")
        text = [p.communicate(timeout=live.PATIENCE) for p in (source, dest)]
        relay.close()
        check(source.returncode == dest.returncode and dest.returncode in (0, 1),
              f"byte {relay.where}: {source.returncode}, {dest.returncode}: {text}")
        refused += dest.returncode
        check(not dest.returncode or place.result("dest")["query-migrate"]["error-desc"],
              "no reason")
        if dest.returncode:
            expect_running(place.result("source"))
    check(refused, "none was refused")


class Flipping(Relay):
    """Passes everything on but for one bit of the first packets of channel 1."""

    def __init__(self, place, numbers):
        super().__init__(place, 2)
        self.where, self.bit = numbers.randrange(4500), 1 << numbers.randrange(8)
        self.seen, self.first = 0, None

    def pump(self, one, other, counts):
        try:
            piece = bytearray(one.recv(65536))
            if counts and self.first in (None, one) and piece[:4] != b"QEVM":
                self.first = one
                if self.seen <= self.where < self.seen + len(piece):
                    piece[self.where - self.seen] ^= self.bit
                self.seen += len(piece)
            other.sendall(piece)
        except OSError:
            piece = b""
        if not piece:
            try:
                other.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        return bool(piece)


ERRORS = [
    ("exec:cat", "can be opened only once"),
    ("file:/nonexistent/x", "can be opened only once"),
    ("rdma:host:1", "can be opened only once"),
]


def error(folder, command, uri, expected):
    place = place_of(folder, "error", 2)
    text = place.finish(place.start(command, uri), 2)
    check(expected in text, f"{text!r} should tell of {expected!r}")


def one_listener(folder):
    """Only the first channel gets through: the source ends, and so does the destination."""
    place = place_of(folder, "alone", 2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        source = place.start("source", f"tcp:127.0.0.1:{port}")
        first = server.accept()[0]
        server.close()
    first.close()
    place.finish(source, 1)
    check(place.result("source")["query-migrate"]["status"] == "failed", "it has not failed")


def transports(folder, uri):
    """Both ends over |uri|, a place of which the destination chooses the rest."""
    place = place_of(folder, "transport", 2)
    dest = place.start("dest", uri)
    line = dest.stderr.readline()
    if "cannot listen" in line or "cannot look up" in line:
        dest.communicate()
        raise Skip(f"{uri}: this machine can't: {line.strip()}")
    address = line.split(" ", 2)[2].strip()
    source = place.start("source", address)
    out = source.communicate(timeout=live.PATIENCE)
    if source.returncode == 1 and uri.startswith("vsock:"):
        dest.kill()
        dest.communicate()
        raise Skip(f"{uri}: no loopback: {out[1].strip()}")
    check(source.returncode == 0, f"source: {out}")
    place.finish(dest, 0)
    check(place.memory("source") == place.memory("dest"), "memory differs")


def tests(folder):
    for version, order in (("10.0", (1, 2, 3, 0)), ("10.0", (2, 0, 3, 1)), ("11.1", (3, 2, 1, 0)),
                           ("7.2", (0, 3, 1, 2))):
        yield f"order/{version}/{'-'.join(map(str, order))}", any_order, folder, version, order
    for name, streams, expected in COMPANY:
        yield f"company/{name}", company, folder, streams, expected
    for come in (False, True):
        yield f"waiting/{'silent' if come else 'absent'}", never_complete, folder, come
    for state in ("setup", "active", "pre-switchover"):
        yield f"killed/{state}", killed, folder, state
    for channels in (1, 8):
        for state in ("connecting", "sleeping", "blocked", "pre-switchover"):
            yield f"stopped/{state}/{channels}", told_to_stop, folder, state, channels
    for version, channels, compression in (("10.0", 2, "none"), ("7.2", 1, "none"),
                                           ("5.2", 8, "none"), ("11.1", 2, "zlib"),
                                           ("10.0", 8, "zstd")):
        for one in (False, True):
            title = f"{version}/{compression}/{channels}/{'one' if one else 'all'}"
            yield f"cut/{title}", cut, folder, version, channels, compression, one
    for compression in ("none", "zlib"):
        yield f"damage/{compression}", damaged, folder, compression
    for uri, expected in ERRORS:
        for command in ("source", "dest"):
            yield f"error/{command} {uri}", error, folder, command, uri, expected
    yield "error/one-listener", one_listener, folder
    for uri in ("tcp:[::1]:0", "tcp:localhost:0", "tcp:127.0.0.1:0,ipv4", "vsock:1:47921"):
        yield f"transport/{uri}", transports, folder, uri


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as everything:
        tap.main(("channels/" + name, *row) for name, *row in tests(everything))
