#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads every trace again and compares it with its manifest. Prints what differs; exit 1 if anything does.

    check.py [ID...]
"""
import glob
import hashlib
import json
import os
import subprocess
import sys

import libvirt_save
import manifest
import relay
import walk

LIMIT = 8 << 20


def check(path):
    with open(path, encoding="utf-8") as f:
        m = json.load(f)
    problems = []

    def same(what, wanted, found):
        if wanted != found:
            problems.append(f"{what}: the manifest says {wanted}, the trace {found}")
    packed = os.path.join(manifest.TRACES, m["file"])
    data = subprocess.run(["zstd", "-dcq", packed], check=True, stdout=subprocess.PIPE).stdout
    same("bytes", m["bytes"], len(data))
    same("compressed_bytes", m["compressed_bytes"], os.path.getsize(packed))
    same("sha256", m["sha256"], hashlib.sha256(data).hexdigest())
    if m["container"] == "raw":
        walker = walk.Walker(data)
        walker.at = m.get("offset", 0)
        walker.walk()
        same("ram", m["ram"], walker.ram_blocks())
        same("devices", m["devices"], walker.devices)
        same("stats", m["expect"]["stats"], walker.summary())
    elif m["container"] == "libvirt":
        info, begin, stream, walker = libvirt_save.walk_image(data)
        same("image", m["image"], info)
        same("offset", m.get("offset", begin), begin)
        same("stream", m["stream"], {"sha256": hashlib.sha256(stream).hexdigest(), "bytes": len(stream)})
        same("memory", m["memory"]["pc.ram"], hashlib.sha256(walker.image("pc.ram")).hexdigest())
        same("ram", m["ram"], walker.ram_blocks())
        same("devices", m["devices"], walker.devices)
        same("stats", m["expect"]["stats"], walker.summary())
    else:
        names, packets = relay.read_pcapng(data)
        same("channels", m["channels"], names)
        for name in names:
            size = sum(len(p[2]) for p in packets if p[1] == name)
            same(f"bytes of {name}", m["expect"]["stats"]["channels"][name]["bytes"], size)
        times = [p[0] for p in packets]
        same("order of time", times, sorted(times))
    text = json.dumps(m)
    for word in ("/tmp", "/dev/shm", os.path.expanduser("~")):
        if word in text:
            problems.append(f"names a path of a machine: {word}")
    return problems


def main(argv):
    paths = sorted(glob.glob(os.path.join(manifest.TRACES, "*.json")))
    if argv:
        paths = [p for p in paths if os.path.basename(p)[:-5] in argv]
    bad = 0
    for path in paths:
        for problem in check(path):
            bad += 1
            print(f"{os.path.basename(path)}: {problem}")
    size = sum(os.path.getsize(p) for p in glob.glob(os.path.join(manifest.TRACES, "*.*")))
    if size > LIMIT:
        bad += 1
        print(f"the folder has {size} bytes, more than {LIMIT}")
    print(f"{len(paths)} traces, {size} bytes, {bad} problems")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
