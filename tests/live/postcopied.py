# SPDX-License-Identifier: Apache-2.0
"""One postcopy between us and QEMU, in either direction, over a line that keeps what passes and may
break: for tests of what is said in it, and of what becomes of a guest whose line broke.
"""
import os
import time

import dest
import ends
import line
import peer
import running

SIZE = 4 * ends.MIB
RATE = 4 << 20  # bytes per second, from the package on
SLOW = 1 << 19  # max-postcopy-bandwidth of one whose line is to break
RAM_ONLY = ("postcopy-ram",)
NEVER = 1 << 60


def guest():
    return {"tsc-hz": running.TSC_HZ,
            "fills": [{"offset": 1 << 20, "length": 2 << 20, "kind": "random", "seed": 7}],
            "regions": [{"offset": 1 << 20, "length": 2 << 20, "pattern": "random", "rate": 20000,
                         "pace": "cpu", "write": "counter", "seed": 3}]}


def cut(between, offset):
    """Both ends are in postcopy, as far as one can tell from outside: the line breaks |offset| bytes
    on."""
    while between.began is None:
        time.sleep(0.001)
    between.cut_after(offset)


def expect_cut(between):
    if between.cuts != 1:
        raise peer.Skip(f"everything had passed before the line could be cut ({between.passed} bytes)")


def source_scenario(version, machine, blocks, stream, capabilities, limit):
    ram = [{"name": name, "size": used, "content": [{"offset": 0, "length": used, "kind": "trace",
                                                     "file": stream}]} for name, used, _ in blocks]
    return {"schema": "migbench-scenario-1", "qemu": version, "seed": 5,
            "guest": {"machine": machine, "ram": ram, "devices": stream, "workload": [
                {"block": running.RAM, "offset": "1M", "length": "2M", "pattern": "random",
                 "rate": 20000, "pace": "cpu", "write": "counter"}]},
            "link": {"send-buffer": "8k"},
            "capabilities": {name: True for name in capabilities},
            "parameters": {"max-bandwidth": 16 << 20, "downtime-limit": 1,
                           "max-postcopy-bandwidth": limit},
            "events": [{"after-pass": 1, "do": "migrate-start-postcopy"}], "limit": "120s"}


def send(version, breaks, space, capabilities=RAM_ONLY):
    """From us to them, through a line that keeps what passes; returns that. |breaks|: how far in
    postcopy the line breaks, in bytes; 0: it does not."""
    file, wire, far, again, dump = (os.path.join(space.files, f)
                                    for f in ("s.json", "wire", "far", "again", "dump"))
    with running.Machine(space, "recorded", SIZE, guest()) as machine:
        stream, blocks, name = machine.record(version, space)
    ends.save(file, source_scenario(version, name, blocks, stream, capabilities,
                               SLOW if breaks else 0))
    with running.Machine(space, "dest", SIZE, guest()) as machine, \
            peer.Peer(version, machine.argv + ["-incoming", "defer"]) as qemu, \
            line.Line(wire, far, RATE, keep=True) as between:
        qemu.set_capabilities(["events", *capabilities])
        qemu.qmp("migrate-incoming", uri=f"unix:{far}")
        if breaks:
            between.cut_in_postcopy(NEVER, RATE)
        with ends.Program("source", "--scenario", file, "--uri", f"unix:{wire}", "--dump",
                          f"{running.RAM}={dump}") as ours:
            if breaks:
                qemu.receive(lambda m: m.get("event") == "RESUME", peer.PATIENCE)
                cut(between, breaks)
                if qemu.wait_migration("postcopy-paused", "completed") == "completed":
                    expect_cut(between)
                between.target = again
                qemu.qmp("migrate-recover", uri=f"unix:{again}")
            qemu.wait_migration("completed")
            qemu.qmp("stop")
            ours.finish()
        before = peer.read(dump)
        running.expect_memory(f"QEMU {version}'s memory", machine.read(qemu), before, guest(),
                              running.written(before))
    os.unlink(stream)
    return between.kept


def receive(version, breaks, space, capabilities=RAM_ONLY):
    """From them to us, likewise; returns what passed, and our result."""
    file, wire, far, result, dump = (os.path.join(space.files, f)
                                     for f in ("s.json", "wire", "far", "r.json", "dump"))
    with running.Machine(space, "source", SIZE, running.resting(SIZE)) as machine, \
            peer.Peer(version, machine.argv, qtest=True) as qemu, \
            line.Line(wire, far, RATE, keep=True) as between:
        machine.wait_ready()
        blocks, name = dest.ram_blocks(qemu), running.machine_name(qemu)
        scenario = dest.dest_scenario(version, name, blocks, capabilities)
        scenario["guest"]["workload"] = [
            {"block": running.RAM, "offset": 0, "length": SIZE, "pattern": "random", "rate": 20000,
             "pace": "cpu"}]
        ends.save(file, scenario)
        qemu.set_capabilities(["events", *capabilities])
        qemu.set_parameters({"max-bandwidth": 1 << 20, "downtime-limit": 1,
                             "max-postcopy-bandwidth": SLOW if breaks else 0})
        with ends.Program("dest", "--scenario", file, "--uri", f"unix:{far}", "--result", result,
                          "--dump", f"{running.RAM}={dump}") as ours:
            ours.listening()
            if breaks:
                between.cut_in_postcopy(NEVER, RATE)
            qemu.qmp("migrate", uri=f"unix:{wire}")
            # All that was sent so far is dirty again; the rest of the pass takes a second.
            qemu.receive(lambda m: m.get("event") == "MIGRATION"
                         and m["data"]["status"] == "active", peer.PATIENCE)
            while qemu.status()["ram"]["transferred"] < 1 << 20:
                time.sleep(0.001)
            qemu.fill(1 << 20, 2 << 20, 0x5a)
            qemu.qmp("migrate-start-postcopy")
            if breaks:
                qemu.wait_migration("postcopy-active")
                cut(between, breaks)
                end = qemu.wait_migration("postcopy-paused", "failed", "completed", bad=())
                if end == "completed":
                    expect_cut(between)
                if end == "failed":
                    raise peer.Skip(f"QEMU {version} took the break for a failure, as 10.0 does now and "
                                    f"then (traces/README.md): {qemu.error_text()}")
                qemu.qmp("migrate", uri=f"unix:{wire}", resume=True)
            qemu.wait_migration("completed")
            ours.finish()
        peer.expect_equal_memory(f"QEMU {version}'s memory here", peer.read(dump), machine.read(qemu))
    outcome = ends.load(result)["destination"]["postcopy"]
    if outcome["guest"]["wrong"] or outcome["pauses"] != bool(breaks) or not outcome["requests"]:
        raise peer.Fail(f"the destination: {outcome}")
    return between.kept, outcome
