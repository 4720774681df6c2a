#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""record and replay with real QEMUs.

Recording: two QEMUs migrate through `migbench record` (plain, with four multifd channels, and postcopy whose
connection breaks and is recovered); the recording checks clean, and replayed into a fresh QEMU it gives
the same memory. Replaying: every recording of several channels in traces/ into the QEMU that it came from.
"""
import glob
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time

import ends
import peer

MIB = 1 << 20
RAM = 32 * MIB
AGAIN = "again"


def image():
    draw = random.Random(1)
    pages = [draw.randbytes(4096) if draw.random() < 0.7 else bytes(4096) for _ in range(RAM // 4096)]
    return b"".join(pages)


def machine(memory):
    return ["-M", "none,memory-backend=m0", "-m", str(RAM // MIB), "-accel", "tcg", "-S", *peer.QUIET,
            "-object", f"memory-backend-file,id=m0,size={RAM},share=on,mem-path={memory}"]


class Folder:
    """Where one test keeps its sockets."""

    def __init__(self, space):
        self.space = space

    def __call__(self, name):
        return os.path.join(self.space.files, name)

    def uri(self, name):
        return f"unix:{self(name)}"


def wait_for(process, word):
    for line in process.stdout:
        if word in line:
            return
    raise peer.Fail(f"{process.args[1]} ended without '{word}'")


# recording -----------------------------------------------------------------------------


def drive(kind, source, target, folder):
    """From `migrate` to the end."""
    source.qmp("migrate", uri=folder.uri("relay"))
    if kind == "postcopy":
        source.wait_status(["active"])
        source.qmp("migrate-start-postcopy")
        for q in (source, target):
            q.wait_status(["postcopy-paused"], timeout=peer.PATIENCE, bad=("failed", "completed"))
        target.qmp("migrate-recover", uri=folder.uri(AGAIN))
        source.qmp("migrate", uri=folder.uri("relay"), resume=True)
    source.wait_status(["completed"], timeout=peer.PATIENCE)
    target.wait_status(["completed"], timeout=peer.PATIENCE)


SETTINGS = {
    "plain": ([], {"max-bandwidth": 1 << 30}, []),
    "multifd": (["multifd"], {"max-bandwidth": 1 << 30, "multifd-channels": 4}, []),
    "postcopy": (["postcopy-ram"], {"max-bandwidth": 10_000_000, "max-postcopy-bandwidth": 40_000_000},
                 ["--cut-at", "12M"]),
}


def prepare(q, kind):
    capabilities, parameters, _ = SETTINGS[kind]
    q.set_capabilities(["events", *capabilities])
    q.set_parameters(parameters)


def record(version, kind, space, folder, out):
    memory = {side: os.path.join(space.memory, side) for side in ("source", "target")}
    with open(memory["source"], "wb") as file:
        file.write(image())
    with ends.Program("record", "--listen", folder.uri("relay"), "--connect", folder.uri("target"),
                      "--connect-again", folder.uri(AGAIN), "-o", out, *SETTINGS[kind][2]) as relay, \
            peer.Peer(version, machine(memory["target"]) + ["-incoming", "defer"]) as target, \
            peer.Peer(version, machine(memory["source"])) as source:
        relay.listening()
        prepare(source, kind)
        prepare(target, kind)
        target.qmp("migrate-incoming", uri=folder.uri("target"))
        drive(kind, source, target, folder)
        said = relay.finish()
        peer.expect_equal_memory("the recorded destination", peer.read(memory["target"]), image())
    os.unlink(memory["target"])
    return said.splitlines()[0]


def start_target(version, memory, kind, folder):
    target = peer.Peer(version, machine(memory) + ["-incoming", "defer"])
    prepare(target, kind)
    target.qmp("migrate-incoming", uri=folder.uri("fresh"))
    return target


def replay(recording, target, folder, breaks, *more):
    """Plays it; where the recording has a break, tells the target to listen again."""
    with ends.Program("replay", recording, "--connect", folder.uri("fresh"), "--connect-again",
                      folder.uri(AGAIN), *more) as player:
        for _ in range(breaks):
            wait_for(player.process, "break")
            target.wait_status(["postcopy-paused"], timeout=peer.PATIENCE, bad=("failed", "completed"))
            if os.path.exists(folder(AGAIN)):
                os.unlink(folder(AGAIN))
            target.qmp("migrate-recover", uri=folder.uri(AGAIN))
        said = player.finish()
    target.wait_status(["completed"], timeout=peer.PATIENCE)
    return said.splitlines()[-1]


def recorded(version, kind):
    peer.path_of(version)
    with peer.Workspace() as space:
        folder, out = Folder(space), os.path.join(space.files, "recording.pcapng")
        notes = [record(version, kind, space, folder, out)]
        peer.migbench("check", out)
        memory = os.path.join(space.memory, "fresh")
        with start_target(version, memory, kind, folder) as target:
            notes.append(replay(out, target, folder, 1 if kind == "postcopy" else 0))
            peer.expect_equal_memory("after the replay", peer.read(memory), image())
        return notes


# importing -----------------------------------------------------------------------------


def capture(port, out):
    """tcpdump of one port of the loopback, ready to see packets."""
    if not shutil.which("tcpdump"):
        raise peer.Skip("tcpdump is not installed")
    process = subprocess.Popen(["tcpdump", "-i", "lo", "--immediate-mode", "-U", "-w", out, "-B", "65536",
                                "-s", "0", "tcp", "port", str(port)], stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "listening on" in line:
            return process
    raise peer.Skip("tcpdump may not capture here")


def wait_written(path, least):
    """tcpdump writes behind the packets, and drops what it has not written when it is ended."""
    end, last = time.monotonic() + 20, -1
    while time.monotonic() < end:
        size = os.path.getsize(path)
        if size >= least and size == last:
            return
        last = size
        time.sleep(1)


def imported(version, kind):
    """What tcpdump saw gives the same records as what the relay wrote."""
    peer.path_of(version)
    with peer.Workspace() as space:
        folder = Folder(space)
        packets, direct, out = (folder(n) for n in ("packets.pcap", "direct.pcapng", "imported.pcapng"))
        ports = ends.free_port(), ends.free_port()
        uris = [f"tcp:127.0.0.1:{port}" for port in ports]
        memory = {side: os.path.join(space.memory, side) for side in ("source", "target")}
        with open(memory["source"], "wb") as file:
            file.write(image())
        dump = capture(ports[0], packets)
        try:
            with ends.Program("record", "--listen", uris[0], "--connect", uris[1], "-o", direct) as relay, \
                    peer.Peer(version, machine(memory["target"]) + ["-incoming", "defer"]) as target, \
                    peer.Peer(version, machine(memory["source"])) as source:
                relay.listening()
                prepare(source, kind)
                prepare(target, kind)
                target.qmp("migrate-incoming", uri=uris[1])
                source.qmp("migrate", uri=uris[0])
                source.wait_status(["completed"], timeout=peer.PATIENCE)
                relay.finish()
            wait_written(packets, os.path.getsize(direct))
        finally:
            dump.terminate()
            dump.communicate()
        done = subprocess.run([peer.MIGBENCH, "record", "--import", packets, "-o", out], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode == 3:
            raise peer.Skip(f"tcpdump did not see all: {done.stdout.splitlines()[0]}")
        if done.returncode != 0:
            raise peer.Fail(done.stdout)
        peer.migbench("diff", direct, out)
        peer.migbench("check", out)
        return done.stdout.splitlines()[:1]


# replaying what traces/ has --------------------------------------------------------------


def expected_memory(trace, block, space):
    out = os.path.join(space.files, "expected")
    peer.migbench("extract", trace, "--block", block, "-o", out)
    return peer.read(out)


def target_argv(manifest, folder, memory):
    with open(folder("rom"), "wb") as rom:
        rom.write(bytes(65536))  # what it holds comes with the stream
    names = {"{ram}": memory, "{rom}": rom.name, "{serial}": folder("serial")}
    argv = []
    for word in manifest["producer"]["argv"]:
        for name, path in names.items():
            word = word.replace(name, path)
        argv.append(word)
    if "-S" not in argv:
        argv.append("-S")  # a guest that ran would change what is to be compared
    return argv + ["-incoming", "defer"]


def replayed(name):
    with open(os.path.join(peer.ROOT, "traces", f"{name}.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    version = re.search(r"-([\d.]+)$", name).group(1)
    peer.path_of(version)
    trace = os.path.join(peer.ROOT, "traces", manifest["file"])
    breaks = len({c.split(".")[1] for c in manifest["channels"] if "." in c})
    block = manifest["ram"][0]["name"]
    with peer.Workspace() as space:
        folder, memory = Folder(space), os.path.join(space.memory, "ram")
        argv = target_argv(manifest, folder, memory)
        if not any("mem-path" in word for word in argv):
            raise peer.Skip("its memory is in huge pages, which nobody can compare from outside")
        with peer.Peer(version, argv) as target:
            target.set_capabilities(["events", *manifest["capabilities"]])
            target.set_parameters({k: v for k, v in manifest["parameters"].items() if "multifd" in k})
            target.qmp("migrate-incoming", uri=folder.uri("fresh"))
            said = replay(trace, target, folder, breaks)
            peer.expect_equal_memory(f"block {block}", peer.read(memory),
                                     expected_memory(trace, block, space))
        return [said]


def deviates():
    """A destination that answers otherwise than was recorded is named."""
    with peer.Workspace() as space:
        folder = Folder(space)
        trace = os.path.join(peer.ROOT, "traces", "return-path-7.2.pcapng.zst")
        with open(os.path.join(peer.ROOT, "traces", "return-path-7.2.json"), encoding="utf-8") as file:
            ram = [{"name": b["name"], "size": b["used_length"] * 2} for b in json.load(file)["ram"]]
        scenario = folder("scenario.json")
        ends.save(scenario, {"schema": "migbench-scenario-1", "qemu": "7.2",
                             "guest": {"machine": "none", "ram": ram},
                             "capabilities": {"return-path": True}})
        with ends.Program("dest", "--scenario", scenario, "--uri", folder.uri("fresh")) as dest:
            dest.listening()
            with ends.Program("replay", trace, "--connect", folder.uri("fresh")) as player:
                said = player.finish(status=1)
            dest.finish(status=1)
        if "expected pong" not in said and "closed it" not in said and "expected shut" not in said:
            raise peer.Fail(f"the difference is not named: {said}")


def channel_traces():
    names = sorted(os.path.basename(p)[:-len(".pcapng.zst")] for p in
                   glob.glob(os.path.join(peer.ROOT, "traces", "*.pcapng.zst")))
    wanted = ("multifd", "postcopy", "return-path", "switchover-ack")
    return [n for n in names if n.startswith(wanted) and "hugepages" not in n]


if __name__ == "__main__":
    tap = peer.Tap(share=2)
    for version_ in peer.VERSIONS:
        for kind_ in SETTINGS:
            tap.run(f"/live/record/{version_}/{kind_}", recorded, version_, kind_)
    for kind_ in ("plain", "multifd"):
        tap.run(f"/live/record/import/{kind_}", imported, "7.2", kind_)
    for name_ in channel_traces():
        tap.run(f"/live/replay/{name_}", replayed, name_)
    tap.run("/live/replay/another-answer", deviates)
    sys.exit(tap.done())
