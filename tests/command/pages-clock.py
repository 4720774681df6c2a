#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where the guest's clock counts pages sent, a source on the real clock sends, pass by pass, the pages that the
simulator sends: the same blocks and offsets in the same order, and the same ones as zeros."""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402
from tap import Fail  # noqa: E402

MIGBENCH = os.environ["MIGBENCH"]
RAM = [{"name": "ram", "size": "16M", "content": [{"offset": 0, "length": "8M", "kind": "random"}]},
       {"name": "more", "size": "4M"}]
WORKLOAD = [
    {"block": "ram", "offset": "1M", "length": "4M", "pattern": "random", "rate": 200000,
     "write": "page", "end": "8ms"},
    {"block": "more", "offset": 0, "length": "1M", "pattern": "periodic", "period": "3ms",
     "rate": 300000, "write": "zero", "end": "7ms"}]
# With a threshold of nothing the passes end where nothing is left, whatever bandwidth was measured.
PARAMETERS = {"max-bandwidth": 200000000, "downtime-limit": 0}
# With the passes that are wanted: 7.2 stops without another look as long as it has measured nothing.
ROWS = (("11.1", {}, 5), ("11.1", {"xbzrle": True}, 5), ("7.2", {}, 2))


def run(*arguments, status=0):
    done = subprocess.run([MIGBENCH, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    if done.returncode != status:
        raise Fail(f"{' '.join(arguments)}: {done.returncode}\n{done.stdout}")
    return done.stdout


def scenario(folder, qemu, capabilities):
    path = os.path.join(folder, "scenario.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"schema": "migbench-scenario-1", "qemu": qemu, "seed": 3, "capabilities": capabilities,
                   "guest": {"machine": "none", "clock": "pages", "ram": RAM, "workload": WORKLOAD},
                   "parameters": PARAMETERS}, file)
    return path


def pages(stream):
    """[(kind, block, offset)] in the order of the stream"""
    block, found = "", []
    for line in run("inspect", "--format", "ndjson", stream).splitlines():
        record = json.loads(line)
        if record.get("record") in ("ram-page", "ram-zero", "ram-xbzrle"):
            block = record["fields"].get("block") or block
            found.append((record["record"], block, record["fields"]["page-offset"]))
    return found


def passes(path):
    with open(path, encoding="utf-8") as file:
        return [(p["dirty-sync-count"], p["dirty-pages"]) for p in json.load(file)["passes"]]


def same(qemu, capabilities, least):
    with tempfile.TemporaryDirectory() as folder:
        path = scenario(folder, qemu, capabilities)
        files = {who: [os.path.join(folder, f"{who}.{end}") for end in ("mig", "json")]
                 for who in ("sim", "source")}
        run("sim", path, "--stream", files["sim"][0], "--result", files["sim"][1])
        run("source", "--scenario", path, "--uri", f"file:{files['source'][0]}", "--result",
            files["source"][1])
        ours, real = (passes(files[who][1]) for who in ("sim", "source"))
        if ours != real or len(ours) < least:
            raise Fail(f"passes differ, or are few: {ours} and {real}")
        ours, real = (pages(files[who][0]) for who in ("sim", "source"))
        if ours != real:
            at = next((i for i, (a, b) in enumerate(zip(ours, real)) if a != b), "the end")
            raise Fail(f"{len(ours)} and {len(real)} pages, the first difference at {at}")
    return [f"{len(ours)} pages"]


def refused():
    with tempfile.TemporaryDirectory() as folder:
        path = scenario(folder, "11.1", {})
        said = run("sim", path, "--qmp", f"unix:{folder}/qmp", status=4)
        if "guest.clock" not in said:
            raise Fail(said)


if __name__ == "__main__":
    tap.main([(f"pages-clock/{qemu}{''.join('/' + c for c in on)}", same, qemu, on, least)
              for qemu, on, least in ROWS] + [("pages-clock/not-with-qmp", refused)])
