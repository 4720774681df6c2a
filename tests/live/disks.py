#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Disks and dirty bitmaps between us and real QEMU: block migration (5.2 and 7.2, which have it) in
both directions, dirty bitmaps (all versions) to QEMU, and in postcopy in both. The images of the
destination are the source's, byte for byte; bitmaps have the bits that the scenario gave them, as
QEMU's own checksum of them says.

QEMU writes to a drive only on behalf of a device, and `none` has no bus for one, so that a
destination's disks hang on a `pc`. Nor does it write to a disk that ends in the middle of a chunk
(of 1 MiB): it tries to write all of it. As a source it sends such a chunk.
"""
import hashlib
import json
import os
import random
import sys

import ends
import peer

MIB = ends.MIB
RAM = [("pc.ram", 8 * MIB)]
DISKS = [("d0", 5 * MIB), ("d1", 2 * MIB)]
PARTIAL = [("d0", 5 * MIB), ("d1", 2560 << 10)]  # one ends in the middle of a chunk
BITMAPS = [("d0", "b0", 65536, [(0, 1 << 20), (4 << 20, 4096)]),
           ("d0", "b1", 4096, [(8192, 65536)]),
           ("d1", "b0", 512, []),
           ("d1", "b2", 4096, [(0, 2 << 20)])]


def pc(version):
    return f"pc-i440fx-{version}"


def scenario(version, path, capabilities, machine=None, workload=True, disks=None):
    """Disks half full of random bytes, one of which somebody writes to."""
    disks = [{"name": name, "node-name": "n" + name, "size": size,
              "content": [{"length": size // 2, "kind": "random"},
                          {"offset": size - 8192, "kind": "text"}]}
             for name, size in disks or DISKS]
    if workload:
        disks[0]["workload"] = [{"offset": MIB, "length": 2 * MIB, "pattern": "sequential",
                                 "rate": 2000, "write": "page"}]
    for disk in disks:
        disk["dirty-bitmaps"] = [
            {"name": name, "granularity": granularity, "enabled": len(ranges) != 1,
             "dirty": [{"offset": a, "length": n} for a, n in ranges]}
            for owner, name, granularity, ranges in BITMAPS if owner == disk["name"]]
    value = {"schema": "migbench-scenario-1", "qemu": version, "seed": 5,
             "guest": {"machine": machine or pc(version), "ram": [{"name": name, "size": size}
                                                  for name, size in RAM]},
             "disks": disks, "capabilities": capabilities,
             "parameters": {"downtime-limit": 2000},
             "link": {"bandwidth": "400Mbit/s", "send-buffer": "128k", "receive-buffer": "128k"},
             "limit": "120s"}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file)
    return path


def image_argv(space, disks, of_source=False):
    """Arguments for drives in raw images, which are made: empty ones on devices, or a source's with
    something in them."""
    argv = []
    for name, size in disks:
        path = os.path.join(space.memory, name + ".img")
        with open(path, "wb") as file:
            if of_source:
                file.write(random.Random(name).randbytes(size // 2))
            file.truncate(size)
        argv += ["-drive", f"if=none,id={name},format=raw,file={path}"]
        argv += [] if of_source else ["-device", f"ide-hd,drive={name}"]
    return argv


def null_argv():
    argv = []
    for name, size in DISKS:
        argv += ["-blockdev", f"driver=null-co,node-name=n{name},size={size},read-zeroes=on"]
    return argv


def expect_images(space, files, version):
    for name in files:
        peer.expect_equal_memory(f"disk '{name}' of QEMU {version}",
                                 peer.read(os.path.join(space.memory, name + ".img")),
                                 peer.read(files[name]))


def sum_of(ranges, granularity, size):
    """QEMU's checksum of a dirty bitmap: that of its words."""
    bits = (size + granularity - 1) // granularity
    words = bytearray((bits + 63) // 64 * 8)
    for at, n in ranges:
        for bit in range(at // granularity, (at + n - 1) // granularity + 1):
            words[bit // 8] |= 1 << bit % 8
    return hashlib.sha256(bytes(words)).hexdigest()


def expect_bitmaps(qemu):
    """Those of the scenario, all of them, with their bits."""
    nodes = {node["node-name"]: node for node in qemu.qmp("query-named-block-nodes")}
    for disk, size in DISKS:
        found = {b["name"]: b for b in nodes["n" + disk].get("dirty-bitmaps", [])}
        wanted = {name: (granularity, ranges) for owner, name, granularity, ranges in BITMAPS
                  if owner == disk}
        if found.keys() != wanted.keys():
            raise peer.Fail(f"node n{disk} has the bitmaps {sorted(found)}")
        for name, (granularity, ranges) in wanted.items():
            recording = found[name].get("recording", found[name].get("status") == "active")
            got = qemu.qmp("x-debug-block-dirty-bitmap-sha256", node="n" + disk, name=name)
            if found[name]["granularity"] != granularity or recording != (len(ranges) != 1):
                raise peer.Fail(f"bitmap {disk}/{name} came as {found[name]}")
            if got["sha256"] != sum_of(ranges, granularity, size):
                raise peer.Fail(f"bitmap {disk}/{name} has other bits")


def no_complaints(qemu, version):
    """What it writes about the migration's progress is none."""
    text = [line for line in qemu.error_text().splitlines()
            if line.strip() and not line.startswith(("Receiving block", "Completed"))]
    if text:
        raise peer.Fail(f"QEMU {version} complains: {' '.join(text)}")


def loads_blocks(version, space, capabilities):
    """A simulated stream with disks, into QEMU's images."""
    peer.path_of(version)
    path = scenario(version, os.path.join(space.files, "s.json"), capabilities)
    files = {name: os.path.join(space.files, name) for name, _ in DISKS}
    stream = os.path.join(space.files, "s.mig")
    peer.migbench("sim", path, "--stream", stream,
                  *[a for name in files for a in ("--dump", f"{name}={files[name]}")])
    peer.migbench("check", stream)
    with peer.Peer(version, peer.machine_argv(pc(version), RAM, space.memory) + image_argv(space, DISKS)
                   + ["-incoming", "defer"]) as qemu:
        qemu.load(stream)
        expect_images(space, files, version)
        no_complaints(qemu, version)
    return [f"{os.path.getsize(stream)} bytes of stream"]


def loads_bitmaps(version, space):
    """A simulated stream with dirty bitmaps."""
    peer.path_of(version)
    capabilities = {"dirty-bitmaps": True}
    path = scenario(version, os.path.join(space.files, "b.json"), capabilities, workload=False)
    stream = os.path.join(space.files, "b.mig")
    # As it could go on in postcopy, `sim --stream` would make a recording of it.
    peer.migbench("source", "--scenario", path, "--clock", "virtual", "--uri", f"file:{stream}")
    peer.migbench("check", stream)
    with peer.Peer(version, peer.machine_argv(pc(version), RAM, space.memory) + null_argv()
                   + ["-incoming", "defer"]) as qemu:
        qemu.set_capabilities(["dirty-bitmaps"])
        qemu.load(stream)
        expect_bitmaps(qemu)
        no_complaints(qemu, version)
    return []


def sends_blocks(version, space):
    """Our source on the real clock, while its disk is written to."""
    peer.path_of(version)
    path = scenario(version, os.path.join(space.files, "l.json"), {"block": True})
    files = {name: os.path.join(space.files, name) for name, _ in DISKS}
    result = os.path.join(space.files, "l.result")
    wire = ends.Wire("unix", space.files)
    with peer.Peer(version, peer.machine_argv(pc(version), RAM, space.memory) + image_argv(space, DISKS)
                   + ["-incoming", "defer"]) as qemu:
        qemu.set_capabilities(["events"])
        qemu.qmp("migrate-incoming", uri=wire.dest)
        with ends.Program("source", "--scenario", path, "--uri", wire.source, "--result", result,
                          *[a for name in files for a in ("--dump", f"{name}={files[name]}")]) as ours:
            ours.finish()
        qemu.wait_migration("completed")
        expect_images(space, files, version)
        no_complaints(qemu, version)
    return []


def takes_blocks(version, space, arguments):
    """QEMU's disks, to our destination."""
    peer.path_of(version)
    path = scenario(version, os.path.join(space.files, "d.json"), {"block": True}, machine="none",
                    workload=False, disks=PARTIAL)
    files = {name: os.path.join(space.files, name) for name, _ in PARTIAL}
    wire = ends.Wire("unix", space.files)
    with ends.Program("dest", "--scenario", path, "--uri", wire.dest,
                      *[a for name in files for a in ("--dump", f"{name}={files[name]}")]) as ours:
        ours.listening()
        with peer.Peer(version, peer.machine_argv("none", RAM, space.memory)
                       + image_argv(space, PARTIAL, of_source=True)) as qemu:
            qemu.set_capabilities(["events"])
            qemu.qmp("migrate", uri=wire.source, **arguments)
            qemu.wait_migration("completed")
            ours.finish()
            expect_images(space, files, version)
    return []


LATE = ({"dirty-bitmaps": True}, {"dirty-bitmaps": True, "return-path": True},
        {"dirty-bitmaps": True, "postcopy-ram": True})


def in_postcopy(version, path, capabilities, bitmaps):
    """A scenario whose bitmaps (if it has them) go when the guest runs at the other end."""
    scenario(version, path, capabilities, machine=None if bitmaps else "none", workload=False)
    value = ends.load(path)
    value["parameters"] = {"downtime-limit": 1, "max-bandwidth": 16 << 20}
    # A QEMU that hears of no page to drop before it is to listen (none is dirty) fails.
    value["guest"]["ram"][0]["content"] = [{"length": RAM[0][1], "kind": "random"}]
    value["events"] = [{"at": "1ms", "do": "migrate-start-postcopy"}]
    value["limit"] = "20s"
    for disk in value["disks"]:
        disk["content"] = []
        disk["dirty-bitmaps"] = disk["dirty-bitmaps"] if bitmaps else []
    return ends.save(path, value)


def sends_bitmaps_late(version, space, capabilities):
    peer.path_of(version)
    if version in ("7.2", "10.0"):
        raise peer.Skip(f"QEMU {version} aborts when bitmaps come in postcopy: bdrv_lookup_bs() is not "
                        "for the thread that reads them there")
    path = in_postcopy(version, os.path.join(space.files, "p.json"), capabilities, True)
    result, wire = os.path.join(space.files, "p.result"), ends.Wire("unix", space.files)
    with peer.Peer(version, peer.machine_argv(pc(version), RAM, space.memory) + null_argv()
                   + ["-incoming", "defer"]) as qemu:
        qemu.set_capabilities(["events", *capabilities])
        qemu.qmp("migrate-incoming", uri=wire.dest)
        with ends.Program("source", "--scenario", path, "--uri", wire.source, "--result",
                          result) as ours:
            ours.finish()
        qemu.wait_migration("completed")
        expect_bitmaps(qemu)
        no_complaints(qemu, version)
    states = [e["data"]["status"] for e in ends.load(result)["events"] if e["event"] == "MIGRATION"]
    if "postcopy-active" not in states:
        raise peer.Fail(f"there was no postcopy: {states}")
    return [" ".join(states)]


def make_bitmaps(qemu):
    """Those of BITMAPS, in a QEMU whose disks are null: written to while they record."""
    for disk, name, granularity, ranges in BITMAPS:
        qemu.qmp("block-dirty-bitmap-add", node="n" + disk, name=name, granularity=granularity)
        for at, length in ranges:
            qemu.qmp("human-monitor-command",
                     **{"command-line": f'qemu-io n{disk} "write -q {at} {length}"'})
        qemu.qmp("block-dirty-bitmap-disable", node="n" + disk, name=name)
    for disk, name, _, ranges in BITMAPS:
        if len(ranges) != 1:
            qemu.qmp("block-dirty-bitmap-enable", node="n" + disk, name=name)


def expect_bitmaps_here(found):
    got = {(b["node"], b["name"]): b for b in found}
    if got.keys() != {("n" + disk, name) for disk, name, _, _ in BITMAPS}:
        raise peer.Fail(f"the bitmaps here are {sorted(got)}")
    for disk, name, granularity, ranges in BITMAPS:
        b = got["n" + disk, name]
        wanted = {"granularity": granularity, "recording": len(ranges) != 1, "inconsistent": False,
                  "sha256": sum_of(ranges, granularity, dict(DISKS)[disk])}
        if {key: b[key] for key in wanted} != wanted:
            raise peer.Fail(f"bitmap {disk}/{name} came as {b}, expected {wanted}")


def takes_bitmaps_late(version, space, capabilities):
    peer.path_of(version)
    path = in_postcopy(version, os.path.join(space.files, "t.json"), capabilities, False)
    result, wire = os.path.join(space.files, "t.result"), ends.Wire("unix", space.files)
    with ends.Program("dest", "--scenario", path, "--uri", wire.dest, "--result", result) as ours:
        ours.listening()
        with peer.Peer(version, peer.machine_argv("none", RAM, space.memory) + null_argv()) as qemu:
            make_bitmaps(qemu)
            qemu.set_capabilities(["events", *capabilities])
            qemu.set_parameters({"downtime-limit": 1, "max-bandwidth": 1 << 20})
            qemu.qmp("migrate", uri=wire.source)
            qemu.qmp("migrate-start-postcopy")
            qemu.wait_migration("postcopy-active")
            qemu.wait_migration("completed")
            ours.finish()
    expect_bitmaps_here(ends.load(result)["destination"]["bitmaps"])
    return []


def refuses_partial_chunk(version, space):
    """What QEMU does with the last chunk of an odd disk, unless it is zero."""
    peer.path_of(version)
    path = scenario(version, os.path.join(space.files, "p.json"), {"block": True}, disks=PARTIAL)
    stream = os.path.join(space.files, "p.mig")
    peer.migbench("sim", path, "--stream", stream)
    with peer.Peer(version, peer.machine_argv(pc(version), RAM, space.memory)
                   + image_argv(space, PARTIAL) + ["-incoming", "defer"]) as qemu:
        qemu.set_capabilities(["events"])
        qemu.qmp("migrate-incoming", uri=f"exec:cat {stream}")
        qemu.wait_migration("failed", bad=("completed",))
    return []


def main():
    tap = peer.Tap(share=2)
    with peer.Workspace() as space:
        for version in ("5.2", "7.2"):
            tap.run(f"/live/disks/sim-to-qemu/block/{version}", loads_blocks, version, space,
                    {"block": True})
            tap.run(f"/live/disks/sim-to-qemu/zero-blocks/{version}", loads_blocks, version, space,
                    {"block": True, "zero-blocks": True})
            tap.run(f"/live/disks/source-to-qemu/block/{version}", sends_blocks, version, space)
            tap.run(f"/live/disks/qemu-to-dest/blk/{version}", takes_blocks, version, space,
                    {"blk": True})
            tap.run(f"/live/disks/sim-to-qemu/partial-chunk-refused/{version}",
                    refuses_partial_chunk, version, space)
        for version in peer.VERSIONS:
            tap.run(f"/live/disks/sim-to-qemu/dirty-bitmaps/{version}", loads_bitmaps, version,
                    space)
            some = peer.VERSIONS.index(version) % len(LATE)
            for capabilities in LATE if "MIGBENCH_FULL" in os.environ else LATE[some:some + 1]:
                name = f"{version}/{'+'.join(sorted(capabilities))}"
                tap.run(f"/live/disks/postcopy/to/{name}", sends_bitmaps_late, version, space,
                        capabilities)
                tap.run(f"/live/disks/postcopy/from/{name}", takes_bitmaps_late, version, space,
                        capabilities)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
