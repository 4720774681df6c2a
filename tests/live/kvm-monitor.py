#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A KVM guest behind a monitor, at both ends: measured, limited, cancelled, migrated, stopped, and
let run again. Nothing is said about how fast any of it is."""
import json
import os
import socket
import subprocess
import sys
import time

import kvm
import peer
import qemu


class Steered(qemu.Qemu):
    """`migbench source|dest --backend kvm --qmp`, spoken to as a QEMU is."""

    def __init__(self, space, kind, name, path):
        address = os.path.join(space.files, name + ".sock")
        self.name, self.buffer, self.events, self.qtest_socket = name, b"", [], None
        self.result_path = os.path.join(space.files, name + "-result.json")
        self.log = open(os.path.join(space.files, name + ".log"), "w+b")
        self.process = subprocess.Popen(
            [peer.MIGBENCH, kind, "--backend", "kvm", "--scenario", path, "--qmp",
             "unix:" + address, "--result", self.result_path],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.socket = socket.socket(socket.AF_UNIX)
        end = time.monotonic() + peer.PATIENCE
        while self.socket.connect_ex(address) != 0:
            if self.process.poll() is not None or time.monotonic() > end:
                raise peer.Fail(f"{name} has no monitor: {self.error_text()}")
            time.sleep(0.02)
        self.process.stdin = self.socket.makefile("wb", buffering=0)
        self.process.stdout = self.socket.makefile("rb", buffering=0)
        self.receive(lambda m: "QMP" in m)
        self.qmp("qmp_capabilities")
        self.set_capabilities(["events"])

    def hmp(self, line):
        return self.qmp("human-monitor-command", command_line=line)

    def refused(self, command, **arguments):
        try:
            self.qmp(command, **arguments)
        except qemu.QemuError:
            return
        raise peer.Fail(f"{self.name}: {command} {arguments} was not refused")

    def expect_state(self, wanted):
        got = self.qmp("query-status")["status"]
        if got != wanted:
            raise peer.Fail(f"{self.name}: {got}, expected {wanted}")

    def result(self):
        self.stop()
        self.socket.close()
        return json.loads(peer.read(self.result_path))


def measure(source, mode):
    """Until a rate comes out: a guest that got no time in one second gets it in another."""
    end = time.monotonic() + peer.PATIENCE
    while True:
        source.qmp("calc-dirty-rate", calc_time=1, mode=mode)
        source.refused("calc-dirty-rate", calc_time=1, mode=mode)
        answer = source.qmp("query-dirty-rate")
        while answer["status"] != "measured":
            time.sleep(0.05)
            answer = source.qmp("query-dirty-rate")
        if answer["dirty-rate"] > 0 and answer["mode"] == mode:
            return answer
        if time.monotonic() > end:
            raise peer.Fail(f"no rate: {answer}")


def measures(source, tracking):
    ring = tracking == "kvm-ring"
    measure(source, "page-sampling")
    rate = measure(source, "dirty-ring" if ring else "dirty-bitmap")
    if ring and [row["id"] for row in rate["vcpu-dirty-rate"]] != [0, 1]:
        raise peer.Fail(f"not a rate for each vCPU: {rate}")
    source.refused("calc-dirty-rate", calc_time=1, mode="dirty-bitmap" if ring else "dirty-ring")
    if "status: measured" not in source.hmp("info dirty_rate"):
        raise peer.Fail(source.hmp("info dirty_rate"))


def limits(source, tracking):
    if tracking != "kvm-ring":
        source.refused("set-vcpu-dirty-limit", dirty_rate=5)
        return
    source.refused("set-vcpu-dirty-limit", dirty_rate=5, cpu_index=2)
    source.qmp("set-vcpu-dirty-limit", dirty_rate=5, cpu_index=1)
    rows = source.qmp("query-vcpu-dirty-limit")
    if [(row["cpu-index"], row["limit-rate"]) for row in rows] != [(1, 5)]:
        raise peer.Fail(f"limits: {rows}")
    source.hmp("set_vcpu_dirty_limit 7")
    if len(source.qmp("query-vcpu-dirty-limit")) != 2:
        raise peer.Fail("not all vCPUs have a limit")
    source.hmp("cancel_vcpu_dirty_limit")
    if source.qmp("query-vcpu-dirty-limit"):
        raise peer.Fail("a limit is left")


def wait_for_first_dest(space, name, path, source):
    """A migration that is cancelled: the guest runs on."""
    dest = Steered(space, "dest", name + "-first", path)
    uri = "unix:" + os.path.join(space.files, name + "-first-m")
    dest.qmp("migrate-incoming", uri=uri)
    source.set_parameters({"max-bandwidth": 1 << 20})
    source.qmp("migrate", uri=uri)
    source.wait_status(("active",))
    source.qmp("migrate_cancel")
    source.wait_status(("cancelled",), bad=())
    source.expect_state("running")
    dest.process.wait(peer.PATIENCE)
    dest.stop()


def steered(space, tracking):
    name = f"steered-{tracking}"
    path = kvm.scenario(space, name, vcpus=2, tracking=tracking, events=[])
    uri = "unix:" + os.path.join(space.files, name + "-m")
    with Steered(space, "source", name + "-source", path) as source:
        measures(source, tracking)
        limits(source, tracking)
        wait_for_first_dest(space, name, path, source)
        with Steered(space, "dest", name + "-dest", path) as dest:
            dest.qmp("migrate-incoming", uri=uri)
            source.qmp("stop")
            source.expect_state("paused")
            source.qmp("cont")
            source.set_parameters({"max-bandwidth": 0, "downtime-limit": 60000})
            source.qmp("migrate", uri=uri)
            source.wait_status(("completed",))
            source.expect_state("postmigrate")
            dest.wait_status(("completed",))
            dest.expect_state("running")
            dest.qmp("stop")
            dest.expect_state("paused")
            dest.qmp("cont")
            there = dest.result()["x-guest"]
        here = source.result()["x-guest"]
    left = kvm.expect_well("source", here, 1)
    went = kvm.expect_well("destination", there, left)
    return [f"{left} writes here, {went - left} there"]


def main():
    tap = peer.Tap(share=3)
    with peer.Workspace() as space:
        for tracking in kvm.TRACKINGS:
            tap.run(f"live/kvm/monitor/{tracking}", kvm.needs_kvm, steered, space, tracking)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
