# SPDX-License-Identifier: Apache-2.0
"""Writes a finished trace: the compressed stream, and the manifest that says what it is."""
import hashlib
import json
import os
import subprocess

import walk

TRACES = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def compact(value, indent=0, width=96):
    """JSON with small things on one line: manifests are read by people."""
    flat = json.dumps(value)
    if len(flat) + indent <= width or not isinstance(value, (dict, list)) or not value:
        return flat
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        inner = [f"{pad}{json.dumps(k)}: {compact(v, indent + 1, width)}" for k, v in value.items()]
        return "{\n" + ",\n".join(inner) + "\n" + " " * indent + "}"
    if all(not isinstance(v, (dict, list)) or len(json.dumps(v)) < 24 for v in value):
        lines, line = [], ""
        for v in value:
            piece = json.dumps(v)
            if line and len(line) + len(piece) + 2 + indent + 1 > width:
                lines.append(pad + line)
                line = ""
            line += (", " if line else "") + piece
        lines.append(pad + line)
        return "[\n" + ",\n".join(lines) + "\n" + " " * indent + "]"
    inner = [f"{pad}{compact(v, indent + 1, width)}" for v in value]
    return "[\n" + ",\n".join(inner) + "\n" + " " * indent + "]"


def compress(data, path):
    subprocess.run(["zstd", "-19", "-q", "-f", "-o", path + ".new"], input=data, check=True)
    os.replace(path + ".new", path)
    return os.path.getsize(path)


def write(trace_id, data, container, fields, walker=None, extension=None):
    """fields: what the caller knows (producer, capabilities, script...), in the order to print."""
    extension = extension or {"raw": "mig", "pcapng": "pcapng"}[container]
    name = f"{trace_id}.{extension}.zst"
    packed = compress(data, os.path.join(TRACES, name))
    manifest = {"schema": "migbench-trace-1", "license": "Apache-2.0", "id": trace_id, "file": name,
                "container": container, "sha256": hashlib.sha256(data).hexdigest(),
                "bytes": len(data), "compressed_bytes": packed}
    manifest.update(fields)
    if walker is not None:
        manifest["ram"] = walker.ram_blocks()
        manifest["devices"] = walker.devices
    expect = dict(manifest.pop("expect", {"verdict": "conformant", "findings": []}))
    if walker is not None:
        expect["stats"] = walker.summary()
    manifest["expect"] = expect
    path = os.path.join(TRACES, f"{trace_id}.json")
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(compact(manifest) + "\n")
    os.replace(path + ".new", path)
    print(f"{trace_id}: {len(data)} bytes, {packed} compressed", flush=True)
