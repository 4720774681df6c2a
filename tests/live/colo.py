#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""COLO's initial migration with real QEMU at the other end: both ends come to the status colo with
equal memory, and what we don't do then (checkpoints) ends it clearly.
"""
import os
import sys

import ends
import peer

BLOCKS = [("ram", 16 * ends.MIB)]


def capabilities(version):
    return ["x-colo", *(["return-path"] if version == "11.1" else [])]


def ours(version, space, content):
    ram = [{"name": name, "size": size, "content": content} for name, size in BLOCKS]
    return ends.save(os.path.join(space.files, "scenario.json"), {
        "schema": "migbench-scenario-1", "qemu": version,
        "guest": {"machine": "none", "ram": ram},
        "capabilities": {name: True for name in capabilities(version)}, "limit": "60s"})


def has_colo(qemu, version):
    """A QEMU can be built without."""
    try:
        qemu.set_capabilities(capabilities(version))
    except peer.qemu.QemuError as reason:
        raise peer.Skip(f"this QEMU has no COLO: {reason}") from None


def source(version, space):
    peer.path_of(version)
    file = ours(version, space, [{"length": "8M", "kind": "random"}])
    result, dump = (os.path.join(space.files, f) for f in ("result.json", "dump"))
    argv = peer.machine_argv("none", BLOCKS, space.memory) + ["-incoming", "defer"]
    with ends.Wire("unix", space.files) as wire, peer.Peer(version, argv) as qemu:
        has_colo(qemu, version)
        qemu.set_capabilities(["events", *capabilities(version)])
        qemu.qmp("migrate-incoming", uri=wire.dest)
        with ends.Program("source", "--scenario", file, "--result", result, "--dump", f"ram={dump}",
                          "--uri", wire.source) as program:
            program.finish()
        qemu.wait_migration("colo", bad=("completed", "failed"))
        peer.expect_equal_memory(f"QEMU {version}", peer.read(os.path.join(space.memory, "ram")),
                                 peer.read(dump))
    outcome = ends.load(result)
    log = [e.get("data", {}).get("status", e["event"]) for e in outcome["events"]]
    if log[-4:] != ["colo", "RESUME", "COLO_EXIT", "completed"]:
        raise peer.Fail(f"{log}")


def dest(version, space):
    peer.path_of(version)
    file = ours(version, space, [])
    dump = os.path.join(space.files, "dump")
    with open(os.path.join(space.memory, "ram"), "wb") as memory:
        memory.write(os.urandom(8 * ends.MIB))
        memory.truncate(BLOCKS[0][1])
    with peer.Peer(version, peer.machine_argv("none", BLOCKS, space.memory)) as qemu, \
            ends.Program("dest", "--scenario", file, "--dump", f"ram={dump}", "--uri",
                         f"unix:{os.path.join(space.files, 'dest')}") as program:
        has_colo(qemu, version)
        qemu.set_capabilities(["events", *capabilities(version)])
        qemu.qmp("migrate", uri=program.listening())
        qemu.wait_migration("colo")
        program.finish()
        peer.expect_equal_memory(f"from QEMU {version}", peer.read(dump),
                                 peer.read(os.path.join(space.memory, "ram")))


def main():
    tap = peer.Tap()
    with peer.Workspace() as space:
        for version in peer.VERSIONS:
            tap.run(f"/live/colo/{version}/source", source, version, space)
            tap.run(f"/live/colo/{version}/dest", dest, version, space)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
