#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Streams of QEMUs that no machine runs any more, by proxy: what we write as an old binary for an old
machine type loads into real QEMUs that still have that machine type, and memory is equal.

The guest dirties its memory (three passes or more), the devices are those of the recorded machine. This
proves the framing and the RAM of an era, not what its devices looked like, nor its timing.
"""
import json
import os
import sys

import peer

# machine type, recorded on, written as, loaded by
CELLS = [(machine, loader, binary) for machine, binaries in (
    ("pc-i440fx-1.4", ("1.4", "2.0")), ("pc-i440fx-2.2", ("2.2",)), ("pc-i440fx-2.3", ("2.3",)),
    ("pc-i440fx-2.4", ("2.4", "2.5", "2.12", "4.1")))
    for loader in ("5.2", "7.2") for binary in binaries]
OFF = "usb=off,vmport=off,acpi=off,hpet=off"
RAM = 2 << 20


def simulate(machine, loader, binary, stream, dump):
    workload = [{"block": "pc.ram", "offset": "64k", "length": "256k", "pattern": "sequential",
                 "rate": 2000, "write": "page"},
                {"block": "pc.ram", "offset": "1M", "length": "128k", "pattern": "periodic",
                 "period": "100ms", "rate": 2000, "write": "zero"}]
    out = f"{stream}.json"
    peer.migbench("sim", "--from-trace", os.path.join(peer.ROOT, "traces", f"{machine}-idle-{loader}.json"),
                  "--set", f"guest.devices={peer.ROOT}/traces/{machine}-idle-{loader}.mig.zst",
                  "--set", f"qemu={binary}", "--set", f"guest.machine={machine}",
                  "--set", 'guest.ram[0].content=[{"offset":0,"length":"1M","kind":"random"}]',
                  "--set", f"guest.workload={json.dumps(workload)}", "--set", "guest.run-state=running",
                  "--set", 'parameters={"max-bandwidth":1000000,"downtime-limit":1}',
                  "--set", 'events=[{"after-pass":3,"do":"migrate-set-parameters",'
                           '"arguments":{"downtime-limit":2000}}]',
                  "--stream", stream, "--result", out, "--dump", f"pc.ram={dump}")
    with open(out, encoding="utf-8") as file:
        passes = json.load(file)["query-migrate"]["ram"]["dirty-sync-count"]
    if passes < 3:
        raise peer.Fail(f"only {passes} passes: the test is worth nothing")
    return passes


def loads(machine, loader, binary):
    peer.path_of(loader)
    with peer.Workspace() as space:
        stream, dump = (os.path.join(space.files, name) for name in ("stream.mig", "pc.ram"))
        passes = simulate(machine, loader, binary, stream, dump)
        peer.migbench("check", stream)
        with open(os.path.join(space.files, "rom"), "wb") as rom:
            rom.write(bytes(65536))
        memory = os.path.join(space.memory, "ram")
        argv = ["-M", f"{machine},{OFF},memory-backend=pc.ram", "-m", "2M", "-accel", "tcg", "-S",
                "-object", f"memory-backend-file,id=pc.ram,size={RAM},share=on,mem-path={memory},"
                           "x-use-canonical-path-for-ramblock-id=off",
                "-bios", rom.name, "-global", "apic.vapic=off", *peer.QUIET, "-incoming", "defer"]
        with peer.Peer(loader, argv) as qemu:
            qemu.load(stream)
            peer.expect_equal_memory("pc.ram", peer.read(memory), peer.read(dump))
        return [f"{passes} passes"]


if __name__ == "__main__":
    tap = peer.Tap()
    for cell in CELLS:
        tap.run(f"/live/old-eras/{cell[0]}/as-{cell[2]}/into-{cell[1]}", loads, *cell)
    sys.exit(tap.done())
