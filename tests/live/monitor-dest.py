#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The monitor of a destination answers as real QEMU's does (-incoming defer): one script goes to
both, and what they say is compared (transcript.py says what of it). The test itself is the source:
it sends a stream that a QEMU of that version has written, as far as a script wants."""
import json
import os
import socket
import sys

import peer
from transcript import MEMORY, Both, Real, exact


def record(version, space):
    """What a running QEMU of that version sends."""
    path = os.path.join(space.files, f"stream-{version}")
    side = Real(version, space)
    try:
        side.message()
        for command, arguments in (
                ("qmp_capabilities", {}),
                ("migrate-set-capabilities",
                 {"capabilities": [{"capability": "events", "state": True}]}),
                ("migrate-set-parameters", {"max-bandwidth": 0}),
                ("migrate", {"uri": f"exec:cat >{path}"})):
            side.say(json.dumps({"execute": command, "arguments": arguments}))
        side.wait("completed")
        side.say('{"execute": "quit"}')
        side.process.wait(peer.PATIENCE)
    finally:
        side.close()
    return peer.read(path)


class Incoming(Both):
    """Two destinations, and a source for each."""

    def __init__(self, version, space, stream):
        super().__init__("dest", version, space)
        self.stream = stream
        self.sources = []

    def __exit__(self, *args):
        for source in self.sources:
            source.close()
        super().__exit__(*args)

    def begin(self, **more):
        self.run("qmp_capabilities")
        self.capability("events")
        self.each("migrate-incoming", lambda side: {"uri": "unix:" + side.listener, **more})

    def connect(self):
        for side in self.sides:
            source = socket.socket(socket.AF_UNIX)
            source.settimeout(peer.PATIENCE)
            source.connect(side.listener)
            self.sources.append(source)

    def feed(self, data):
        for source in self.sources:
            source.sendall(data)

    def leave(self):
        for source in self.sources:
            source.close()
        self.sources = []

    def end(self, told=False):
        """Both programs end; by themselves with the same status. (When it was |told| to, QEMU's is 0
        whatever has become of the migration; ours says that.)"""
        for side in self.sides:
            self.take(side, side.until(lambda m: False))
        states = [side.process.wait(peer.PATIENCE) for side in self.sides]
        if not told:
            self.compare("exit status", *states)


BEFORE = [
    ("query-status", {}), ("query-migrate", {}), ("cont", {}), ("stop", {}), ("cont", {}),
    ("migrate", {"uri": "exec:cat >/dev/null"}), ("migrate_cancel", {}),
    ("migrate-incoming", {}), ("migrate-incoming", {"uri": 5}),
    ("migrate-incoming", {"uri": "foo:1"}), ("migrate-incoming", {"uri": "exec:cat", "x": 1}),
    ("migrate-incoming", {"uri": "unix:/nonexistent/folder/socket"}),
    ("migrate-incoming", {"channels": []}), ("migrate-incoming", {"channels": 5}),
    ("migrate-incoming", {"channels": [{"channel-type": "main"}]}),
    ("migrate-incoming", {"channels": [{"channel-type": "main", "addr": {"transport": "x"}}]}),
    ("migrate-incoming", {"channels": [{"channel-type": "main",
                                        "addr": {"transport": "socket", "type": "unix"}}]}),
    ("migrate-recover", {"uri": "tcp:127.0.0.1:0"}), ("migrate-pause", {}),
    ("migrate-continue", {"state": "pre-switchover"}), ("migrate-start-postcopy", {}),
]

ONCE_SET_UP = [
    ("query-status", {}), ("query-migrate", {}), ("migrate-incoming", {"uri": "tcp:127.0.0.1:0"}),
    ("migrate", {"uri": "exec:cat >/dev/null"}), ("migrate_cancel", {}), ("migrate-pause", {}),
    ("migrate-continue", {"state": "setup"}), ("migrate-start-postcopy", {}),
    ("migrate-recover", {"uri": "tcp:127.0.0.1:0"}),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "multifd", "state": True}]}),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "multifd", "state": False}]}),
    ("migrate-set-parameters", {"multifd-channels": 3}),
]

LOADED = [
    ("query-migrate", {}), ("query-status", {}), ("stop", {}), ("query-status", {}), ("cont", {}),
    ("migrate_cancel", {}), ("migrate-incoming", {"uri": "tcp:127.0.0.1:0"}), ("migrate-pause", {}),
    ("migrate-recover", {"uri": "tcp:127.0.0.1:0"}),
]


def say_all(both, rows):
    for command, arguments in rows:
        both.run(command, **{k.replace("-", "_"): v for k, v in arguments.items()})


def refuses(both):
    both.run("qmp_capabilities")
    both.capability("events")
    say_all(both, BEFORE)
    both.run("query-migrate-parameters", exact)
    both.run("query-migrate-capabilities", exact)
    for line in ("info migrate", "info status", "migrate_incoming foo:1", "migrate_pause",
                 "migrate_recover tcp:127.0.0.1:0"):
        both.hmp(line)
    both.run("quit")
    both.end(told=True)


def loads(both):
    both.begin()
    say_all(both, ONCE_SET_UP)
    both.connect()
    both.feed(both.stream[:100000])
    both.wait("active")
    say_all(both, ONCE_SET_UP[:-3])
    both.feed(both.stream[100000:])
    both.wait("completed")
    say_all(both, LOADED)
    both.run("quit")
    both.end()


def loads_paused(both):
    """stop before the guest has come."""
    both.begin()
    both.run("stop")
    both.connect()
    both.feed(both.stream)
    both.wait("completed")
    both.run("query-status")
    both.run("cont")
    both.run("query-status")


def without_events(both):
    both.run("qmp_capabilities")
    both.each("migrate-incoming", lambda side: {"uri": "unix:" + side.listener})
    both.run("query-migrate")


def fails(both):
    """The process ends with it."""
    both.begin()
    both.connect()
    both.feed(both.stream[:100000])
    both.wait("active")
    both.leave()
    both.end()


def fails_at_once(both):
    """It begins well. (Where a stream does not begin as one, 11.1 fails without being active.)"""
    both.begin()
    both.connect()
    both.feed(both.stream[:8] + b"GET / HTTP/1.0\r\n\r\n" * 4)
    both.leave()
    both.end()


def stays(both):
    """exit-on-error=false, from 9.1 on."""
    if both.version < (9, 1):
        raise peer.Skip("it has no exit-on-error")
    both.begin(**{"exit-on-error": False})
    both.connect()
    both.feed(both.stream[:100000])
    both.wait("active")
    both.leave()
    both.wait("failed")
    both.run("query-migrate")
    both.run("query-status")
    both.run("cont")
    both.each("migrate-incoming", lambda side: {"uri": "unix:" + side.listener})
    both.hmp("info migrate")
    both.run("quit")
    both.end(told=True)


def over_tcp(both):
    """What the address is shown as; the port is one of the machine's."""
    both.run("qmp_capabilities")
    both.run("migrate-incoming", uri="tcp:127.0.0.1:0")
    both.run("query-migrate")


def by_channels(both):
    if both.version < (8, 2):
        raise peer.Skip("it knows no channels")
    both.run("qmp_capabilities")
    both.capability("events")
    both.each("migrate-incoming", lambda side: {"channels": [
        {"channel-type": "main",
         "addr": {"transport": "socket", "type": "unix", "path": side.listener}}]})
    both.run("query-migrate")
    both.connect()
    both.feed(both.stream)
    both.wait("completed")


def memory_saved(both):
    """What pmemsave writes afterwards is what the source had."""
    both.begin()
    both.connect()
    both.feed(both.stream)
    both.wait("completed")
    both.each("pmemsave", lambda side: {"val": 0, "size": MEMORY, "filename": side.listener + ".mem"})
    peer.expect_equal_memory("pmemsave", peer.read(both.sides[1].listener + ".mem"),
                             peer.read(both.sides[0].listener + ".mem"))


SCRIPTS = {"refuses": refuses, "loads": loads, "loads-paused": loads_paused,
           "without-events": without_events, "fails": fails, "fails-at-once": fails_at_once,
           "stays": stays, "over-tcp": over_tcp, "by-channels": by_channels,
           "memory-saved": memory_saved}


def alike(version, script, space, streams):
    peer.path_of(version)
    if version not in streams:
        streams[version] = record(version, space)
    with Incoming(version, space, streams[version]) as both:
        SCRIPTS[script](both)
        return both.verdict()


def main():
    tap = peer.Tap()
    streams = {}
    with peer.Workspace() as space:
        for version in peer.VERSIONS:
            for script in SCRIPTS:
                tap.run(f"/live/monitor/dest/{script}/{version}", alike, version, script, space,
                        streams)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
