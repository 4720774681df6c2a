# SPDX-License-Identifier: Apache-2.0
"""A line between two ends of a migration, for tests: passes every connection on, as fast as it is
allowed to, and can break.

Little waits in it: it reads only what it may send on at once, so that what is urgent does not stand
behind a full line for longer than the bytes in the sockets take. A connection that is full keeps no
other waiting.
"""
import os
import select
import socket
import struct
import threading
import time

PIECE = 8192
TICK = 0.001  # seconds
PACKAGED = b"\x08\x00\x07\x00\x04"


class Line(threading.Thread):
    """From the unix socket |listen| to the one at |target|; |rate|: bytes per second forwards of all
    connections together, 0: no limit. |keep|: what passes is kept."""

    def __init__(self, listen, target, rate=0, keep=False):
        super().__init__(daemon=True)
        self.listen, self.target, self.rate, self.keep = listen, target, rate, keep
        self.pairs = []  # (source, destination)
        self.pending = {}  # end: what was read for it and did not fit
        self.kept = []   # of each connection, in order: [what went forwards, what came back]
        self.kept_of = {}
        self.halves = []
        self.passed = 0  # bytes forwards
        self.armed = None
        self.cuts = 0
        self.sought = self.began = None  # where postcopy began, in bytes
        self.tail = b""
        self.lock = threading.Lock()
        self.stopping = False
        if os.path.exists(listen):
            os.unlink(listen)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(listen)
        self.listener.listen(16)
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.join(10)
        for half in self.halves:
            half.join(10)
        self.drop()
        self.listener.close()
        os.unlink(self.listen)

    def cut_after(self, count):
        """Breaks every connection as soon as |count| more bytes have passed; the next ones are new."""
        with self.lock:
            self.armed = self.passed + count

    def cut_in_postcopy(self, count, rate=0):
        """The same, |count| bytes behind the package that lets the destination's guest run. From there
        on the line is limited to |rate|."""
        with self.lock:
            self.sought = (count, rate)

    def look_for_package(self, data):
        """08, be16 7, be16 4, be32 length: the command PACKAGED. Its length follows from what it is."""
        window = self.tail + data
        at = window.find(PACKAGED)
        self.tail = window[-(len(PACKAGED) + 3):]
        if 0 <= at <= len(window) - len(PACKAGED) - 4:
            length = struct.unpack_from(">I", window, at + len(PACKAGED))[0]
            if length < 1 << 24:
                (count, self.rate), self.sought = self.sought, None
                self.began = self.passed - (len(window) - at - len(PACKAGED) - 4) + length
                self.armed = self.began + count

    def drop(self):
        for pair in self.pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                end.close()
        self.pairs = []
        self.pending = {}

    def run(self):
        allowance, last = 0.0, time.monotonic()
        while not self.stopping:
            now = time.monotonic()
            if self.rate:
                allowance = min(allowance + (now - last) * self.rate, 4 * TICK * self.rate)
            last = now
            may = not self.rate or allowance > 0
            ends = {}
            for source, target in self.pairs:
                if may and target not in self.pending:
                    ends[source] = (target, True)
                if source not in self.pending:
                    ends[target] = (source, False)
            try:
                ready, fits, _ = select.select([self.listener, *ends], list(self.pending), [], TICK)
            except (OSError, ValueError):
                ready, fits = [], []
            for end in fits:
                self.send(end, self.pending.pop(end, b""))
            for end in ready:
                if end is self.listener:
                    self.accept()
                elif end.fileno() >= 0:
                    allowance -= self.move(end, *ends[end])
            if not may:
                time.sleep(TICK / 2)

    def accept(self):
        source, _ = self.listener.accept()
        target = socket.socket(socket.AF_UNIX)
        target.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)
        try:
            target.connect(self.target)
        except OSError:
            source.close()
            target.close()
            return
        self.pairs.append((source, target))
        self.kept.append([bytearray(), bytearray()])
        self.kept_of[source] = self.kept[-1][0]
        self.kept_of[target] = self.kept[-1][1]

    def send(self, end, data):
        try:
            sent = end.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.forget(end)
            return
        if sent < len(data):
            self.pending[end] = data[sent:]

    def move(self, end, other, forwards):
        with self.lock:
            limit = PIECE
            if forwards and self.armed is not None:
                limit = min(limit, self.armed - self.passed)
        try:
            data = end.recv(limit) if limit > 0 else b""
            if data:
                if self.keep:
                    self.kept_of[end] += data
                self.send(other, data)
            elif limit > 0:
                other.shutdown(socket.SHUT_WR)
                self.forget(end)
        except OSError:
            data = b""
            self.forget(end)
        if not forwards:
            return 0
        self.passed += len(data)
        with self.lock:
            if self.sought:
                self.look_for_package(data)
            if self.armed is not None and self.passed >= self.armed:
                self.armed = None
                self.drop()
                self.cuts += 1
        return len(data)

    def forget(self, end):
        """One half has ended; the pair goes when the other has, too, which a test does not wait for."""
        for pair in self.pairs:
            if end in pair:
                self.pairs.remove(pair)
                left = [self.pending.pop(e, b"") for e in pair]
                self.halves.append(threading.Thread(target=self.drain, args=(pair, end, left),
                                                    daemon=True))
                self.halves[-1].start()
                return

    def drain(self, pair, ended, left):
        """The other direction of a half-closed pair; |left|: what had no room, of each end."""
        end, other = pair if pair[1] is ended else (pair[1], pair[0])
        try:
            other.sendall(left[pair.index(other)])
            while True:
                data = end.recv(65536)
                if not data:
                    break
                self.kept_of[end] += data
                other.sendall(data)
        except OSError:
            pass
        for s in pair:
            s.close()
