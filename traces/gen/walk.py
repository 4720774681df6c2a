#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Walks a migration stream and says what is in it.

This is the second opinion of the tree: it shares no line and no table with the C decoder, so that the
manifests' numbers come from somebody else than the program that they check. It is written plainly, reads the
whole stream into memory, and trusts it: a byte that it doesn't understand ends the walk with an
exception that names the offset.

    walk.py FILE            prints the summary as JSON (FILE raw or .zst)
    walk.py --records FILE  prints one line per record

Device bodies have no length on the wire. Their ends come from the description at the end of the
stream; without one, from the next footer that is followed by something legal; without footers, from the
next thing that looks like a section's beginning.
"""
import json
import struct
import subprocess
import sys
import zlib

PAGE = 4096
HEADER_MAGIC = b"QEVM"
ITERABLES = ("ram", "block", "dirty-bitmap", "s390-storage_attributes", "s390-skeys")
COMMANDS = {1: "OPEN_RETURN_PATH", 2: "PING", 3: "POSTCOPY_ADVISE", 4: "POSTCOPY_LISTEN",
            5: "POSTCOPY_RUN", 6: "POSTCOPY_RAM_DISCARD", 7: "PACKAGED", 8: "ENABLE_COLO",
            9: "POSTCOPY_RESUME", 10: "RECV_BITMAP", 11: "SWITCHOVER_START"}


class Bad(Exception):
    pass


def vmsd_size(body):
    """Bytes on the wire of one described structure, its subsections' headers included."""
    total = 0
    for field in body.get("fields", []):
        total += field.get("size", 0) * field.get("array_len", 1)
    for sub in body.get("subsections", []):
        total += len(sub["vmsd_name"]) + 6 + vmsd_size(sub)
    return total


def device_size(device):
    if "vmsd_name" not in device:
        return device["size"]
    return vmsd_size(device)


class Walker:
    def __init__(self, data, resumed=False, blocks=None, names=None, page_size=PAGE):
        self.data = data
        self.at = 0
        self.page_size = page_size
        self.resumed = resumed
        self.blocks = blocks if blocks is not None else []   # [name, used_length, extras]
        self.pages = {}          # (block, page) -> bytes, or None where zero
        self.records = []        # (offset, kind, details...)
        self.devices = []
        self.sections = {"start": 0, "part": 0, "end": 0, "full": 0}
        self.commands = {}
        self.ram = {"normal": 0, "zero": 0, "xbzrle": 0, "compressed": 0, "flush": 0, "continue": 0}
        self.names = dict(names or {})   # section id -> idstr
        self.config = None
        self.vmdesc = None
        self.sizes = {}
        self.footers = False
        self.vmdesc_bytes = 0
        self.capabilities = []
        self.page_order = []     # ("ram", page, "normal"|"zero"|...) as sent
        self.last_block = None
        self.postcopy = False
        self.ignore_shared = False
        self.mapped = False
        self.huge = None         # page-size field in the block list: True, False, or None = find out
        self.colo = None
        self.bare = False        # no sections around the page records

    # reading -------------------------------------------------------------
    def take(self, n):
        if self.at + n > len(self.data):
            raise Bad(f"offset {self.at}: {n} bytes wanted, {len(self.data) - self.at} left")
        piece = self.data[self.at:self.at + n]
        self.at += n
        return piece

    def u8(self):
        return self.take(1)[0]

    def be16(self):
        return int.from_bytes(self.take(2), "big")

    def be32(self):
        return int.from_bytes(self.take(4), "big")

    def be64(self):
        return int.from_bytes(self.take(8), "big")

    def cstr(self):
        return bytes(self.take(self.u8())).decode("latin-1")

    def note(self, offset, kind, *details):
        self.records.append((offset, kind) + details)

    # framing -------------------------------------------------------------
    def find_vmdesc(self):
        """The description is the last thing in the stream: 06, length, JSON up to the end."""
        tail = self.data.rfind(b"\x00\x06")
        while tail >= 0:
            n = int.from_bytes(self.data[tail + 2:tail + 6], "big")
            text = self.data[tail + 6:tail + 6 + n]
            if len(text) == n and text[:1] == b"{":
                try:
                    self.vmdesc = json.loads(bytes(text))
                except ValueError:
                    self.vmdesc = None
                if self.vmdesc is not None:
                    break
            tail = self.data.rfind(b"\x00\x06", 0, tail)
        if self.vmdesc is not None:
            self.page_size = self.vmdesc.get("page_size", self.page_size)
            for device in self.vmdesc["devices"]:
                self.sizes[(device["name"], device["instance_id"])] = device_size(device)

    def walk_records(self):
        """A channel of page records alone: postcopy-preempt's."""
        self.bare = True
        while self.at < len(self.data):
            self.ram_body(False)
        return self

    def walk(self):
        self.find_vmdesc()
        if not self.resumed:
            if bytes(self.take(4)) != HEADER_MAGIC or self.be32() != 3:
                raise Bad("offset 0: not a migration stream of version 3")
            self.note(0, "header")
            if self.data[self.at] == 7:
                self.configuration()
                self.footers = True
        else:
            self.footers = True
        self.items(len(self.data))
        if self.at < len(self.data) and self.data[self.at] == 6:
            at = self.at
            self.take(1)
            self.vmdesc_bytes = self.be32()
            self.take(self.vmdesc_bytes)
            self.note(at, "vmdesc", self.vmdesc_bytes)
        if self.colo:
            self.colo_rounds()
        if self.at != len(self.data):
            raise Bad(f"offset {self.at}: {len(self.data) - self.at} bytes after the end")
        return self

    def configuration(self):
        at = self.at
        self.take(1)
        self.config = {"name": bytes(self.take(self.be32())).decode()}
        while self.data[self.at] == 5:
            self.take(1)
            name = self.cstr()
            if self.be32() != 1:
                raise Bad(f"offset {self.at}: version of {name}")
            if name == "configuration/capabilities":
                self.capabilities = [self.cstr() for _ in range(self.be32())]
                self.config["capabilities"] = self.capabilities
            elif name == "configuration/uuid":
                self.config["uuid"] = bytes(self.take(16)).hex()
            elif name == "configuration/target-page-bits":
                self.config["target-page-bits"] = self.be32()
                self.page_size = 1 << self.config["target-page-bits"]
            else:
                raise Bad(f"offset {self.at}: {name}")
        self.ignore_shared = "x-ignore-shared" in self.capabilities
        self.mapped = "mapped-ram" in self.capabilities
        self.note(at, "configuration", self.config)

    def items(self, end):
        """Sections and commands up to EOF, or up to `end` inside a package. True at EOF."""
        while self.at < end:
            at = self.at
            kind = self.u8()
            if kind == 0:
                self.note(at, "eof")
                return True
            if kind in (1, 4):
                sid = self.be32()
                idstr, instance, version = self.cstr(), self.be32(), self.be32()
                self.names[sid] = idstr
                word = "start" if kind == 1 else "full"
                self.sections[word] += 1
                self.note(at, word, sid, idstr, instance, version)
                start = self.at
                self.body(kind, idstr, instance)
                if kind == 4:
                    self.devices.append({"idstr": idstr, "instance": instance, "version": version,
                                         "length": self.at - start})
                self.footer(sid)
            elif kind in (2, 3):
                sid = self.be32()
                word = "part" if kind == 2 else "end"
                self.sections[word] += 1
                if sid not in self.names:
                    raise Bad(f"offset {at}: {word} of section {sid}, which never started")
                self.note(at, word, sid, self.names[sid])
                self.body(kind, self.names[sid], 0)
                self.footer(sid)
            elif kind == 8:
                self.command(at)
            else:
                raise Bad(f"offset {at}: section type {kind:#x}")
        return False

    def footer(self, sid):
        if not self.footers:
            return
        at = self.at
        if self.u8() != 0x7e or self.be32() != sid:
            raise Bad(f"offset {at}: no footer of section {sid}")
        self.note(at, "footer", sid)

    def command(self, at):
        number, length = self.be16(), self.be16()
        payload = bytes(self.take(length))
        name = COMMANDS.get(number)
        if name is None:
            raise Bad(f"offset {at}: command {number}")
        self.commands[name] = self.commands.get(name, 0) + 1
        self.note(at, "command", name, payload.hex())
        if name == "POSTCOPY_LISTEN":
            self.postcopy = True
            self.last_block = None
        if name == "ENABLE_COLO":
            self.colo = True
        if name == "PACKAGED":
            n = int.from_bytes(payload, "big")
            stop = self.at + n
            self.items(stop)
            if self.at != stop:
                raise Bad(f"offset {self.at}: the package ends at {stop}")

    # bodies --------------------------------------------------------------
    def body(self, kind, idstr, instance):
        if kind != 4:
            if idstr == "ram":
                self.ram_body(kind == 1)
            elif idstr == "block":
                self.block_body()
            elif idstr == "dirty-bitmap":
                self.bitmap_body()
            elif idstr == "s390-storage_attributes":
                self.s390_attributes()
            else:
                self.at = self.scan_end(self.at)
            return
        size = self.sizes.get((idstr, instance))
        if size is None or (self.footers and self.data[self.at + size:self.at + size + 1] != b"\x7e"):
            self.at = self.scan_end(self.at)
        else:
            self.take(size)

    def legal(self, at, end):
        """Can a section, a command or the end stand here?"""
        if at >= end:
            return True
        kind = self.data[at]
        if kind == 0:
            return at + 1 >= end or self.data[at + 1] in (0, 6) or self.colo
        if kind in (1, 4) and at + 6 <= end:
            n = self.data[at + 5]
            text = bytes(self.data[at + 6:at + 6 + n])
            return n > 0 and len(text) == n and all(33 <= c < 127 for c in text)
        if kind in (2, 3):
            return int.from_bytes(self.data[at + 1:at + 5], "big") in self.names
        if kind == 8:
            return int.from_bytes(self.data[at + 1:at + 3], "big") in COMMANDS
        return False

    def scan_end(self, at):
        end = len(self.data)
        sid = next(r[2] for r in reversed(self.records) if r[1] in ("start", "part", "end", "full"))
        mark = b"\x7e" + sid.to_bytes(4, "big")
        while self.footers:
            found = self.data.find(mark, at)
            if found < 0:
                raise Bad(f"offset {at}: no footer of section {sid} follows")
            if self.legal(found + 5, end):
                return found
            at = found + 1
        while at < end:
            kind = self.data[at]
            next_id = int.from_bytes(self.data[at + 1:at + 5], "big")
            if kind == 0 and at + 1 == end:
                return at
            if kind == 4 and 0 < next_id < 4096 and next_id != sid and self.legal(at, end) \
                    and self.data[at + 5] > 2:
                return at
            at += 1
        raise Bad("no end of a device without footer")

    def find_block(self, name):
        for block in self.blocks:
            if block["name"] == name:
                return block
        raise Bad(f"offset {self.at}: page of an unknown block '{name}'")

    def guess_huge(self):
        """Is there a be64 page size after each length? Only then the names come out readable."""
        def readable(extra):
            at, left = self.at, total
            while left > 0:
                n = self.data[at]
                text = bytes(self.data[at + 1:at + 1 + n])
                if not n or not all(32 < c < 127 for c in text):
                    return False
                left -= int.from_bytes(self.data[at + 1 + n:at + 9 + n], "big")
                at += 9 + n + extra
            return left == 0
        total = self.list_total
        return not readable(0) and readable(8)

    def block_list(self, total):
        self.list_total = total
        left = total
        while left > 0:
            name = self.cstr()
            block = {"name": name, "used_length": self.be64()}
            left -= block["used_length"]
            if self.ignore_shared:
                block["address"] = self.be64()
            if self.mapped:
                version, size, bitmap, pages = struct.unpack(">IQQQ", self.take(28))
                if version != 1 or size != self.page_size:
                    raise Bad(f"offset {self.at}: mapped-ram header of {name}")
                count = block["used_length"] // size
                bits = self.data[bitmap:bitmap + (count + 63) // 64 * 8]
                for page in range(count):
                    if bits[page // 8] >> (page % 8) & 1:
                        at = pages + page * size
                        self.put(name, page, bytes(self.data[at:at + size]))
                        self.ram["normal"] += 1
                self.at = pages + block["used_length"]
            elif self.huge and block["used_length"] % (2 << 20) == 0 and \
                    int.from_bytes(self.data[self.at:self.at + 8], "big") == 2 << 20:
                block["page_size"] = self.be64()
            self.blocks.append(block)
            self.note(self.at, "block", block)
        if left:
            raise Bad(f"offset {self.at}: the block list's lengths don't add up to {total}")

    def put(self, block, page, contents):
        self.pages[(block, page)] = contents if any(contents) else None

    def ram_body(self, setup):
        size = self.page_size
        while True:
            at = self.at
            if self.bare and at == len(self.data):
                return
            word = self.be64()
            flags, offset = word & (size - 1), word & ~(size - 1)
            kind = flags & ~0x20
            if kind == 0x10:
                self.note(at, "eos")
                return
            if kind == 0x200:
                self.ram["flush"] += 1
                self.note(at, "flush")
                continue
            if kind == 0x04:
                if not setup:
                    raise Bad(f"offset {at}: a block list outside START")
                if self.huge is None:
                    self.huge = "POSTCOPY_ADVISE" in self.commands
                self.block_list(offset)
                continue
            if flags & 0x20:
                name = self.last_block
                self.ram["continue"] += 1
            else:
                name = self.cstr()
            block = self.find_block(name)
            if offset >= block["used_length"]:
                raise Bad(f"offset {at}: page at {offset:#x} of '{name}'")
            self.last_block = name
            self.page(at, kind, name, offset // size, bool(flags & 0x20))

    def page(self, at, kind, name, page, continues):
        size = self.page_size
        if kind == 0x02:
            if self.u8():
                raise Bad(f"offset {at}: a zero page that isn't")
            word = "zero"
            self.pages[(name, page)] = None
        elif kind == 0x08:
            word = "normal"
            self.put(name, page, bytes(self.take(size)))
        elif kind == 0x40:
            word = "xbzrle"
            if self.u8() != 1:
                raise Bad(f"offset {at}: XBZRLE header")
            delta = self.take(self.be16())
            self.put(name, page, self.xbzrle(self.pages.get((name, page)), delta))
        elif kind == 0x100:
            word = "compressed"
            self.put(name, page, zlib.decompress(bytes(self.take(self.be32()))))
        else:
            raise Bad(f"offset {at}: page flags {kind:#x}")
        self.ram[word] += 1
        self.page_order.append((name, page, word))
        self.note(at, "page", name, page, word, "continue" if continues else "named")

    def xbzrle(self, old, delta):
        out = bytearray(old or bytes(self.page_size))
        at = position = 0

        def number():
            nonlocal at
            value = delta[at] & 0x7f
            if delta[at] & 0x80:
                at += 1
                value |= delta[at] << 7
            at += 1
            return value
        while at < len(delta):
            position += number()
            n = number()
            out[position:position + n] = delta[at:at + n]
            position += n
            at += n
        if len(out) != self.page_size:
            raise Bad("XBZRLE beyond the page")
        return bytes(out)

    def block_body(self):
        while True:
            at = self.at
            flags = self.be64() & 0x1ff
            if flags & 2:
                self.note(at, "block-eos")
                return
            if flags & 1:
                name = self.cstr()
                if not flags & 8:
                    self.take(1 << 20)
                self.note(at, "block-chunk", name, flags)
            elif flags & 4:
                self.note(at, "block-progress")
            else:
                raise Bad(f"offset {at}: block flags {flags:#x}")

    def bitmap_body(self):
        while True:
            at = self.at
            flags = self.u8()
            node = self.cstr() if flags & 0x08 else None
            name = self.cstr() if flags & 0x04 else None
            if flags & 0x10:
                self.take(5)
            if flags & 0x40:
                self.take(12)
                if not flags & 0x02:
                    self.take(self.be64())
            self.note(at, "bitmap", flags, node, name)
            if flags & 0x80:
                raise Bad(f"offset {at}: dirty-bitmap flags {flags:#x}")
            if flags & 0x01:
                return

    def s390_attributes(self):
        while True:
            at = self.at
            flags = self.be64() & 0xfff
            self.note(at, "storage-attributes", flags)
            if flags & 2:
                self.take(self.be64())
            if flags & 1:
                return

    def colo_rounds(self):
        """What the source says after the first migration: words of 32 bits, RAM, a device blob."""
        while self.at < len(self.data):
            at = self.at
            word = self.be32()
            self.note(at, "colo", word)
            if word == 3:
                self.items(len(self.data))
            elif word == 4:
                n = self.be64()
                stop = self.at + n
                self.items(stop)
                if self.at != stop:
                    raise Bad(f"offset {self.at}: COLO's blob ends at {stop}")

    # results -------------------------------------------------------------
    def nonzero(self, name):
        runs = []
        for page in sorted(p for (b, p), c in self.pages.items() if b == name and c is not None):
            if runs and runs[-1][0] + runs[-1][1] == page:
                runs[-1][1] += 1
            else:
                runs.append([page, 1])
        return runs

    def ram_blocks(self):
        return [dict(block, nonzero=self.nonzero(block["name"])) for block in self.blocks]

    def summary(self):
        return {"bytes": len(self.data), "machine": self.config and self.config["name"],
                "page_size": self.page_size,
                "sections": self.sections, "commands": self.commands, "ram": self.ram,
                "devices": len(self.devices), "vmdesc_bytes": self.vmdesc_bytes}

    def image(self, name):
        block = self.find_block(name)
        out = bytearray(block["used_length"])
        for (b, page), contents in self.pages.items():
            if b == name and contents is not None:
                out[page * self.page_size:(page + 1) * self.page_size] = contents
        return bytes(out)


def read_stream(path):
    if path.endswith(".zst"):
        return subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout
    with open(path, "rb") as f:
        return f.read()


def main(argv):
    records = argv[:1] == ["--records"]
    if len(argv) != 1 + records:
        print(__doc__, file=sys.stderr)
        return 2
    walker = Walker(memoryview(read_stream(argv[-1])).tobytes())
    try:
        walker.walk()
    except Bad as e:
        print(f"walk.py: {argv[-1]}: {e}", file=sys.stderr)
        return 1
    if records:
        for record in walker.records:
            print(*record)
    else:
        print(json.dumps({"summary": walker.summary(), "ram": walker.ram_blocks(),
                          "devices": walker.devices}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
