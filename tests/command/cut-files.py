#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files that were cut off: read as far as they go, and where they end is said."""
import json
import os
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402
from tap import Fail  # noqa: E402

MIGBENCH, ROOT, TRACES = (os.environ[name] for name in ("MIGBENCH", "SOURCE_ROOT", "TRACES"))
SCENARIO = os.path.join(ROOT, "docs", "examples", "two-blocks.json")
STREAM = os.path.join(TRACES, "none-idle-10.0.mig.zst")
FOLDER = tempfile.TemporaryDirectory()
SEGMENT, SYN, FIN, ACK = 1400, 2, 1, 16
HEAD, PACKET = 24, 16  # bytes of pcap's headers


def place(name):
    return os.path.join(FOLDER.name, name)


def run(*arguments):
    return subprocess.run([MIGBENCH, *arguments], check=False, timeout=60, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(name, data):
    with open(place(name), "wb") as file:
        file.write(data)
    return place(name)


def made(name, *arguments):
    """The bytes that |arguments| write to |name|."""
    done = run(*(a.replace("OUT", place(name)) for a in arguments))
    if done.returncode:
        raise Fail(done.stderr)
    return read(place(name))


def expect(done, status, *texts):
    missing = [t for t in texts if t not in done.stdout + done.stderr]
    if done.returncode != status or missing:
        raise Fail(f"exit status {done.returncode} for {status}, without {missing}:\n{done.stdout}{done.stderr}")


# Captured packets ------------------------------------------------------------------------------

def frame(sequence, flags, data=b""):
    """A segment of a connection, in IPv4 without a link layer."""
    tcp = struct.pack(">HHIIBBHHH", 40000, 4444, sequence, 1, 5 << 4, flags, 65535, 0, 0) + data
    return struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, 1, 2) + tcp


def packets_of(stream):
    yield frame(99, SYN)
    for at in range(0, len(stream), SEGMENT):
        yield frame(100 + at, ACK, stream[at:at + SEGMENT])
    yield frame(100 + len(stream), FIN | ACK)


def pcap_of(stream):
    """The file, and where each of its packets begins."""
    data, starts = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101), []
    for number, packet in enumerate(packets_of(stream)):
        starts.append(len(data))
        data += struct.pack("<IIII", number, 0, len(packet), len(packet)) + packet
    return data, starts


def cut_packets(stream, number, more):
    """Of a capture that ends |more| bytes into packet |number| all before that is imported."""
    data, starts = pcap_of(stream)
    path = write("packets.pcap", data[:starts[number] + more])
    expect(run("record", "--import", path, "-o", place("import.pcapng")), 3,
           f"{path}: the file is cut off behind packet {number}, at offset {starts[number]};",
           "ends before 1 of the connections")
    there = (number - 1) * SEGMENT
    expect(run("check", place("import.pcapng")), 1, "STREAM-END-PRESENT", f"reading stopped at offset {there},")


def whole_packets(stream):
    data, starts = pcap_of(stream)
    for length in (len(data), starts[-1]):
        done = run("record", "--import", write("packets.pcap", data[:length]), "-o", place("import.pcapng"))
        expect(done, 0 if length == len(data) else 3, "")
        if "cut off" in done.stderr:
            raise Fail(done.stderr)


def no_packets(stream):
    data, _ = pcap_of(stream)
    for length in (0, HEAD - 1, HEAD, HEAD + PACKET + 10):
        expect(run("record", "--import", write("packets.pcap", data[:length]), "-o", place("never")), 4,
               "packets.pcap: ")
    if os.path.exists(place("never")):
        raise Fail("a recording of nothing was written")


# Recordings of several channels -----------------------------------------------------------------

def blocks(data):
    """(type, offset, length) of each block of a pcapng file."""
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        yield kind, at, length
        at += length


def cut_recording(data, index, more):
    """In the middle of its packet |index|: each command reads what is there, and none is content."""
    offset = [at for kind, at, _ in blocks(data) if kind == 6][index]
    path = write("cut.pcapng", data[:offset + more])
    where = f"cut off behind packet {index}, {more} bytes into the block at its offset {offset}"
    expect(run("check", path), 1, "STREAM-END-PRESENT", where)
    expect(run("inspect", path, "--summary"), 1, where, "the stream ends inside a record", "ram")
    expect(run("inspect", path, "--passes"), 3, where)
    expect(run("extract", path, "--block", "ram", "-o", place("image")), 1, "nothing was written", where)
    expect(run("recode", path, "-o", place("again")), 1, "nothing was written", where)
    expect(run("scrub", path, "-o", place("noise")), 1, where)
    expect(run("replay", path, "--connect", "unix:" + place("nobody")), 4, f"cut off behind packet {index}")
    if os.path.exists(place("image")) or os.path.exists(place("again")):
        raise Fail("half a result was written")
    rows = [json.loads(line) for line in run("inspect", path, "--format", "ndjson").stdout.splitlines()]
    if [r for r in rows if r["type"] == "diagnosis"][-1]["fault"] != "truncated":
        raise Fail("no diagnosis says so")


def cut_behind_all(data):
    """All channels are whole, and yet nobody knows what came next: incomplete."""
    path = write("cut.pcapng", data + struct.pack("<II", 6, 4096) + bytes(100))
    count = sum(kind == 6 for kind, _, _ in blocks(data))
    where = f"cut off behind packet {count}, 108 bytes into the block at its offset {len(data)}"
    expect(run("check", path), 3, where)
    expect(run("inspect", path), 3, where)
    expect(run("extract", path, "--block", "ram", "-o", place("image")), 1, where)
    expect(run("recode", path, "-o", place("again")), 3, where, "main         identical")
    expect(run("scrub", path, "-o", place("noise")), 3, where)


def cut_head(data):
    """Nothing of a main channel is there: that can't be judged at all."""
    first = next(at for kind, at, _ in blocks(data) if kind == 6)
    for length in (20, 40, first + 7):
        expect(run("check", write("cut.pcapng", data[:length])), 4, "cut off in front of anything")
    _, _, head = next(blocks(data))
    expect(run("check", write("cut.pcapng", data[:head])), 4, "nothing of a main channel")


def tests():
    stream = made("stream", "recode", STREAM, "-o", "OUT")
    data = made("whole.pcapng", "sim", SCENARIO, "--set", "capabilities.multifd=true", "--stream", "OUT")
    for number, more in ((2, 1), (3, PACKET), (20, PACKET + 60), (40, PACKET + 40 + SEGMENT - 1)):
        yield f"/cut-files/packets/{number}-{more}", cut_packets, stream, number, more
    yield "/cut-files/packets/whole", whole_packets, stream
    yield "/cut-files/packets/none", no_packets, stream
    for index, more in ((4, 3), (6, 8), (6, 60000), (7, 60)):
        yield f"/cut-files/recording/{index}-{more}", cut_recording, data, index, more
    yield "/cut-files/recording/behind-all", cut_behind_all, data
    yield "/cut-files/recording/head", cut_head, data


if __name__ == "__main__":
    tap.main(tests())
