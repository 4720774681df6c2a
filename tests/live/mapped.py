#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files of mapped-ram, both ways: what `migbench source` writes, QEMU 10.0 and 11.1 load, and what
these write, `migbench dest` loads, with and without multifd, at the beginning of the file and behind
something else in it, with a guest that writes all the time. Memory is equal in the end. (QEMU has the
capability since 9.0: 5.2 and 7.2 have nothing to test.)
"""
import os
import sys

import dest
import ends
import peer

VERSIONS = ("10.0", "11.1")
CHANNELS = 3
OFFSETS = (0, 12345)
FRONT = b"not a migration " * 1000


def wire_of(space, offset):
    """A file in which something stands already, and its URI."""
    path = os.path.join(space.files, "mapped")
    with open(path, "wb") as file:
        file.write(FRONT)
    return path, f"file:{path}" + (f",offset={offset}" if offset else "")


def capabilities_of(multifd):
    return ("mapped-ram",) + (("multifd",) if multifd else ())


def scenario(version, machine, blocks, multifd, parameters):
    s = ends.scenario(version, machine, blocks, capabilities_of(multifd))
    s["parameters"].update(parameters | {"max-bandwidth": 20000000})
    if multifd:
        s["parameters"]["multifd-channels"] = CHANNELS
    return s


def expect_front(path, offset):
    """What stood in front of the offset still does."""
    with open(path, "rb") as file:
        if file.read(offset) != FRONT[:offset]:
            raise peer.Fail("bytes in front of the offset have changed")


def prepare(qemu, multifd):
    qemu.set_capabilities(["events", *capabilities_of(multifd)])
    if multifd:
        qemu.set_parameters({"multifd-channels": CHANNELS})


def to_qemu(version, machine, blocks, multifd, offset, parameters, space):
    peer.path_of(version)
    file, result = (os.path.join(space.files, f) for f in ("scenario.json", "result.json"))
    dumps = {name: os.path.join(space.files, f"dump-{name}") for name, _ in blocks}
    path, uri = wire_of(space, offset)
    ends.save(file, scenario(version, machine, blocks, multifd, parameters))
    arguments = ["source", "--scenario", file, "--uri", uri, "--result", result]
    for name, dump in dumps.items():
        arguments += ["--dump", f"{name}={dump}"]
    with ends.Program(*arguments) as source:
        source.finish()
    expect_front(path, offset)
    if offset == 0:
        peer.migbench("check", path, "--profile", "strict")
    argv = peer.machine_argv(machine, blocks, space.memory) + ["-incoming", "defer"]
    with peer.Peer(version, argv) as qemu:
        prepare(qemu, multifd)
        qemu.qmp("migrate-incoming", uri=uri)
        qemu.wait_migration("completed")
        for name, dump in dumps.items():
            peer.expect_equal_memory(f"{machine}, block '{name}' in QEMU {version}",
                                     peer.read(os.path.join(space.memory, name)), peer.read(dump))
        if qemu.error_text():
            raise peer.Fail(f"QEMU {version} loaded it, but complains: {qemu.error_text()}")
    for name, _ in blocks:
        os.unlink(os.path.join(space.memory, name))
    outcome = ends.load(result)
    ends.expect_no_leak(outcome)
    ram = outcome["query-migrate"]["ram"]
    pages = sum(size for _, size in blocks) // 4096
    if len(outcome["passes"]) < 3 or ram["normal"] + ram["duplicate"] <= pages:
        raise peer.Fail(f"{len(outcome['passes'])} passes, {ram} for {pages} pages")
    if bool(ram["multifd-bytes"]) != multifd:
        raise peer.Fail(f"multifd-bytes: {ram['multifd-bytes']}")
    if ram["multifd-bytes"] != (ram["normal"] * 4096 if multifd else 0):
        raise peer.Fail(f"{ram}: a page in a file is a page, nothing else")
    return [f"{len(outcome['passes'])} passes, {ram['normal']} normal, {ram['duplicate']} zero"]


def from_qemu(version, multifd, offset, space):
    peer.path_of(version)
    machine, blocks = f"pc-i440fx-{version}", dest.BLOCKS
    dest.make_memory(space, blocks)
    file, result = (os.path.join(space.files, f) for f in ("scenario.json", "result.json"))
    path, uri = wire_of(space, offset)
    argv = peer.machine_argv(machine, blocks, space.memory)
    with peer.Peer(version, argv, qtest=True) as qemu:
        described = dest.ram_blocks(qemu)
        dest.start(qemu, capabilities_of(multifd))
        prepare(qemu, multifd)
        qemu.qmp("migrate", uri=uri)
        status = dest.rewrite_while_active(qemu, blocks)
        if status["status"] != "completed":
            raise peer.Fail(f"QEMU says {status}: {qemu.error_text()}")
        expect_front(path, offset)
        s = dest.dest_scenario(version, machine, described, capabilities_of(multifd))
        if multifd:
            s["parameters"] = {"multifd-channels": CHANNELS}
        ends.save(file, s)
        arguments = ["dest", "--scenario", file, "--uri", uri, "--result", result]
        for name, _, _ in described:
            arguments += ["--dump", f"{name}={os.path.join(space.files, dest.dump_name(name))}"]
        with ends.Program(*arguments) as program:
            program.listening()
            program.finish()
        for name, _ in blocks:
            peer.expect_equal_memory(f"{machine}, block '{name}' of QEMU {version}",
                                     peer.read(os.path.join(space.files, dest.dump_name(name))),
                                     peer.read(os.path.join(space.memory, name)))
    for name, _ in blocks:
        os.unlink(os.path.join(space.memory, name))
    outcome = ends.load(result)
    ends.expect_no_leak(outcome)
    ours, pages = outcome["destination"], sum(used for _, used, _ in described) // 4096
    if ours["normal"] + ours["duplicate"] != pages or not ours["normal"] or not ours["duplicate"]:
        raise peer.Fail(f"{ours} for {pages} pages")
    if status["ram"]["dirty-sync-count"] < 4:
        raise peer.Fail(f"only {status['ram']['dirty-sync-count']} passes")
    return [f"{status['ram']['dirty-sync-count']} passes; {ours['normal']} pages in the file"]


def ours(multifd, offset, space):
    """Our source, our destination."""
    blocks = [("a", 8 * ends.MIB), ("b", 3 * ends.MIB)]
    file = os.path.join(space.files, "scenario.json")
    path, uri = wire_of(space, offset)
    ends.save(file, scenario("10.0", "none", blocks, multifd, {}))
    dumps = [[os.path.join(space.files, f"{end}-{name}") for name, _ in blocks]
             for end in ("source", "dest")]
    for command, files in zip(("source", "dest"), dumps):
        arguments = [command, "--scenario", file, "--uri", uri]
        for (name, _), dump in zip(blocks, files):
            arguments += ["--dump", f"{name}={dump}"]
        with ends.Program(*arguments) as program:
            program.finish()
    expect_front(path, offset)
    for left, right in zip(*dumps):
        peer.expect_equal_memory("ours", peer.read(right), peer.read(left))


def disagree(space):
    """A file of one kind does not load as the other: both say why."""
    blocks = [("a", 4 * ends.MIB)]
    on, off = (os.path.join(space.files, f) for f in ("on.json", "off.json"))
    _, uri = wire_of(space, 0)
    ends.save(on, scenario("10.0", "none", blocks, False, {}))
    ends.save(off, ends.scenario("10.0", "none", blocks, ()))
    for written, loaded in ((on, off), (off, on)):
        with ends.Program("source", "--scenario", written, "--uri", uri) as source:
            source.finish()
        with ends.Program("dest", "--scenario", loaded, "--uri", uri) as program:
            said = program.finish(status=1)
        if "mapped-ram" not in said:
            raise peer.Fail(f"it fails, but says: {said}")
    said = peer.migbench("source", "--scenario", on, "--uri", "exec:cat > /dev/null", status=2)
    if "file:PATH" not in said:
        raise peer.Fail(f"exec: it says {said}")


def main():
    tap = peer.Tap(share=2)
    one, two = [("ram", 16 * ends.MIB)], [("pc.ram", 8 * ends.MIB), ("dimm0", 4 * ends.MIB)]
    with peer.Workspace() as space:
        for multifd in (False, True):
            kind = "multifd" if multifd else "single"
            for offset in OFFSETS:
                where = f"{kind}/offset-{offset}"
                for version in VERSIONS:
                    tap.run(f"/live/mapped/source/{version}/{where}", to_qemu, version, "none", one,
                            multifd, offset, {}, space)
                    tap.run(f"/live/mapped/dest/{version}/{where}", from_qemu, version, multifd,
                            offset, space)
                tap.run(f"/live/mapped/ours/{where}", ours, multifd, offset, space)
            for version in VERSIONS:
                tap.run(f"/live/mapped/source/{version}/{kind}/two-blocks", to_qemu, version,
                        f"pc-i440fx-{version}", two, multifd, 0, {}, space)
                tap.run(f"/live/mapped/source/{version}/{kind}/legacy-zero", to_qemu, version, "none",
                        one, multifd, 0, {"zero-page-detection": "legacy"}, space)
        tap.run("/live/mapped/disagree", disagree, space)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
