#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Postcopy with real faults between QEMU and us, after pass 1: the guest at the destination runs
before its pages have come and asks for them, and memory is then what the source's was.

At our destination threads touch memory; what they did is checked and taken back before memory is
compared. At QEMU's the vCPU of a recorded machine goes on; what it writes is known.
"""
import os
import sys
import time

import dest
import ends
import line
import peer
import running

PLAIN, FAST = ("postcopy-ram", "postcopy-blocktime"), ("postcopy-ram", "postcopy-blocktime",
                                                      "postcopy-preempt")
RELEASE = ("postcopy-ram", "postcopy-blocktime", "release-ram")
MULTIFD_TOO = ("5.2", "7.2", "11.1")  # 8.0 to 10.0 refuse it together with postcopy
# What a destination does with it, whoever the source is: QEMU's own of the same version, too.
BROKEN = {("7.2", False): "7.2 aborts when it has everything (yank_unregister_instance: Assertion "
                          "QLIST_EMPTY(&entry->yankfns) failed)",
          ("7.2", True): "7.2 takes the preempt channel for one of multifd's and its main loop waits "
                         "for ever"}
REQUESTS = 1000        # at least, at both ends
SIZE = 64 * ends.MIB   # of a guest that migrates to us, and of those with huge pages
TO_SIZE = 256 * ends.MIB  # to them: a request takes the 32 pages along that leave with one flush
RATE = 32 << 20        # bytes per second to a QEMU with one vCPU
VCPUS = 16             # of ours: each waits for one page at a time
HUGE = 2 << 20
LARGE = 2304 * ends.MIB  # in huge pages: enough for REQUESTS of them, where MIGBENCH_FULL is set
# Then, of the background, on a line that has no limit otherwise: less than a page of 2 MiB per window of
# 100 ms. So what leaves first in a window, and fills it, is nearly always a page that was asked for; and as
# a page of the background takes two windows and not more, nobody waits for it for long.
HUGE_RATE = 16 << 20


def our_scenario(version, machine, blocks, capabilities, page_size, size):
    """Threads that touch all of RAM, each in an order of its own."""
    scenario = dest.dest_scenario(version, machine, blocks, capabilities)
    for block in scenario["guest"]["ram"]:
        if block["name"] == running.RAM:
            block["page-size"] = page_size
    scenario["seed"] = 5
    scenario["guest"]["vcpus"] = VCPUS
    scenario["guest"]["workload"] = [
        {"block": running.RAM, "offset": 0, "length": size, "pattern": "random", "rate": 20000,
         "pace": "cpu", "access": "read" if n % 4 == 3 else "write"} for n in range(VCPUS)]
    return scenario


def rewrite(qemu, size):
    """In the first pass, when three quarters of what is not zero have been sent: writes to all of that,
    as a device does (those of a vCPU may be lost, see running.resting). What was sent is dirty again, and
    nothing is written later, which the last sync might miss. The rest of the pass and the next one take
    seconds, in which postcopy is to begin."""
    while True:
        ram = qemu.status().get("ram", {})
        if 0 < ram.get("remaining", 0) < size * 3 // 8:
            break
        time.sleep(0.002)
    qemu.set_parameters({"max-bandwidth": 4 << 20 if size < LARGE else 64 << 20})
    start, length = (size // 4, size // 2) if size < LARGE else (HUGE, size - HUGE)
    qemu.fill(start, length, 0x5a)


def from_qemu(version, capabilities, limit, page_size, space, size=SIZE):
    if version == "7.2" and "multifd" in capabilities and "postcopy-preempt" in capabilities:
        raise peer.Skip("a 7.2 with both was not seen to complete, to its own version or to us")
    huge = page_size > 4096
    least = max(size // HUGE // 4, REQUESTS if size == LARGE else 0) if huge else REQUESTS
    file, result, dump, wire, far = (os.path.join(space.files, f)
                                     for f in ("s.json", "result.json", "dump", "wire", "far"))
    with running.HugePages(2 * size // HUGE if huge else 0), \
            running.Machine(space, "source", size, running.resting(size), hugetlb=huge) as machine, \
            peer.Peer(version, machine.argv, qtest=True) as qemu, \
            line.Line(wire, far, RATE if huge else 0):
        machine.wait_ready()
        blocks = dest.ram_blocks(qemu)
        ends.save(file, our_scenario(version, running.machine_name(qemu), blocks, capabilities,
                                     page_size, size))
        qemu.set_capabilities(["events", *capabilities])
        qemu.set_parameters({"max-bandwidth": size // 2, "downtime-limit": 1,
                             "max-postcopy-bandwidth": limit})
        with ends.Program("dest", "--scenario", file, "--uri", f"unix:{far}", "--result", result,
                          "--dump", f"{running.RAM}={dump}") as ours:
            ours.listening()
            qemu.qmp("migrate", uri=f"unix:{wire if size < LARGE else far}")
            rewrite(qemu, size)
            running.wait_passes(qemu, 1)
            memory = machine.read(qemu) if "release-ram" in capabilities else None
            qemu.qmp("migrate-start-postcopy")
            qemu.wait_migration("completed")
            ours.finish()
        status = qemu.status()
        peer.expect_equal_memory(f"QEMU {version}'s memory here", peer.read(dump),
                                 memory or machine.read(qemu))
    outcome = ends.load(result)
    ends.expect_no_leak(outcome)
    return expect_worth_it(outcome["destination"]["postcopy"], status["ram"]["postcopy-requests"],
                           least)


def expect_worth_it(ours, theirs, least):
    guest = ours["guest"]
    if ours["requests"] < least or theirs < least:
        raise peer.Fail(f"{ours['requests']} requests here, {theirs} there, expected {least}")
    if ours["requests"] != theirs:
        raise peer.Fail(f"{ours['requests']} requests sent, {theirs} received")
    if guest["wrong"] or not guest["ran"] or not guest["touches"]:
        raise peer.Fail(f"the guest: {guest}")
    latency = {k: v // 1000 for k, v in ours["latency-ns"].items() if k in ("p50", "p99")}
    return [f"{ours['requests']} requests, latency {latency['p50']} us (p99 {latency['p99']} us), "
            f"{guest['touches']} touches of {guest['touched-pages']} pages, "
            f"{ours['preempt-pages']} pages by the preempt channel"]


def content_of(name, used, stream, low):
    """What the recorded machine had in a block; in that of |low|, a file, bytes of ours behind it, so that
    the first pass takes long enough for all of it to be written to."""
    if low and name == running.RAM:
        return [{"offset": 0, "length": HUGE, "kind": "file", "file": low},
                {"offset": HUGE, "length": used - HUGE, "kind": "repeated", "byte": 0x55}]
    return [{"offset": 0, "length": used, "kind": "trace", "file": stream}]


def source_scenario(version, machine, blocks, stream, capabilities, page_size, low=None):
    """The recorded machine: its memory, which we write to as well, and its devices. With release-ram
    nobody writes: what is gone in the end must be known otherwise."""
    ram = [{"name": name, "size": used, "content": content_of(name, used, stream, low)}
           | ({"max-size": longest} if longest > used else {})
           | ({"page-size": page_size} if name == running.RAM else {})
           for name, used, longest in blocks]
    size = dict((name, used) for name, used, _ in blocks)[running.RAM]
    first = HUGE if low else size // 4
    workload = [{"block": running.RAM, "offset": first, "length": size - first,
                 "pattern": "sequential", "rate": 400000, "pace": "cpu", "write": "counter"}]
    release = "release-ram" in capabilities
    when = {"when": f"remaining-below {size // 2}"} if release else {"after-pass": 1}
    rates = {"max-bandwidth": 512 << 20, "max-postcopy-bandwidth": HUGE_RATE} if low else \
        {"max-bandwidth": 64 << 20}
    return {"schema": "migbench-scenario-1", "qemu": version, "seed": 5,
            "guest": {"machine": machine, "ram": ram, "devices": stream,
                      "workload": [] if release else workload},
            "link": {} if low else {"send-buffer": "8k"},
            "capabilities": {name: True for name in capabilities},
            "parameters": rates | {"downtime-limit": 1},
            "events": [when | {"do": "migrate-start-postcopy"}], "limit": f"{peer.PATIENCE}s"}


def guest_of(size):
    """A large one leaves its memory empty until it runs at the destination; then it writes to all of it."""
    guest = running.guest_parameters(size, rate=100000, pace="cpu")
    if size == LARGE:
        guest["fills"] = []
        guest["regions"][0] |= {"offset": HUGE, "length": size - HUGE}
    return guest


def lowest(stream, space):
    """The first huge page of the recorded machine's memory, in a file: all that it has used for itself."""
    whole, low = (os.path.join(space.files, name) for name in ("whole", "low"))
    peer.migbench("extract", stream, "--block", running.RAM, "-o", whole)
    with open(whole, "rb") as source, open(low, "wb") as file:
        file.write(source.read(HUGE))
    os.unlink(whole)
    return low


def expect_released(outcome, blocks, left):
    """Every page was given back; what is |left| of RAM here is a hole."""
    released = outcome["postcopy"]["pages-released"]
    pages = sum(used // 4096 for _, used, _ in blocks)
    if released != pages:
        raise peer.Fail(f"{released} of {pages} pages were released")
    if any(left):
        raise peer.Fail("released pages are still there")


def to_qemu(version, capabilities, page_size, space, size=0):
    """A recorded machine of theirs migrates from us to them, where its vCPU goes on."""
    if "multifd" in capabilities and (version, "postcopy-preempt" in capabilities) in BROKEN:
        raise peer.Skip(BROKEN[version, "postcopy-preempt" in capabilities])
    huge = page_size > 4096
    size = size or (SIZE if huge or "release-ram" in capabilities else TO_SIZE)
    file, result, dump, wire, far = (os.path.join(space.files, f)
                                     for f in ("s.json", "result.json", "dump", "wire", "far"))
    guest = guest_of(size)
    with running.Machine(space, "recorded", size, guest) as machine:
        stream, blocks, name = machine.record(version, space)
    low = lowest(stream, space) if size == LARGE else None
    ends.save(file, source_scenario(version, name, blocks, stream, capabilities, page_size, low))
    with running.HugePages(size // HUGE if huge else 0), \
            running.Machine(space, "dest", size, guest, hugetlb=huge) as machine, \
            peer.Peer(version, machine.argv + ["-incoming", "defer"]) as qemu, \
            line.Line(wire, far, RATE):
        qemu.set_capabilities(["events", *capabilities])
        qemu.qmp("migrate-incoming", uri=f"unix:{far}")
        uri = f"unix:{wire if size < LARGE else far}"
        with ends.Program("source", "--scenario", file, "--uri", uri, "--result", result,
                          "--dump", f"{running.RAM}={dump}") as ours:
            qemu.wait_migration("completed")
            qemu.qmp("stop")
            ours.finish()
        outcome = ends.load(result)
        if "release-ram" in capabilities:
            expect_released(outcome, blocks, peer.read(dump))
            peer.migbench("extract", stream, "--block", running.RAM, "-o", dump)
        before = peer.read(dump)
        writes = running.expect_memory(f"QEMU {version}'s memory", machine.read(qemu), before, guest,
                                       running.written(before))
        status = qemu.status()
    os.unlink(stream)
    ends.expect_no_leak(outcome)
    requests = outcome["query-migrate"]["ram"]["postcopy-requests"]
    # 5.2's limit sleeps inside the section: a page of background goes with each requested one.
    large = REQUESTS // 2 if version == "5.2" else REQUESTS
    least = SIZE // HUGE // 4 if size == SIZE else large
    if requests < least or writes < least:
        raise peer.Fail(f"{requests} requests, {writes} writes of the guest: expected {least}")
    return [f"{requests} requests for {writes} writes of the guest, its blocktime "
            f"{status.get('postcopy-blocktime')} ms"]


def main():
    tap = peer.Tap(share=19)
    versions = sys.argv[1:] or peer.VERSIONS
    with peer.Workspace() as space:
        for version in versions:
            for on in (PLAIN, FAST) if version != "5.2" else (PLAIN,):
                name = "/".join([version, "preempt" if on is FAST else "plain"])
                tap.run(f"/live/postcopy/to/{name}", to_qemu, version, on, 4096, space)
                tap.run(f"/live/postcopy/from/{name}", from_qemu, version, on,
                        (16 if on is FAST else 8) << 20, 4096, space)
            tap.run(f"/live/postcopy/to/{version}/release-ram", to_qemu, version, RELEASE, 4096, space)
            tap.run(f"/live/postcopy/from/{version}/release-ram", from_qemu, version, RELEASE, 8 << 20,
                    4096, space)
            if version in MULTIFD_TOO:
                for on in (PLAIN, FAST) if version != "5.2" else (PLAIN,):
                    name = version + ("/multifd-preempt" if on is FAST else "/multifd")
                    both = on + ("multifd",)
                    tap.run(f"/live/postcopy/to/{name}", to_qemu, version, both, 4096, space)
                    tap.run(f"/live/postcopy/from/{name}", from_qemu, version, both, 16 << 20, 4096,
                            space)
            tap.run(f"/live/postcopy/to/{version}/huge", to_qemu, version, PLAIN, HUGE, space)
            tap.run(f"/live/postcopy/from/{version}/huge", from_qemu, version, PLAIN, 32 << 20,
                    HUGE, space)
        for version in versions if os.environ.get("MIGBENCH_FULL") else ():
            peer.PATIENCE = 1200
            for on in (PLAIN, FAST) if version != "5.2" else (PLAIN,):
                name = f"{version}/huge-{'preempt' if on is FAST else 'plain'}/2304M"
                tap.run(f"/live/postcopy/to/{name}", to_qemu, version, on, HUGE, space, LARGE)
                tap.run(f"/live/postcopy/from/{name}", from_qemu, version, on, HUGE_RATE, HUGE, space,
                        LARGE)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
