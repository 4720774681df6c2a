#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/schemas against what it describes: the reader's tables, the examples, real outputs. TAP."""
import copy
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import tap  # noqa: E402

MIGBENCH, TRACES, SOURCE = (os.environ[k] for k in ("MIGBENCH", "TRACES", "SOURCE_ROOT"))
FOLDER, EXAMPLES = os.path.join(SOURCE, "docs", "schemas"), os.path.join(SOURCE, "docs", "examples")
# "name[] = { ... };" of a reader, and in it { "key", function, offset, required }.
TABLE = re.compile(r"static const MigField (\w+)\[\] = \{(.*?)\n?\s*\{ NULL \},?\s*\};", re.S)
ROW = re.compile(r'\{\s*"([\w-]+)",\s*\w+,[^{}]*?(true)?\s*\}')
# Tables that describe what another one has, or what stands in "arguments" and "parameters" of QAPI.
ELSEWHERE = {"sim/scenario/scenario.c:late", "sim/scenario/disks.c:fields#4", "sim/scenario/disks.c:names",
             "sim/scenario/migration.c:cost_fields", "sim/scenario/migration.c:write_fields",
             "sim/scenario/migration.c:fields", "sim/scenario/migration.c:add", "sim/scenario/migration.c:gone",
             "sim/scenario/migration.c:resized", "sim/scenario/migration.c:recover_fields",
             "sim/scenario/migration.c:step_fields", "sim/scenario/migration.c:none"}


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def source(name):
    with open(os.path.join(SOURCE, name), encoding="utf-8") as file:
        return file.read()


def schema(name):
    return load(os.path.join(FOLDER, name + ".schema.json"))


def problems(name, value):
    """What the schema |name| says against |value|."""
    import jsonschema  # pylint: disable=import-outside-toplevel
    errors = jsonschema.Draft202012Validator(schema(name)).iter_errors(value)
    return [f"{e.json_path}: {e.message[:200]}" for e in errors]


def must_be(name, what, value):
    found = problems(name, value)
    if found:
        raise tap.Fail(f"{what} is not a {name}:\n" + "\n".join(found[:5]))


def migbench(*arguments, statuses=(0, 1)):
    done = subprocess.run([MIGBENCH, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode not in statuses:
        raise tap.Fail(f"migbench {' '.join(arguments)}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def objects(value):
    """Every object in |value|."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for v in value:
            yield from objects(v)


def they_are_schemas():
    import jsonschema  # pylint: disable=import-outside-toplevel
    for path in sorted(glob.glob(os.path.join(FOLDER, "*.schema.json"))):
        jsonschema.Draft202012Validator.check_schema(load(path))


def reader_tables():
    """{"sim/scenario/guest.c:block_fields": (keys, required keys)}; a name's second table is name#2."""
    tables = {}
    for folder in ("sim/scenario", "sim/sweep"):
        for path in sorted(glob.glob(os.path.join(SOURCE, folder, "*.c"))):
            seen = {}
            for name, body in TABLE.findall(source(path)):
                seen[name] = seen.get(name, 0) + 1
                key = f"{folder}/{os.path.basename(path)}:{name}" + (f"#{seen[name]}" if seen[name] > 1 else "")
                rows = ROW.findall(body)
                tables[key] = {k for k, _ in rows}, {k for k, required in rows if required}
    return tables


def keys_are_the_readers():
    tables, described = reader_tables(), set()
    for name in ("scenario", "sweep"):
        for o in objects(schema(name)):
            if "x-table" not in o:
                continue
            table, extra = o["x-table"], set(o.get("x-more", ()))
            described.add(table)
            if table not in tables:
                raise tap.Fail(f"{name}: there is no table {table}")
            keys, required = tables[table]
            for what, mine, theirs in (("keys", set(o["properties"]), keys | extra),
                                       ("required keys", set(o.get("required", ())), required | extra)):
                if mine != theirs:
                    raise tap.Fail(f"{name}: {what} of {table}: only in the schema {sorted(mine - theirs)}, only in "
                                   f"the reader {sorted(theirs - mine)}")
    missing = set(tables) - described - ELSEWHERE
    if missing:
        raise tap.Fail(f"no schema has x-table for {sorted(missing)}")
    return [f"{len(described)} tables"]


def words_are_the_engines():
    """Capabilities, parameters, costs and actions: those that the C tables have."""
    defs = schema("scenario")["$defs"]
    wanted = {
        "capabilities": re.findall(r'^    X\(\w+, "([\w-]+)"', source("sim/engine/capabilities.h"), re.M),
        "parameters": re.findall(r'\b(?:NUMBER|SIZE|RATE|TIME|FLAG|CHOICE|TEXT)\("([\w-]+)"',
                                 source("sim/engine/parameters.c")),
        "costs": ["description"] + re.findall(r"^    X\((\w+),", source("sim/world/costs.h"), re.M),
        "actions": re.findall(r'\[MIG_ACTION_\w+\] = "([\w-]+)"', source("sim/scenario/migration.c")),
    }
    found = {
        "capabilities": defs["capabilities"]["properties"],
        "parameters": defs["parameters"]["properties"],
        "costs": defs["costs"]["properties"],
        "actions": defs["event"]["properties"]["do"]["enum"],
    }
    for what, words in wanted.items():
        if not words or set(words) != set(found[what]):
            raise tap.Fail(f"{what}: expected {sorted(words)}, found {sorted(found[what])}")


def committed_files_conform():
    """Every scenario, sweep and manifest of the tree."""
    kinds = {"migbench-scenario-1": "scenario", "migbench-sweep-1": "sweep", "migbench-trace-1": "trace-manifest"}
    counts = dict.fromkeys(kinds.values(), 0)
    for path in sorted(glob.glob(os.path.join(SOURCE, "docs", "**", "*.json"), recursive=True)
                       + glob.glob(os.path.join(SOURCE, "tests", "**", "*.json"), recursive=True)
                       + glob.glob(os.path.join(TRACES, "*.json"))):
        value = load(path)
        kind = kinds.get(value.get("schema")) if isinstance(value, dict) else None
        if kind:
            must_be(kind, os.path.relpath(path, SOURCE), value)
            counts[kind] += 1
    if not all(counts.values()):
        raise tap.Fail(f"nothing of some kind: {counts}")
    return [f"{n} of {kind}" for kind, n in counts.items()]


def results_conform():
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "result.json")
        for name in ("demo", "postcopy", "cancelled", "never-converges", "two-blocks"):
            migbench("sim", os.path.join(EXAMPLES, name + ".json"), "--result", out)
            must_be("result", "the result of " + name, load(out))
        stream, demo = "file:" + os.path.join(folder, "stream"), os.path.join(EXAMPLES, "demo.json")
        for end in ("source", "dest"):
            migbench(end, "--scenario", demo, "--uri", stream, "--result", out, statuses=(0,))
            must_be("result", "the result of " + end, load(out))


def rows_conform():
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "rows")
        migbench("sweep", os.path.join(EXAMPLES, "sweep-demo.json"), "-o", out)
        with open(out, encoding="utf-8") as lines:
            for line in lines:
                must_be("sweep-rows", line[:80], json.loads(line))


def predicted(*arguments):
    """What predict says, which must be of the schema."""
    done = subprocess.run([MIGBENCH, "predict", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise tap.Fail(f"migbench predict {' '.join(arguments)}: {done.stderr}")
    value = json.loads(done.stdout)
    must_be("prediction", "a prediction", value)
    return value


def predictions_conform():
    """Of saved facts, and of a recording, which is asked the usual questions."""
    with tempfile.TemporaryDirectory() as folder:
        facts, run = (os.path.join(folder, name) for name in ("facts.json", "run.pcapng"))
        with open(facts, "w", encoding="utf-8") as file:
            json.dump({"qemu": "10.0", "ram": 64 << 20, "filled": 16 << 20,
                       "dirty-rates": [{"calc-time": 1, "dirty-rate": 4}]}, file)
        table = migbench("predict", "--facts", facts, "--host", os.path.join(folder, "none"), statuses=(2, 4))
        if "none" not in table:
            raise tap.Fail(f"predict does not name the profile that is missing: {table}")
        asked = ("--format", "json", "--limit", "20s")
        from_facts = predicted("--facts", facts, *asked, "--what-if", "capabilities.xbzrle=true")
        changed = [r.get("what-if") for r in from_facts["rows"]]
        if changed != [None] * 20 + ["capabilities.xbzrle=true"] * 20:
            raise tap.Fail(f"rows: {changed}")
        units = predicted("--facts", facts, *asked, "--bandwidth", "8M,1Gbit/s", "--downtime", "100ms,300,0.5s")
        values = [(r["max-bandwidth"], r["downtime-limit"]) for r in units["rows"]]
        if values != [(b, ms) for b in (8 << 20, 125000000) for ms in (100, 300, 500)]:
            raise tap.Fail(f"with units: {values}")
        migbench("sim", os.path.join(EXAMPLES, "demo.json"), "--set", "capabilities.multifd=true", "--stream", run)
        rows = predicted("--recording", run, *asked)["rows"]
        asked = {r.get("what-if", "").partition("=")[0] for r in rows}
        if not asked >= {"", "capabilities.multifd", "capabilities.auto-converge"}:
            raise tap.Fail(f"what a recording is asked: {asked}")
        if len({r["max-bandwidth"] for r in rows}) < 3 or len({r["downtime-limit"] for r in rows}) < 3:
            raise tap.Fail(f"bandwidths and downtime limits that a recording is asked for: {rows}")


def both_refuse_a_wrong_key():
    """A key that nobody knows, in each object of an example in turn."""
    example = load(os.path.join(EXAMPLES, "hot-cold.json"))
    count = sum(1 for _ in objects(example))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "wrong.json")
        for i in range(count):
            wrong = copy.deepcopy(example)
            list(objects(wrong))[i]["x-bogus"] = 1
            if not problems("scenario", wrong):
                raise tap.Fail(f"the schema takes x-bogus in object {i} of the example")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(wrong, file)
            out = migbench("sim", path, statuses=(2,))
            if "x-bogus" not in out:
                raise tap.Fail(f"sim does not name the wrong key: {out}")


TESTS = (they_are_schemas, keys_are_the_readers, words_are_the_engines, committed_files_conform, results_conform,
         rows_conform, predictions_conform, both_refuse_a_wrong_key)


def main():
    try:
        import jsonschema  # pylint: disable=import-outside-toplevel
        jsonschema.Draft202012Validator  # pylint: disable=pointless-statement
    except (ImportError, AttributeError):
        print("1..0 # SKIP python3-jsonschema (4.0 or later) is not installed")
        sys.exit(77)
    tap.main(tap.named("/schemas", TESTS))


if __name__ == "__main__":
    main()
