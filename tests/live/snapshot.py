#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`migbench source` saves a background snapshot of a guest that writes all the time, and QEMU loads
it: its memory is the guest's of one instant, while the guest has gone on. (QEMU has the capability
since 6.0: 5.2 is not asked.)
"""
import os
import sys

import ends
import peer

VERSIONS = ("7.2", "10.0", "11.1")


def scenario(version, machine, blocks, capabilities):
    s = ends.scenario(version, machine, blocks, ("background-snapshot", *capabilities))
    s["parameters"] = {"max-bandwidth": 1000000}  # which a snapshot doesn't look at
    s["events"] = []
    for work in s["guest"]["workload"]:
        del work["offset"], work["length"]
    return s


def save(version, machine, blocks, kind, space):
    peer.path_of(version)
    file, result = (os.path.join(space.files, f) for f in ("scenario.json", "result.json"))
    dumps = {name: os.path.join(space.files, f"dump-{name}") for name, _ in blocks}
    ends.save(file, scenario(version, machine, blocks, ()))
    arguments = ["source", "--scenario", file, "--result", result]
    for name, dump in dumps.items():
        arguments += ["--dump", f"{name}={dump}"]
    argv = peer.machine_argv(machine, blocks, space.memory) + ["-incoming", "defer"]
    with ends.Wire(kind, space.files) as wire, peer.Peer(version, argv) as qemu:
        qemu.set_capabilities(["events"])
        if kind != "file":
            qemu.qmp("migrate-incoming", uri=wire.dest)
        with ends.Program(*arguments, "--uri", wire.source) as source:
            source.finish()
        if kind == "file":
            peer.migbench("check", wire.path, "--profile", "strict")
            qemu.qmp("migrate-incoming", uri=f"exec:cat {wire.path}")
        qemu.wait_migration("completed")
        for name, dump in dumps.items():
            peer.expect_equal_memory(f"{machine}, block '{name}' in QEMU {version}",
                                     peer.read(os.path.join(space.memory, name)), peer.read(dump))
        if qemu.error_text():
            raise peer.Fail(f"QEMU {version} loaded it, but complains: {qemu.error_text()}")
    for name, _ in blocks:
        os.unlink(os.path.join(space.memory, name))
    outcome = ends.load(result)
    ends.expect_no_leak(outcome)
    ram, guest = outcome["query-migrate"]["ram"], outcome["guest"]
    pages = sum(size for _, size in blocks) // 4096
    if ram["normal"] + ram["duplicate"] != pages:
        raise peer.Fail(f"{ram} for {pages} pages, each to be saved once")
    if ram["dirty-sync-count"] != (version == "11.1"):
        raise peer.Fail(f"dirty-sync-count {ram['dirty-sync-count']}")
    if not guest["writes"] or not guest.get("held-writes"):
        raise peer.Fail(f"nobody waited: {guest}")
    return [f"{guest['held-writes']} of {guest['writes']} writes waited, "
            f"{guest['held-ns'] // 1000} us; downtime {outcome['query-migrate']['downtime']} ms"]


def main():
    tap = peer.Tap()
    one, two = [("ram", 16 * ends.MIB)], [("pc.ram", 8 * ends.MIB), ("dimm0", 4 * ends.MIB)]
    with peer.Workspace() as space:
        for version in VERSIONS:
            for kind in ("unix", "file"):
                tap.run(f"/live/snapshot/{version}/{kind}", save, version, "none", one, kind, space)
            tap.run(f"/live/snapshot/{version}/two-blocks", save, version, f"pc-i440fx-{version}",
                    two, "unix", space)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
