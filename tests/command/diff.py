#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""diff, and the commands over recordings of several channels, from outside."""
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


def run(*arguments):
    return subprocess.run([MIGBENCH, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def raw(name):
    return os.path.join(TRACES, name + ".mig.zst")


def several(name):
    return os.path.join(TRACES, name + ".pcapng.zst")


def ndjson(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def differences(a, b, *more):
    result = run("diff", a, b, "--format", "ndjson", *more)
    return result.returncode, [r for r in ndjson(result) if r["type"] == "difference"]


def records(name):
    return [r for r in ndjson(run("inspect", raw(name), "--format", "ndjson"))
            if r["type"] == "record"]


def same_is_same():
    return all(run("diff", f, f).returncode == 0 and b"the same" in run("diff", f, f).stdout
               for f in (raw("pc-idle-7.2"), several("multifd-dirty-10.0"),
                         several("postcopy-preempt-recovery-10.0"), raw("mapped-ram-10.0")))


def changed(edit):
    """none-stopped-7.2 and a copy with |edit| made to its bytes: what differs."""
    data = bytearray(walk.read_stream(raw("none-stopped-7.2")))
    edit(data)
    with tempfile.NamedTemporaryFile(suffix=".mig") as f:
        f.write(data)
        f.flush()
        return differences(raw("none-stopped-7.2"), f.name)


def one_field():
    config = next(r for r in records("none-stopped-7.2") if r["record"] == "config")
    status, found = changed(lambda d: d.__setitem__(config["offset"] + 5, ord("m")))
    return (status == 1 and len(found) == 1 and found[0]["kind"] == "field"
            and (found[0]["name"], found[0]["a"], found[0]["b"]) == ("machine", "none", "mone"))


def one_device_value():
    body = next(r for r in records("none-stopped-7.2") if r["path"] == "timer/body")
    at = body["offset"] + body["bytes"]

    def edit(d):
        d[at + 7] ^= 1
    status, found = changed(edit)
    return (status == 1 and len(found) == 1 and found[0]["kind"] == "value"
            and found[0]["name"].endswith("cpu_ticks_offset"))


def one_page_left_out():
    page = [r for r in records("none-stopped-7.2") if r["record"] == "ram-zero"][3]

    def edit(d):
        del d[page["offset"]:page["offset"] + page["bytes"]]
    status, found = changed(edit)
    return (status == 1 and len(found) == 1 and found[0]["kind"] == "only-a"
            and found[0]["offset-a"] == page["offset"])


def payload_byte():
    page = [r for r in records("pc-scripted-7.2") if r["record"] == "ram-page"][5]
    data = bytearray(walk.read_stream(raw("pc-scripted-7.2")))
    data[page["offset"] + page["bytes"] + 77] ^= 0xff
    with tempfile.NamedTemporaryFile(suffix=".mig") as f:
        f.write(data)
        f.flush()
        status, found = differences(raw("pc-scripted-7.2"), f.name)
    return (status == 1 and len(found) == 1 and found[0]["kind"] == "bytes"
            and (found[0]["at"], found[0]["count"]) == (77, 1))


def behind_the_break():
    """Two streams that can't be read beyond the same place are not the same: who knows what is behind it."""
    data = walk.read_stream(raw("none-stopped-7.2"))
    footer = next(r["offset"] for r in records("none-stopped-7.2") if r["path"] == "timer/footer")
    with tempfile.TemporaryDirectory() as folder:
        one, other = (os.path.join(folder, name) for name in ("one", "other"))
        for name, tail in ((one, b"\xff" * 64), (other, b"\xff" * 63 + b"\xfe")):
            with open(name, "wb") as file:
                file.write(data[:footer] + tail)
        result = run("diff", one, other)
    return result.returncode == 3 and b"the same as far as both can be read" in result.stdout


def ignores():
    a, b = raw("none-idle-7.2"), raw("none-idle-10.0")
    ids = [d for d in differences(a, b)[1] if d.get("name") == "id"]
    left = differences(a, b, "--ignore", "section-ids,part-boundaries,device-bodies")[1]
    return ids and not [d for d in left if d.get("name") == "id" or d["kind"] == "value"]


def missing_channel():
    status, found = differences(several("return-path-10.0"), several("multifd-none-2-10.0"))
    only = {(d["channel"], d["only-in"]) for d in found if d["kind"] == "channel"}
    return status == 1 and {("multifd0", "b"), ("multifd1", "b")} <= only


def results():
    """Two bandwidths: times differ, by as much as --within says or more; a recording is no result."""
    with tempfile.TemporaryDirectory() as folder:
        one, same, other = (os.path.join(folder, n + ".json") for n in ("one", "same", "other"))
        scenario = os.path.join(os.path.dirname(TRACES), "docs", "examples", "hot-cold.json")
        for path, bandwidth in ((one, "100M"), (same, "100M"), (other, "101M")):
            run("sim", "--accounting", scenario, "--set", f"parameters.max-bandwidth={bandwidth}",
                "--result", path)
        status, found = differences(one, other)
        near, left = differences(one, other, "--within", "60")
        times = [d for d in found if d["path"] == "query-migrate.total-time"]
        return (run("diff", one, same).returncode == 0 and status == 1 and len(times) == 1
                and times[0]["a"] > times[0]["b"] and len(left) < len(found)
                and not [d for d in left if d["path"] in ("query-migrate.total-time", "digests")]
                and run("diff", one, raw("none-idle-7.2")).returncode == 2
                and run("diff", "/no/such", one).returncode == 4
                and run("diff", one, other, "--within", "nan").returncode == 2)


def usage():
    return (run("diff", raw("none-idle-7.2")).returncode == 2
            and run("diff", raw("none-idle-7.2"), "/no/such").returncode == 4
            and run("diff", "x", "y", "--ignore", "everything").returncode == 2
            and run("diff", "--help").returncode == 0)


def channels_of_inspect():
    trace = several("multifd-dirty-10.0")
    rows = {r["channel"]: r for r in ndjson(run("inspect", trace, "--summary", "--format", "ndjson"))
            if r["type"] == "channel"}
    one = ndjson(run("inspect", trace, "--channel", "multifd0", "--format", "ndjson"))
    return (rows["multifd0"]["sync"] == rows["main"]["flush"] > 0
            and {r["channel"] for r in one} == {"multifd0"}
            and len(one) == rows["multifd0"]["records"]
            and run("inspect", trace, "--channel", "nobody").returncode == 2)


def recode_channels():
    with tempfile.TemporaryDirectory() as folder:
        out, again, one = (os.path.join(folder, n) for n in ("out", "again", "one"))
        first = run("recode", several("postcopy-recovery-10.0"), "-o", out)
        second = run("recode", out, "-o", again)
        run("recode", out, "--channel", "main", "-o", one)
        head = open(one, "rb").read(8)
        return (first.returncode == second.returncode == 0 and first.stdout == second.stdout
                and first.stdout.count(b"identical") == 4 and head == b"QEVM\0\0\0\3"
                and open(out, "rb").read() == open(again, "rb").read())


def offsets():
    path = raw("mapped-ram-offset-10.0")
    uri = f"file:{path},offset=4096"
    bad = run("check", path)
    return (f"file:{path},offset=4096".encode() in bad.stdout and bad.returncode == 1
            and run("check", uri).returncode == 0 and run("inspect", uri).returncode == 0
            and run("check", f"file:{path},offset=4k").returncode == 0
            and run("check", f"file:{path},offset=x").returncode == 4)


def ignore_shared_is_said():
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "image")
        result = run("extract", raw("ignore-shared-10.0"), "--block", "m0", "-o", out)
        return result.returncode == 3 and b"x-ignore-shared" in result.stderr and os.listdir(folder) == []


def device_fields():
    """Every device has values, no more bytes of them than its body, and its scopes have versions."""
    lines = ndjson(run("inspect", raw("pc-idle-10.0"), "--format", "ndjson"))
    bodies = values = 0
    body = None
    for r in lines:
        if r["type"] == "record":
            if body and not 0 < body["values"] <= body["payload"]:
                return False
            body = dict(r, seen=0, values=0) if r["record"] == "body" else None
            bodies += bool(body)
        elif r["type"] == "value" and body:
            body["seen"] += 1
            body["values"] += r["bytes"]
            values += 1
    scopes = [r for r in lines if r["type"] == "scope"]
    return (bodies >= 20 and values > 1000 and any(s["kind"] == "subsection" for s in scopes)
            and any("[3]" in s["path"] for s in scopes) and all("version" in s for s in scopes))


def captured_packets():
    """What tcpdump wrote is no stream, and the report says what to do with it."""
    with tempfile.NamedTemporaryFile(suffix=".pcap") as file:
        file.write(b"\xd4\xc3\xb2\xa1\x02\0\x04\0" + bytes(8) + b"\xff\xff\0\0\x01\0\0\0")
        file.flush()
        results = [run(command, file.name) for command in ("check", "inspect")]
    return all(r.returncode == 1 and b"record --import" in r.stdout for r in results)


TESTS = [("/diff/the-same", same_is_same), ("/diff/one-field", one_field),
         ("/diff/one-device-value", one_device_value),
         ("/diff/one-page-left-out", one_page_left_out), ("/diff/first-byte-of-a-page", payload_byte),
         ("/diff/behind-the-break", behind_the_break),
         ("/diff/ignore", ignores), ("/diff/channels", missing_channel), ("/diff/usage", usage),
         ("/diff/results", results),
         ("/inspect/channels", channels_of_inspect), ("/recode/channels", recode_channels),
         ("/input/offset", offsets),
         ("/input/captured-packets", captured_packets), ("/extract/ignore-shared", ignore_shared_is_said),
         ("/inspect/every-device-field", device_fields)]

tap.main(TESTS)
