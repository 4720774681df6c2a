#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The commands on save images that libvirt wrote, as they lie in traces/, as they were on disk, and in a pipe. TAP."""
import glob
import hashlib
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402

MIGBENCH, TRACES = os.environ["MIGBENCH"], os.environ["TRACES"]


def run(*arguments, data=None):
    return subprocess.run([MIGBENCH, *arguments], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False)


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


class Image:
    def __init__(self, folder, manifest):
        with open(manifest, encoding="utf-8") as f:
            self.manifest = json.load(f)
        self.packed = os.path.join(TRACES, self.manifest["file"])
        self.data = subprocess.run(["zstd", "-dcq", self.packed], stdout=subprocess.PIPE, check=True).stdout
        self.path = os.path.join(folder, self.manifest["id"])
        with open(self.path, "wb") as f:
            f.write(self.data)
        self.out = os.path.join(folder, "out")


def check(image):
    results = [run("check", image.packed), run("check", image.path), run("check", "-", data=image.data)]
    return all(r.returncode == 0 and b": conformant, 0 findings" in r.stdout for r in results)


def inspect(image):
    wanted = {"type": "libvirt-image", "compression": image.manifest["image"]["compression"],
              "domain": image.manifest["image"]["domain"], "was-running": image.manifest["image"]["was_running"],
              "xml-bytes": image.manifest["image"]["xml_bytes"]}
    result = run("inspect", "--summary", "--format", "ndjson", image.path)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    text = run("inspect", "--summary", image.packed).stdout.decode()
    stats = lines[1]["stats"]
    return (lines[0] == wanted and stats["machine"] == image.manifest["expect"]["stats"]["machine"]
            and stats["devices"] == len(image.manifest["devices"])
            and f"libvirt save image, compression {wanted['compression']}, domain migbench, was running" in text)


def recode(image):
    """What is inside comes out, byte for byte."""
    result = run("recode", image.path, "-o", image.out)
    return (result.returncode == 0 and sha256(image.out) == image.manifest["stream"]["sha256"]
            and os.path.getsize(image.out) == image.manifest["stream"]["bytes"])


def extract(image):
    """The memory that an independent reader finds in it."""
    result = run("extract", image.path, "--block", "pc.ram", "-o", image.out)
    return result.returncode == 0 and sha256(image.out) == image.manifest["memory"]["pc.ram"]


def incomplete(image):
    result = run("check", "-", data=image.data.replace(b"LibvirtQemudSave", b"LibvirtQemudPart", 1))
    return result.returncode != 0 and b"libvirt save image is incomplete" in result.stderr


def cut(image):
    """A stream that ends early is the decoder's finding, in offsets of the stream; none is silent."""
    if image.manifest["image"]["compression"] != "raw":
        result = run("check", "-", data=image.data[:-100])
        return result.returncode == 1 or b"damaged near compressed offset" in result.stderr
    lines = run("check", "--format", "ndjson", "-", data=image.data[:-100]).stdout.splitlines()
    findings = [f for f in map(json.loads, lines) if f["type"] == "finding"]
    return bool(findings) and findings[0]["offset"] <= image.manifest["stream"]["bytes"]


TESTS = (("check", check), ("inspect", inspect), ("recode", recode), ("extract", extract),
         ("incomplete", incomplete), ("cut", cut))


def rows():
    for manifest in sorted(glob.glob(os.path.join(TRACES, "libvirt-*.json"))):
        with tempfile.TemporaryDirectory(prefix="migbench-libvirt-") as folder:
            image = Image(folder, manifest)
            for name, test in TESTS:
                yield f"/libvirt/{name}/{image.manifest['id']}", test, image


if __name__ == "__main__":
    tap.main(rows())
