#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is foretold of real QEMUs, beside what they do: `predict` and `sim --workload-from`.

    bench-predict.py [--set long] [--version 10.0] [--ahead] [--bandwidths 48,24,96] [--regions JSON]

A dirtying guest (KVM) migrates at the first bandwidth (MiB/s) through `migbench record`, and then at each of
them directly, --repeats times. `predict` has asked it before, knowing nothing of it; the fitted scenario knows
the recording alone. Bytes over bandwidth is what one would say without either: what the recorded run sent. --set
is one of tests/truth/cells.py: anonymous memory, or a memfd whose zero pages are dear. Wants a quiet machine;
--ahead puts the QEMUs in front of all else.
"""
import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
for room in ("tests/live", "tests/truth", "traces/gen"):
    sys.path.insert(0, os.path.join(ROOT, room))

import cells  # noqa: E402
import ends  # noqa: E402
import guest_rom  # noqa: E402
import measure  # noqa: E402
import peer  # noqa: E402
import qemu  # noqa: E402

MIB = 1 << 20
DOWNTIME = 100
LIMIT = 25  # seconds
# Bandwidths and guests by set; from one bandwidth to the next the number of passes is another.
GUESTS = {"brief": ("32,16,64", [cells.region(96, 24, "random", 6000)]),
          "long": ("48,24,96", [cells.region(96, 64, "random", 8000)])}


class Run:
    """One pair of QEMUs around the same guest."""

    def __init__(self, version, of, regions, folder):
        self.version, self.set, self.regions, self.folder = version, of, regions, folder

    def path(self, name):
        return os.path.join(self.folder, name)

    def prepare(self):
        for name in ("serial", "target", "relay", "monitor"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(name))
        with open(measure.ROM, "rb") as file:
            rom = guest_rom.patch(file.read(), {"regions": self.regions, "fills": [self.set.fill]})
        with open(self.path("rom"), "wb") as file:
            file.write(rom)

    def migrate(self, bandwidth, record=None, before=lambda monitor: None):
        """query-migrate in the end."""
        self.prepare()
        link = measure.Link({}, "predict")
        with contextlib.ExitStack() as stack:
            if record:
                relay = stack.enter_context(ends.Program(
                    "record", "--listen", f"unix:{self.path('relay')}",
                    "--connect", f"unix:{self.path('target')}", "-o", record))
                relay.listening()
            target, source = (stack.enter_context(measure.start(
                self.version, self.set, link, side, self.path("rom"), serial, *more)) for side, serial, more in (
                    ("b", "null", ("-incoming", "defer")),
                    ("a", f"file:{self.path('serial')}",
                     ("-qmp", f"unix:{self.path('monitor')},server=on,wait=off"))))
            guest_rom.wait_ready(self.path("serial"))
            measure.settings(target, [], {})
            measure.settings(source, [], {"downtime-limit": DOWNTIME, "max-bandwidth": bandwidth * MIB})
            time.sleep(measure.SETTLE)
            before(f"unix:{self.path('monitor')}")
            target.qmp("migrate-incoming", uri=f"unix:{self.path('target')}")
            source.qmp("migrate", uri=f"unix:{self.path('relay' if record else 'target')}")
            status, _ = measure.watch(source, LIMIT)
            if record and status["status"] == "completed":
                relay.finish()
        return status


def migbench(*arguments, statuses=(0,)):
    done = subprocess.run([peer.MIGBENCH, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode not in statuses:
        raise SystemExit(f"migbench {arguments[0]}: {done.stderr}")
    return done


def predicted(monitor, bandwidths, facts):
    out = migbench("predict", "--qmp", monitor, "--format", "json", "--downtime", str(DOWNTIME), "--limit",
                   f"{LIMIT}s", "--bandwidth", ",".join(f"{b}M" for b in bandwidths), "--save-facts", facts).stdout
    return {row["max-bandwidth"] // MIB: row for row in json.loads(out)["rows"]}


def fitted(recording, version, bandwidths, folder):
    rows, scenario = {}, os.path.join(folder, "fitted.json")
    made = migbench("sim", "--workload-from", recording, "--recorded", f"qemu={version}", "--recorded",
                    f"parameters.downtime-limit={DOWNTIME}", "--scenario-out", scenario, "--accounting",
                    statuses=(0, 1))
    print(made.stderr, end="")
    for bandwidth in bandwidths:
        result = os.path.join(folder, "result.json")
        migbench("sim", scenario, "--accounting", "--set", f"parameters.max-bandwidth={bandwidth * MIB}", "--set",
                 f"limit={LIMIT}s", "--result", result, statuses=(0, 1))
        with open(result, encoding="utf-8") as file:
            rows[bandwidth] = json.load(file)["query-migrate"]
    return rows


def describe(row, real, passes):
    if row["status"] != "completed":
        return f"{'does not converge':>26}"
    off = f"{100 * (row['total-time'] / real - 1):+6.1f} %" if real else "        "
    return f"{row['total-time']:7} ms {off} {passes:4} passes"


def main():
    parser = argparse.ArgumentParser(description="foretold and real migrations side by side")
    parser.add_argument("--version", default="10.0")
    parser.add_argument("--ahead", action="store_true")
    parser.add_argument("--set", default="long", choices=sorted(GUESTS))
    parser.add_argument("--repeats", type=int, default=1, help="real migrations at each bandwidth; the median counts")
    parser.add_argument("--bandwidths", help="MiB/s, the recorded one first")
    parser.add_argument("--keep", help="where recording, facts and fitted scenario stay")
    parser.add_argument("--regions", help="of the guest, as in a trace's manifest")
    options = parser.parse_args()
    bandwidths, regions = GUESTS[options.set]
    bandwidths = [int(b) for b in (options.bandwidths or bandwidths).split(",")]
    regions = json.loads(options.regions) if options.regions else regions
    if options.ahead:
        measure.go_ahead()
    os.makedirs(qemu.RUNDIR, exist_ok=True)
    told, off = {}, {"predict": [], "workload-from": [], "bytes/bandwidth": []}
    with contextlib.ExitStack() as stack:
        folder = options.keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="predict-", dir=qemu.RUNDIR))
        facts = os.path.join(folder, "facts.json")
        run = Run(options.version, cells.SETS[options.set], regions, folder)
        recording = os.path.join(folder, "run.pcapng")
        first = run.migrate(bandwidths[0], recording, lambda m: told.update(predicted(m, bandwidths, facts)))
        fits = fitted(recording, options.version, bandwidths, folder)
        if first["status"] != "completed":
            raise SystemExit("the recorded migration didn't converge: a higher first bandwidth is needed")
        print(f"recorded at {bandwidths[0]} MiB/s: {first['total-time']} ms")
        print(f"{'':10}{'real':>26}{'predict':>32}{'workload-from':>32}{'bytes/bandwidth':>20}")
        for bandwidth in bandwidths:
            reals = [run.migrate(bandwidth) for _ in range(options.repeats)]
            real = sorted(reals, key=lambda r: r.get("total-time", 0))[len(reals) // 2]
            time_ms = real["total-time"] if real["status"] == "completed" else 0
            naive = first["ram"]["normal-bytes"] * 1000 // (bandwidth * MIB)
            fit = fits[bandwidth]
            print(f"{bandwidth:4} MiB/s", describe(real, 0, real["ram"]["dirty-sync-count"]),
                  describe(told[bandwidth], time_ms, told[bandwidth]["dirty-sync-count"]),
                  describe(fit, time_ms, fit["ram"]["dirty-sync-count"]),
                  f"{naive:7} ms {100 * (naive / time_ms - 1):+6.1f} %" if time_ms else f"{naive:7} ms",
                  f" load {os.getloadavg()[0]:.1f}", flush=True)
            if time_ms and bandwidth != bandwidths[0]:
                for name, said in (("predict", told[bandwidth].get("total-time", 0)),
                                   ("workload-from", fit["total-time"]), ("bytes/bandwidth", naive)):
                    off[name].append(abs(said / time_ms - 1))
    for name, values in off.items():
        if values:
            print(f"{name}: worst error away from the recorded bandwidth {100 * max(values):.1f} %")


if __name__ == "__main__":
    main()
