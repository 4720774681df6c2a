#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""x-ignore-shared and validate-uuid, both ways. Of two blocks the first is a file that both ends map:
no page of it is sent and nobody touches it; the other one arrives. A UUID that is another's is
refused at either end.
"""
import os
import random
import sys

import dest
import ends
import peer

BLOCKS = [("pc.ram", 8 * ends.MIB), ("dimm0", 4 * ends.MIB)]
UUIDS = ("12345678-9abc-def0-1234-56789abcdef0", "00000000-0000-0000-0000-00000000abcd")


def argv_of(version, space, uuid=None):
    """pc.ram is a shared file; the DIMM is private, so that it can be read through the monitor only."""
    argv = peer.machine_argv(f"pc-i440fx-{version}", BLOCKS, space.memory)
    argv = [a.replace("share=on", "share=off")
            if "id=dimm0,size" in a else a for a in argv]
    return argv + (["-uuid", uuid] if uuid else [])


def fill(space):
    for name, size in BLOCKS:
        with open(os.path.join(space.memory, name), "wb") as file:
            file.write(random.Random(name).randbytes(size))


def forget(space):
    for name, _ in BLOCKS:
        os.unlink(os.path.join(space.memory, name))


def dimm_of(qemu, space):
    path = os.path.join(space.files, "dimm")
    qemu.qmp("pmemsave", val=1 << 32, size=BLOCKS[1][1], filename=path)
    return peer.read(path)


def to_qemu(version, space):
    peer.path_of(version)
    fill(space)
    before = peer.read(os.path.join(space.memory, "pc.ram"))
    s = ends.scenario(version, f"pc-i440fx-{version}", BLOCKS, ("x-ignore-shared",))
    s["parameters"]["max-bandwidth"] = 8000000
    s["guest"]["ram"][0] |= {"shared": True, "address": 0}
    s["guest"]["ram"][1]["address"] = 1 << 32
    file, result, dump = (os.path.join(space.files, f) for f in ("s.json", "r.json", "dump"))
    ends.save(file, s)
    argv = argv_of(version, space) + ["-incoming", "defer"]
    with ends.Wire("unix", space.files) as wire, peer.Peer(version, argv) as qemu:
        qemu.set_capabilities(["events", "x-ignore-shared"])
        qemu.qmp("migrate-incoming", uri=wire.dest)
        with ends.Program("source", "--scenario", file, "--uri", wire.source, "--result", result,
                          "--dump", f"dimm0={dump}") as source:
            source.finish()
        qemu.wait_migration("completed")
        peer.expect_equal_memory("dimm0", dimm_of(qemu, space), peer.read(dump))
        peer.expect_equal_memory("pc.ram", peer.read(os.path.join(space.memory, "pc.ram")), before)
    forget(space)
    ram = ends.load(result)["query-migrate"]["ram"]
    if ram["normal-bytes"] <= BLOCKS[1][1] // 4 or ram["dirty-sync-count"] < 3:
        raise peer.Fail(f"{ram}")
    return [f"{ram['normal']} normal, {ram['duplicate']} zero of dimm0 in {ram['dirty-sync-count']} "
            f"passes"]


def from_qemu(version, space, wrong_address=False):
    peer.path_of(version)
    fill(space)
    file, result, dump = (os.path.join(space.files, f) for f in ("s.json", "r.json", "dump"))
    with ends.Wire("unix", space.files) as wire, \
            peer.Peer(version, argv_of(version, space), qtest=True) as qemu:
        described = dest.ram_blocks(qemu)
        s = dest.dest_scenario(version, f"pc-i440fx-{version}", described, ("x-ignore-shared",))
        for block in s["guest"]["ram"]:
            if block["name"] == "pc.ram":
                block |= {"shared": True, "address": 4096 if wrong_address else 0}
        ends.save(file, s)
        dest.start(qemu, ("x-ignore-shared",))
        with ends.Program("dest", "--scenario", file, "--uri", wire.dest, "--result", result,
                          "--dump", f"dimm0={dump}") as program:
            program.listening()
            wire.migrate(qemu, None)
            if wrong_address:
                said = program.finish(status=1)
                forget(space)
                if "address of shared block pc.ram" not in said:
                    raise peer.Fail(f"it fails, but says: {said}")
                return None
            status = dest.rewrite_while_active(qemu, BLOCKS[1:])
            program.finish()
        if status["status"] != "completed":
            raise peer.Fail(f"QEMU says {status}: {qemu.error_text()}")
        peer.expect_equal_memory("dimm0", peer.read(dump), dimm_of(qemu, space))
    forget(space)
    ours = ends.load(result)["destination"]
    if ours["normal"] != status["ram"]["normal"]:
        raise peer.Fail(f"normal: QEMU says {status['ram']['normal']}, we counted {ours['normal']}")
    return [f"{status['ram']['dirty-sync-count']} passes, {ours['normal']} normal, "
            f"{ours['duplicate']} zero"]


def uuid_to_qemu(version, right, space):
    peer.path_of(version)
    blocks = [("ram", 4 * ends.MIB)]
    file = os.path.join(space.files, "s.json")
    s = ends.scenario(version, "none", blocks, ("validate-uuid",))
    s["guest"]["uuid"] = UUIDS[0]
    ends.save(file, s)
    argv = peer.machine_argv("none", blocks, space.memory) + ["-uuid", UUIDS[0 if right else 1]]
    with ends.Wire("unix", space.files) as wire, \
            peer.Peer(version, argv + ["-incoming", "defer"]) as qemu:
        qemu.set_capabilities(["events", "validate-uuid"])
        qemu.qmp("migrate-incoming", uri=wire.dest)
        with ends.Program("source", "--scenario", file, "--uri", wire.source) as source:
            if right:
                source.finish()
                qemu.wait_migration("completed")
            else:
                source.process.wait(peer.PATIENCE)
                qemu.process.wait(peer.PATIENCE)
                if "UUID" not in qemu.error_text():
                    raise peer.Fail(f"QEMU says {qemu.error_text()}")
    os.unlink(os.path.join(space.memory, "ram"))


def uuid_from_qemu(version, right, space):
    peer.path_of(version)
    blocks = [("ram", 4 * ends.MIB)]
    file = os.path.join(space.files, "s.json")
    s = dest.dest_scenario(version, "none", [("ram", blocks[0][1], blocks[0][1])], ("validate-uuid",))
    s["guest"]["uuid"] = UUIDS[0]
    ends.save(file, s)
    argv = peer.machine_argv("none", blocks, space.memory) + ["-uuid", UUIDS[0 if right else 1]]
    with ends.Wire("unix", space.files) as wire, peer.Peer(version, argv) as qemu:
        qemu.set_capabilities(["events", "validate-uuid"])
        with ends.Program("dest", "--scenario", file, "--uri", wire.dest) as program:
            program.listening()
            wire.migrate(qemu, None)
            said = program.finish(status=0 if right else 1)
            if not right and "UUID" not in said:
                raise peer.Fail(f"it fails, but says: {said}")
    os.unlink(os.path.join(space.memory, "ram"))


def main():
    tap = peer.Tap()
    with peer.Workspace() as space:
        for version in peer.VERSIONS:
            tap.run(f"/live/ignore-shared/source/{version}", to_qemu, version, space)
            tap.run(f"/live/ignore-shared/dest/{version}", from_qemu, version, space)
            tap.run(f"/live/ignore-shared/dest/{version}/address", from_qemu, version, space, True)
            for right in (True, False):
                what = "same" if right else "other"
                tap.run(f"/live/validate-uuid/source/{version}/{what}", uuid_to_qemu, version, right,
                        space)
                tap.run(f"/live/validate-uuid/dest/{version}/{what}", uuid_from_qemu, version, right,
                        space)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
