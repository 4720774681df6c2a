#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""inspect, recode, extract and check from outside: outputs, exit statuses, pipes, files left behind."""
import json
import os
import subprocess
import sys
import tempfile

MIGBENCH = os.environ["MIGBENCH"]
TRACES = os.environ["TRACES"]
sys.path.insert(0, os.path.join(TRACES, "gen"))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402
import walk  # noqa: E402  the second opinion


def run(*arguments, data=None):
    return subprocess.run([MIGBENCH, *arguments], input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)


def trace(name):
    return os.path.join(TRACES, name + ".mig.zst")


def raw(name):
    return walk.read_stream(trace(name))


def ndjson(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


GOOD = "pc-scripted-7.2"


def inspect_records():
    result = run("inspect", trace(GOOD), "--format", "ndjson")
    records = [r for r in ndjson(result) if r["type"] == "record"]
    data = raw(GOOD)
    at = 0
    for record in records:
        if record["offset"] != at:
            return False
        at += record["bytes"] + record["payload"]
    return result.returncode == 0 and at == len(data)


def inspect_pipe():
    file = run("inspect", trace(GOOD), "--summary", "--format", "ndjson")
    pipe = run("inspect", "-", "--summary", "--format", "ndjson", data=raw(GOOD))
    packed = run("inspect", "-", "--summary", "--format", "ndjson",
                 data=open(trace(GOOD), "rb").read())
    return file.returncode == 0 and file.stdout == pipe.stdout == packed.stdout


def inspect_devices():
    result = run("inspect", trace("none-stopped-7.2"))
    text = result.stdout.decode()
    return "globalstate/size = 0x" in text and "timer/cpu_clock_offset = " in text


def inspect_damage():
    data = raw("none-stopped-7.2")
    result = run("inspect", "-", "--format", "ndjson", data=data[:1000])
    last = ndjson(result)[-1]
    return (result.returncode == 1 and last["type"] == "diagnosis" and last["offset"] == 1000
            and last["fault"] == "truncated" and len(ndjson(result)) > 5)


def recode_identical():
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        result = run("recode", trace(GOOD), "-o", out)
        return (result.returncode == 0 and result.stdout.startswith(b"identical")
                and open(out, "rb").read() == raw(GOOD) and os.listdir(folder) == ["out"])


def recode_leaves_nothing():
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        result = run("recode", "-", "-o", out, data=raw(GOOD)[:-20])
        return result.returncode == 1 and os.listdir(folder) == []


def extract_equals_walk():
    for name in (GOOD, "xbzrle-7.2", "compress-7.2", "none-stopped-10.0"):
        walker = walk.Walker(raw(name))
        walker.walk()
        for block in walker.ram_blocks():
            with tempfile.TemporaryDirectory() as folder:
                out = os.path.join(folder, "image")
                result = run("extract", trace(name), "--block", block["name"], "-o", out)
                if result.returncode or open(out, "rb").read() != walker.image(block["name"]):
                    print("#", name, block["name"], result.stderr.decode())
                    return False
    return True


def extract_list_and_errors():
    listing = run("extract", trace(GOOD), "--list")
    missing = run("extract", trace(GOOD), "--block", "no.such", "-o", "/nonexistent-folder/x")
    with tempfile.TemporaryDirectory() as folder:
        unknown = run("extract", trace(GOOD), "--block", "no.such",
                      "-o", os.path.join(folder, "x"))
        left = os.listdir(folder)
    return (b"pc.ram" in listing.stdout and missing.returncode == 4 and unknown.returncode == 2
            and left == [])


def check_good():
    files = [trace("none-stopped-7.2"), trace("pc-idle-10.0"), trace("q35-idle-5.2")]
    result = run("check", *files, "--format", "ndjson")
    lines = ndjson(result)
    return (result.returncode == 0 and lines[0]["type"] == "run" and lines[-1]["type"] == "end"
            and lines[-1]["complete"] and lines[-1]["conformant"] == len(files)
            and lines[-1]["findings"] == 0)


def check_exit_codes():
    data = raw("none-stopped-7.2")
    codes = [run("check", "-", data=data).returncode,
             run("check", "-", data=data + b"x").returncode,
             run("check", "-", "--profile", "lenient", data=data + b"x").returncode,
             run("check", "--profile", "no-such", "-", data=data).returncode,
             run("check").returncode,
             run("check", "/no/such/file").returncode]
    return codes == [0, 1, 0, 2, 2, 4]


def check_finding():
    data = bytearray(raw("none-stopped-7.2"))
    data[0] = 0x58
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bad stream")
        with open(path, "wb") as f:
            f.write(data)
        finding = [r for r in ndjson(run("check", path, "--format", "ndjson"))
                   if r["type"] == "finding"][0]
        text = run("check", path).stdout.decode()
    return (finding["rule"] == "HEADER-MAGIC-QEVM" and finding["offset"] == 0
            and finding["context"].startswith("5845564d") and "'" in finding["repro"]
            and "[58] 45 56 4d" in text and "HEADER-MAGIC-QEVM" in text)


def check_output_file():
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "report")
        result = run("check", trace(GOOD), "-o", out)
        return (result.returncode == 0 and result.stdout == b""
                and b"conformant" in open(out, "rb").read() and os.listdir(folder) == ["report"])


def helps():
    return all(run(command, "--help").returncode == 0 and run(command, "--bad").returncode == 2
               for command in ("inspect", "check", "recode", "extract", "rules"))


TESTS = [("/inspect/records-cover-every-byte", inspect_records),
         ("/inspect/file-pipe-and-zstd-agree", inspect_pipe),
         ("/inspect/device-fields-have-values", inspect_devices),
         ("/inspect/damage-is-diagnosed-behind-the-good-part", inspect_damage),
         ("/recode/identical", recode_identical),
         ("/recode/nothing-is-left-of-a-bad-stream", recode_leaves_nothing),
         ("/extract/equals-the-second-opinion", extract_equals_walk),
         ("/extract/list-and-errors", extract_list_and_errors),
         ("/check/good-streams", check_good),
         ("/check/exit-codes", check_exit_codes),
         ("/check/finding-has-context-and-reproduction", check_finding),
         ("/check/report-file", check_output_file),
         ("/commands/help-and-bad-options", helps)]

tap.main(TESTS)
