#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`migbench source` migrates a guest that writes all the time to real QEMU, over every transport
that both know, with and without a return path; QEMU's memory is then our guest's.
"""
import os
import sys

import ends
import peer

TRANSPORTS = ("tcp", "unix", "exec", "fd", "file")


def expect_worth_it(result, blocks, capabilities):
    """The run made passes, sent zero pages again, and counted what it sent."""
    ram = result["query-migrate"]["ram"]
    pages = sum(size for _, size in blocks) // 4096
    if len(result["passes"]) < 3:
        raise peer.Fail(f"only {len(result['passes'])} passes; the scenario is to make three")
    if ram["normal"] + ram["duplicate"] <= pages or ram["remaining"]:
        raise peer.Fail(f"{ram} for {pages} pages")
    if not result["guest"]["writes"]:
        raise peer.Fail("the guest has not written")
    deltas = result["query-migrate"].get("xbzrle-cache", {}).get("pages")
    if "xbzrle" in capabilities and not deltas:
        raise peer.Fail(f"no deltas: {result['query-migrate']}")
    return (f"{len(result['passes'])} passes, {ram['normal']} normal, {ram['duplicate']} zero, "
            f"{deltas or 0} deltas, downtime {result['query-migrate']['downtime']} ms")


def migrate(version, machine, blocks, kind, capabilities, space, parameters=None):
    peer.path_of(version)
    file = os.path.join(space.files, "scenario.json")
    result = os.path.join(space.files, "result.json")
    dumps = {name: os.path.join(space.files, f"dump-{name}") for name, _ in blocks}
    ends.save(file, ends.scenario(version, machine, blocks, capabilities, parameters))
    arguments = ["source", "--scenario", file, "--result", result]
    for name, dump in dumps.items():
        arguments += ["--dump", f"{name}={dump}"]
    argv = peer.machine_argv(machine, blocks, space.memory) + ["-incoming", "defer"]
    with ends.Wire(kind, space.files) as wire, \
            peer.Peer(version, argv, pass_fds=wire.dest_fds) as qemu:
        incoming = wire.dest
        if kind == "file" and version in ("5.2", "7.2"):
            incoming = f"exec:cat {wire.path}"
        qemu.set_capabilities(["events"] + ["multifd"] * ("multifd" in capabilities))
        qemu.set_parameters(parameters)
        if kind != "file":
            qemu.qmp("migrate-incoming", uri=incoming)
        with ends.Program(*arguments, "--uri", wire.source, fds=wire.source_fds) as source:
            wire.handed_over()
            source.finish()
        if kind == "file":
            ends.expect_pages_turned(peer.read(wire.path), blocks)
            qemu.qmp("migrate-incoming", uri=incoming)
        qemu.wait_migration("completed")
        for name, dump in dumps.items():
            peer.expect_equal_memory(f"{machine}, block '{name}' in QEMU {version}",
                                     peer.read(os.path.join(space.memory, name)), peer.read(dump))
        if qemu.error_text():
            raise peer.Fail(f"QEMU {version} loaded it, but complains: {qemu.error_text()}")
    for name, _ in blocks:
        os.unlink(os.path.join(space.memory, name))
    outcome = ends.load(result)
    ends.expect_no_leak(outcome, lent=kind == "fd")
    return [expect_worth_it(outcome, blocks, capabilities)]


def main():
    tap = peer.Tap(share=3)
    one, two = [("ram", 16 * ends.MIB)], [("pc.ram", 8 * ends.MIB), ("dimm0", 4 * ends.MIB)]
    with peer.Workspace() as space:
        for version in peer.VERSIONS:
            for kind in TRANSPORTS:
                for on in ((), ("return-path",)) if kind in ends.TWO_WAY else ((),):
                    tap.run("/".join(["/live/source", version, kind, *on]), migrate, version,
                            "none", one, kind, on, space)
            for on in (("return-path",), ("return-path", "xbzrle")):
                tap.run("/".join(["/live/source", version, "two-blocks", *on]), migrate, version,
                        f"pc-i440fx-{version}", two, "unix", on, space)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
