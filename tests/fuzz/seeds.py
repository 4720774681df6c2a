#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the first inputs of the fuzz targets into corpus/: small valid ones of every construct, by
hand, so that the search begins inside the format. What fuzzing finds is added beside them by hand,
named for its cause."""
import json
import os
import struct
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = 4096
MAIN, RECOVERY, RETURN_PATH, MULTIFD, PREEMPT = range(5)


def cstr(text):
    return bytes([len(text)]) + text.encode()


def be16(value):
    return struct.pack(">H", value)


def be32(value):
    return struct.pack(">I", value)


def be64(value):
    return struct.pack(">Q", value)


HEADER = b"QEVM" + be32(3)
EOS = be64(0x10)


def config(name, *subsections):
    return b"\x07" + be32(len(name)) + name.encode() + b"".join(
        b"\x05" + cstr("configuration/" + title) + be32(1) + body for title, body in subsections)


def section(kind, number, body, idstr=None, version=4, footer=True):
    head = bytes([kind]) + be32(number)
    if idstr is not None:
        head += cstr(idstr) + be32(0) + be32(version)
    return head + body + (b"\x7e" + be32(number) if footer else b"")


def command(number, payload=b""):
    return b"\x08" + be16(number) + be16(len(payload)) + payload


def block_list(*blocks):
    body = be64(sum(b[1] for b in blocks) | 4)
    return body + b"".join(cstr(b[0]) + be64(b[1]) + b"".join(map(be64, b[2:])) for b in blocks)


def page(flag, offset, rest=b"", name=None):
    return be64(offset | flag | (0 if name else 0x20)) + (cstr(name) if name else b"") + rest


def vmdesc(text=b'{"page_size":4096,"devices":[]}'):
    return b"\x06" + be32(len(text)) + text


def streams():
    """(name, channel, bytes)"""
    blocks = block_list(("ram", 4 * PAGE), ("vga.vram", 2 * PAGE))
    full = bytes(range(256)) * 16
    pages = (page(2, 0, b"\0", "ram") + page(8, PAGE, full) + page(2, 0, b"\0", "vga.vram")
             + page(0x40, PAGE, b"\1" + be16(5) + b"\0\3abc"))
    globalstate = section(4, 9, be32(8) + b"running\0".ljust(100, b"\0"), "globalstate", 1)
    timer = section(4, 0, bytes(24), "timer", 2)
    start = section(1, 2, blocks + EOS, "ram")
    end = section(3, 2, EOS)
    yield "precopy", MAIN, (HEADER + config("none") + start + section(2, 2, pages + EOS) + end
                            + timer + globalstate + b"\0" + vmdesc())
    yield "no-footers", MAIN, (
        HEADER + section(1, 2, blocks + EOS, "ram", footer=False)
        + section(2, 2, pages + EOS, footer=False) + section(3, 2, EOS, footer=False) + b"\0")
    yield "configuration", MAIN, (
        HEADER + config("virt-7.2", ("target-page-bits", be32(12)),
                        ("capabilities", be32(1) + cstr("x-ignore-shared")), ("uuid", bytes(16)))
        + section(1, 1, block_list(("ram", 4 * PAGE, 0)) + EOS, "ram") + section(3, 1, EOS) + b"\0")
    yield "switchover", MAIN, (HEADER + config("none") + command(1) + command(2, be32(1)) + start
                               + command(11) + end + b"\0" + vmdesc())
    package = command(4) + globalstate + command(2, be32(3)) + command(5)
    discard = b"\0" + cstr("ram") + b"\0" + be64(PAGE) + be64(PAGE)
    yield "postcopy", MAIN, (
        HEADER + config("none") + command(1) + command(2, be32(1))
        + command(3, be64(PAGE) + be64(PAGE)) + start + command(6, discard) + command(2, be32(2))
        + command(7, be32(len(package))) + package
        + section(2, 2, page(8, PAGE, full, "ram") + EOS) + end + b"\0")
    yield "compress", MAIN, (
        HEADER + config("none") + start
        + section(2, 2, page(8, 0, full, "ram") + page(0x100, PAGE, be32(9) + b"x" * 9)
                  + be64(0x200) + EOS) + end + b"\0")
    yield "recovery", RECOVERY, command(10, cstr("ram")) + command(9) + end + b"\0"
    yield "return-path", RETURN_PATH, (
        be16(2) + be16(4) + be32(1) + be16(4) + be16(12) + be64(0) + be32(PAGE)
        + be16(3) + be16(16) + be64(0) + be32(PAGE) + cstr("ram")
        + be16(6) + be16(4) + be32(1) + be16(1) + be16(4) + be32(0))
    yield "multifd", MULTIFD, be32(0x11223344) + be32(1) + bytes(16) + b"\1" + bytes(39)
    yield "preempt", PREEMPT, page(8, 0, full, "ram") + EOS


def descriptions():
    """(name, JSON text and device bytes)"""
    def text(*devices):
        return json.dumps({"page_size": PAGE, "devices": devices}).encode() + b"\0"

    def device(fields, subsections=None):
        found = {"name": "x", "instance_id": 0, "vmsd_name": "x", "version": 1, "fields": fields}
        return dict(found, subsections=subsections) if subsections else found

    def field(name, kind, size, **more):
        return dict({"name": name, "type": kind, "size": size}, **more)

    inner = {"vmsd_name": "y", "version": 1, "fields": [field("a", "uint8", 1)]}
    yield "scalars", text(device([field("a", "uint32", 4), field("b", "timer", 8),
                                  field("c", "bool", 1), field("d", "nullptr", 1)])) + bytes(14)
    yield "array", text(device([field("a", "uint16", 2, array_len=4)])) + bytes(8)
    yield "indexed", text(device([field("a", "struct", 1, index=n, struct=inner)
                                  for n in range(2)])) + bytes(2)
    yield "subsection", text(device([field("a", "uint8", 1)], [
        {"vmsd_name": "x/s", "version": 1, "fields": [field("b", "uint8", 1)]}])) + (
            b"\1\5\3x/s" + be32(1) + b"\2")
    yield "opaque", text({"name": "apic", "instance_id": 1, "size": 3, "fields": [
        field("data", "buffer", 3)]}) + b"abc"


def write(target, name, data):
    folder = os.path.join(HERE, "corpus", target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)


def containers():
    """(name, file)"""
    stream = HEADER + config("none") + section(4, 0, bytes(24), "timer", 2) + b"\0"
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    member = packer.compress(stream) + packer.flush()
    # One frame with its size, one last block that is not compressed.
    frame = (b"\x28\xb5\x2f\xfd\x20" + bytes([len(stream)])
             + struct.pack("<I", len(stream) << 3 | 1)[:3] + stream)
    xml = b"<domain><name>x</name></domain>\0" + bytes(32)

    def image(contents, compression, order="<"):
        return struct.pack(order + "16s5I56x", b"LibvirtQemudSave", 2, len(xml), 1, compression,
                           0) + xml + contents
    yield "raw", stream
    yield "gzip", member
    yield "gzip-members", member + member + bytes(9)
    yield "zstd", frame
    yield "libvirt", image(stream, 0)
    yield "libvirt-big-endian", image(stream, 0, ">")
    yield "libvirt-gzip", image(member, 1)
    yield "libvirt-zstd", image(frame, 5)
    yield "libvirt-sparse", image(stream, 6)


def main():
    for name, channel, data in streams():
        write("decoder", name, bytes([channel, 6]) + data)
    for name, data in descriptions():
        write("vmdesc", name, data)
    packed = zlib.compressobj(1)
    full = packed.compress(b"page" * 1024) + packed.flush(zlib.Z_SYNC_FLUSH)
    for name, data in (("none", b"\0\0" + b"page" * 1024), ("zlib", b"\1\0" + full * 2),
                       ("zstd", b"\2\1" + b"\x28\xb5\x2f\xfd" + bytes(32))):
        write("multifd-codec", name, data)
    for name, delta in (("two-runs", b"\0\3abc\x85\1\1x"), ("empty", b""), ("wide", b"\x85\0\1x"),
                        ("trailing", b"\0\1x\5"), ("past-page", b"\xff\x1f\2xy")):
        write("xbzrle", name, delta)
    for name, data in containers():
        write("input", name, data)


if __name__ == "__main__":
    main()
