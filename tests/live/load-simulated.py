#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stream that the simulator wrote loads into real QEMU, and the memory there is the simulator's.

Two machines: `none` with its one block, and `pc` with a second block (a DIMM), which loads a
stream of RAM alone, too. Before a stream is loaded the test makes sure that it is worth loading:
at least three passes over memory, every block in it, in each a page that was full, turned zero,
and became full again.
"""
import json
import os
import sys

import peer
import walk

MIB = 1 << 20


def scenario(version, machine, blocks, capabilities, write):
    """Blocks: [(name, bytes)]. A few pages of each are rewritten and blanked all the time, faster than
    the downtime allows, until enough passes have been made and the downtime is raised."""
    ram = [{"name": name, "size": size,
            "content": [{"offset": 0, "length": size // 2, "kind": "random"}]}
           for name, size in blocks]
    workload = [{"block": name, "offset": size // 4, "length": "256k", "pattern": "random",
                 "rate": 3000, "pace": "clock", "write": kind}
                for name, size in blocks for kind in (write, "zero")]
    return {"schema": "migbench-scenario-1", "qemu": version, "seed": 20,
            "guest": {"machine": machine, "ram": ram, "workload": workload},
            "link": {"bandwidth": "200Mbit/s", "latency": "100us",
                     "send-buffer": "128k", "receive-buffer": "128k"},
            "capabilities": capabilities, "parameters": {"downtime-limit": 1},
            "events": [{"after-pass": 10, "do": "migrate-set-parameters",
                        "arguments": {"downtime-limit": 300}}],
            "limit": "60s"}


def simulate(version, machine, blocks, folder, capabilities, write):
    """Returns (stream, {block: final memory of the simulator's source}, result)."""
    path = {what: os.path.join(folder, f"{machine}-{version}.{what}")
            for what in ("json", "mig", "result")}
    with open(path["json"], "w", encoding="utf-8") as file:
        json.dump(scenario(version, machine, blocks, capabilities, write), file)
    dumps = {name: os.path.join(folder, f"{machine}-{version}.{name}") for name, _ in blocks}
    arguments = ["sim", path["json"], "--stream", path["mig"], "--result", path["result"]]
    for name, file in dumps.items():
        arguments += ["--dump", f"{name}={file}"]
    peer.migbench(*arguments)
    peer.migbench("check", path["mig"])
    with open(path["result"], encoding="utf-8") as file:
        result = json.load(file)
    return path["mig"], {name: peer.read(file) for name, file in dumps.items()}, result


def expect_worth_loading(stream, blocks, result):
    """Refuses a stream that would load but show nothing. Says what is in it."""
    passes = len(result["passes"])
    if passes < 3:
        raise peer.Fail(f"only {passes} passes; the scenario is to make three")
    walker = walk.Walker(peer.read(stream)).walk()
    names = [block["name"] for block in walker.blocks]
    if names != [name for name, _ in blocks]:
        raise peer.Fail(f"the stream lists the blocks {names}")
    history = {}
    for block, page, kind in walker.page_order:
        history.setdefault((block, page), []).append(kind == "zero")
    for name, _ in blocks:
        sent = [h for (block, _), h in history.items() if block == name]
        turned = sum(1 for h in sent if any(h[n:n + 3] == [False, True, False]
                                            for n in range(len(h))))
        if not turned:
            raise peer.Fail(f"no page of '{name}' turned zero and back")
    return f"{passes} passes, {len(walker.page_order)} pages sent, {len(history)} different ones"


def loads(version, machine, blocks, space, capabilities, write="page"):
    peer.path_of(version)
    stream, memory, result = simulate(version, machine, blocks, space.files, capabilities, write)
    notes = [expect_worth_loading(stream, blocks, result)]
    with peer.Peer(version, peer.machine_argv(machine, blocks, space.memory)
                   + ["-incoming", "defer"]) as destination:
        destination.load(stream)
        for name, _ in blocks:
            peer.expect_equal_memory(f"{machine}, block '{name}' in QEMU {version}",
                                     peer.read(os.path.join(space.memory, name)), memory[name])
        warnings = destination.error_text()
    for name, _ in blocks:
        os.unlink(os.path.join(space.memory, name))
    if warnings:
        raise peer.Fail(f"QEMU {version} loaded it, but complains: {warnings}")
    return notes


def main():
    tap = peer.Tap()
    with peer.Workspace() as space:
        for version in peer.VERSIONS:
            tap.run(f"/live/load-simulated/none/{version}", loads, version, "none",
                    [("ram", 8 * MIB)], space, {})
            tap.run(f"/live/load-simulated/xbzrle/{version}", loads, version, "none",
                    [("ram", 8 * MIB)], space, {"xbzrle": True}, "bytes:90")
            tap.run(f"/live/load-simulated/pc-two-blocks/{version}", loads, version,
                    f"pc-i440fx-{version}", [("pc.ram", 8 * MIB), ("dimm0", 4 * MIB)], space, {})
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
