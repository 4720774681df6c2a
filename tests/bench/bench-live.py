#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random memory over a unix socket: migbench source to migbench dest, QEMU to QEMU, and a bare pump
that neither scans nor parses, one after the other on this machine; over one channel, and with two
of multifd (the pump has one). Blocks are anonymous, with huge
pages wanted, in all of them; no destination's memory is touched beforehand. All take turns, and
each figure is the best of its rounds (noise only ever slows one down), with the median beside it.
Prints; judges nothing.

MIGBENCH_BENCH_MIB: the size (default 1024); MIGBENCH_BENCH_ROUNDS: how often (default 5).
"""
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "live"))

import ends  # noqa: E402
import peer  # noqa: E402

SIZE = int(os.environ.get("MIGBENCH_BENCH_MIB", "1024")) << 20
ROUNDS = int(os.environ.get("MIGBENCH_BENCH_ROUNDS", "5"))


def scenario(version, channels=0):
    ram = [{"name": "ram", "size": SIZE, "content": [{"length": SIZE, "kind": "random"}]}]
    return {"schema": "migbench-scenario-1", "qemu": version,
            "guest": {"machine": "none", "ram": ram}, "capabilities": {"return-path": True, "multifd": channels > 0},
            "parameters": {"max-bandwidth": 0} | ({"multifd-channels": channels} if channels else {}),
            "limit": "600s"}


def migbench_pair(space, version, channels):
    """Milliseconds of one migration, from the command to the verdict."""
    file, result = (os.path.join(space.files, f) for f in ("scenario.json", "result.json"))
    wire = os.path.join(space.files, "wire")
    ends.save(file, scenario(version, channels))
    with ends.Program("dest", "--scenario", file, "--uri", f"unix:{wire}") as dest:
        dest.listening()
        with ends.Program("source", "--scenario", file, "--uri", f"unix:{wire}", "--result",
                          result) as source:
            source.finish()
        dest.finish()
    answer = ends.load(result)["query-migrate"]
    return answer["total-time"] - answer["setup-time"]


def qemu_argv():
    return ["-accel", "tcg", "-S", *peer.QUIET, "-M", "none", "-m", f"size={SIZE}B",
            "-incoming", "defer"]


def prepare(qemu, channels):
    qemu.set_capabilities(["events", "return-path"] + ["multifd"] * (channels > 0))
    qemu.set_parameters({"multifd-channels": channels} if channels else {})


def qemu_pair(space, version, channels):
    """The first QEMU gets its memory from us; then it migrates to the second."""
    file, wire = (os.path.join(space.files, f) for f in ("scenario.json", "wire"))
    ends.save(file, scenario(version))
    with peer.Peer(version, qemu_argv()) as source, peer.Peer(version, qemu_argv()) as dest:
        prepare(source, 0)
        prepare(dest, channels)
        source.qmp("migrate-incoming", uri=f"unix:{wire}-1")
        with ends.Program("source", "--scenario", file, "--uri", f"unix:{wire}-1") as filler:
            filler.finish()
        source.wait_migration("completed")
        dest.qmp("migrate-incoming", uri=f"unix:{wire}-2")
        prepare(source, channels)
        source.set_parameters({"max-bandwidth": 0})
        source.qmp("migrate", uri=f"unix:{wire}-2")
        dest.wait_migration("completed")
        answer = source.wait_status(["completed"])
        while answer["total-time"] == 0:  # 7.2 says "completed" before it says when
            answer = source.status()
        return answer["total-time"] - answer["setup-time"]


def pump(_space, _version, _channels):
    out = subprocess.run([os.environ["MIG_PUMP"], str(SIZE)], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    return int(out) / 1e6


def contestants(channels):
    """[(title, function, version, channels)]"""
    found = [("migbench to migbench", migbench_pair, "10.0", channels)]
    for version in peer.VERSIONS:
        try:
            peer.path_of(version)
            found.append((f"QEMU {version} to QEMU {version}", qemu_pair, version, channels))
        except peer.Skip as reason:
            print(f"QEMU {version}: {reason}")
    return found


def compete(space, channels):
    everybody = [("bare pump", pump, None, 0), *contestants(channels)]
    rates = {title: [] for title, *_ in everybody}
    for _ in range(ROUNDS):
        for title, function, *arguments in everybody:
            milliseconds = function(space, *arguments)
            rates[title].append(SIZE / (1 << 20) / (milliseconds / 1e3))
    best = {title: max(values) for title, values in rates.items()}
    ours = best["migbench to migbench"]
    print(f"multifd with {channels} channels" if channels else "one channel")
    for title, values in rates.items():
        print(f"  {title:<24} best {best[title]:5.0f} MiB/s, median "
              f"{statistics.median(values):5.0f}: {best[title] / best['bare pump']:4.0%} of the pump"
              + (f"; migbench is {ours / best[title]:.2f} times as fast" if "QEMU" in title else ""),
              flush=True)


def main():
    print(f"{SIZE >> 20} MiB of random memory over a unix socket, {os.cpu_count()} processors, "
          f"{ROUNDS} rounds, load {os.getloadavg()[0]:.1f}")
    with peer.Workspace() as space:
        for channels in (0, 2):
            compete(space, channels)
    return 0


if __name__ == "__main__":
    sys.exit(main())
