# SPDX-License-Identifier: Apache-2.0
"""Stands between two QEMUs, passes every connection on, and keeps what went by.

A connection from the source is matched by one to the destination at once, so that both see the same order.
What passes is kept in chunks as they were received, with the time, and written as pcapng.
"""
import os
import selectors
import socket
import struct
import threading
import time

LINKTYPE_USER0 = 147


class Connection:
    def __init__(self, number, source, target, generation):
        self.number, self.generation = number, generation
        self.ends = {"forward": (source, target), "back": (target, source)}
        self.open = {"forward", "back"}
        self.first = b""
        self.role_taken = False

    def close(self):
        for s in self.ends["forward"]:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        self.open.clear()


class Relay(threading.Thread):
    """listen: path that the source migrates to; target: path that the destination listens on."""

    def __init__(self, listen, target):
        super().__init__(daemon=True)
        self.listen_path, self.target = listen, target
        self.generation = 1
        self.connections = []
        self.chunks = []             # (ns, connection, direction, bytes)
        self.lock = threading.Lock()
        self.selector = selectors.DefaultSelector()
        self.wake_read, self.wake_write = os.pipe()
        self.selector.register(self.wake_read, selectors.EVENT_READ, ("wake",))
        self.requests = []
        if os.path.exists(listen):
            os.unlink(listen)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(listen)
        self.listener.listen(16)
        self.selector.register(self.listener, selectors.EVENT_READ, ("accept",))
        self.stopping = False
        self.start()

    # from other threads
    def ask(self, what, *arguments):
        done = threading.Event()
        with self.lock:
            self.requests.append((what, arguments, done))
        os.write(self.wake_write, b"x")
        done.wait(10)

    def cut(self, target):
        """Breaks every connection; the next ones are a recovery and go to another address."""
        self.ask("cut", target)

    def stop(self):
        self.ask("stop")
        self.join(10)

    def total(self, direction):
        with self.lock:
            return sum(len(c[3]) for c in self.chunks if c[2] == direction)

    def bytes_of(self, name):
        """What has passed so far on a named channel, joined."""
        with self.lock:
            return b"".join(data for _, c, d, data in self.chunks
                            if channel_name(c, d) == name)

    # the thread
    def run(self):
        while not self.stopping:
            for key, _ in self.selector.select(1):
                what = key.data[0]
                if what == "wake":
                    os.read(self.wake_read, 100)
                    self.serve_requests()
                    break
                if what == "accept":
                    self.accept()
                else:
                    self.move(key.data[1], key.data[2])
        for connection in self.connections:
            self.drop(connection)
        self.listener.close()
        os.unlink(self.listen_path)

    def serve_requests(self):
        with self.lock:
            requests, self.requests = self.requests, []
        for what, arguments, done in requests:
            if what == "cut":
                for connection in self.connections:
                    self.drop(connection)
                self.generation += 1
                self.target = arguments[0]
            elif what == "stop":
                self.stopping = True
            done.set()

    def drop(self, connection):
        for direction in list(connection.open):
            self.forget(connection, direction)
        connection.close()

    def forget(self, connection, direction):
        connection.open.discard(direction)
        try:
            self.selector.unregister(connection.ends[direction][0])
        except (KeyError, ValueError):
            pass

    def accept(self):
        source, _ = self.listener.accept()
        target = socket.socket(socket.AF_UNIX)
        try:
            target.connect(self.target)
        except OSError:
            source.close()
            return
        connection = Connection(len(self.connections), source, target, self.generation)
        self.connections.append(connection)
        for direction, (reader, _) in connection.ends.items():
            self.selector.register(reader, selectors.EVENT_READ, ("move", connection, direction))

    def move(self, connection, direction):
        if direction not in connection.open:
            return
        reader, writer = connection.ends[direction]
        try:
            data = reader.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.forget(connection, direction)
            try:
                writer.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            return
        with self.lock:
            self.chunks.append((time.time_ns(), connection, direction, data))
            if direction == "forward" and len(connection.first) < 64:
                connection.first = (connection.first + data)[:64]
        try:
            writer.sendall(data)
        except OSError:
            pass


def channel_name(connection, direction):
    """Which channel is it? By its first bytes, and after a break by order: main, then preempt."""
    first = connection.first
    if first[:4] == b"QEVM":
        name = "main"
    elif first[:4] == b"\x11\x22\x33\x44":
        name = f"multifd{first[24]}" if len(first) > 24 else "multifd"
    elif connection.generation > 1 and not connection.role_taken:
        name = "main"
    else:
        name = "preempt"
    if direction == "back":
        name = "return" if name == "main" else f"{name}-return"
    if connection.generation > 1:
        name += f".{connection.generation}"
    return name


def option(code, value):
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def block(kind, body):
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def settle_roles(relay):
    """After a break the first connection of a generation is the main one."""
    seen = set()
    for connection in relay.connections:
        connection.role_taken = connection.generation in seen
        seen.add(connection.generation)


def pcapng(relay, comment):
    """(file contents, {channel: bytes}) of everything that was relayed."""
    settle_roles(relay)
    names, streams, packets = [], {}, []
    heard = {(chunk[1].number, chunk[2]) for chunk in relay.chunks}
    for connection in relay.connections:
        for direction in ("forward", "back"):
            name = channel_name(connection, direction)
            # Both halves of the main one are listed, if only to show that the return path was silent.
            if direction == "forward" or name.startswith("return") or (connection.number, direction) in heard:
                names.append(name)
                streams[name] = bytearray()
    for ns, connection, direction, data in relay.chunks:
        name = channel_name(connection, direction)
        streams[name] += data
        packets.append((ns, names.index(name), data))
    out = block(0x0a0d0d0a, struct.pack("<IHHq", 0x1a2b3c4d, 1, 0, -1) +
                option(1, comment.encode()) + option(4, b"migbench") + option(0, b""))
    for name in names:
        out += block(1, struct.pack("<HHI", LINKTYPE_USER0, 0, 0) + option(2, name.encode()) +
                     option(9, b"\x09") + option(0, b""))
    pieces = [out]
    for ns, interface, data in packets:
        pieces.append(block(6, struct.pack("<IIIII", interface, ns >> 32, ns & 0xffffffff, len(data),
                                           len(data)) + data + bytes(-len(data) % 4)))
    return b"".join(pieces), {name: bytes(streams[name]) for name in names}


def read_pcapng(data):
    """[(interface names)], [(ns, name, bytes)...]: the reader that goes with it, for checks."""
    at, names, packets = 0, [], []
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        body = data[at + 8:at + size - 4]
        if kind == 1:
            n = struct.unpack_from("<HH", body, 8)[1]
            names.append(body[12:12 + n].decode())
        elif kind == 6:
            interface, high, low, n, _ = struct.unpack_from("<IIIII", body)
            packets.append((high << 32 | low, names[interface], body[20:20 + n]))
        at += size
    return names, packets
