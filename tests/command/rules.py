#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""migbench rules: docs/rules.md is what the program prints, and every format says the same rules."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402

MIGBENCH = os.environ["MIGBENCH"]
DOCS = os.path.join(os.environ["SOURCE_ROOT"], "docs", "rules.md")


def rules(*arguments):
    return subprocess.run([MIGBENCH, "rules", *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)


def golden():
    with open(DOCS) as f:
        return f.read() == rules("--format", "markdown").stdout


def formats_agree():
    lines = [json.loads(line) for line in rules("--format", "ndjson").stdout.splitlines()]
    names = [line["id"] for line in lines]
    text = [line.split()[0] for line in rules().stdout.splitlines()]
    return len(names) >= 45 and names == text


def refuses():
    bad = [rules("--format", "yaml"), rules("--no-such"), rules("extra")]
    return all(r.returncode == 2 and r.stderr and not r.stdout for r in bad)


TESTS = [("/rules/docs-are-current (migbench rules --format markdown > docs/rules.md)", golden),
         ("/rules/formats-agree", formats_agree),
         ("/rules/bad-arguments-are-refused", refuses)]

tap.main(TESTS)
