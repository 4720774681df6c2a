#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A guest that really runs, on KVM: from `migbench source` to `migbench dest`, and through real
QEMUs. Its counters go on everywhere; no page is lost, and none is old.

Who says so: the guest itself, which knows what it left in each page that it writes in turn; we, who
recompute all of its writes from its parameters; and a comparison of both memories at the stop.
"""
import fcntl
import json
import mmap
import os
import struct
import subprocess
import sys
import time

import dest as dest_test
import ends
import guest_rom
import peer

MIB = ends.MIB
TRACKINGS = ("kvm-log", "kvm-manual-clear", "kvm-ring")
COUNTERS = 0x1000
RAM = 32 * MIB
PASSES = 5  # at least: then the guest may be stopped for as long as it takes
WORKLOADS = [
    {"offset": "4M", "length": "8M", "pattern": "random", "rate": 5000},
    {"offset": "16M", "length": "2M", "pattern": "sequential", "rate": 3000},
    {"offset": "20M", "length": "1M", "pattern": "hot-cold", "rate": 2000, "pace": "cpu"},
]


def scenario(space, name, ram=None, version="11.1", machine="none", vcpus=1, capabilities=(),
             tracking="kvm-log", parameters=None, events=None):
    path = os.path.join(space.files, name + ".json")
    content = [{"offset": "1M", "length": "3M", "kind": "text"}]
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"schema": "migbench-scenario-1", "qemu": version, "seed": 11, "limit": "120s",
                   "guest": {"machine": machine, "vcpus": vcpus, "dirty-tracking": tracking,
                             "ram": ram or [{"name": "ram", "size": RAM, "content": content}],
                             "workload": WORKLOADS},
                   "capabilities": {name: True for name in capabilities},
                   "parameters": {"max-bandwidth": 100 * MIB, "downtime-limit": 1}
                                 | (parameters or {}),
                   "events": events or
                             [{"after-pass": PASSES, "do": "migrate-set-parameters",
                               "arguments": {"downtime-limit": 2000}}]}, file)
    return path


class Dest:
    """`migbench dest --backend kvm`, until it has ended."""

    def __init__(self, space, name, path, *arguments):
        self.result_path = os.path.join(space.files, name + "-result.json")
        self.socket = os.path.join(space.files, name + ".sock")
        self.log_path = os.path.join(space.files, name + ".log")
        self.log = open(self.log_path, "wb")
        self.process = subprocess.Popen(
            [peer.MIGBENCH, "dest", "--backend", "kvm", "--scenario", path,
             "--uri", "unix:" + self.socket, "--result", self.result_path, *arguments],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        end = time.monotonic() + peer.PATIENCE
        while not os.path.exists(self.socket):
            if self.process.poll() is not None or time.monotonic() > end:
                raise peer.Fail(f"migbench dest does not listen: {self.said()}")
            time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def said(self):
        return peer.read(self.log_path).decode(errors="replace")

    def result(self):
        status = self.process.wait(peer.PATIENCE)
        if status != 0:
            detail = ""
            if os.path.exists(self.result_path):
                result = json.loads(peer.read(self.result_path))
                detail = json.dumps({key: result.get(key) for key in ("x-guest", "x-guest-later")})
            raise peer.Fail(f"migbench dest: exit status {status}\n{self.said()}{detail}")
        return json.loads(peer.read(self.result_path))


def expect_well(what, report, writes=0):
    """The guest of a report is well, and has written at least so much."""
    if report.get("pages-wrong") != 0 or report.get("wrong-by-guest") != 0:
        raise peer.Fail(f"{what}: {json.dumps(report)}")
    if report["writes"] < writes or report["pages-checked"] == 0:
        raise peer.Fail(f"{what}: {report['writes']} writes to {report['pages-checked']} pages, "
                        f"expected more than {writes}")
    return report["writes"]


def between_ourselves(space, tracking, vcpus, capabilities, parameters=None):
    name = f"own-{tracking}-{vcpus}-{len(os.listdir(space.files))}"
    path = scenario(space, name, vcpus=vcpus, tracking=tracking, capabilities=capabilities,
                    parameters=parameters)
    dumps = [os.path.join(space.memory, end) for end in ("source", "dest")]
    source_result = os.path.join(space.files, name + "-source.json")
    with Dest(space, name, path, "--dump", "ram=" + dumps[1]) as dest:
        peer.migbench("source", "--backend", "kvm", "--scenario", path, "--uri",
                      "unix:" + dest.socket, "--run", "300ms", "--dump", "ram=" + dumps[0],
                      "--result", source_result)
        there = dest.result()
    here = json.loads(peer.read(source_result))
    peer.expect_equal_memory("memory at the stop", peer.read(dumps[1]), peer.read(dumps[0]))
    left = expect_well("source", here["x-guest"], 1)
    if expect_well("destination", there["x-guest"], left) != left:
        raise peer.Fail("the guest has written between source and destination")
    went_on = expect_well("destination, later", there["x-guest-later"], left + 1)
    return [f"{len(here['passes'])} passes, {left} writes here, {went_on - left} there"]


def in_postcopy(space, tracking, more=()):
    """It goes on at the destination before its pages have come; its faults fetch them."""
    name = "-".join(("postcopy", tracking) + more)
    path = scenario(space, name, vcpus=2, tracking=tracking,
                    capabilities=("return-path", "postcopy-ram") + more,
                    parameters={"max-bandwidth": 20 * MIB},
                    events=[{"after-pass": 1, "do": "migrate-start-postcopy"}])
    source_result = os.path.join(space.files, name + "-source.json")
    with Dest(space, name, path) as dest:
        peer.migbench("source", "--backend", "kvm", "--scenario", path, "--uri",
                      "unix:" + dest.socket, "--run", "300ms", "--result", source_result)
        there = dest.result()
    left = expect_well("source", json.loads(peer.read(source_result))["x-guest"], 1)
    came = expect_well("destination", there["x-guest"], left)
    went = expect_well("destination, later", there["x-guest-later"], came + 1)
    postcopy = there["destination"]["postcopy"]
    faults, waits = postcopy["faults"], postcopy["vcpu-blocktime-ns"]
    if faults == 0 or len(waits) != 2 or sum(waits) == 0:
        raise peer.Fail(f"no page was waited for, or nobody knows by whom: {postcopy}")
    if more and postcopy["preempt-pages"] == 0:
        raise peer.Fail("no page came by the preempt channel")
    return [f"{left} writes here, {came - left} in postcopy with {faults} faults, {went - came} later"]


class Running:
    """Looks at the counters of a guest of ours in a QEMU whose memory is a file."""

    def __init__(self, path):
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)

    def writes(self):
        if self.map[COUNTERS:COUNTERS + 8] != b"migCOUNT":
            return 0
        return sum(struct.unpack_from("<16Q", self.map, COUNTERS + 48))

    def wait_beyond(self, writes):
        end = time.monotonic() + peer.PATIENCE
        while self.writes() <= writes:
            if time.monotonic() > end:
                raise peer.Fail(f"the guest stands still in QEMU at {self.writes()} writes")
            time.sleep(0.01)
        return self.writes()


def patched_rom(space, khz):
    rom = peer.read(os.environ["MIGBENCH_GUEST64_ROM"])
    regions = [{"offset": 4 * MIB, "length": 8 * MIB, "pattern": "random", "rate": 5000, "seed": 7},
               {"offset": 16 * MIB, "length": 2 * MIB, "pattern": "sequential", "rate": 3000}]
    path = os.path.join(space.files, "guest64.rom")
    with open(path, "wb") as file:
        file.write(guest_rom.patch(rom, {"regions": regions, "tsc-hz": khz * 1000}))
    return path


def memory_argv(space, name, machine):
    """RAM in a file that we can look into; its block has the name that the machine gives it."""
    path = os.path.join(space.memory, name)
    block = {"none": "ram", "microvm": "microvm.ram"}[machine.split(",")[0]]
    return path, ["-accel", "kvm", *peer.QUIET, "-object",
                  f"memory-backend-file,id={block},size={RAM},share=on,mem-path={path}",
                  "-M", f"{machine},memory-backend={block}", "-m", f"size={RAM}B"]


def argv_of(space, name, machine, rom=None):
    path, argv = memory_argv(space, name, machine)
    cpu = "qemu64,apic-id=0" if machine == "none" else "qemu64"
    return path, argv + ["-cpu", cpu] + (["-bios", rom] if rom else [])


def ram_of(qemu_):
    """The RAM blocks of a machine as a scenario's."""
    ram = []
    for name, used, longest in dest_test.ram_blocks(qemu_):
        block = {"name": name, "size": used} | ({"max-size": longest} if longest > used else {})
        if name.endswith("ram"):
            block["address"] = 0
        elif name == "pc.bios":
            block |= {"address": (1 << 32) - used, "rom": True}
        ram.append(block)
    return ram


def listen(space, target, name):
    """Has a QEMU wait for a source; its URI."""
    uri = "unix:" + os.path.join(space.files, name + "-qemu.sock")
    target.set_capabilities(["events"])
    target.qmp("migrate-incoming", uri=uri)
    return uri


def send(source, dest):
    """Has a QEMU migrate to us."""
    source.set_capabilities(["events"])
    source.set_parameters({"downtime-limit": 500})
    source.qmp("migrate", uri="unix:" + dest.socket)
    source.wait_migration("completed")


def expect_end(space, name, path, last, writes):
    """At the end of its way all pages of the guest are looked at once more."""
    with Dest(space, name + "-end", path, "--run", "0s") as dest:
        send(last, dest)
        expect_well("at the end", dest.result()["x-guest"], writes)


MICROVM = "microvm,x-option-roms=off,pit=off,pic=off,rtc=off,isa-serial=off,auto-kernel-cmdline=off"


def through_us(space, version):
    """A guest that was started in a QEMU comes to us, and goes to another QEMU of that version."""
    name = f"micro-{version}"
    rom = patched_rom(space, tsc_khz())
    first, argv = argv_of(space, name + "-first", MICROVM, rom)
    second, incoming = argv_of(space, name + "-second", MICROVM, rom)
    with peer.Peer(version, argv) as source, \
            peer.Peer(version, incoming + ["-incoming", "defer"]) as target:
        here = Running(first)
        here.wait_beyond(2000)
        path = scenario(space, name, ram=ram_of(source), version=version, machine="microvm")
        uri = listen(space, target, name)
        with Dest(space, name, path, "--run", "500ms", "--onward", uri) as dest:
            send(source, dest)
            left = here.writes()
            result = dest.result()
        target.wait_migration("completed")
        came = expect_well("with us", result["x-guest"], left)
        went = expect_well("with us, later", result["x-guest-later"], came + 1)
        end = Running(second).wait_beyond(went + 1000)
        expect_end(space, name, path, target, end)
    return [f"{left} writes in QEMU {version}, {went - came} with us, {end - went} in QEMU"]


def from_us(space, version):
    """A guest that was started by us goes to machine `none` of a QEMU, comes back, and goes on to
    another one."""
    name = f"none-{version}"
    first, argv = argv_of(space, name + "-first", "none")
    second, other = argv_of(space, name + "-second", "none")
    with peer.Peer(version, argv + ["-incoming", "defer"]) as qemu, \
            peer.Peer(version, other + ["-incoming", "defer"]) as last:
        path = scenario(space, name, version=version)
        start = os.path.join(space.files, name + "-start.json")
        peer.migbench("source", "--backend", "kvm", "--scenario", path, "--uri",
                      listen(space, qemu, name), "--run", "300ms", "--result", start)
        left = expect_well("source", json.loads(peer.read(start))["x-guest"], 1)
        there = Running(first).wait_beyond(left + 1000)
        uri = listen(space, last, name + "-last")
        with Dest(space, name, path, "--run", "300ms", "--onward", uri) as dest:
            send(qemu, dest)
            result = dest.result()
        came = expect_well("back with us", result["x-guest"], there)
        went = expect_well("back with us, later", result["x-guest-later"], came + 1)
        end = Running(second).wait_beyond(went + 1000)
        expect_end(space, name, path, last, end)
    return [f"{left} writes with us, {came - left} in QEMU {version}, {went - came} with us again, "
            f"{end - went} in QEMU"]


def tsc_khz():
    """Of KVM's guests here, as the kernel tells: a guest of a machine without a PIT can't measure it."""
    create_vm, create_vcpu, get_tsc_khz = 0xAE01, 0xAE41, 0xAEA3
    with open("/dev/kvm", "rb", buffering=0) as kvm:
        vm = fcntl.ioctl(kvm, create_vm, 0)
        vcpu = fcntl.ioctl(vm, create_vcpu, 0)
        khz = fcntl.ioctl(vcpu, get_tsc_khz, 0)
        os.close(vcpu)
        os.close(vm)
    return khz


def needs_kvm(function, *arguments):
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise peer.Skip("/dev/kvm is not there, or not for this user")
    if not os.environ.get("MIGBENCH_GUEST64_ROM"):
        raise peer.Skip("the KVM guest's program is for x86_64 (MIGBENCH_GUEST64_ROM is not set)")
    return function(*arguments)


def without_kvm(space):
    """Without /dev/kvm it says so, and what to do; where there is one, it is hidden."""
    path = scenario(space, "absent")
    command = [peer.MIGBENCH, "source", "--backend", "kvm", "--scenario", path, "--uri",
               "unix:" + os.path.join(space.files, "nobody")]
    if os.path.exists("/dev/kvm"):
        hidden = "mount -t tmpfs none /dev && exec \"$@\""
        command = ["unshare", "-rm", "sh", "-c", hidden, "sh", *command]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.STDOUT, timeout=peer.PATIENCE)
    if "unshare" in done.stdout or "mount:" in done.stdout:
        raise peer.Skip(f"/dev/kvm can't be hidden here: {done.stdout.strip()}")
    if done.returncode != 4:
        raise peer.Fail(f"exit status {done.returncode}, expected 4: {done.stdout}")
    for word in ("/dev/kvm", "modprobe", "--backend synthetic"):
        if word not in done.stdout:
            raise peer.Fail(f"no word of {word}: {done.stdout}")
    return [done.stdout.strip()]


def main():
    tap = peer.Tap(share=3)
    with peer.Workspace() as space:
        tap.run("live/kvm/absent", without_kvm, space)
        for tracking in TRACKINGS:
            for vcpus, capabilities in ((1, ()), (3, ("return-path", "multifd")),
                                        (2, ("return-path", "xbzrle")), (2, ("auto-converge",))):
                tap.run(f"live/kvm/own/{tracking}/{'-'.join(capabilities) or 'plain'}", needs_kvm,
                        between_ourselves, space, tracking, vcpus, capabilities)
        for tracking in TRACKINGS:
            tap.run(f"live/kvm/own/{tracking}/postcopy", needs_kvm, in_postcopy, space, tracking)
        tap.run("live/kvm/own/kvm-log/postcopy-preempt", needs_kvm, in_postcopy, space, "kvm-log",
                ("postcopy-preempt",))
        tap.run("live/kvm/own/kvm-ring/dirty-limit", needs_kvm, between_ourselves, space, "kvm-ring",
                2, ("dirty-limit",), {"vcpu-dirty-limit": 2})
        for method in ("zlib", "zstd"):
            tap.run(f"live/kvm/own/multifd-{method}", needs_kvm, between_ourselves, space,
                    "kvm-log", 2, ("return-path", "multifd"), {"multifd-compression": method})
        for version in peer.VERSIONS:
            tap.run(f"live/kvm/qemu/microvm/{version}", needs_kvm, through_us, space, version)
        for version in ("7.2", "11.1"):  # the others can't migrate a CPU of this machine
            tap.run(f"live/kvm/qemu/none/{version}", needs_kvm, from_us, space, version)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
