#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compressed pages, both ways: `migbench source` to QEMU 5.2 and 7.2, and these to `migbench dest`,
with a guest that writes all the time, one thread and eight, waiting for threads or not. Memory is
equal in the end. (QEMU 9.1 removed the capability; 10.0 and 11.1 have nothing to test.)
"""
import os
import random
import sys

import dest
import ends
import peer

VERSIONS = ("5.2", "7.2")
SETTINGS = ((8, True), (1, True), (8, False))  # compress-threads, compress-wait-thread
TEXT = bytes(range(97, 113))


def parameters_of(threads, wait):
    return {"compress-threads": threads, "compress-wait-thread": wait, "compress-level": 1}


def scenario(version, machine, blocks, capabilities, settings):
    s = ends.scenario(version, machine, blocks, ("compress", *capabilities))
    for block in s["guest"]["ram"]:
        block["content"] = [{"offset": 0, "length": block["size"] // 2, "kind": "text"}]
    s["parameters"].update(parameters_of(*settings))
    s["parameters"]["max-bandwidth"] = 15000000
    return s


def make_memory(space, blocks):
    """Half of it letters, which compress, the rest zero."""
    for name, size in blocks:
        letters = random.Random(name).choices(TEXT, k=size // 2)
        with open(os.path.join(space.memory, name), "wb") as file:
            file.write(bytes(letters))
            file.truncate(size)


def forget_memory(space, blocks):
    for name, _ in blocks:
        os.unlink(os.path.join(space.memory, name))


def to_qemu(version, machine, blocks, kind, capabilities, settings, space):
    peer.path_of(version)
    file, result = (os.path.join(space.files, f) for f in ("scenario.json", "result.json"))
    dumps = {name: os.path.join(space.files, f"dump-{name}") for name, _ in blocks}
    ends.save(file, scenario(version, machine, blocks, capabilities, settings))
    arguments = ["source", "--scenario", file, "--result", result]
    for name, dump in dumps.items():
        arguments += ["--dump", f"{name}={dump}"]
    argv = peer.machine_argv(machine, blocks, space.memory) + ["-incoming", "defer"]
    with ends.Wire(kind, space.files) as wire, peer.Peer(version, argv) as qemu:
        qemu.set_capabilities(["events", "compress"])
        qemu.qmp("migrate-incoming", uri=wire.dest)
        with ends.Program(*arguments, "--uri", wire.source) as source:
            source.finish()
        qemu.wait_migration("completed")
        for name, dump in dumps.items():
            peer.expect_equal_memory(f"{machine}, block '{name}' in QEMU {version}",
                                     peer.read(os.path.join(space.memory, name)), peer.read(dump))
        if qemu.error_text():
            raise peer.Fail(f"QEMU {version} loaded it, but complains: {qemu.error_text()}")
    forget_memory(space, blocks)
    outcome = ends.load(result)
    ends.expect_no_leak(outcome)
    query = outcome["query-migrate"]
    ram, compression = query["ram"], query["compression"]
    if len(outcome["passes"]) < 3:
        raise peer.Fail(f"only {len(outcome['passes'])} passes")
    if not compression["pages"] or not ram["duplicate"] or (settings[1] and compression["busy"]):
        raise peer.Fail(f"{ram} {compression}")
    return [f"{len(outcome['passes'])} passes, {compression['pages']} compressed, {ram['normal']} "
            f"normal, {ram['duplicate']} zero, {compression['busy']} busy"]


def expect_agreement(status, ours, settings):
    """QEMU counts a thread that has nothing new once more, so that its sums may be larger."""
    ram, compression = status["ram"], status["compression"]
    if not ours["compressed"] or not ours["duplicate"]:
        raise peer.Fail(f"nothing to see: {ours}")
    if ram["normal"] != ours["normal"]:
        raise peer.Fail(f"normal: QEMU says {ram['normal']}, we counted {ours['normal']}")
    both = compression["pages"] + ram["duplicate"], ours["compressed"] + ours["duplicate"]
    rounds = 4 * (ram["dirty-sync-count"] + 2)
    if not 0 <= both[0] - both[1] <= rounds * settings[0]:
        raise peer.Fail(f"compressed and zero: QEMU says {both[0]}, we counted {both[1]}")
    if ram["dirty-sync-count"] < 4:
        raise peer.Fail(f"only {ram['dirty-sync-count']} passes")
    return (f"{ram['dirty-sync-count']} passes, {ours['compressed']} compressed, "
            f"{ours['normal']} normal, {ours['duplicate']} zero")


def from_qemu(version, kind, settings, space):
    peer.path_of(version)
    machine, blocks = f"pc-i440fx-{version}", dest.BLOCKS
    make_memory(space, blocks)
    file, result = (os.path.join(space.files, f) for f in ("scenario.json", "result.json"))
    argv = peer.machine_argv(machine, blocks, space.memory)
    with ends.Wire(kind, space.files) as wire, peer.Peer(version, argv, qtest=True) as qemu:
        described = dest.ram_blocks(qemu)
        ends.save(file, dest.dest_scenario(version, machine, described, ("compress",)))
        arguments = ["dest", "--scenario", file, "--uri", wire.dest, "--result", result]
        for name, _, _ in described:
            arguments += ["--dump", f"{name}={os.path.join(space.files, dest.dump_name(name))}"]
        dest.start(qemu, ("compress",))
        qemu.set_parameters(parameters_of(*settings) | {"max-bandwidth": 12000000})
        with ends.Program(*arguments) as program:
            program.listening()
            wire.migrate(qemu, None)
            status = dest.rewrite_while_active(qemu, blocks)
            program.finish()
        if status["status"] != "completed":
            raise peer.Fail(f"QEMU says {status}: {qemu.error_text()}")
        for name, _ in blocks:
            peer.expect_equal_memory(f"{machine}, block '{name}' of QEMU {version}",
                                     peer.read(os.path.join(space.files, dest.dump_name(name))),
                                     peer.read(os.path.join(space.memory, name)))
    forget_memory(space, blocks)
    outcome = ends.load(result)
    ends.expect_no_leak(outcome)
    return [expect_agreement(status, outcome["destination"], settings)]


def refused(version, space):
    """A destination without the capability says so."""
    peer.path_of(version)
    blocks = [("ram", 4 * ends.MIB)]
    make_memory(space, blocks)
    file = os.path.join(space.files, "scenario.json")
    ends.save(file, dest.dest_scenario(version, "none", [("ram", blocks[0][1], blocks[0][1])], ()))
    argv = peer.machine_argv("none", blocks, space.memory)
    with ends.Wire("unix", space.files) as wire, peer.Peer(version, argv) as qemu:
        qemu.set_capabilities(["events", "compress"])
        with ends.Program("dest", "--scenario", file, "--uri", wire.dest) as program:
            program.listening()
            wire.migrate(qemu, None)
            said = program.finish(status=1)
    forget_memory(space, blocks)
    if "compress" not in said:
        raise peer.Fail(f"it fails, but says: {said}")


def main():
    tap = peer.Tap(share=3)
    one, two = [("ram", 16 * ends.MIB)], [("pc.ram", 8 * ends.MIB), ("dimm0", 4 * ends.MIB)]
    with peer.Workspace() as space:
        for version in VERSIONS:
            for settings in SETTINGS:
                name = f"{settings[0]}-threads" + ("" if settings[1] else "-no-wait")
                tap.run(f"/live/compress/source/{version}/{name}", to_qemu, version, "none", one,
                        "unix", (), settings, space)
                tap.run(f"/live/compress/dest/{version}/{name}", from_qemu, version, "unix",
                        settings, space)
            tap.run(f"/live/compress/source/{version}/two-blocks/xbzrle", to_qemu, version,
                    f"pc-i440fx-{version}", two, "tcp", ("return-path", "xbzrle"), SETTINGS[0],
                    space)
            tap.run(f"/live/compress/source/{version}/two-blocks", to_qemu, version,
                    f"pc-i440fx-{version}", two, "exec", (), SETTINGS[0], space)
            tap.run(f"/live/compress/dest/{version}/refused", refused, version, space)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
