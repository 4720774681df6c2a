#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""migbench source in postcopy with a preempt channel, to a destination that reads one channel only:
the other one goes on. And the pages of both channels are all pages, each once, with their bytes.

Nothing here depends on speed: what isn't read is full sooner or later, and stays so.
"""
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402
from tap import Fail  # noqa: E402

MIGBENCH = os.environ["MIGBENCH"]
PATIENCE = 120
PAGE, SIZE = 4096, 32 << 20  # far more than sockets hold
ASKED = 1000  # pages at most; likewise
# A command that names pages to be dropped, and the last one of the package, which follows them.
DISCARD = re.compile(rb"\x08\x00\x06(..)\x00\x03ram\x00", re.DOTALL)
RUN = struct.pack(">BHH", 8, 5, 0)
LOADED = 0x42  # the package's last ping, 10.2 on
PART, END, COMMAND, FOOTER = 2, 3, 8, 0x7e
ZERO, NORMAL, EOS, CONTINUED = 2, 8, 16, 32


def check(condition, text):
    if not condition:
        raise Fail(text)


def scenario(folder, version):
    """Zeros, and pages of which each has its own counter; all are dirty again and again."""
    path = os.path.join(folder, "scenario.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"schema": "migbench-scenario-1", "qemu": version, "seed": 5, "limit": "100s", "guest": {
            "machine": "none",
            "ram": [{"name": "ram", "size": SIZE,
                     "content": [{"length": SIZE // 2, "kind": "repeated", "byte": 0x55}]}],
            "workload": [{"block": "ram", "length": SIZE, "pattern": "sequential", "rate": 20000,
                          "pace": "cpu", "write": "counter"}]},
            "capabilities": {"postcopy-ram": True, "postcopy-preempt": True},
            "parameters": {"max-bandwidth": 64 << 20, "downtime-limit": 1},
            "events": [{"after-pass": 1, "do": "migrate-start-postcopy"}]}, file)
    return path


class Channel:
    """What a source sends: bytes when they are wanted, never ahead."""

    def __init__(self, listener):
        self.socket = listener.accept()[0]
        self.socket.settimeout(PATIENCE)
        self.buffer = bytearray()
        self.last = None  # block of the last page

    def take(self, n):
        while len(self.buffer) < n:
            self.more()
        taken = bytes(self.buffer[:n])
        del self.buffer[:n]
        return taken

    def more(self):
        got = self.socket.recv(1 << 16)
        check(got, "the source hung up")
        self.buffer += got

    def start_of_postcopy(self):
        """Reads up to it; the ranges that are still to come, [(first page, pages)]."""
        first, end, left = None, -1, []
        while end < 0:
            seen = max(0, len(self.buffer) - 64)
            self.more()
            first = first or DISCARD.search(self.buffer, seen)
            end = self.buffer.find(RUN, first.end()) if first else -1
        for found in DISCARD.finditer(self.buffer, first.start(), end):
            ranges = self.buffer[found.end():][:int.from_bytes(found[1], "big") - 6]
            left += [(at // PAGE, length // PAGE) for at, length in struct.iter_unpack(">QQ", ranges)]
        self.take(end + len(RUN))
        return left

    def say(self, kind, payload):
        self.socket.sendall(struct.pack(">HH", kind, len(payload)) + payload)

    def ask(self, page, count=1):
        self.say(3, struct.pack(">QI", page * PAGE, count * PAGE) + b"\x03ram")

    def page(self):
        """(number, bytes) of the next page; None at the end of a section."""
        word, = struct.unpack(">Q", self.take(8))
        flags = word % PAGE
        if flags == EOS:
            return None
        if not flags & CONTINUED:
            self.last = self.take(self.take(1)[0])
        check(self.last == b"ram" and flags & ~CONTINUED in (ZERO, NORMAL), f"a page's header is {word:x}")
        return word // PAGE, self.take(1) * PAGE if flags & ZERO else self.take(PAGE)

    def sections(self):
        """The pages of all sections, up to the end of the last one."""
        kind = PART
        while kind != END:
            kind = self.take(1)[0]
            if kind == COMMAND:
                self.take(struct.unpack(">HH", self.take(4))[1])
                continue
            check(kind in (PART, END), f"a section begins with {kind}")
            self.take(4)
            yield from iter(self.page, None)
            check(self.take(5)[0] == FOOTER, "a section has no footer")


class Pair:
    """A source, and its two channels from the moment on at which the guest would run here."""

    def __init__(self, folder, version):
        self.dump, wire = os.path.join(folder, "dump"), os.path.join(folder, "wire")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(wire)
        listener.listen()
        listener.settimeout(PATIENCE)
        self.source = subprocess.Popen([MIGBENCH, "source", "--scenario", scenario(folder, version), "--uri",
                                        f"unix:{wire}", "--dump", f"ram={self.dump}"], text=True,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT)
        self.main = Channel(listener)
        self.main.say(2, struct.pack(">I", 1))  # a pong: it may open the other one
        ranges = self.main.start_of_postcopy()
        self.left = sum(count for _, count in ranges)
        first, count = max(ranges, key=lambda r: r[1])
        self.asked = range(first + count - min(count, ASKED), first + count)  # of the longest one the last
        self.preempt = Channel(listener)
        self.main.say(2, struct.pack(">I", LOADED))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.source.poll() is None:
            self.source.kill()
        self.source.communicate()
        self.main.socket.close()
        self.preempt.socket.close()

    def finish(self, got):
        """The background and what is left on the other channel, beside what was |got|."""
        got = got + list(self.main.sections())
        got += [self.preempt.page() for _ in range(self.left - len(got))]
        self.main.say(1, struct.pack(">I", 0))
        out = self.source.communicate(timeout=PATIENCE)[0]
        check(self.source.returncode == 0, f"exit status {self.source.returncode}\n{out}")
        with open(self.dump, "rb") as file:
            memory = file.read()
        check(len({number for number, _ in got}) == self.left == len(got),
              f"{len(got)} pages came, {self.left} were to come, each once")
        for number, content in got:
            check(memory[number * PAGE:(number + 1) * PAGE] == content, f"page {number} has other bytes")


def main_stands_still(folder, version):
    """Nobody reads the main channel: what is asked for comes all the same, one by one."""
    with Pair(folder, version) as p:
        got = []
        for page in reversed(p.asked):
            p.main.ask(page)
            got.append(p.preempt.page())
            check(got[-1][0] == page, f"page {got[-1][0]} came, {page} was asked for")
        p.finish(got)


def preempt_stands_still(folder, version):
    """Nobody reads the preempt channel: the background goes on to its end."""
    with Pair(folder, version) as p:
        p.main.ask(p.asked[0], len(p.asked))
        p.preempt.more()  # the first ones; a second look would make room
        p.finish([])


TESTS = [(f"{name}/{version}", function, version) for version in ("10.0", "11.1")
         for name, function in (("main-stands-still", main_stands_still),
                                ("preempt-stands-still", preempt_stands_still))]


def in_folder(function, *arguments):
    with tempfile.TemporaryDirectory() as folder:
        function(folder, *arguments)


if __name__ == "__main__":
    tap.main(("/command/postcopy-channels/" + name, in_folder, *row) for name, *row in TESTS)
