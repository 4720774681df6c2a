#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Legal but unusual streams load into real QEMU, and leave the memory that their generator said.

MIGBENCH_LIVE_STREAMS: how many for each version (default 40).
"""
import os
import subprocess

import peer

COUNT = int(os.environ.get("MIGBENCH_LIVE_STREAMS", "40"))
BYTES = 1 << 20


def load_one(version, place, seed, folder):
    recipe = peer.read(os.path.join(folder, f"{seed}.txt")).decode()
    want = peer.read(os.path.join(folder, f"{seed}.mem"))
    memory = os.path.join(place.memory, "ram")
    if os.path.exists(memory):
        os.unlink(memory)
    argv = peer.machine_argv("none", [("ram", BYTES)], place.memory)
    try:
        with peer.Peer(version, argv + ["-incoming", "defer"]) as qemu:
            qemu.load(os.path.join(folder, f"{seed}.mig"))
            peer.expect_equal_memory(f"seed {seed}", peer.read(memory), want)
    except Exception as error:
        raise peer.Fail(f"seed {seed} ({recipe}): {error}") from error


def load_all(version):
    peer.path_of(version)
    with peer.Workspace() as place:
        subprocess.run([os.environ["MIG_GENERATE"], version, "0", str(COUNT), place.files], check=True)
        for seed in range(COUNT):
            load_one(version, place, seed, place.files)
        return [f"{COUNT} streams"]


if __name__ == "__main__":
    tap = peer.Tap()
    for version in peer.VERSIONS:
        tap.run(f"generated streams load into {version}", load_all, version)
    tap.done()
