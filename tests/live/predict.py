#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""predict and sim --workload-from with real QEMUs whose guest dirties memory.

What a busy machine can't change: that the questions are ones which every version answers, that a saved
answer gives the same table, and that a recording gives back where the guest wrote. How close the times
come is tests/bench/bench-predict.py's to say.
"""
import json
import os
import re
import sys
import time

import ends
import guest_rom
import peer

MIB = 1 << 20
RAM = 64 * MIB
REGION = {"offset": 24 * MIB, "length": 8 * MIB, "pattern": "random", "rate": 3000, "pace": "clock",
          "write": "counter", "seed": 1}
FILL = {"offset": 8 * MIB, "length": 8 * MIB, "kind": "random", "seed": 7}
MACHINE = "pc,usb=off,vmport=off,smbus=off,acpi=off,hpet=off"


def guest(version, space, side, *more):
    rom, serial = (os.path.join(space.files, name) for name in ("rom", f"serial-{side}"))
    with open(os.environ["MIGBENCH_GUEST_ROM"], "rb") as file:
        patched = guest_rom.patch(file.read(), {"regions": [REGION], "fills": [FILL]})
    with open(rom, "wb") as file:
        file.write(patched)
    return peer.Peer(version, ["-M", MACHINE, "-m", str(RAM // MIB), "-accel", "tcg", "-bios", rom,
                               "-serial", f"file:{serial}", *peer.QUIET, *more]), serial


def need_rom():
    if not os.path.exists(os.environ.get("MIGBENCH_GUEST_ROM", "")):
        raise peer.Skip("the test guest can't be made here")


def asked(version):
    need_rom()
    peer.path_of(version)
    with peer.Workspace() as space:
        monitor, facts = (os.path.join(space.files, name) for name in ("monitor", "facts.json"))
        source, serial = guest(version, space, "a", "-qmp", f"unix:{monitor},server=on,wait=off")
        with source:
            guest_rom.wait_ready(serial, peer.PATIENCE)
            table = peer.migbench("predict", "--qmp", f"unix:{monitor}", "--periods", "1000,2000", "--bandwidth",
                                  "16M,1G", "--downtime", "100", "--save-facts", facts, "--format", "json")
            if source.qmp("query-status")["status"] != "running":
                raise peer.Fail("the guest no longer runs")
        again = peer.migbench("predict", "--facts", facts, "--bandwidth", "16M,1G", "--downtime", "100", "--format",
                              "json")
        rows = json.loads(again)["rows"]
        if not table.endswith(again):
            raise peer.Fail("saved facts give another table")
        if ends.load(facts)["ram"] != RAM or ends.load(facts)["qemu"] != version:
            raise peer.Fail(f"facts: {ends.load(facts)}")
        return [f"{r['max-bandwidth'] // MIB} MiB/s: {r['status']} {r.get('total-time')} ms" for r in rows]


def fitted(version):
    need_rom()
    peer.path_of(version)
    with peer.Workspace() as space:
        relay, target_uri, out = (os.path.join(space.files, name) for name in ("relay", "target", "run.pcapng"))
        with ends.Program("record", "--listen", f"unix:{relay}", "--connect", f"unix:{target_uri}", "-o", out,
                          "--no-payload") as recorder:
            recorder.listening()
            (target, _), (source, serial) = (guest(version, space, "b", "-incoming", "defer"),
                                             guest(version, space, "a"))
            with target, source:
                guest_rom.wait_ready(serial, peer.PATIENCE)
                source.set_capabilities(["events"])
                source.set_parameters({"max-bandwidth": 16 * MIB, "downtime-limit": 2000})
                target.qmp("migrate-incoming", uri=f"unix:{target_uri}")
                time.sleep(0.1)
                source.qmp("migrate", uri=f"unix:{relay}")
                source.wait_status(["completed"], timeout=peer.PATIENCE)
            recorder.finish()
        peer.migbench("check", out)
        said = peer.migbench("sim", "--workload-from", out, "--recorded", f"qemu={version}", "--recorded",
                             "guest.dirty-tracking=tcg", "--recorded", "parameters.downtime-limit=2000",
                             "--accounting")
        regions = [tuple(map(int, r)) for r in re.findall(r"pages (\d+) to (\d+)", said)]
        first, last = (REGION["offset"] // 4096, (REGION["offset"] + REGION["length"]) // 4096)
        if not any(first <= a and b < last for a, b in regions):
            raise peer.Fail(f"no region in pages {first} to {last - 1}:\n{said}")
        return said.splitlines()[:3]


def main():
    tap = peer.Tap(share=3)
    for version in peer.VERSIONS:
        tap.run(f"/live/predict/{version}", asked, version)
        tap.run(f"/live/workload-from/{version}", fitted, version)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
