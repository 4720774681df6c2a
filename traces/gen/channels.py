#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records the traces that need a destination, a file, or a feature switched on.

    channels.py list        what there is
    channels.py ID...       record these (or all)

Two QEMUs migrate through relay.py, which keeps every channel in both directions.
"""
import hashlib
import os
import sys
import time

import guest_rom
import manifest
import qemu
import record
import relay
import script as scripts
import walk
import walk_channels

PAGE = 4096
VERSIONS = record.VERSIONS
SIZE = 1 << 20
UUID = "6d696762-656e-4368-8000-000000000001"
# The guest cannot measure its clock on microvm (no PIT channel 2): the rates are nominal.
GUEST = {"tsc-hz": 2400000000,
         "regions": [{"offset": 1 << 20, "length": 192 << 10, "pattern": "sequential", "rate": 150,
                      "pace": "clock", "catch-up-ms": 50, "write": "counter", "seed": 1},
                     {"offset": 2 << 20, "length": 256 << 10, "pattern": "random", "rate": 60,
                      "pace": "clock", "catch-up-ms": 50, "write": "bytes:16", "seed": 2}],
         "fills": [{"offset": 1 << 20, "length": 192 << 10, "kind": "repeat", "seed": 0x33},
                   {"offset": 2 << 20, "length": 256 << 10, "kind": "repeat", "seed": 0x44},
                   {"offset": 3 << 20, "length": 256 << 10, "kind": "repeat", "seed": 0x55},
                   {"offset": (3 << 20) + (512 << 10), "length": 4 << 10, "kind": "random", "seed": 7}]}


def socket_path(word):
    return os.path.join(qemu.RUNDIR, f"{word}-{os.getpid()}-{time.monotonic_ns()}.sock")


def ram_path(word):
    # Below /dev/shm: userfaultfd wants anonymous or shared memory.
    return f"/dev/shm/migbench-{word}-{os.getpid()}"


def idle_image(size):
    script = scripts.idle("m0", size // PAGE)
    image = bytearray(size)
    for f in script["initial"]:
        at, n = f["first_page"] * PAGE, f["pages"] * PAGE
        image[at:at + n] = bytes([f["byte"]]) * n
    # Some pages that are not one byte repeated, so that codecs have work: a count in digits.
    text = b"".join(b"%07d\n" % (n * 7) for n in range(4 * PAGE // 8))
    image[40 * PAGE:44 * PAGE] = text
    return bytes(image), script


class Machine:
    """Arguments of both ends, and the file behind the source's or destination's memory."""

    def __init__(self, how, side):
        self.ram = ram_path(side)
        self.rom = os.path.join(qemu.RUNDIR, f"rom-{os.getpid()}")
        self.replace = {self.ram: "{ram}", self.rom: "{rom}"}
        self.serial = os.path.join(qemu.RUNDIR, f"serial-{side}-{os.getpid()}")
        self.replace[self.serial] = "{serial}"
        size = how.get("size", SIZE)
        backend = f"memory-backend-file,id=m0,size={size >> 20}M,mem-path={self.ram},share=on"
        if how.get("hugetlb"):
            backend = f"memory-backend-memfd,id=m0,size={size >> 20}M,hugetlb=on,hugetlbsize=2M"
        memory = ["-m", f"{size >> 20}M", "-object", backend]
        self.image = None
        kind = how.get("machine", "none")
        if kind == "none":
            self.argv = ["-M", "none,memory-backend=m0"] + memory
            if how.get("cpu"):
                self.argv += ["-cpu", "qemu64,apic-id=0"]
            self.image = idle_image(size)[0]
        elif kind == "guest":
            if not record.GUEST_ROM:
                raise qemu.QemuError("MIGBENCH_GUEST_ROM is not set: build migbench-guest.rom first")
            with open(record.GUEST_ROM, "rb") as f:
                patched = guest_rom.patch(f.read(), how.get("guest", GUEST))
            self.rom_hash = hashlib.sha256(patched).hexdigest()
            with open(self.rom, "wb") as f:
                f.write(patched)
            self.argv = ["-M", how.get("type", record.MICROVM.replace("isa-serial=off", "isa-serial=on") +
                                       ",acpi=off") + ",memory-backend=m0"] + memory + \
                ["-bios", self.rom, "-serial", f"file:{self.serial}"] + record.NO_VAPIC
            self.argv += ["-accel", how.get("accel", "tcg")]
        else:
            self.argv = ["-M", kind + ",memory-backend=m0"] + memory + ["-bios", record.blank_rom()] + \
                record.NO_VAPIC
            self.replace[os.path.join(qemu.RUNDIR, "blank.rom")] = "{rom}"
            self.image = idle_image(size)[0]
        self.argv += record.QUIET + how.get("argv", [])
        if side == "source" and self.image and not how.get("hugetlb"):
            with open(self.ram, "wb") as f:
                f.write(self.image)
        elif not how.get("hugetlb"):
            with open(self.ram, "wb") as f:
                f.truncate(size)

    def memory(self):
        with open(self.ram, "rb") as f:
            return f.read()

    def clean(self):
        for path in (self.ram, self.serial):
            if os.path.exists(path):
                os.unlink(path)


def guest_field(how, machine):
    if how.get("machine") == "guest":
        return {"rom": "migbench-guest.rom", "sha256": machine.rom_hash,
                "parameters": how.get("guest", GUEST)}
    return "none" if how.get("machine", "none") == "none" else {"rom": "64 KiB of zeros"}


def base_fields(version, how, machine, accel="tcg"):
    argv = machine.argv + how.get("source_argv", [])
    return {"features": how["features"], "comment": how["comment"],
            "producer": record.producer(version, argv, machine.replace, how.get("accel", accel),
                                        guest_field(how, machine)),
            "capabilities": how.get("capabilities", []), "parameters": how.get("parameters", {})}


def wait_passes(q, passes):
    end = time.monotonic() + 60
    while True:
        answer = q.status()
        count = answer.get("ram", {}).get("dirty-sync-count", 0)
        if count > passes:
            return
        if answer["status"] in ("completed", "failed") or time.monotonic() > end:
            raise qemu.QemuError(f"{q.name}: {answer['status']} after {count} passes, not {passes}")
        time.sleep(0.005)


# drivers: what happens between `migrate` and the end ---------------------------------

def drive_plain(_how, src, dst, _link, _target):
    src.wait_status(["completed"])
    dst.wait_status(["completed"])


def drive_release(how, src, dst, link, target):
    """Several passes on a slow link, then let it end."""
    wait_passes(src, how.get("passes", 3))
    src.set_parameters({"max-bandwidth": 1 << 30, "downtime-limit": 2000})
    drive_plain(how, src, dst, link, target)


def drive_postcopy(how, src, dst, link, target):
    wait_passes(src, how.get("passes", 1))
    src.qmp("migrate-start-postcopy")
    drive_plain(how, src, dst, link, target)


def drive_bitmaps(how, src, dst, link, target):
    """Switches while memory is still on its way: the bandwidth gives time for it."""
    src.qmp("migrate-start-postcopy")
    drive_plain(how, src, dst, link, target)


def drive_recovery(how, src, dst, link, _target):
    wait_passes(src, how.get("passes", 1))
    src.qmp("migrate-start-postcopy")
    src.wait_status(["postcopy-active"])
    dst.wait_status(["postcopy-active"])
    before = link.total("forward")
    end = time.monotonic() + 20
    while link.total("forward") < before + 32768 and time.monotonic() < end:
        time.sleep(0.005)
    again = socket_path("again")
    link.cut(again)
    src.wait_status(["postcopy-paused"])
    dst.wait_status(["postcopy-paused"])
    dst.qmp("migrate-recover", uri=f"unix:{again}")
    src.qmp("migrate", uri=f"unix:{link.listen_path}", resume=True)
    src.wait_status(["completed"])
    dst.wait_status(["completed"])


def drive_colo(_how, src, dst, link, _target):
    """Two checkpoints, then the source goes away."""
    loaded, end = (6).to_bytes(4, "big"), time.monotonic() + 60
    while time.monotonic() < end:
        back = b"".join(c[3] for c in list(link.chunks) if c[2] == "back")
        if back.count((5).to_bytes(4, "big") + loaded) >= 2:
            time.sleep(0.1)
            return
        for q in (src, dst):
            if q.process.poll() is not None:
                raise qemu.QemuError(f"{q.name} ended: {q.error_text()}")
        time.sleep(0.02)
    raise qemu.QemuError(f"no two checkpoints in 60 s, {len(back)} bytes came back: {src.error_text()} "
                         f"{dst.error_text()}")


# recorders ---------------------------------------------------------------------------

def paired(version, trace_id, how):
    path = qemu.peers()[version][1]
    listen, target = socket_path("relay"), socket_path("dest")
    source, dest = Machine(how, "source"), Machine(how, "dest")
    caps, params = how.get("capabilities", []), how.get("parameters", {})
    dest_params = {k: v for k, v in params.items() if k.startswith("multifd") or k == "xbzrle-cache-size"}
    dest_argv = dest.argv + ["-incoming", "defer"] + ([] if how.get("run") else ["-S"]) + \
        how.get("dest_argv", [])
    if how.get("machine") == "guest" and os.path.exists(source.serial):
        os.unlink(source.serial)
    link = None
    try:
        with qemu.Qemu(path, dest_argv, name="dest") as dst, \
                qemu.Qemu(path, source.argv + how.get("source_argv", []), name="source") as src:
            if how.get("machine") == "guest":
                guest_rom.wait_ready(source.serial)
            for q, p in ((src, params), (dst, dest_params)):
                q.set_capabilities(caps)
                q.set_parameters(p)
            for command, arguments in how.get("dest_setup", []):
                dst.qmp(command, **arguments)
            for command, arguments in how.get("source_setup", []):
                src.qmp(command, **arguments)
            dst.qmp("migrate-incoming", uri=f"unix:{target}")
            link = relay.Relay(listen, target)
            src.qmp("migrate", uri=f"unix:{listen}")
            how.get("drive", drive_plain)(how, src, dst, link, target)
            if how.get("drive") is drive_colo:
                src.process.kill()
            else:
                time.sleep(0.2)
            link.stop()
            before, after = None, None
            if not how.get("run") and not how.get("hugetlb"):
                before, after = source.memory(), dest.memory()
                if before != after:
                    raise walk.Bad(f"{trace_id}: the two memories differ")
            if how.get("drive") is drive_colo:
                dst.process.kill()
    finally:
        if link and link.is_alive():
            link.stop()
        source.clean()
        dest.clean()
    data, streams = relay.pcapng(link, trace_id)
    fields = base_fields(version, how, source)
    fields["producer"]["destination"] = {
        "qemu": qemu.peers()[version][0],
        "argv": [shown(a, dest.replace) for a in dest_argv]}
    fields["channels"] = list(streams)
    walker = channel_stats(trace_id, how, streams, fields, after)
    fields["producer"]["machine"] = walker.config["name"]
    if after is not None:
        fields["memory"] = {"m0" if any(b["name"] == "m0" for b in walker.blocks) else
                            walker.blocks[0]["name"]: hashlib.sha256(after).hexdigest()}
    return data, "pcapng", fields, None


def shown(text, replace):
    for real, word in replace.items():
        text = text.replace(real, word)
    return text


def channel_stats(trace_id, how, streams, fields, memory):
    """Walks every channel; fills in ram, devices and the expectation."""
    main = walk.Walker(streams["main"])
    main.colo = how.get("drive") is drive_colo
    cut = any(name.endswith(".2") for name in streams)
    stats = {}
    try:
        main.walk()
    except (walk.Bad, IndexError) as e:
        if not cut and not main.colo:
            raise walk.Bad(f"{trace_id}: main: {e}")
        stats["ends"] = "cut" if cut else "after two checkpoints"
    channels = {"main": dict(main.summary(), **stats)}
    images = {}
    for name, data in streams.items():
        if name.startswith("multifd"):
            channels[name], pages = walk_channels.walk_multifd(data, main.page_size)
            for round_, block, page, contents in pages:
                key = (block, page)
                if key not in images or images[key][0] <= round_:
                    images[key] = (round_, contents)
        elif name.startswith("return") and data:
            colo_words = 0
            if main.colo:
                data, colo_words = split_colo(data)
            counts, _ = walk_channels.walk_return(data)
            channels[name] = {"bytes": len(streams[name]), "messages": counts}
            if colo_words:
                channels[name]["colo_words"] = colo_words
        elif name.startswith("preempt") and not name.startswith("preempt-return"):
            records = walk.Walker(data, blocks=main.blocks)
            try:
                records.walk_records()
            except (walk.Bad, IndexError):
                if not cut:
                    raise
            channels[name] = {"bytes": len(data), "ram": records.ram}
        elif name == "main.2":
            again = walk.Walker(data, resumed=True, blocks=main.blocks, names=main.names)
            again.postcopy = True
            again.walk()
            channels[name] = again.summary()
        elif name != "main":
            channels[name] = {"bytes": len(data)}
    for (block, page), (_, contents) in images.items():
        main.put(block, page, contents or b"\0")
    ram = main.ram_blocks()
    partial = not memory and (cut or "preempt" in streams or how.get("hugetlb") or main.colo)
    if memory:
        wanted = memory
        for b in main.blocks:
            if b["used_length"] == len(memory) and not any(n.startswith("preempt") for n in streams) \
                    and not how.get("ignored") and main.image(b["name"]) != wanted:
                raise walk.Bad(f"{trace_id}: the streams' memory is not the destination's")
            break
    if partial:
        for b in ram:
            del b["nonzero"]
    fields["ram"] = ram
    fields["devices"] = main.devices
    fields["expect"] = {"verdict": "conformant", "findings": [], "stats": {"channels": channels}}
    return main


def split_colo(data):
    """The return path's messages, and how many 32 bit words of COLO follow them."""
    at = 0
    while at + 4 <= len(data) and data[at:at + 2] == b"\0\2" or data[at:at + 2] == b"\0\1" and \
            data[at + 2:at + 4] == b"\0\4":
        at += 8
    return data[:at], (len(data) - at) // 4


def to_file(version, trace_id, how):
    """One channel into a file, through exec: or file:."""
    source = Machine(how, "source")
    out = os.path.join(qemu.RUNDIR, f"stream-{os.getpid()}-{time.monotonic_ns()}.mig")
    if os.path.exists(source.serial):
        os.unlink(source.serial)
    qtest = how.get("qtest", False)
    made = []
    try:
        for name, megabytes in how.get("disks", []):
            disk = os.path.join(qemu.RUNDIR, name)
            made.append(disk)
            with open(disk, "wb") as f:
                f.write(b"".join(bytes([i + 1]) * 4096 + bytes((1 << 20) - 4096) for i in range(megabytes)))
                f.seek(1 << 20)
                f.write(bytes(4096))
            source.replace[disk] = "{" + name + "}"
            source.argv = [a.replace("{" + name + "}", disk) for a in source.argv]
        with qemu.Qemu(qemu.peers()[version][1], source.argv + how.get("source_argv", []), name="source",
                       qtest=qtest) as src:
            if how.get("machine") == "guest":
                guest_rom.wait_ready(source.serial)
            for command, arguments in how.get("source_setup", []):
                src.qmp(command, **arguments)
            src.set_capabilities(how.get("capabilities", []))
            src.set_parameters(how.get("parameters", {}))
            uri = f"exec:cat > {out}" if not how.get("file") else how["file"].format(out=out)
            if how.get("file"):
                open(out, "wb").close()
            src.qmp("migrate", uri=uri, **how.get("arguments", {}))
            for number, parameters in how.get("at", []):
                wait_passes(src, number)
                src.set_parameters(parameters)
            if how.get("passes"):
                wait_passes(src, how["passes"])
                src.set_parameters({"max-bandwidth": 1 << 30, "downtime-limit": 2000})
            answer = src.wait_status(["completed"])
        memory = source.memory() if not how.get("hugetlb") else None
    finally:
        source.clean()
        for disk in made:
            if os.path.exists(disk):
                os.unlink(disk)
    data = walk.read_stream(out)
    os.unlink(out)
    offset = how.get("offset", 0)
    walker = walk.Walker(data)
    walker.at = offset
    walker.walk()
    first = walker.blocks[0]["name"]
    if memory and not how.get("ignored") and not how.get("live") and walker.image(first) != memory:
        raise walk.Bad(f"{trace_id}: the stream's memory is not the source's")
    fields = base_fields(version, how, source)
    fields["producer"]["machine"] = walker.config["name"]
    fields["channels"] = ["main"]
    if offset:
        fields["offset"] = offset
    if memory and not how.get("live"):
        fields["memory"] = {first: hashlib.sha256(memory).hexdigest()}
    fields["dirty_sync_count"] = answer["ram"]["dirty-sync-count"]
    return data, "raw", fields, walker


# the table -----------------------------------------------------------------------------

def table():
    rows = {}

    def add(name, version, recorder, features, comment, **how):
        how.update(features=features, comment=comment)
        rows[f"{name}-{version}"] = (version, recorder, how)
    slow = {"max-bandwidth": 1 << 20, "downtime-limit": 1}
    post = {"max-bandwidth": 1 << 20, "downtime-limit": 1, "max-postcopy-bandwidth": 1 << 19}
    for v in VERSIONS:
        new, ten = v != "5.2", v in ("10.0", "11.1")
        # Under TCG these two miss writes to a page that stays in the TLB: the destination's memory differs.
        accel = "kvm" if v in ("5.2", "7.2") else "tcg"
        add("return-path", v, paired, ["return-path"], "precopy with a return path",
            capabilities=["return-path"])
        add("ignore-shared", v, to_file, ["x-ignore-shared", "validate-uuid"],
            "shared memory is not sent; configuration with capabilities and uuid",
            capabilities=["x-ignore-shared", "validate-uuid"], argv=["-uuid", UUID], ignored=True)
        busy = {"tsc-hz": 2400000000, "fills": GUEST["fills"], "regions": [
            dict(GUEST["regions"][0], rate=1000), dict(GUEST["regions"][1], rate=500)]}
        add("xbzrle", v, to_file, ["xbzrle"], "our guest writes single bytes: deltas, normal pages, zero pages",
            machine="guest", guest=busy, size=4 << 20, capabilities=["xbzrle"], accel=accel,
            parameters=dict(slow, **{"xbzrle-cache-size": 4 << 20}),
            at=[(1, {"max-bandwidth": 65536}), (2, {"max-bandwidth": 16384})], passes=5)
        methods = ["none", "zlib"] + (["zstd"] if new else [])
        for method in methods:
            for channels in (2, 4):
                if method != "none" and channels == 4:
                    continue
                add(f"multifd-{method}-{channels}", v, paired, ["multifd", method],
                    f"multifd, {channels} channels, compression {method}, a guest that never ran",
                    capabilities=["multifd"],
                    parameters={"multifd-channels": channels, "multifd-compression": method})
        add("multifd-dirty", v, paired, ["multifd", "dirtying"], "multifd over several passes",
            machine="guest", accel=accel, size=4 << 20, capabilities=["multifd"],
            parameters=dict(slow, **{"multifd-channels": 2}), drive=drive_release)
        if ten:
            for mode in ("legacy", "none"):
                add(f"multifd-zero-{mode}", v, paired, ["multifd", "zero-page-detection"],
                    f"multifd with zero-page-detection {mode}", capabilities=["multifd"],
                    parameters={"multifd-channels": 2, "zero-page-detection": mode})
            add("multifd-old-sync", v, paired, ["multifd", "old synchronisation"],
                "a machine type of before 8.1: every end of a RAM section synchronises",
                machine="pc-i440fx-7.2,usb=off,vmport=off,acpi=off,hpet=off", size=2 << 20,
                source_argv=["-S"], capabilities=["multifd"], parameters={"multifd-channels": 2})
            add("mapped-ram", v, to_file, ["mapped-ram"], "pages at fixed places of a file",
                capabilities=["mapped-ram"], file="file:{out}")
            add("mapped-ram-offset", v, to_file, ["mapped-ram"], "the same, 4096 bytes into the file",
                capabilities=["mapped-ram"], file="file:{out},offset=4096", offset=4096)
            add("mapped-ram-multifd", v, to_file, ["mapped-ram", "multifd"], "the same, written by two threads",
                capabilities=["mapped-ram", "multifd"], parameters={"multifd-channels": 2},
                file="file:{out}")
            add("switchover-ack", v, paired, ["switchover-ack"], "the destination allows the switchover",
                capabilities=["return-path", "switchover-ack"])
        if new:
            add("background-snapshot", v, to_file, ["background-snapshot"],
                "memory as it was at the beginning, written while our guest runs on; devices last",
                machine="guest", accel=accel, size=4 << 20, capabilities=["background-snapshot"],
                parameters={"max-bandwidth": 1 << 20}, live=True, anonymous=True)
        guest = dict(machine="guest", accel=accel, size=4 << 20, run=True, parameters=post)
        # Slow enough that the break comes long before the last page.
        # 10.0's source now and then takes the break for a failure instead of a pause.
        broken = dict(guest, tries=8, parameters=dict(post, **{"max-postcopy-bandwidth": 1 << 17}))
        add("postcopy", v, paired, ["postcopy-ram", "return-path"],
            "our guest, two passes, then postcopy; the return path asks for pages",
            capabilities=["postcopy-ram"], drive=drive_postcopy, **guest)
        add("postcopy-recovery", v, paired, ["postcopy-ram", "recovery"],
            "the line breaks in postcopy and the migration is resumed on a new one",
            capabilities=["postcopy-ram"], drive=drive_recovery, **broken)
        if new:
            add("postcopy-preempt", v, paired, ["postcopy-ram", "postcopy-preempt"],
                "postcopy with a channel for urgent pages",
                capabilities=["postcopy-ram", "postcopy-preempt"], drive=drive_postcopy, **guest)
            add("postcopy-preempt-recovery", v, paired, ["postcopy-ram", "postcopy-preempt", "recovery"],
                "the same, broken and resumed", capabilities=["postcopy-ram", "postcopy-preempt"],
                drive=drive_recovery, **broken)
        add("postcopy-hugepages", v, paired, ["postcopy-ram", "huge pages"],
            "RAM of 2 MiB pages: the block list carries the page size, postcopy goes by huge pages",
            capabilities=["postcopy-ram"], drive=drive_postcopy, hugetlb=True,
            **dict(guest, size=8 << 20))
        if ten:
            add("postcopy-preempt-old", v, paired, ["postcopy-ram", "postcopy-preempt", "old preempt channel"],
                "a machine type of before 8.0: the channel is made at the beginning and ends with EOS",
                capabilities=["postcopy-ram", "postcopy-preempt"], drive=drive_postcopy,
                type="pc-i440fx-7.2,usb=off,vmport=off,acpi=off,hpet=off", **guest)
        if v == "11.1":
            add("postcopy-multifd", v, paired, ["postcopy-ram", "multifd"],
                "multifd before the switch, ordinary pages after it",
                capabilities=["postcopy-ram", "multifd"], drive=drive_postcopy,
                **dict(guest, parameters=dict(post, **{"multifd-channels": 2})))
        if v in ("5.2", "7.2"):
            add("compress", v, to_file, ["compress"], "zlib pages on the main channel",
                capabilities=["compress"], parameters={"compress-level": 1, "compress-threads": 2})
            add("block", v, to_file, ["block"], "two small disks travel with the memory",
                machine="none", argv=["-drive", "if=none,id=d0,format=raw,file={disk0}",
                                      "-drive", "if=none,id=d1,format=raw,file={disk1}"],
                disks=[("disk0", 3), ("disk1", 1)], arguments={"blk": True})
        caps = ["x-colo"] + (["return-path"] if v == "11.1" else [])
        add("colo", v, paired, ["x-colo"], "the first migration and two checkpoints, then the source ends",
            machine="guest", accel="kvm" if v != "11.1" else accel, size=4 << 20, run=True, capabilities=caps,
            parameters={"x-checkpoint-delay": 500}, drive=drive_colo)
        disk = ["-blockdev", "driver=null-co,node-name=n0,size=67108864,read-zeroes=on"]
        bitmaps = [("block-dirty-bitmap-add", {"node": "n0", "name": "b0", "granularity": 65536}),
                   ("block-dirty-bitmap-add", {"node": "n0", "name": "b1", "granularity": 4096})]
        add("dirty-bitmap", v, paired, ["dirty-bitmaps"], "two dirty bitmaps of a disk without contents",
            argv=disk, source_setup=bitmaps, capabilities=["dirty-bitmaps", "return-path"])
        add("dirty-bitmap-postcopy", v, paired, ["dirty-bitmaps"],
            "postcopy of two dirty bitmaps alone: nothing is discarded", argv=disk, source_setup=bitmaps,
            capabilities=["dirty-bitmaps", "return-path"], drive=drive_bitmaps,
            parameters={"max-bandwidth": 65536})
    return rows


def main(argv):
    rows = table()
    if argv == ["list"]:
        print("\n".join(rows))
        return 0
    status = 0
    for trace_id in argv or rows:
        if trace_id not in rows:
            print(f"channels.py: no trace '{trace_id}'; 'list' prints them", file=sys.stderr)
            return 2
        version, recorder, how = rows[trace_id]
        if version not in qemu.peers():
            print(f"{trace_id}: no QEMU {version} here (peers.sh make {version})", file=sys.stderr)
            status = 3
            continue
        for left in reversed(range(how.get("tries", 1))):
            try:
                data, container, fields, walker = recorder(version, trace_id, how)
                break
            except (qemu.QemuError, walk.Bad, OSError) as e:
                print(f"{trace_id}: {'trying again' if left else 'FAILED'}: {e}", file=sys.stderr, flush=True)
        else:
            status = 4
            continue
        fields["made_by"] = f"traces/gen/channels.py {trace_id}"
        manifest.write(trace_id, data, container, fields, walker)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
