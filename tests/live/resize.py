#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real QEMU migrates a machine some of whose RAM blocks have another length than ours: where they
can be resized, our destination takes QEMU's; where they can't, it says so, and QEMU's guest stays.
"""
import os
import sys

import dest
import ends
import peer

BLOCKS = [("pc.ram", 16 * ends.MIB)]


def begin(version, space, change):
    """A QEMU, and a scenario whose blocks (name, used, most) were changed."""
    peer.path_of(version)
    machine = f"pc-i440fx-{version}"
    qemu = peer.Peer(version, peer.machine_argv(machine, BLOCKS, space.memory))
    theirs = dest.ram_blocks(qemu)
    file = os.path.join(space.files, "scenario.json")
    ends.save(file, dest.dest_scenario(version, machine, [change(*b) for b in theirs], ()))
    return qemu, file, theirs


def migrate(qemu, file, space, dumps, wanted, status):
    arguments = ["dest", "--scenario", file, "--uri", f"unix:{os.path.join(space.files, 'dest')}"]
    for name, path in dumps.items():
        arguments += ["--dump", f"{name}={path}"]
    with qemu, ends.Program(*arguments) as program:
        qemu.set_capabilities(["events"])
        qemu.qmp("migrate", uri=program.listening())
        qemu.wait_migration(wanted, bad=())
        return program.finish(status)


def follows(version, factor, space):
    def change(name, used, most):
        return name, max(4096, min(most, int(used * factor))) if most > used else used, most
    qemu, file, theirs = begin(version, space, change)
    resizable = [(name, used) for name, used, most in theirs if most > used]
    if not resizable:
        raise peer.Fail(f"no block can be resized: {theirs}")
    dumps = {name: os.path.join(space.files, f"dump-{n}") for n, (name, _) in enumerate(resizable)}
    migrate(qemu, file, space, dumps, "completed", 0)
    for name, used in resizable:
        if os.path.getsize(dumps[name]) != used:
            raise peer.Fail(f"{name}: {os.path.getsize(dumps[name])} bytes, QEMU has {used}")
    return [f"{', '.join(name for name, _ in resizable)}: times {1 / factor}"]


def refuses(version, space):
    def change(name, used, most):
        return (name, used // 2, used // 2) if name == "pc.ram" else (name, used, most)
    qemu, file, _ = begin(version, space, change)
    said = migrate(qemu, file, space, {}, "failed", 1)
    if "pc.ram" not in said:
        raise peer.Fail(said)


def main():
    tap = peer.Tap()
    with peer.Workspace() as space:
        for version in peer.VERSIONS:
            tap.run(f"/live/resize/{version}/grows", follows, version, 0.5, space)
            tap.run(f"/live/resize/{version}/shrinks", follows, version, 2, space)
            tap.run(f"/live/resize/{version}/refused", refuses, version, space)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
