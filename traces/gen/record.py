#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records the traces of one channel: idle, scripted and dirtying guests.

    record.py list          what there is
    record.py ID...         record these (or all)

Needs the emulators that peers.sh makes; MIGBENCH_GUEST_ROM names our guest's ROM for those traces that run it.
"""
import hashlib
import os
import struct
import sys
import time

import manifest
import qemu
import script as scripts
import walk

PAGE = 4096
VERSIONS = ("5.2", "7.2", "10.0", "11.1")
QUIET = ["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-net", "none"]
NO_VAPIC = ["-global", "apic.vapic=off"]
MICROVM = "microvm,pit=off,pic=off,rtc=off,isa-serial=off,auto-kernel-cmdline=off,x-option-roms=off"
SLOW = {"max-bandwidth": 262144, "downtime-limit": 1}
GUEST_ROM = os.environ.get("MIGBENCH_GUEST_ROM", "")


def path_of(name):
    return os.path.join(qemu.RUNDIR, name)


def blank_rom():
    path = path_of("blank.rom")
    os.makedirs(qemu.RUNDIR, exist_ok=True)
    with open(path, "wb") as f:
        f.write(bytes(65536))
    return path


def producer(version, argv, replace, accel, guest, program="qemu-system-x86_64"):
    """How the trace came about, with this machine's paths replaced by words."""
    full, path = qemu.peers()[version]
    if program != "qemu-system-x86_64":
        path = program
    shown = []
    for a in argv:
        for real, word in replace.items():
            a = a.replace(real, word)
        shown.append(a)
    return {"qemu": full, "package": qemu.package_version(path), "program": program,
            "accel": accel, "argv": shown, "guest": guest}


def migrate_to_file(q, capabilities=(), parameters=None):
    out = path_of(f"stream-{os.getpid()}-{time.monotonic_ns()}.mig")
    q.set_capabilities(list(capabilities))
    q.set_parameters(parameters or {})
    q.qmp("migrate", uri=f"exec:cat > {out}")
    return out


def collect(out):
    data = walk.read_stream(out)
    os.unlink(out)
    return data


def run_passes(q, script, bases, order):
    """Writes what the script says while the migration runs."""
    totals = {}
    position = 0
    for block, pages in order:
        totals[block] = position
        position += pages
    tail = script.get("tail")
    for step in script["passes"]:
        number = step["after_pass"]
        below = 0
        if number == 0 and tail:
            # The cursor is inside the tail, or past it: everything before has been sent.
            below = (position - totals[tail["block"]] - tail["first_page"] - 1) * PAGE
            step["remaining_below"] = below
        end = time.monotonic() + 120
        while True:
            ram = q.status().get("ram", {})
            count = ram.get("dirty-sync-count", 0)
            if count > number and (not below or 0 < ram.get("remaining", 0) < below):
                break
            if count > number + 1 or time.monotonic() > end:
                raise qemu.QemuError(f"{q.name}: missed pass {number + 1}")
            time.sleep(0.002)
        for w in step["writes"]:
            q.fill(bases[w["block"]] + w["first_page"] * PAGE, w["pages"] * PAGE, w["byte"])
        if q.status()["ram"]["dirty-sync-count"] != number + 1:
            raise qemu.QemuError(f"{q.name}: pass {number + 1} ended during the writes")


def devices_ok(walker):
    for block in walker.blocks:
        if block["name"] in ("pc.rom",) and walker.nonzero(block["name"]):
            raise walk.Bad(f"{block['name']} is not empty: an option ROM of somebody else?")


def walk_stream(data):
    walker = walk.Walker(data).walk()
    devices_ok(walker)
    return walker


# none ------------------------------------------------------------------------

def none_idle(version, trace_id, how):
    """-M none without a CPU; the contents come from a file, the machine is never started."""
    size = 1 << 20
    script = scripts.idle("ram", size // PAGE)
    ram = path_of(f"ram-{os.getpid()}")
    image = bytearray(size)
    for f in script["initial"]:
        at, n = f["first_page"] * PAGE, f["pages"] * PAGE
        image[at:at + n] = bytes([f["byte"]]) * n
    with open(ram, "wb") as f:
        f.write(image)
    argv = ["-M", "none,memory-backend=m0", "-m", "1M", "-object",
            f"memory-backend-file,id=m0,size=1M,mem-path={ram},share=on"] + QUIET
    if how.get("stopped"):
        argv += ["-S"]
    with qemu.Qemu(qemu.peers()[version][1], argv) as q:
        out = migrate_to_file(q)
        q.wait_status(["completed"])
    os.unlink(ram)
    data = collect(out)
    walker = walk_stream(data)
    # The block is named after the memory backend when there is one.
    name = walker.blocks[0]["name"]
    for f in script["initial"]:
        f["block"] = name
    if walker.image(name) != bytes(image):
        raise walk.Bad(f"{trace_id}: the stream's memory is not what was filled in")
    fields = {"features": ["idle"], "comment": how["comment"],
              "producer": producer(version, argv, {ram: "{ram}"}, "tcg", "none"),
              "capabilities": [], "parameters": {}, "script": script}
    return data, walker, fields


def scripted(version, trace_id, how):
    """Twice, and both times the same records."""
    rom = blank_rom()
    path = qemu.peers()[version][1]
    argv = [a.replace("{rom}", rom) for a in how["argv"]] + ["-S", "-accel", "tcg"] + QUIET + NO_VAPIC
    runs = []
    for _ in range(2):
        script = scripts.scripted(how["blocks"])
        with qemu.Qemu(path, argv, qtest=True) as q:
            for f in script["initial"]:
                q.fill(how["bases"][f["block"]] + f["first_page"] * PAGE, f["pages"] * PAGE, f["byte"])
            out = migrate_to_file(q, parameters=SLOW)
            # The order of all blocks is known from the list that went out first.
            deadline = time.monotonic() + 10
            order = None
            while order is None and time.monotonic() < deadline:
                order = read_block_list(out)
                time.sleep(0.01)
            run_passes(q, script, how["bases"], order)
            q.wait_status(["completed"])
        data = collect(out)
        walker = walk_stream(data)
        ours = {block for block, _ in how["blocks"]}
        first = {}
        for block, page, kind in walker.page_order:
            first.setdefault((block, page), kind)
        known = {key for key, kind in first.items() if kind == "normal" and key[0] not in ours}
        wanted = scripts.expected_order(script, order, known)
        if walker.page_order != wanted:
            for i, (a, b) in enumerate(zip(walker.page_order, wanted)):
                if a != b:
                    raise walk.Bad(f"{trace_id}: page record {i} is {a}, the script says {b}")
            raise walk.Bad(f"{trace_id}: {len(walker.page_order)} page records, "
                           f"the script says {len(wanted)}")
        runs.append((data, walker, script))
    ram = [[r[1:] for r in w.records if r[1] == "page"] for _, w, _ in runs]
    pages = [w.pages for _, w, _ in runs]
    if ram[0] != ram[1] or pages[0] != pages[1]:
        raise walk.Bad(f"{trace_id}: two runs differ")
    print(f"{trace_id}: two runs, {len(ram[0])} page records each, identical and as scripted")
    data, walker, script = runs[1]
    fields = {"features": ["scripted"], "comment": how["comment"],
              "producer": producer(version, argv, {rom: "{rom}"}, "tcg",
                                   {"rom": "64 KiB of zeros", "state": "prelaunch"}),
              "capabilities": [], "parameters": SLOW, "script": script}
    return data, walker, fields


def read_block_list(out):
    """The block list, as soon as it is in the file."""
    try:
        with open(out, "rb") as f:
            data = f.read(4096)
        at = data.find(b"\x03ram\x00\x00\x00\x00\x00\x00\x00\x04")
        if at < 0:
            return None
        at += 12
        left = struct.unpack_from(">Q", data, at)[0] & ~(PAGE - 1)
        at += 8
        order = []
        while left > 0:
            n = data[at]
            length = struct.unpack_from(">Q", data, at + 1 + n)[0]
            order.append((data[at + 1:at + 1 + n].decode(), length // PAGE))
            left -= length
            at += 9 + n
        return order
    except (OSError, IndexError, struct.error):
        return None


# pc, q35, microvm --------------------------------------------------------------

def idle(version, trace_id, how):
    rom = blank_rom()
    argv = [a.replace("{rom}", rom) for a in how["argv"]] + ["-S", "-accel", "tcg"] + QUIET + NO_VAPIC
    with qemu.Qemu(qemu.peers()[version][1], argv) as q:
        out = migrate_to_file(q)
        q.wait_status(["completed"])
    data = collect(out)
    walker = walk_stream(data)
    fields = {"features": ["idle"], "comment": how["comment"],
              "producer": producer(version, argv, {rom: "{rom}"}, "tcg",
                                   {"rom": "64 KiB of zeros", "state": "prelaunch"}),
              "capabilities": [], "parameters": {}}
    return data, walker, fields


def other_target(version, trace_id, how):
    """Another architecture, from the emulators that are installed beside the x86 one."""
    rom = blank_rom()
    os.truncate(rom, 4096)
    argv = [a.replace("{rom}", rom) for a in how["argv"]] + ["-S", "-accel", "tcg"] + QUIET[:4]
    with qemu.Qemu(how["program"], argv) as q:
        out = migrate_to_file(q)
        q.wait_status(["completed"])
    data = collect(out)
    walker = walk_stream(data)
    fields = {"features": ["idle", "other architecture"], "comment": how["comment"],
              "producer": producer(version, argv, {rom: "{rom}"}, "tcg",
                                   {"rom": "4 KiB of zeros, or none", "state": "prelaunch"},
                                   how["program"]),
              "capabilities": [], "parameters": {}}
    return data, walker, fields


def guest(version, trace_id, how):
    """Our guest runs and writes; the link is so slow that it takes several passes."""
    import guest_rom
    if not GUEST_ROM:
        raise qemu.QemuError("MIGBENCH_GUEST_ROM is not set: build migbench-guest.rom first")
    rom = path_of(f"guest-{os.getpid()}.rom")
    with open(GUEST_ROM, "rb") as f:
        plain = f.read()
    patched = guest_rom.patch(plain, how["guest"])
    with open(rom, "wb") as f:
        f.write(patched)
    accel = how.get("accel", "tcg")
    argv = [a.replace("{rom}", rom) for a in how["argv"]] + ["-accel", accel] + QUIET + NO_VAPIC
    serial = path_of(f"serial-{os.getpid()}")
    argv += ["-serial", f"file:{serial}"]
    with qemu.Qemu(qemu.peers()[version][1], argv) as q:
        guest_rom.wait_ready(serial)
        out = migrate_to_file(q, parameters=how.get("parameters"))
        if how.get("passes"):
            end = time.monotonic() + 60
            while q.status().get("ram", {}).get("dirty-sync-count", 0) <= how["passes"]:
                if time.monotonic() > end:
                    raise qemu.QemuError(f"{trace_id}: no {how['passes']} passes in 60 s")
                time.sleep(0.01)
            q.set_parameters({"max-bandwidth": 1 << 30, "downtime-limit": 2000})
        answer = q.wait_status(["completed"])
    data = collect(out)
    walker = walk_stream(data)
    os.unlink(rom)
    os.unlink(serial)
    passes = answer["ram"]["dirty-sync-count"]
    fields = {"features": how.get("features", ["dirtying"]), "comment": how["comment"],
              "producer": producer(version, argv, {rom: "{rom}", serial: "{serial}"}, accel,
                                   {"rom": "migbench-guest.rom",
                                    "sha256": hashlib.sha256(patched).hexdigest(),
                                    "parameters": how["guest"]}),
              "capabilities": [], "parameters": how.get("parameters", {}), "dirty_sync_count": passes}
    return data, walker, fields


# the table ---------------------------------------------------------------------

PC = "pc,usb=off,vmport=off,smbus=off,acpi=off,hpet=off"
Q35 = "q35,usb=off,vmport=off,smbus=off,sata=off,acpi=off,hpet=off"
GUEST = {"regions": [{"offset": 2 << 20, "length": 128 << 10, "pattern": "sequential", "rate": 400,
                      "pace": "clock", "catch-up-ms": 50, "write": "counter", "seed": 1},
                     {"offset": 3 << 20, "length": 256 << 10, "pattern": "random", "rate": 100,
                      "pace": "clock", "catch-up-ms": 50, "write": "bytes:64", "seed": 2}],
         "fills": [{"offset": 1 << 20, "length": 64 << 10, "kind": "repeat"},
                   {"offset": (1 << 20) + (128 << 10), "length": 16 << 10, "kind": "random"}]}
DIRTY = {"guest": GUEST, "parameters": {"max-bandwidth": 1 << 20, "downtime-limit": 1}, "passes": 4}


def table():
    rows = {}

    def add(name, version, recorder, **how):
        rows[f"{name}-{version}"] = (version, recorder, how)
    for v in VERSIONS:
        add("none-idle", v, none_idle,
            comment="the smallest machine: one RAM block, no CPU, filled through its backing file")
        add("none-stopped", v, none_idle, stopped=True, comment="as none-idle, never started (-S)")
        # 5.2 and 10.0 end on a failed assertion when a CPU on this machine is migrated.
        if v in ("7.2", "11.1"):
            add("none-scripted", v, scripted, argv=["-M", "none", "-m", "2M", "-cpu", "qemu64,apic-id=0"],
                blocks=[("ram", 512)], bases={"ram": 0}, comment="writes between passes, through qtest")
        add("microvm-scripted", v, scripted,
            argv=["-M", MICROVM + ",acpi=off", "-m", "2M", "-bios", "{rom}"],
            blocks=[("microvm.ram", 512)], bases={"microvm.ram": 0},
            comment="writes between passes, through qtest")
        # 10.0 under TCG ends on a failed assertion in tlb_reset_dirty_range_all() when a block is larger
        # than the first one that was made, so both have the same size.
        add("pc-scripted", v, scripted,
            argv=["-M", "pc,usb=off,vmport=off,smbus=off,hpet=off", "-m", "2M,slots=1,maxmem=1G", "-bios", "{rom}",
                  "-object", "memory-backend-ram,id=mem1,size=2M", "-device",
                  "pc-dimm,memdev=mem1,id=d1"],
            blocks=[("mem1", 512), ("pc.ram", 512)], bases={"pc.ram": 0, "mem1": 1 << 32},
            comment="writes between passes to two RAM blocks, through qtest")
        for name, machine in (("pc", PC), ("q35", Q35)):
            add(f"{name}-idle", v, idle, argv=["-M", machine, "-m", "4M", "-bios", "{rom}"],
                comment="a machine with a blank ROM that was never started")
            add(f"{name}-dirty", v, guest, argv=["-M", machine, "-m", "8M", "-bios", "{rom}"],
                comment="our guest, two regions written at a fixed rate", **DIRTY)
    add("pc-dirty-kvm", "7.2", guest, accel="kvm", argv=["-M", PC, "-m", "8M", "-bios", "{rom}"],
        comment="as pc-dirty, on KVM", **DIRTY)
    add("aarch64-virt", "7.2", other_target, program="qemu-system-aarch64",
        argv=["-M", "virt,acpi=off,dtb-randomness=off", "-cpu", "cortex-a57", "-m", "4M", "-net", "none"],
        comment="a target whose page size varies: target-page-bits in the configuration")
    add("s390x-ccw", "7.2", other_target, program="qemu-system-s390x",
        argv=["-M", "s390-ccw-virtio", "-cpu", "qemu", "-m", "4M", "-net", "none", "-bios", "{rom}"],
        comment="big-endian target, storage keys")
    for old in ("7.2", "9.2"):
        for v in ("10.0", "11.1"):
            add(f"pc-i440fx-{old}-idle", v, idle,
                argv=["-M", f"pc-i440fx-{old},usb=off,vmport=off,acpi=off,hpet=off", "-m", "2M",
                      "-bios", "{rom}"],
                comment="a machine type of before SWITCHOVER_START on a new binary")
    for old in ("1.4", "2.2", "2.3", "2.4"):
        for v in ("5.2", "7.2"):
            add(f"pc-i440fx-{old}-idle", v, idle,
                argv=["-M", f"pc-i440fx-{old},usb=off,vmport=off,acpi=off,hpet=off", "-m", "2M",
                      "-bios", "{rom}"],
                comment="an old machine type: framing of its era, by proxy")
    return rows


def main(argv):
    rows = table()
    if argv == ["list"]:
        print("\n".join(rows))
        return 0
    status = 0
    for trace_id in argv or rows:
        if trace_id not in rows:
            print(f"record.py: no trace '{trace_id}'; 'list' prints them", file=sys.stderr)
            return 2
        version, recorder, how = rows[trace_id]
        if version not in qemu.peers():
            print(f"{trace_id}: no QEMU {version} here (peers.sh make {version})", file=sys.stderr)
            status = 3
            continue
        try:
            data, walker, fields = recorder(version, trace_id, how)
        except (qemu.QemuError, walk.Bad, OSError) as e:
            print(f"{trace_id}: FAILED: {e}", file=sys.stderr)
            status = 4
            continue
        fields["producer"]["machine"] = walker.config["name"] if walker.config else \
            how["argv"][1].split(",")[0]
        fields["channels"] = ["main"]
        fields["made_by"] = f"traces/gen/record.py {trace_id}"
        manifest.write(trace_id, data, "raw", fields, walker)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
