#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The CI examples in docs/ci: their shell steps are run here, as those systems run them.

GitHub's steps go to `bash -e`, the lines of a GitLab script to one shell that ends with the first
failure. What installs is left out. Streams: good ones, and one with a byte changed. The matrix's
steps need QEMU; tests/live/matrix.py calls them.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

ROOT = os.environ.get("SOURCE_ROOT") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MIGBENCH = os.environ.get("MIGBENCH") or os.path.join(ROOT, "build", "migbench")
sys.path.insert(0, os.path.join(ROOT, "tests"))
import tap  # noqa: E402

GOOD = ("none-idle-7.2.mig.zst", "none-stopped-10.0.mig.zst")


def text_of(name):
    with open(os.path.join(ROOT, "docs", "ci", name), encoding="utf-8") as file:
        return file.read()


def indent(line):
    return len(line) - len(line.lstrip())


def block(lines, start):
    """The lines below lines[start] that are indented deeper, without their common indent."""
    inside = []
    for line in lines[start + 1:]:
        if line.strip() and indent(line) <= indent(lines[start]):
            break
        inside.append(line)
    least = min(indent(line) for line in inside if line.strip())
    return "\n".join(line[least:] for line in inside).rstrip() + "\n"


def github_steps():
    """{name: script} of the steps with `run: |`."""
    lines, steps = text_of("github.yml").splitlines(), {}
    for number, line in enumerate(lines):
        named = re.match(r"\s*- name: (\S+)$", line)
        if named:
            run = next(n for n in range(number, len(lines)) if lines[n].strip() == "run: |")
            steps[named.group(1)] = block(lines, run)
    return steps


def gitlab_scripts():
    """{job: script}; an item is a plain scalar or one in single quotes."""
    lines, jobs, job = text_of("gitlab-ci.yml").splitlines(), {}, None
    for number, line in enumerate(lines):
        named = re.match(r"(\w+):$", line)
        job = named.group(1) if named else job
        if line.strip() == "script:":
            items = [item.strip()[2:] for item in block(lines, number).splitlines()]
            jobs[job] = "".join((i[1:-1].replace("''", "'") if i.startswith("'") else i) + "\n"
                                for i in items)
    return jobs


def execute(script, folder, **variables):
    return subprocess.run(["bash", "-e", "-c", script], cwd=folder, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=dict(os.environ, MIGBENCH=MIGBENCH, STREAMS="streams", **variables))


def streams(folder, bad):
    os.mkdir(os.path.join(folder, "streams"))
    for name in GOOD:
        shutil.copy(os.path.join(ROOT, "traces", name), os.path.join(folder, "streams"))
    if bad:
        plain = subprocess.run(["zstd", "-dc", os.path.join(ROOT, "traces", GOOD[0])], check=True,
                               stdout=subprocess.PIPE).stdout
        with open(os.path.join(folder, "streams", "bad.mig"), "wb") as file:
            file.write(plain[:-30])


def failures(path):
    return len(ElementTree.parse(path).getroot().findall("testsuite/testcase/failure"))


def checks(script, bad):
    with tempfile.TemporaryDirectory() as folder:
        streams(folder, bad)
        done = execute(script, folder)
        if (done.returncode != 0) != bad:
            raise tap.Fail(f"exit status {done.returncode}\n{done.stdout}")
        found = failures(os.path.join(folder, "check.xml"))
        if (found > 0) != bad:
            raise tap.Fail(f"{found} failures in JUnit")
        return [f"exit status {done.returncode}, {found} failures"]


def no_step_is_forgotten():
    known = {"install", "check", "matrix"}
    if set(github_steps()) != known or set(gitlab_scripts()) != known - {"install"}:
        raise tap.Fail(f"{sorted(github_steps())}, {sorted(gitlab_scripts())}")


def main():
    rows = [("/ci/steps", no_step_is_forgotten)]
    for system, scripts in (("github", github_steps()), ("gitlab", gitlab_scripts())):
        rows.append((f"/ci/{system}/check/good", checks, scripts["check"], False))
        rows.append((f"/ci/{system}/check/bad", checks, scripts["check"], True))
    return tap.main(rows)


if __name__ == "__main__":
    sys.exit(main())
