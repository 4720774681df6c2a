#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real QEMU migrates to `migbench dest` over every transport that both know, with and without a
return path, while its memory is rewritten (through qtest, which marks what it writes as a device
does). Our memory is then QEMU's, and query-migrate there agrees with what we counted.
"""
import os
import random
import re
import sys
import time

import ends
import peer

TRANSPORTS = ("tcp", "unix", "exec", "fd", "file")
BLOCKS = [("pc.ram", 16 * ends.MIB), ("dimm0", 4 * ends.MIB)]
ADDRESSES = {"pc.ram": 0, "dimm0": 1 << 32}
RUNNING = ("setup", "active", "pre-switchover", "device", "none", None)


def make_memory(space, blocks):
    """Half random, half zero; QEMU maps the files."""
    for name, size in blocks:
        with open(os.path.join(space.memory, name), "wb") as file:
            file.write(random.Random(name).randbytes(size // 2))
            file.truncate(size)


def rewrite_while_active(qemu, blocks):
    """A quarter of each block is written all the time, one half of it full and the other zero; the
    halves change over when a whole pass has seen them. After four changes the downtime is raised.
    Each pass has more full pages than a window lets through, so that none is too short for us.
    Nothing is written behind the pause: what comes after the last sync would be QEMU's alone."""
    phase = since = 0
    continued = False
    while True:
        status = qemu.status()
        if status.get("status") not in RUNNING:
            return status
        count = status.get("ram", {}).get("dirty-sync-count", 0)
        if status.get("status") == "pre-switchover" and not continued:
            qemu.qmp("migrate-continue", state="pre-switchover")
            continued = True
        elif phase > 3:
            qemu.set_parameters({"downtime-limit": 1000})
            time.sleep(0.005)
        elif status.get("status") == "active":
            if count > since + 1:
                phase, since = phase + 1, count
            for name, size in blocks:
                for half in (0, 1):
                    qemu.fill(ADDRESSES[name] + size // 4 + half * (size // 8), size // 8,
                              5 * ((phase + half) % 2))


def ram_blocks(qemu):
    """[(name, used length, longest length)] as the monitor tells."""
    text = qemu.qmp("human-monitor-command", command_line="info ramblock")
    found = re.findall(r"^\s*(\S+)\s+\d+ \w+\s+0x\w+\s+0x(\w+)\s+0x(\w+)", text, re.M)
    return [(name, int(used, 16), int(longest, 16)) for name, used, longest in found]


def dest_scenario(version, machine, blocks, capabilities, parameters=None):
    ram = [{"name": name, "size": used} | ({"max-size": longest} if longest > used else {})
           for name, used, longest in blocks]
    return {"schema": "migbench-scenario-1", "qemu": version,
            "guest": {"machine": machine, "ram": ram}, "parameters": parameters or {},
            "capabilities": {name: True for name in capabilities}}


def expect_agreement(version, status, result, capabilities):
    """Their query-migrate against our counters."""
    ram, ours = status["ram"], result["destination"]
    multifd = "multifd" in capabilities
    # Up to 7.2 the page that fills a packet may go twice: multifd_queue_page() looks at the packet
    # again when a channel's thread may have emptied it already.
    twice = ours["multifd-packets"] if multifd and version in ("5.2", "7.2") else 0
    for key in ("normal", "duplicate"):
        counted = ours[key] + ours.get("multifd-" + key, 0)
        if not 0 <= counted - ram[key] <= (twice if key == "normal" else 0):
            raise peer.Fail(f"{key}: QEMU says {ram[key]}, we counted {counted}")
    bytes_of = ours["bytes"] + ours.get("multifd-bytes", 0)
    if multifd and version in ("5.2", "7.2"):  # packets count as they are before compression
        return f"{ram['dirty-sync-count']} passes, {ram['normal']} normal, {ram['duplicate']} zero"
    if multifd and ram["multifd-bytes"] != ours["multifd-bytes"]:
        raise peer.Fail(f"QEMU says {ram['multifd-bytes']} bytes of multifd, we counted "
                        f"{ours['multifd-bytes']}")
    if "xbzrle" in capabilities:
        deltas = status["xbzrle-cache"]["pages"]
        if not deltas:
            raise peer.Fail(f"no deltas: {status['xbzrle-cache']}")
        if version in ("5.2", "7.2"):  # counts what RAM made: deltas without their words
            return f"{ram['dirty-sync-count']} passes, {deltas} deltas"
    if version in ("5.2", "7.2"):
        # What RAM made: pages, end marks of all sections but the last, and names of blocks, of which
        # we know the number only roughly.
        bytes_of = ours["normal"] * 4104 + ours["duplicate"] * 9 + 8 * (ours["sections"] - 1)
        names = ram["transferred"] - bytes_of
        bytes_of += names if 0 < names < 8 * 32 * ram["dirty-sync-count"] else 0
    if ram["transferred"] != bytes_of:
        raise peer.Fail(f"QEMU says {ram['transferred']} bytes, we counted {bytes_of}")
    if ram["dirty-sync-count"] < 3:
        raise peer.Fail(f"only {ram['dirty-sync-count']} passes")
    return (f"{ram['dirty-sync-count']} passes, {ram['normal']} normal, {ram['duplicate']} zero, "
            f"{ours['bytes']} bytes")


def start(qemu, capabilities, parameters=None):
    qemu.set_capabilities(["events", "pause-before-switchover", *capabilities])
    qemu.set_parameters({"max-bandwidth": 20000000, "downtime-limit": 1} | (parameters or {}))


def migrate(version, kind, capabilities, space, parameters=None):
    peer.path_of(version)
    machine, blocks = f"pc-i440fx-{version}", BLOCKS
    make_memory(space, blocks)
    file, result = (os.path.join(space.files, f) for f in ("scenario.json", "result.json"))
    monitor = os.path.join(space.files, "monitor")
    argv = peer.machine_argv(machine, blocks, space.memory)
    argv += ["-qmp", f"unix:{monitor},server,nowait"]
    with ends.Wire(kind, space.files) as wire, \
            peer.Peer(version, argv, qtest=True) as qemu:
        described = ram_blocks(qemu)
        ends.save(file, dest_scenario(version, machine, described, capabilities, parameters))
        arguments = ["dest", "--scenario", file, "--uri", wire.dest, "--result", result]
        for name, _, _ in described:
            arguments += ["--dump", f"{name}={os.path.join(space.files, dump_name(name))}"]
        start(qemu, capabilities, parameters)
        if kind == "file":
            if version in ("5.2", "7.2"):  # they have no such transport
                wire.source = f"exec:cat > {wire.path}"
            wire.migrate(qemu, monitor)
            status = rewrite_while_active(qemu, blocks)
            ends.expect_pages_turned(peer.read(wire.path), blocks)
        with ends.Program(*arguments, fds=wire.dest_fds) as dest:
            dest.listening()
            if kind != "file":
                wire.migrate(qemu, monitor)
                wire.handed_over()
                status = rewrite_while_active(qemu, blocks)
            dest.finish()
        if status["status"] != "completed":
            raise peer.Fail(f"QEMU says {status}: {qemu.error_text()}")
        for name, _ in blocks:
            peer.expect_equal_memory(f"{machine}, block '{name}' of QEMU {version}",
                                     peer.read(os.path.join(space.files, dump_name(name))),
                                     peer.read(os.path.join(space.memory, name)))
    for name, _ in blocks:
        os.unlink(os.path.join(space.memory, name))
    outcome = ends.load(result)
    ends.expect_no_leak(outcome, lent=kind == "fd")
    return [f"{len(described)} blocks, {outcome['destination']['devices']} devices, "
            + expect_agreement(version, status, outcome, capabilities)]


def dump_name(block):
    return "dump-" + re.sub(r"\W", "-", block)


def main():
    tap = peer.Tap(share=3)
    with peer.Workspace() as space:
        for version in peer.VERSIONS:
            for kind in TRANSPORTS:
                for on in ((), ("return-path",)) if kind in ends.TWO_WAY else ((),):
                    tap.run("/".join(["/live/dest", version, kind, *on]), migrate, version, kind,
                            on, space)
            tap.run(f"/live/dest/{version}/xbzrle", migrate, version, "unix",
                    ("return-path", "xbzrle"), space)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
