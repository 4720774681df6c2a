#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs real QEMU pairs with our dirtying guest and appends what they did to traces/truth/.

    measure.py [--set long] [--versions 7.2,11.1] [--cells PART-OF-NAME]... [--repeats 5] [--out FILE] [--ahead]

One row per run: cell, version, repeat, what query-migrate said in the end, the time of every pass, and
how many processors were busy with something else. Runs that are there already are not made again. Needs
root for the shaped links, and a quiet machine: score.py leaves out rows beside which others worked. --ahead
puts all of it into a control group that has the processors before everything else, but not caches and memory.
"""
import argparse
import contextlib
import json
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "traces", "gen"))

import cells  # noqa: E402
import guest_rom  # noqa: E402
import pack  # noqa: E402
import qemu  # noqa: E402

MACHINE = "pc,usb=off,vmport=off,smbus=off,acpi=off,hpet=off"
QUIET = ["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-net", "none"]
ROM = os.environ.get("MIGBENCH_GUEST_ROM",
                     os.path.join(ROOT, "build", "sim", "guest", "program", "migbench-guest64.rom"))
TBF_BURST = "128kb"
GROUP, MOST_SHARES = "/sys/fs/cgroup/cpu/migbench-truth", 1 << 18  # beside 1024 of any other
SETTLE = 0.5  # seconds that the guest runs before it is migrated


def run(*argv):
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def go_ahead():
    """This process and its children run before all that are outside their group."""
    os.makedirs(GROUP, exist_ok=True)
    for file, value in (("cpu.shares", MOST_SHARES), ("cgroup.procs", os.getpid())):
        with open(os.path.join(GROUP, file), "w", encoding="utf-8") as out:
            out.write(str(value))


class Link:
    """Where the pair meets: a unix socket, or two namespaces with a token bucket between them."""

    def __init__(self, spec, tag):
        self.rate, self.tag = spec.get("rate"), tag
        self.path = os.path.join(qemu.RUNDIR, f"truth-{tag}.sock")

    def __enter__(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        if self.rate:
            for side in "ab":
                run("ip", "netns", "add", f"mig{side}{self.tag}")
            run("ip", "link", "add", "veth0", "netns", f"miga{self.tag}", "type", "veth", "peer",
                "name", "veth0", "netns", f"migb{self.tag}")
            for number, side in enumerate("ab", 1):
                inside = ("ip", "-n", f"mig{side}{self.tag}")
                run(*inside, "addr", "add", f"10.99.0.{number}/24", "dev", "veth0")
                run(*inside, "link", "set", "veth0", "up")
                run("tc", "-n", f"mig{side}{self.tag}", "qdisc", "add", "dev", "veth0", "root", "tbf",
                    "rate", f"{self.rate}bit", "burst", TBF_BURST, "latency", "400ms")
        return self

    def __exit__(self, *_):
        if self.rate:
            for side in "ab":
                subprocess.run(["ip", "netns", "del", f"mig{side}{self.tag}"], check=False)

    def command(self, side, argv):
        return ["ip", "netns", "exec", f"mig{side}{self.tag}", *argv] if self.rate else argv

    @property
    def uri(self):
        return "tcp:10.99.0.2:4444" if self.rate else f"unix:{self.path}"


def start(version, of, link, side, rom, serial, *more, accel="kvm"):
    """A QEMU around the guest of the set |of|."""
    command = link.command(side, [qemu.peers()[version][1]])
    argv = command[1:] + ["-M", MACHINE, "-m", str(of.ram // cells.MIB), "-accel", accel, "-bios", rom,
                          "-object", f"memory-backend-{of.memory},id=mem,size={of.ram}",
                          "-machine", "memory-backend=mem", "-serial", serial, *QUIET, *more]
    return qemu.Qemu(command[0], argv, name=f"truth-{side}")


def busy_ticks():
    """Of all processors, by whomever, the kernel included."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, soft = map(int, file.readline().split()[1:8])
    return user + nice + system + irq + soft


def ticks_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


class Quiet:
    """How busy the processors are with other things than these processes, in processors."""

    def __init__(self, *pids):
        self.pids = (*pids, os.getpid())
        self.began, self.before = time.monotonic(), self.ticks()

    def ticks(self):
        return busy_ticks() - sum(map(ticks_of, self.pids))

    def others(self):
        return (self.ticks() - self.before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - self.began)


def settings(q, capabilities, parameters):
    q.set_capabilities(["events", *capabilities])
    q.set_parameters(parameters)


def watch(source, limit, postcopy=False):
    """Polls as a management tool does, until the end. [(ms, dirty-sync-count, remaining)]"""
    seen, began, switched = [], time.monotonic(), False
    while True:
        status = source.status()
        now = round((time.monotonic() - began) * 1000)
        ram = status.get("ram", {})
        count = ram.get("dirty-sync-count", 0)
        if not seen or seen[-1][1] != count:
            seen.append((now, count, ram.get("remaining", 0)))
        if postcopy and now >= cells.POSTCOPY_MS and not switched:
            source.qmp("migrate-start-postcopy")
            switched = True
        if status["status"] in ("completed", "failed"):
            time.sleep(0.05)  # 7.2 writes its total time a moment after the state
            return source.status(), seen
        if now > limit * 1000:
            source.qmp("migrate_cancel")
            return {**status, "status": "x-limit"}, seen
        time.sleep(0.005)


def one(version, name, repeat, ahead):
    cell = cells.parts(name)
    accel = "kvm,dirty-ring-size=4096" if "dirty-limit" in cell.capabilities else "kvm"
    tag = str(os.getpid())
    rom, serial = (os.path.join(qemu.RUNDIR, f"truth-{tag}.{end}") for end in ("rom", "serial"))
    with open(ROM, "rb") as file:
        patched = guest_rom.patch(file.read(), {"regions": cell.regions, "fills": [cell.set.fill]})
    with open(rom, "wb") as file:
        file.write(patched)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(serial)
    with Link(cell.link, tag) as link, \
            start(version, cell.set, link, "b", rom, "null", "-incoming", "defer", accel=accel) as dest, \
            start(version, cell.set, link, "a", rom, f"file:{serial}", accel=accel) as source:
        guest_rom.wait_ready(serial)
        settings(dest, cell.capabilities, {k: v for k, v in cell.parameters.items() if "multifd" in k})
        settings(source, cell.capabilities, cell.parameters)
        dest.qmp("migrate-incoming", uri=link.uri)
        time.sleep(SETTLE)
        quiet = Quiet(source.process.pid, dest.process.pid)
        source.qmp("migrate", uri=link.uri)
        status, passes = watch(source, cell.set.limit, "postcopy-ram" in cell.capabilities)
        others = quiet.others()
    for path in (rom, serial):
        os.unlink(path)
    return {"cell": name, "qemu": version, "package": qemu.peers()[version][0], "repeat": repeat,
            "accel": "kvm", "others": round(others, 2), "ahead": ahead, "passes": passes, "query-migrate": status}


def measured(path):
    """What need not be made again. The rows of the tree are unpacked for more to be added."""
    pack.unpack(path)
    if not os.path.exists(path):
        return set()
    with open(path, encoding="utf-8") as file:
        return {(r["cell"], r["qemu"], r["repeat"]) for r in map(json.loads, file)}


def main():
    parser = argparse.ArgumentParser(description="measure real migrations")
    parser.add_argument("--set", default="long", choices=sorted(cells.SETS))
    parser.add_argument("--versions", default=",".join(cells.ALL))
    parser.add_argument("--cells", action="append", default=[])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", help="the rows; default: the set's")
    parser.add_argument("--ahead", action="store_true")
    options = parser.parse_args()
    if options.ahead:
        go_ahead()
    out = options.out or pack.plain(options.set)
    os.makedirs(qemu.RUNDIR, exist_ok=True)
    done = measured(out)
    names = [n for n in cells.cells(options.set) if not options.cells or any(c in n for c in options.cells)]
    versions = [v for v in options.versions.split(",") if v in qemu.peers()]
    todo = [(r, n, v) for r in range(options.repeats) for n in names for v in versions
            if (n, v, r) not in done and v in cells.parts(n).versions]
    for number, (repeat, name, version) in enumerate(todo, 1):
        row = one(version, name, repeat, options.ahead)
        with open(out, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        status = row["query-migrate"]
        print(f"{number}/{len(todo)} {version} {name} {status['status']} "
              f"{status.get('total-time')} ms, downtime {status.get('downtime')} ms, "
              f"{status.get('ram', {}).get('dirty-sync-count')} passes, others {row['others']}", flush=True)


if __name__ == "__main__":
    main()
