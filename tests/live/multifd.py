#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Multifd over sockets: our source to real QEMU, real QEMU to our destination, and both ends ours;
uncompressed, zlib and zstd, with 1, 2 and 8 channels, over tcp and unix. Memory is equal in the
end, and what the two ends count agrees.
"""
import os
import sys

import dest
import ends
import peer
import source

METHODS = ("none", "zlib", "zstd")
CHANNELS = (1, 2, 8)
ONE = [("ram", 16 * ends.MIB)]
TWO = [("pc.ram", 8 * ends.MIB), ("dimm0", 4 * ends.MIB)]
ON = ("return-path", "multifd")


def parameters(method, channels):
    compression = {} if method == "none" else {"multifd-compression": method}  # 4.0 has no choice
    return {"multifd-channels": channels} | compression


def need_method(version, method):
    if method == "zstd" and version == "5.2":
        raise peer.Skip("Debian's QEMU 5.2 was built without zstd")


def to_qemu(version, method, channels, kind, blocks, space):
    need_method(version, method)
    machine = "none" if len(blocks) == 1 else f"pc-i440fx-{version}"
    return source.migrate(version, machine, blocks, kind, ON, space, parameters(method, channels))


def from_qemu(version, method, channels, kind, space):
    need_method(version, method)
    return dest.migrate(version, kind, ON, space, parameters(method, channels))


def expect_same_counts(sent, got):
    """What the source says against what the destination saw."""
    ram, ours = sent["query-migrate"]["ram"], got["destination"]
    for key in ("normal", "duplicate"):
        if ram[key] != ours[key] + ours["multifd-" + key]:
            raise peer.Fail(f"{key}: {ram[key]} sent, {ours[key]} + {ours['multifd-' + key]} received")
    wire = sent["x-transport"]["bytes"]
    if wire != ours["bytes"] + ours["multifd-bytes"]:
        raise peer.Fail(f"{wire} bytes sent, {ours['bytes']} + {ours['multifd-bytes']} received")


def among_ours(version, method, channels, detection, kind, space):
    """Both ends are ours; the rules of |version|."""
    file, sent, got = (os.path.join(space.files, f) for f in ("scenario", "sent", "got"))
    limits = parameters(method, channels)
    if detection:
        limits["zero-page-detection"] = detection
    ends.save(file, ends.scenario(version, "none", ONE, ON, limits))
    dumps = [os.path.join(space.files, f"dump-{end}") for end in ("source", "dest")]
    with ends.Wire(kind, space.files) as wire:
        with ends.Program("dest", "--scenario", file, "--uri", wire.dest, "--result", got, "--dump",
                          f"ram={dumps[1]}") as end:
            end.listening()
            with ends.Program("source", "--scenario", file, "--uri", wire.source, "--result", sent,
                              "--dump", f"ram={dumps[0]}") as begin:
                begin.finish()
            end.finish()
    peer.expect_equal_memory(f"rules of {version}", *(peer.read(dump) for dump in dumps[::-1]))
    sent, got = ends.load(sent), ends.load(got)
    expect_same_counts(sent, got)
    for result in (sent, got):
        ends.expect_no_leak(result)
    if detection == "none" and sent["query-migrate"]["ram"]["duplicate"]:
        raise peer.Fail("zero pages were told from others")
    return [source.expect_worth_it(sent, ONE, ON) if detection != "none" else "all pages normal"]


def main():
    tap = peer.Tap(share=5)
    with peer.Workspace() as space:
        for number, version in enumerate(peer.VERSIONS):
            for method in METHODS:
                for channels in CHANNELS:
                    kind = ("tcp", "unix")[(number + channels) % 2]
                    blocks = TWO if channels == 2 else ONE
                    title = f"{version}/{method}/{channels}/{kind}"
                    tap.run(f"/live/multifd/source/{title}", to_qemu, version, method, channels,
                            kind, blocks, space)
                    tap.run(f"/live/multifd/dest/{title}", from_qemu, version, method, channels,
                            kind, space)
        for version in ("4.0", *peer.VERSIONS):
            detections = ("none", "legacy", "multifd") if version in ("10.0", "11.1") else (None,)
            for detection in detections:
                for method in METHODS if version != "4.0" else ("none",):
                    title = "/".join(filter(None, (version, method, detection)))
                    tap.run(f"/live/multifd/ours/{title}", among_ours, version, method,
                            3, detection, "unix", space)
        tap.run("/live/multifd/ours/10.0/255-channels", among_ours, "10.0", "none", 255, None, "tcp",
                space)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
