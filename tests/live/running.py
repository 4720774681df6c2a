# SPDX-License-Identifier: Apache-2.0
"""QEMUs whose vCPU runs our test guest, for tests of postcopy: microvm with its memory in a file
below /dev/shm (userfaultfd wants anonymous or shared memory), or out of the pool of huge pages.
"""
import os
import struct
import time

import dest
import peer

import guest_rom  # of traces/gen; peer has made it findable

ROM = os.environ.get("MIGBENCH_GUEST_ROM", "")
MACHINE = ("microvm,pit=off,pic=off,rtc=off,isa-serial=on,auto-kernel-cmdline=off,"
           "x-option-roms=off,acpi=off")
RAM = "m0"
# The guest can't measure its clock on microvm: rates are nominal.
TSC_HZ = 2400000000


def resting(size):
    """It fills half of its memory and rests. A source under TCG can't have another: 5.2 and 7.2 always
    and 11.1 now and then miss a vCPU's write to a page that stays in the TLB."""
    return {"tsc-hz": TSC_HZ, "fills": [
        {"offset": size // 4, "length": size // 2, "kind": "random", "seed": 7}]}


def guest_parameters(size, rate=50000, pace="clock", pattern="random", write="counter"):
    """It has filled half of its memory, and goes on writing to 3/4 of it."""
    quarter = size // 4
    return {"tsc-hz": TSC_HZ,
            "fills": [{"offset": quarter, "length": quarter, "kind": "random", "seed": 7},
                      {"offset": 2 * quarter, "length": quarter, "kind": "repeat", "seed": 0x55}],
            "regions": [{"offset": quarter, "length": 3 * quarter, "pattern": pattern, "rate": rate,
                         "pace": pace, "write": write, "seed": 3}]}


class Machine:
    """Arguments of a QEMU with our guest, and the file behind its memory."""

    def __init__(self, space, side, size, parameters=None, hugetlb=False, machine=MACHINE):
        if not ROM or not os.path.exists(ROM):
            raise peer.Skip("the test guest was not built (it needs an x86 compiler)")
        self.size, self.hugetlb = size, hugetlb
        self.serial = os.path.join(space.files, f"serial-{side}")
        self.rom = os.path.join(space.files, f"guest-{side}.rom")
        self.memory = os.path.join(space.memory, f"{RAM}-{side}")
        with open(ROM, "rb") as plain, open(self.rom, "wb") as file:
            file.write(guest_rom.patch(plain.read(), parameters or guest_parameters(size)))
        if os.path.exists(self.serial):
            os.unlink(self.serial)
        backend = f"memory-backend-file,id={RAM},size={size},share=on,mem-path={self.memory}"
        if hugetlb:
            backend = f"memory-backend-memfd,id={RAM},size={size},hugetlb=on,hugetlbsize=2M"
        self.argv = ["-M", f"{machine},memory-backend={RAM}", "-m", f"{size >> 20}M", "-object", backend,
                     "-bios", self.rom, "-serial", f"file:{self.serial}",
                     "-global", "apic.vapic=off", "-accel", "tcg", *peer.QUIET]

    def record(self, version, space):
        """The stream of this machine with its guest stopped somewhere: devices and memory. Returns its
        file, [(name, used length, longest length)] and the machine's versioned name."""
        stream = os.path.join(space.files, f"stream-{version}")
        with peer.Peer(version, self.argv) as qemu:
            self.wait_ready()
            qemu.qmp("stop")
            blocks, name = dest.ram_blocks(qemu), machine_name(qemu)
            qemu.set_capabilities(["events"])
            qemu.set_parameters({"max-bandwidth": 0, "downtime-limit": 100000})
            qemu.qmp("migrate", uri=f"exec:cat > {stream}")
            qemu.wait_migration("completed")
        return stream, blocks, name

    def wait_ready(self):
        guest_rom.wait_ready(self.serial, peer.PATIENCE)

    def read(self, qemu):
        """The memory of |qemu|, whose vCPU stands still."""
        if not self.hugetlb:
            return peer.read(self.memory)
        path = self.memory + ".saved"
        qemu.qmp("pmemsave", val=0, size=self.size, filename=path)
        saved = bytearray(peer.read(path))
        os.unlink(path)
        saved[0xf0000:0x100000] = bytes(0x10000)  # the ROM is there; nobody wrote the RAM behind it
        return saved

    def clean(self):
        for path in (self.memory, self.serial, self.rom):
            if os.path.exists(path):
                os.unlink(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.clean()


# What the guest has done -----------------------------------------------------------------------

COUNTERS, WRITTEN, MAGIC = 0x1000, 0x1000 + 48, b"migCOUNT"  # guest-abi.h
WORD = (1 << 64) - 1


def mix(seed, index):
    z = (seed * 0xd1342543de82ef95 + (index + 1) * 0x9e3779b97f4a7c15) & WORD
    z = ((z ^ (z >> 30)) * 0xbf58476d1ce4e5b9) & WORD
    z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & WORD
    return z ^ (z >> 31)


def written(memory):
    """How often it has written to its first region."""
    if memory[COUNTERS:COUNTERS + 8] != MAGIC:
        raise peer.Fail("the guest's counters are gone")
    return struct.unpack_from("<Q", memory, WRITTEN)[0]


def expect_memory(what, after, before, parameters, first):
    """|before|: memory when the guest was stopped behind its first |first| writes; |after|: when it has
    run on elsewhere. Page by page, what it wrote is what it must have written, in its order, and
    nothing else has changed. Returns how many writes that were."""
    region, last = parameters["regions"][0], written(after)
    expected = bytearray(before)
    pages = region["length"] // 4096
    for n in range(first, last):
        page = ((mix(region["seed"], n) >> 32) * pages) >> 32
        struct.pack_into("<Q", expected, region["offset"] + page * 4096, n + 1)
    got = after
    # Its own page: counters, state and stack. The write that it was stopped in may be there already.
    expected[COUNTERS:COUNTERS + 4096] = got[COUNTERS:COUNTERS + 4096]
    at = region["offset"] + (((mix(region["seed"], last) >> 32) * pages) >> 32) * 4096
    if struct.unpack_from("<Q", got, at)[0] == last + 1:
        struct.pack_into("<Q", expected, at, last + 1)
    peer.expect_equal_memory(what, got, expected)
    return last - first


class HugePages:
    """|count| more pages of 2 MiB in the host's pool; put back in the end."""

    PATH = "/proc/sys/vm/nr_hugepages"

    def __init__(self, count):
        self.count = count

    def __enter__(self):
        self.before = int(peer.read(self.PATH))
        try:
            self.set(self.before + self.count)
        except OSError as error:
            raise peer.Skip(f"cannot reserve huge pages: {error}") from None
        got = int(peer.read(self.PATH)) - self.before
        if got < self.count:
            self.set(self.before)
            raise peer.Skip(f"the host has no {self.count} huge pages to spare, only {got}")
        return self

    def __exit__(self, *_):
        self.set(self.before)

    def set(self, count):
        with open(self.PATH, "w", encoding="ascii") as file:
            file.write(str(count))


def machine_name(qemu):
    """Of microvm, as it stands in the stream."""
    for m in qemu.qmp("query-machines"):
        if m["name"] == "microvm" or m.get("alias") == "microvm":
            return m["name"]
    raise peer.Skip("this QEMU has no microvm")


def wait_passes(qemu, passes):
    while True:
        status = qemu.status()
        count = status.get("ram", {}).get("dirty-sync-count", 0)
        if count > passes:
            return
        if status.get("status") in ("completed", "failed"):
            raise peer.Fail(f"{qemu.name}: {status['status']} after {count} passes: {qemu.error_text()}")
        time.sleep(0.005)
