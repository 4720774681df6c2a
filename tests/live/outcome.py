# SPDX-License-Identifier: Apache-2.0
"""What a real QEMU does with a stream: accepted, complained, rejected, crashed or hung, and why.

The reason is a class of what it printed. Wording changed between versions; the classes are those that
`migbench check --loader` answers with, so that the two can be compared.
"""
import json
import re
import subprocess
import threading

import peer

HANGING = 20  # seconds without an answer; a load takes some hundredths of one
OUTCOMES = ("accepted", "complained", "rejected", "crashed", "hung")
# What `check --loader` says, in these words.
ANSWERS = {"accepts": "accepted", "complains": "complained", "rejects": "rejected",
           "crashes": "crashed", "hangs": "hung", "unknown": "unknown"}

# The first row that matches a line decides, lines in the order in which they were printed.
REASONS = [(name, re.compile(text)) for name, text in (
    ("capability", r"Capability .* is (on|off), but received|Unknown capability|does not accept value"
                   r"|Invalid parameter|is unexpected|requires capability|[Nn]ot (yet )?compatible"),
    ("machine", r"unsupported machine type|Machine type received is|[Nn]o machine specified"),
    ("header", r"[Nn]ot a migration stream|SaveVM v2 format|[Uu]nsupported migration stream version"
               r"|channel magic"),
    ("configuration", r"Configuration section|Received TARGET_PAGE_BITS|UUID received"
                      r"|configuration|GLib.*(allocate|overflow)"),
    ("version", r"unsupported vers|incoming version_id|too old|minimum version"),
    ("item", r"Unknown (savevm )?section type"),
    ("section", r"Unknown (savevm )?section (or instance|-?\d)|Unable to read (section )?ID"
                r"|Unable to read instance|Unknown section"),
    ("footer", r"[Ss]ection footer|[Mm]ismatched section id"),
    ("command", r"MIG_CMD|CMD_PACKAGED|CMD_OPEN|CMD_PING|bad length|[Pp]ing failed"
                r"|invoked without return path|Buffer receive fail|ENABLE_COLO|COLO"),
    ("postcopy", r"[Pp]ostcopy|POSTCOPY|discard|DISCARD"),
    ("flags", r"[Uu]nknown combination of migration flags|Unexpected RAM flags"),
    ("block", r"Can't find block|Unknown ramblock|Ack, bad migration stream"),
    ("size", r"Size mismatch|[Ll]ength mismatch|Size too large"),
    ("offset", r"Illegal RAM offset"),
    ("zero", r"zero page with value"),
    ("xbzrle", r"XBZRLE|xbzrle"),
    ("compress", r"compressed data|compressed page|decompress|Invalid compressed"),
    ("device", r"load hook failed|invalid parameter value"),
    ("flags", r"RDMA|rdma|[Hh]ook"),
    ("mapped-ram", r"[Mm]apped-ram|Getting RAM address|bad alignment|bitmap|pages offset|page_size"),
    ("multifd", r"multifd"),
    ("vmdesc", r"vmdescription"),
    ("device", r"Invalid runstate|[Rr]eceived state|subsection|globalstate|timer"),
    ("end", r"Input/output error|[Ii]ncomplete|unexpected end|closed|Unable to read"),
)]
UNSAID = "unsaid"  # it failed and printed no reason
PAUSED = "Migration paused"  # a broken line of postcopy: what else is printed comes of it


def reason_of(text):
    """The class of what was printed, "" for silence, "other" for what no row knows."""
    if PAUSED in text:
        return "line"
    lines = [line for line in text.splitlines() if line and "warning:" not in line]
    for line in lines:
        for name, pattern in REASONS:
            if pattern.search(line):
                return name
    if lines and "load of migration failed" in lines[-1]:
        return UNSAID
    return "other" if lines else ""


def ended(process):
    """How an emulator that gives up ends."""
    try:
        status = process.wait(HANGING)
    except subprocess.TimeoutExpired:
        return "hung"
    return "rejected" if status == 1 else "crashed"


def start(version, argv):
    name = f"load-{version}-{threading.get_ident()}"
    return peer.qemu.Qemu(peer.path_of(version), [*argv, "-incoming", "defer"], name=name)


def finish(qemu):
    """At once: what is to be compared lies in a file that it has mapped."""
    if qemu.process.poll() is None:
        qemu.process.kill()
    qemu.process.wait()


def watch(qemu, during):
    """The status that the migration ends with, "silent" when the monitor falls silent before."""
    try:
        if during:
            during(qemu)
        return qemu.receive(lambda m: m.get("event") == "MIGRATION" and m["data"]["status"]
                            in ("completed", "failed"), HANGING)["data"]["status"]
    except (peer.qemu.QemuError, OSError):
        return "silent"


def load(version, argv, uri, capabilities=(), parameters=None, during=None):
    """(outcome, reason class, what it printed). |uri|: where the stream comes from; |during| is called
    once it listens."""
    try:
        qemu = start(version, argv)
    except peer.qemu.QemuError as problem:  # it doesn't start: the machine isn't known
        return "rejected", reason_of(str(problem).split("; ", 1)[-1]), str(problem)
    with qemu:
        try:
            qemu.set_capabilities(["events", *capabilities])
            qemu.set_parameters(parameters or {})
        except peer.qemu.QemuError as problem:
            finish(qemu)
            return "rejected", reason_of(str(problem)), str(problem)
        try:
            qemu.qmp("migrate-incoming", uri=uri)
        except (peer.qemu.QemuError, OSError):
            pass  # its end is looked at below
        status = watch(qemu, during)
        if status != "completed":  # it may have closed its monitor on the way out
            status = ended(qemu.process)
        text = qemu.error_text()
        finish(qemu)
    if status == "completed":
        status = "complained" if reason_of(text) else "accepted"
    return status, reason_of(text) if status != "accepted" else "", text


def answers(version, paths, machine=None):
    """{path: (outcome, reason class, line)} of `check --loader`."""
    found = {}
    for at in range(0, len(paths), 500):
        done = subprocess.run([peer.MIGBENCH, "check", "--loader", version, "--format", "ndjson",
                               *(["--machine", machine] if machine else []), *paths[at:at + 500]],
                              stdout=subprocess.PIPE, timeout=peer.PATIENCE * 4)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode not in (0, 1, 3) or not lines[-1].get("complete"):
            raise peer.Fail(f"check --loader ended with status {done.returncode}")
        for line in lines[1:-1]:
            found[line["subject"]] = ANSWERS[line["load"]], line.get("reason", ""), line
    return found
