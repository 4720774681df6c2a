#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Patches the parameters of our test guest into its ROM (layout: sim/guest/program/guest-abi.h).

    guest_rom.py ROM OUT PARAMETERS.json

The JSON has "regions" and "fills" as in the traces' manifests, and optionally "tsc-hz", "heartbeat-ms" and "stall-us".
"""
import json
import os
import struct
import sys
import time

MAGIC = b"migGUEST"
VERSION = 1
PATTERNS = {"sequential": 0, "random": 1, "hot-cold": 2, "once": 3, "periodic": 4}
PACES = {"clock": 0, "cpu": 1}
FILLS = {"repeat": 0, "random": 1}
HEADER, FILL, REGION = struct.Struct("<8sIIQIIII"), struct.Struct("<QQII"), struct.Struct("<QQ10IQ")
MAX = 16
REGION_KEYS = {"offset", "length", "pattern", "rate", "pace", "catch-up-ms", "write", "write-cost-ns",
               "hot", "period-ms", "seed"}


def pack_region(r):
    unknown = set(r) - REGION_KEYS
    if unknown:
        raise ValueError(f"region: unknown {sorted(unknown)}")
    write, count = r.get("write", "counter"), 0
    if write.startswith("bytes:"):
        write, count = "bytes", int(write[6:])
    hot = r.get("hot", {"share": 90, "size": 10})
    return REGION.pack(r["offset"], r["length"], PATTERNS[r.get("pattern", "sequential")],
                       PACES[r.get("pace", "clock")], r["rate"], int(r.get("catch-up-ms", 50) * 1000),
                       {"counter": 0, "page": 1, "bytes": 2}[write], count,
                       r.get("write-cost-ns", 0), hot["share"], hot["size"],
                       int(r.get("period-ms", 0) * 1000), r.get("seed", 1))


def patch(rom, parameters):
    if rom[:8] != MAGIC or len(rom) != 65536:
        raise ValueError("not a migbench-guest.rom")
    regions, fills = parameters.get("regions", []), parameters.get("fills", [])
    if len(regions) > MAX or len(fills) > MAX:
        raise ValueError(f"at most {MAX} regions and {MAX} fills")
    size = HEADER.size + MAX * (FILL.size + REGION.size)
    out = HEADER.pack(MAGIC, VERSION, size, parameters.get("tsc-hz", 0),
                      parameters.get("heartbeat-ms", 0), parameters.get("stall-us", 0),
                      len(regions), len(fills))
    for f in fills:
        out += FILL.pack(f["offset"], f["length"], FILLS[f.get("kind", "repeat")], f.get("seed", 0xa5))
    out += bytes((MAX - len(fills)) * FILL.size)
    for r in regions:
        out += pack_region(r)
    out += bytes((MAX - len(regions)) * REGION.size)
    return out + rom[len(out):]


def wait_ready(serial, timeout=30):
    """The line that the guest prints when it is ready; `serial` is the file behind its port."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if os.path.exists(serial):
            with open(serial, "rb") as f:
                text = f.read().decode(errors="replace")
            if "ready" in text and text.endswith("\n"):
                return text
        time.sleep(0.02)
    raise TimeoutError(f"the guest said nothing within {timeout} s")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    with open(sys.argv[1], "rb") as source, open(sys.argv[3], encoding="utf-8") as p:
        patched = patch(source.read(), json.load(p))
    with open(sys.argv[2], "wb") as target:
        target.write(patched)
