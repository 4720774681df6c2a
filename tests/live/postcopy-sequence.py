#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is said in postcopy, and in which order: our source's stream to real QEMU, and our destination's
answers to real QEMU, are those of the recorded traces of QEMU to QEMU, version by version; also when
the line breaks and QEMU is told by its monitor to recover.

Compared are commands with their values, sections, devices, block lists and messages. How many parts
there are, which pages are dirty and who asks for which is the guest's; so repeats are taken together,
and discards and requests have to obey the same law in both.
"""
import os
import struct
import subprocess
import sys

import peer
import postcopied

import relay          # these are of traces/gen; peer has made them findable
import walk
import walk_channels

BREAK = 100000  # bytes into postcopy
MULTIFD = ("postcopy-ram", "multifd")
# The traces of the old versions were made on KVM, which has two devices more.
OF_KVM = ("kvm-tpr-opt", "kvmclock")


# Recorded ----------------------------------------------------------------------------------------

def trace(name):
    """{channel: bytes} of a recorded migration."""
    path = os.path.join(peer.ROOT, "traces", f"{name}.pcapng.zst")
    data = subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout
    channels = {}
    for _, channel, piece in relay.read_pcapng(data)[1]:
        channels[channel] = channels.get(channel, b"") + piece
    return channels


# The main channel --------------------------------------------------------------------------------

def walked(data, first=None):
    """A walker over |data|, which may end anywhere; |first|: that of the broken channel before."""
    walker = walk.Walker(bytes(data), resumed=first is not None,
                         blocks=first.blocks if first else None, names=first.names if first else None)
    walker.postcopy = first is not None
    try:
        walker.walk()
    except (walk.Bad, IndexError):
        pass
    return walker


def sequence(walker):
    """What it says, without what is the guest's."""
    said = []
    for _, kind, *rest in walker.records:
        if kind in ("page", "footer", "eos"):
            continue
        if kind == "full" and rest[1] in OF_KVM:
            continue
        if kind == "full":
            rest = rest[1:]
        if kind == "command" and rest[0] in ("POSTCOPY_RAM_DISCARD", "PACKAGED"):
            rest = rest[:1]
        word = (kind, *(str(r) for r in rest))
        if not said or said[-1] != word or kind not in ("part", "command"):
            said.append(word)
    return said


def expect_discards(what, walker):
    """At most 12 ranges in a command, ascending, none touching the next; and what is sent behind them
    are those pages, each once."""
    dropped, sent, last, running_there = set(), [], {}, False
    for _, kind, *rest in walker.records:
        if kind == "command" and rest[0] == "POSTCOPY_RAM_DISCARD":
            payload = bytes.fromhex(rest[1])
            name = payload[2:2 + payload[1]].decode()
            ranges = payload[3 + payload[1]:]
            if len(ranges) % 16 or not 0 < len(ranges) <= 12 * 16 or payload[0]:
                raise peer.Fail(f"{what}: a discard of {len(ranges)} bytes of ranges")
            for at in range(0, len(ranges), 16):
                start, length = (int.from_bytes(ranges[at + n:at + n + 8], "big") for n in (0, 8))
                if start <= last.get(name, -1):
                    raise peer.Fail(f"{what}: {name}: the discard at {start:#x} belongs to the one "
                                    f"before, which ends at {last[name]:#x}")
                last[name] = start + length
                dropped |= {(name, page) for page in range(start // 4096, (start + length) // 4096)}
        elif kind == "command" and rest[0] == "POSTCOPY_RUN":
            running_there = True
        elif kind == "page" and running_there:
            sent.append((rest[0], rest[1]))
    if len(sent) != len(set(sent)):
        raise peer.Fail(f"{what}: {len(sent) - len(set(sent))} pages were sent twice")
    if not set(sent) <= dropped or not sent:
        raise peer.Fail(f"{what}: {len(set(sent) - dropped)} pages were sent that were not discarded")
    return len(dropped), set(sent)


# The return path ---------------------------------------------------------------------------------

def messages(data):
    """Messages as far as they are whole."""
    for end in range(len(data), max(len(data) - 600, -1), -1):
        try:
            return walk_channels.walk_return(bytes(data[:end]))[1]
        except (walk.Bad, IndexError, struct.error):
            continue
    return []


def answers(data, whole):
    """The law of a return path: pongs, and the others in their order; requests only as such."""
    heard = messages(data)
    pongs = [value for name, value in heard if name == "PONG"]
    rest = []
    named = False
    for name, value in heard:
        if name == "REQ_PAGES" and not named:
            raise peer.Fail("a request without a block, and none before it had one")
        named = named or name == "REQ_PAGES_ID"
        if name.startswith("REQ_PAGES"):
            name, value = "requests", ""
        if name != "PONG" and (name, value) not in rest:
            rest.append((name, value))
    if whole and (not heard or heard[-1][0] != "SHUT"):
        raise peer.Fail(f"the last message is {heard[-1:]}, expected SHUT")
    # 3 is answered by another thread than 4: QEMU has them in either order.
    return pongs[:2], sorted(pongs[2:]), rest


# Live --------------------------------------------------------------------------------------------

def expect_equal(what, ours, theirs):
    if ours == theirs:
        return
    for number, (a, b) in enumerate(zip(ours, theirs)):
        if a != b:
            raise peer.Fail(f"{what}: item {number} is {a}, QEMU's is {b}")
    raise peer.Fail(f"{what}: {len(ours)} items, QEMU has {len(theirs)}: {ours[-3:]} {theirs[-3:]}")


def to_qemu(version, space):
    recorded = trace(f"postcopy-{version}")
    kept = postcopied.send(version, 0, space)
    ours, theirs = walked(kept[0][0]), walked(recorded["main"])
    expect_equal("our stream", sequence(ours), sequence(theirs))
    pages = expect_discards("our stream", ours)[0]
    expect_discards("QEMU's stream", theirs)
    expect_equal("QEMU's answers to us", answers(kept[0][1], True), answers(recorded["return"], True))
    return [f"{len(sequence(ours))} items, {pages} pages discarded"]


def to_qemu_multifd(version, space):
    """Up to the switchover pages go by multifd, then by the main channel."""
    recorded = trace(f"postcopy-multifd-{version}")
    kept = postcopied.send(version, 0, space, MULTIFD)
    ours, theirs = walked(kept[0][0]), walked(recorded["main"])
    expect_equal("our stream", sequence(ours), sequence(theirs))
    expect_discards("our stream", ours)
    expect_equal("QEMU's answers to us", answers(kept[0][1], True), answers(recorded["return"], True))
    return [f"{len(sequence(ours))} items, {len(kept) - 1} channels of multifd"]


def from_qemu_multifd(version, space):
    kept, outcome = postcopied.receive(version, 0, space, MULTIFD)
    recorded = trace(f"postcopy-multifd-{version}")
    expect_equal("our answers", answers(kept[0][1], True), answers(recorded["return"], True))
    return [f"{outcome['requests']} requests"]


def to_qemu_broken(version, space):
    recorded = trace(f"postcopy-recovery-{version}")
    kept = [pair for pair in postcopied.send(version, BREAK, space) if pair[0]]
    ours, theirs = walked(kept[0][0]), walked(recorded["main"])
    again, again_theirs = walked(kept[-1][0], ours), walked(recorded["main.2"], theirs)
    expect_equal("our stream", sequence(ours), sequence(theirs))
    expect_equal("our stream after the break", sequence(again), sequence(again_theirs))
    expect_equal("QEMU's answers after it", answers(kept[-1][1], True),
                 answers(recorded["return.2"], True))
    return [f"{len(kept)} connections, {len(sequence(again))} items after the break"]


def from_qemu(version, space):
    kept, outcome = postcopied.receive(version, 0, space)
    recorded = trace(f"postcopy-{version}")
    expect_equal("our answers", answers(kept[0][1], True), answers(recorded["return"], True))
    return [f"{outcome['requests']} requests"]


def from_qemu_broken(version, space):
    kept, outcome = postcopied.receive(version, BREAK, space)
    kept = [pair for pair in kept if pair[0]]
    recorded = trace(f"postcopy-recovery-{version}")
    expect_equal("our answers after the break", answers(kept[-1][1], True),
                 answers(recorded["return.2"], True))
    return [f"{outcome['requests']} requests, {len(kept)} connections"]


def main():
    tap = peer.Tap(share=3)
    with peer.Workspace() as space:
        for version in sys.argv[1:] or peer.VERSIONS:
            for name, function in (("to", to_qemu), ("to/broken", to_qemu_broken), ("from", from_qemu),
                                   ("from/broken", from_qemu_broken)):
                tap.run(f"/live/postcopy-sequence/{version}/{name}", function, version, space)
            if version == "11.1":  # 10.0 refuses it, and of the others there is no trace
                tap.run("/live/postcopy-sequence/11.1/multifd/to", to_qemu_multifd, version, space)
                tap.run("/live/postcopy-sequence/11.1/multifd/from", from_qemu_multifd, version, space)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
