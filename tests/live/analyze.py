#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The values that `migbench inspect` shows of devices are those that QEMU's own analyser shows.

MIGBENCH_ANALYZE_MIGRATION: QEMU's scripts/analyze-migration.py, where a user has it. The script
prints state as nested JSON without places; here its values are laid out one behind the other, as
they stand in the body, and each of ours must be the bytes that stand at its place.
"""
import json
import os
import subprocess
import sys
import tempfile

import peer
import walk

SCRIPT = os.environ.get("MIGBENCH_ANALYZE_MIGRATION")
TRACES = os.path.join(peer.ROOT, "traces")
NAMES = [f"{machine}-{kind}-{version}" for machine in ("pc", "q35") for kind in ("idle", "dirty")
         for version in peer.VERSIONS] + ["none-stopped-7.2", "microvm-scripted-10.0"]


def their_hex(value):
    """The bytes of one value, as the script prints it."""
    if value is True or value is False:
        return "01" if value else "00"
    if value == "nullptr":
        return "30"
    if value.startswith("0x"):
        return value.split()[0][2:]
    return value.replace(" ", "")


def lay_out(value, out):
    """Appends the bytes of |value| in the order of the wire, subsections with their headers."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, dict) and "/" in key:  # a subsection: 05, name, be32 version
                out.append("05" + f"{len(key):02x}" + key.encode().hex() + "........")
            lay_out(inner, out)
    elif isinstance(value, list):
        for inner in value:
            lay_out(inner, out)
    else:
        out.append(their_hex(value))


def our_hex(value):
    size, shown = value["bytes"], value["value"]
    if shown is None:
        return "30"
    if isinstance(shown, str):
        return shown
    return f"{int(shown) % (1 << 8 * size):0{2 * size}x}"


def ours(path):
    """Section id -> (name, [(offset in the body, path, hex)], bytes of the body)."""
    lines = peer.migbench("inspect", path, "--format", "ndjson").splitlines()
    devices, section, body = {}, None, None
    for line in map(json.loads, lines):
        if line["type"] == "record" and line["record"] == "section":
            section = line["fields"]
        elif line["type"] == "record" and line["record"] == "body":
            body = line["offset"] + line["bytes"]
            devices[section["id"]] = (section["idstr"], [], line["payload"])
        elif line["type"] == "value":
            devices[section["id"]][1].append((line["offset"] - body, line["path"], our_hex(line)))
    return devices


def compare_device(name, values, theirs):
    pieces = []
    lay_out(theirs, pieces)
    wire = "".join(pieces)
    for offset, path, mine in values:
        other = wire[2 * offset:2 * offset + len(mine)]
        if mine != other:
            raise peer.Fail(f"{name}: {path} is {mine}, the script says {other or 'nothing'}")
    return len(values)


def compare(name):
    if not SCRIPT:
        raise peer.Skip("MIGBENCH_ANALYZE_MIGRATION does not say where analyze-migration.py is")
    if not os.path.exists(SCRIPT):
        raise peer.Fail(f"MIGBENCH_ANALYZE_MIGRATION: there is no {SCRIPT}")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "stream")
        with open(path, "wb") as f:
            f.write(walk.read_stream(os.path.join(TRACES, name + ".mig.zst")))
        done = subprocess.run([sys.executable, SCRIPT, "-f", path], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise peer.Fail(f"the script failed: {done.stderr.strip().splitlines()[-1][:200]}")
        theirs, mine = json.loads(done.stdout), ours(path)
    counts = devices = 0
    for key, state in theirs.items():
        ident = int(key[key.rindex("(") + 1:-1])
        if ident in mine:
            counts += compare_device(mine[ident][0], mine[ident][1], state)
            devices += 1
    if devices != len(mine) or not counts:
        raise peer.Fail(f"{devices} of {len(mine)} devices compared, {counts} values")
    return [f"{counts} values of {devices} devices"]


if __name__ == "__main__":
    tap = peer.Tap()
    for trace in NAMES:
        tap.run(f"values of {trace}", compare, trace)
    sys.exit(tap.done())
