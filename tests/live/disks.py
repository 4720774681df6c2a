#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Disks and dirty bitmaps between us and real QEMU: block migration (5.2 and 7.2, which have it) in
both directions and dirty bitmaps (all versions) to QEMU. The images of the destination are the
source's, byte for byte; bitmaps have the bits that the scenario gave them, as QEMU's own checksum
of them says.

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
    tap = peer.Tap()
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
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
