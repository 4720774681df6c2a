#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""switchover-ack with real QEMU at the other end, both ways.

Up to the machine types of 11.0 a destination without a device that wants to be asked acknowledges
at once; we can be late, or silent, and QEMU then goes on iterating, as we do when it is silent.
From 11.1 on each device acknowledges for itself and the source counts them: these QEMUs have none,
so nobody says or waits for anything, unless our scenario has one.
"""
import os
import sys
import time

import dest
import ends
import peer

MACHINES = (("10.0", "none", False), ("11.1", "pc-i440fx-11.0", False), ("11.1", "none", True))
SIZE = 16 * ends.MIB
CAPABILITIES = ("return-path", "switchover-ack")
ENOUGH = 30  # syncs without a switchover


def blocks_of(machine):
    return [("ram" if machine == "none" else "pc.ram", SIZE)]


def ours(version, machine, space, acks=(), ram=None, **more):
    random = [{"length": SIZE // 2, "kind": "random"}]
    ram = ram or [{"name": name, "size": size, "content": random}
                  for name, size in blocks_of(machine)]
    guest = {"machine": machine, "ram": ram, "switchover-acks": list(acks)}
    return ends.save(os.path.join(space.files, "scenario.json"),
                     {"schema": "migbench-scenario-1", "qemu": version, "guest": guest,
                      "capabilities": {name: True for name in CAPABILITIES}, "limit": "60s"} | more)


def happened(outcome):
    return [e.get("data", {}).get("status", e["event"]) for e in outcome["events"]]


def source(version, machine, capabilities, acks, events, status, space):
    peer.path_of(version)
    file = ours(version, machine, space, acks, events=events)
    result = os.path.join(space.files, "result.json")
    argv = peer.machine_argv(machine, blocks_of(machine), space.memory) + ["-incoming", "defer"]
    with ends.Wire("unix", space.files) as wire, peer.Peer(version, argv) as qemu:
        qemu.set_capabilities(["events", *capabilities])
        qemu.qmp("migrate-incoming", uri=wire.dest)
        with ends.Program("source", "--scenario", file, "--result", result,
                          "--uri", wire.source) as program:
            program.finish(0 if status == "completed" else 1)
        if status == "completed":
            qemu.wait_migration("completed")
    outcome = ends.load(result)
    if outcome["query-migrate"]["status"] != status:
        raise peer.Fail(f"{outcome['query-migrate']}")
    return happened(outcome), len(outcome["passes"])


def source_asks(version, machine, counts, space):
    log, _ = source(version, machine, CAPABILITIES, [], [], "completed", space)
    if log.count("x-switchover-ack") != (0 if counts else 1):
        raise peer.Fail(f"{log}")
    if not counts and log.index("x-switchover-ack") > log.index("STOP"):
        raise peer.Fail(f"{log}")


def source_waits(version, machine, counts, space):
    """QEMU never says so, for want of the capability or of the device: we go on, and can be
    cancelled."""
    log, passes = source(version, machine, CAPABILITIES if counts else ("return-path",),
                         [{"device": "ours"}] if counts else [],
                         [{"after-pass": ENOUGH, "do": "migrate_cancel"}], "cancelled", space)
    if "x-switchover-ack" in log or "STOP" in log or passes <= ENOUGH:
        raise peer.Fail(f"{passes} passes, {log}")
    return [f"{passes} passes, guest never stopped"]


class Dest:
    """QEMU that migrates to our destination whose devices acknowledge as |acks| say."""

    def __init__(self, version, machine, acks, space):
        peer.path_of(version)
        self.qemu = peer.Peer(version, peer.machine_argv(machine, blocks_of(machine), space.memory))
        ram = None
        if machine != "none":
            ram = [{"name": name, "size": used} | ({"max-size": most} if most > used else {})
                   for name, used, most in dest.ram_blocks(self.qemu)]
        file = ours(version, machine, space, acks, ram)
        self.program = ends.Program("dest", "--scenario", file, "--uri",
                                    f"unix:{os.path.join(space.files, 'dest')}")

    def __enter__(self):
        self.qemu.__enter__()
        self.program.__enter__()
        self.qemu.set_capabilities(["events", *CAPABILITIES])
        self.qemu.qmp("cont")  # a guest that stands still would not wait
        self.qemu.qmp("migrate", uri=self.program.listening())
        return self

    def __exit__(self, *how):
        self.program.__exit__(*how)
        self.qemu.__exit__(*how)


def dest_says_so(version, machine, acks, space):
    """|acks|: of our devices; each has its time."""
    with Dest(version, machine, acks, space) as d:
        d.qemu.wait_migration("completed")
        status = d.qemu.status()
        d.program.finish()
    # How soon the acknowledgement of a destination without such devices comes is up to the machine.
    if acks and status["ram"]["dirty-sync-count"] <= ENOUGH:
        raise peer.Fail(f"dirty-sync-count {status['ram']['dirty-sync-count']}")
    return [f"dirty-sync-count {status['ram']['dirty-sync-count']}, {status['total-time']} ms"]


def dest_is_silent(version, machine, space):
    with Dest(version, machine, [{"device": "a", "at": "10ms"}, {"device": "b"}], space) as d:
        end = time.monotonic() + peer.PATIENCE
        while d.qemu.status().get("ram", {}).get("dirty-sync-count", 0) <= ENOUGH:
            if time.monotonic() > end:
                raise peer.Fail(f"QEMU doesn't go on: {d.qemu.status()}")
            time.sleep(0.02)
        if (d.qemu.status()["status"] != "active"
                or d.qemu.qmp("query-status")["status"] != "running"):
            raise peer.Fail(f"{d.qemu.status()}")
        d.qemu.qmp("migrate_cancel")
        d.qemu.wait_migration("cancelled", bad=("failed", "completed"))
        d.program.finish(1)


def main():
    tap = peer.Tap()
    late = [{"device": "a", "at": "300ms"}, {"device": "b", "at": "700ms"}]
    with peer.Workspace() as space:
        for version, machine, counts in MACHINES:
            name = f"/live/switchover-ack/{version}/{machine}"
            tap.run(f"{name}/source/asks", source_asks, version, machine, counts, space)
            tap.run(f"{name}/source/waits", source_waits, version, machine, counts, space)
            tap.run(f"{name}/dest/at-once", dest_says_so, version, machine, [], space)
            if not counts:
                tap.run(f"{name}/dest/late", dest_says_so, version, machine, late, space)
                tap.run(f"{name}/dest/silent", dest_is_silent, version, machine, space)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
