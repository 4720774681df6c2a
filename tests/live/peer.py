# SPDX-License-Identifier: Apache-2.0
"""What the live tests share: finding real QEMUs, running one with its memory in a file, TAP.

The emulators are those that traces/gen/peers.sh lists: the one on PATH and those that `./run
peers` made. A version that isn't there skips with a reason, but for 7.2 where CI is set: every
machine that runs all tests has it. Nothing here waits by the clock: it waits for events of the
monitor, with an upper bound that only a hanging emulator meets.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = os.environ.get("SOURCE_ROOT") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
for room in (("traces", "gen"), ("tests",)):
    sys.path.insert(0, os.path.join(ROOT, *room))

import qemu  # noqa: E402  (of traces/gen)
from tap import Fail, Skip, Tap  # noqa: E402,F401

MIGBENCH = os.environ.get("MIGBENCH") or os.path.join(ROOT, "build", "migbench")
VERSIONS = ("5.2", "7.2", "10.0", "11.1")
REQUIRED = "7.2"
PATIENCE = 120  # seconds until a silent emulator counts as hanging
QUIET = ["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-net", "none"]


class Workspace:
    """Two private folders that an emulator in a chroot sees: for files, and for shared memory."""

    def __enter__(self):
        # A killed test must still clean up: turn the signal into an exception.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        os.makedirs(qemu.RUNDIR, exist_ok=True)
        self.files = tempfile.mkdtemp(prefix="live-", dir=qemu.RUNDIR)
        self.memory = tempfile.mkdtemp(prefix="migbench-live-", dir="/dev/shm")
        return self

    def __exit__(self, *args):
        for folder in (self.files, self.memory):
            shutil.rmtree(folder, ignore_errors=True)


class Peer(qemu.Qemu):
    """A QEMU that ends with its `with` block, whatever happens, also while it starts."""

    def __init__(self, version, argv, **options):
        try:
            super().__init__(path_of(version), argv, name=f"live-{version}", **options)
        except BaseException:
            process = getattr(self, "process", None)
            if process:
                process.kill()
                process.wait()
            raise

    def wait_migration(self, *wanted, bad=("failed", "cancelled")):
        """Waits for the event that the migration reached one of |wanted|, and returns it."""
        ends = wanted + tuple(bad)
        status = self.receive(lambda m: m.get("event") == "MIGRATION"
                              and m["data"]["status"] in ends, PATIENCE)["data"]["status"]
        if status not in wanted:
            raise Fail(f"{self.name}: migration {status}, expected {' or '.join(wanted)}: "
                       f"{self.error_text()}")
        return status

    def load(self, stream):
        """Has it read the stream in a file, and waits until it is loaded."""
        self.set_capabilities(["events"])
        self.qmp("migrate-incoming", uri=f"exec:cat {stream}")
        self.wait_migration("completed")


def path_of(version):
    found = qemu.peers().get(version)
    if found:
        return found[1]
    reason = f"QEMU {version} is not installed (./run peers make {version})"
    if version == REQUIRED and os.environ.get("CI"):
        raise Fail(reason + ", and CI must have it")
    raise Skip(reason)


def machine_argv(machine, blocks, folder):
    """Arguments for |machine| whose RAM blocks are files in |folder|: the first of |blocks|
    [(name, bytes)] is the machine's memory, the others are DIMMs."""
    argv = ["-accel", "tcg", "-S", *QUIET]
    for name, size in blocks:
        argv += ["-object", f"memory-backend-file,id={name},size={size},share=on,"
                            f"mem-path={os.path.join(folder, name)}"]
    first, rest = blocks[0], blocks[1:]
    argv += ["-M", f"{machine},memory-backend={first[0]}"]
    argv += ["-m", f"size={first[1]}B" + (f",slots={len(rest)},maxmem=4G" if rest else "")]
    for name, _ in rest:
        argv += ["-device", f"pc-dimm,memdev={name},id={name}-device"]
    return argv


def migbench(*arguments, status=0):
    """Runs our program and returns what it printed; any other exit status is a failure."""
    done = subprocess.run([MIGBENCH, *arguments], stdin=subprocess.DEVNULL, timeout=PATIENCE * 4,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != status:
        raise Fail(f"migbench {arguments[0]} {os.path.basename(arguments[1])} ...: exit status "
                   f"{done.returncode}, expected {status}\n{done.stdout}")
    return done.stdout


def read(path):
    with open(path, "rb") as file:
        return file.read()


def expect_equal_memory(what, got, want, page=4096):
    """Names the first page that differs."""
    if got == want:
        return
    if len(got) != len(want):
        raise Fail(f"{what}: {len(got)} bytes, expected {len(want)}")
    bad = [n for n in range(0, len(want), page) if got[n:n + page] != want[n:n + page]]
    at = next(n for n in range(bad[0], bad[0] + page) if got[n] != want[n])
    raise Fail(f"{what}: {len(bad)} of {len(want) // page} pages differ, the first is "
               f"{bad[0] // page}: byte {at} is {got[at]:#04x}, expected {want[at]:#04x}")
