#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The cross-version table: what every installed QEMU does with every trace of every other version,
beside what `migbench check --loader` says that it does.

Each emulator is started as the trace's was, with the trace's machine type, never runs (-S), and gets
the capabilities that the trace has; one that it doesn't know is a rejection, as a type that it doesn't
know. Recordings of several channels are played to it. The test fails where the outcome differs, or
where both refuse for reasons of different classes; docs/cross-version.md is the table.

Without MIGBENCH_FULL one trace of a share is loaded. MIGBENCH_CROSS_VERSION: where to write
docs/cross-version.md anew (all traces are loaded then).
"""
import collections
import glob
import json
import os
import re
import sys

import ends
import outcome
import peer

DOCS = os.path.join(peer.ROOT, "docs", "cross-version.md")
SHARE = 31  # not a multiple of the number of versions: each has its turn


class Trace:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.manifest = json.load(file)
        self.name = self.manifest["id"]
        self.path = os.path.join(peer.ROOT, "traces", self.manifest["file"])
        self.version = re.search(r"-([\d.]+)$", self.name).group(1)
        self.several = self.manifest["container"] == "pcapng"
        self.breaks = len({c.split(".")[1] for c in self.manifest["channels"] if "." in c})

    def unloadable(self):
        """Why no emulator can be asked, or None."""
        producer = self.manifest["producer"]
        if producer["program"] != "qemu-system-x86_64":
            return f"only one version of {producer['program']} is there"
        if self.manifest["container"] == "libvirt":
            return "libvirt chose the machine's arguments"
        if self.name.startswith("colo"):
            return "a destination of COLO waits for checkpoints, and ends when its line breaks"
        if self.name.startswith("block"):
            return ("disks without a device, all that machine none has, crash 5.2 and 7.2 (an assertion on "
                    "BLK_PERM_WRITE)")
        if any("hugetlb" in word or "hugepages" in word for word in producer["argv"]):
            return "needs huge pages"
        return None

    def argv(self, space):
        """As it was started, with its machine type by its full name, and its files in |space|."""
        names = {}
        for word in self.manifest["producer"]["argv"]:
            for name in re.findall(r"\{(\w+)\}", word):
                folder = space.memory if name == "ram" else space.files
                names[name] = os.path.join(folder, f"file-{name}")
        for name, path in names.items():
            with open(path, "wb") as file:
                file.truncate(self.size_of(name))
        argv = [re.sub(r"\{(\w+)\}", lambda m: names[m.group(1)], word)
                for word in self.manifest["producer"]["argv"]]
        at = argv.index("-M") + 1
        argv[at] = ",".join([self.manifest["producer"]["machine"], *argv[at].split(",")[1:]])
        return argv + ([] if "-S" in argv else ["-S"])

    def size_of(self, name):
        sizes = {"ram": self.manifest["ram"][0]["used_length"], "rom": 65536, "serial": 0,
                 "disk0": 3 << 20, "disk1": 1 << 20}
        return sizes.get(name, 0)

    def parameters(self):
        wanted = ("multifd-channels", "multifd-compression")
        return {k: v for k, v in self.manifest["parameters"].items() if k in wanted}

    def capabilities(self, version):
        """Of the destination: what only changes how a source saves is not asked for, nor compression
        where it is gone."""
        gone = ["compress"] if version in ("10.0", "11.1") else []
        return [c for c in self.manifest["capabilities"]
                if c not in ["background-snapshot", "xbzrle", "validate-uuid", *gone]]


def play(trace, space, version, argv):
    """Plays a recording of several channels to an emulator."""
    listen, again = (os.path.join(space.files, name) for name in ("in", "again"))

    def during(qemu):
        with ends.Program("replay", trace.path, "--connect", f"unix:{listen}", "--connect-again",
                          f"unix:{again}") as player:
            for _ in range(trace.breaks):
                if not any("break" in line for line in iter(player.process.stdout.readline, "")):
                    break
                qemu.wait_status(["postcopy-paused"], timeout=outcome.HANGING,
                                 bad=("failed", "completed"))
                if os.path.exists(again):
                    os.unlink(again)
                qemu.qmp("migrate-recover", uri=f"unix:{again}")
            try:
                player.process.communicate(timeout=outcome.HANGING)
            except ends.subprocess.TimeoutExpired:
                player.process.kill()
    return outcome.load(version, argv, f"unix:{listen}", trace.capabilities(version), trace.parameters(), during)


def really(trace, version):
    """(outcome, reason class, text) of a real emulator."""
    with peer.Workspace() as space:
        argv = trace.argv(space)
        if trace.several:
            return play(trace, space, version, argv)
        plain = os.path.join(space.files, "stream")
        with open(plain, "wb") as file:
            ends.subprocess.run(["zstd", "-dcq", trace.path], check=True, stdout=file)
        where = trace.manifest.get("offset")
        uri = f"exec:cat {plain}"
        if "mapped-ram" in trace.manifest["capabilities"]:
            uri = f"file:{plain}" + (f",offset={where}" if where else "")
        return outcome.load(version, argv, uri, trace.capabilities(version), trace.parameters())


# the table ---------------------------------------------------------------------------------

# (beginning of a trace's name, version): why the two need not agree.
KNOWN = {
    ("switchover-ack-11.1", "5.2"): "it can't be asked for the capability, of which this stream shows nothing",
    ("switchover-ack-11.1", "7.2"): "as 5.2",
    ("switchover-ack-10.0", "11.1"): "11.1 sends no acknowledgement when no device asks for one; what the "
                                     "recording waits for never comes, and the rest isn't played",
}


def words(got):
    return {"accepted": "loads", "complained": "loads, says", "rejected": "refuses", "crashed": "crashes",
            "hung": "waits", "unknown": "unknown"}[got[0]] + (f": {got[1]}" if got[1] else "")


def ours(trace, version):
    machine = trace.manifest["producer"]["machine"]
    where = trace.path
    if trace.manifest.get("offset"):
        where = f"file:{trace.path},offset={trace.manifest['offset']}"
    return outcome.answers(version, [where], machine)[where][:2]


def written():
    """{(trace, version): cell} of docs/cross-version.md."""
    cells, versions = {}, []
    with open(DOCS, encoding="utf-8") as file:
        for line in file:
            row = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if row[0] == "trace":
                versions = row[1:]
            elif versions and len(row) == len(versions) + 1 and not row[0].startswith("--"):
                cells.update({(row[0].strip("`"), v): cell for v, cell in zip(versions, row[1:])})
    return cells


def one(trace, version, table, docs):
    peer.path_of(version)
    theirs, said = really(trace, version), ours(trace, version)
    same = said == theirs[:2] or (said[0] == theirs[0] and theirs[1] == outcome.UNSAID)
    why = KNOWN.get((trace.name, version))
    table[trace.name, version] = words(theirs) + ("" if same else " (we: " + words(said) + ")")
    text = f"QEMU: {words(theirs)}; --loader: {words(said)}; {theirs[2][-300:]}"
    if not same and not why:
        raise peer.Fail(text)
    cell = table[trace.name, version]
    if docs is not None and docs.get((trace.name, version)) not in (cell, "not installed"):
        raise peer.Fail(f"docs/cross-version.md says '{docs.get((trace.name, version))}', it is '{cell}'")
    return [text.splitlines()[0] + (f" ({why})" if why else "")]


HEAD = """<!-- SPDX-License-Identifier: Apache-2.0 -->
# The cross-version table

What real QEMUs do with the traces of every version, started with the trace's machine type and the
capabilities that the trace needs. Written by tests/live/loader.py (with
MIGBENCH_CROSS_VERSION=docs/cross-version.md), which also compares it with `migbench check --loader`:
where the two differ the cell says so. Reasons are classes; `migbench check --loader VERSION FILE` names
the place in the stream.

"""


def write(path, traces, table):
    installed = [v for v in peer.VERSIONS if v in peer.qemu.peers()]
    lines = [HEAD, "| trace | " + " | ".join(installed) + " |", "|---" * (len(installed) + 1) + "|"]
    for trace in traces:
        if not trace.unloadable():
            cells = [table.get((trace.name, v), "-") for v in installed]
            lines.append(f"| `{trace.name}` | " + " | ".join(cells) + " |")
    counts = collections.Counter(cell.split(":")[0].split(" (")[0] for cell in table.values())
    differ = sum("(we:" in cell for cell in table.values())
    lines += ["", f"{len(table)} cells: " + ", ".join(f"{n} {what}" for what, n in counts.most_common())
              + f"; `--loader` answers otherwise in {differ}:", ""]
    lines += [f"- `{name}` into {version}: {why}." for (name, version), why in KNOWN.items()]
    lines += ["", "Not loaded, because no emulator could load them as they were made:", ""]
    why_not = collections.defaultdict(list)
    for trace in traces:
        if trace.unloadable():
            why_not[trace.unloadable()].append(f"`{trace.name}`")
    lines += [f"- {why}: {', '.join(names)}." for why, names in why_not.items()]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def main():
    to = os.environ.get("MIGBENCH_CROSS_VERSION")
    tap, table = peer.Tap(share=1 if to else SHARE), {}
    traces = [Trace(path) for path in sorted(glob.glob(os.path.join(peer.ROOT, "traces", "*.json")))]
    docs = None if to or not os.path.exists(DOCS) else written()
    for trace in traces:
        for version in peer.VERSIONS if not trace.unloadable() else ():
            tap.run(f"/live/loader/{trace.name}/into-{version}", one, trace, version, table, docs)
    if to:
        write(to, traces, table)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
