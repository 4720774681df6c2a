#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the README shows is what the program prints: every indented `$ migbench ...` whose files are in the tree,
or are made here."""
import os
import shlex
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(os.environ["TRACES"], "gen"))
import tap  # noqa: E402
import walk  # noqa: E402
from tap import Fail  # noqa: E402

MIGBENCH, ROOT = os.environ["MIGBENCH"], os.environ["SOURCE_ROOT"]
PROMPT = "    $ migbench "
FOLDERS = ("docs/", "traces/")
DAMAGED = "damaged.mig"  # a copy of the trace, "somebody changed one byte of a footer"


def examples():
    """(arguments, the lines printed below) of every example that can be run."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        lines = file.read().split("\n")
    for number, line in enumerate(lines):
        arguments = shlex.split(line[len(PROMPT):]) if line.startswith(PROMPT) else []
        if any(a.startswith(FOLDERS) or a == DAMAGED for a in arguments):
            shown = []
            for text in lines[number + 1:]:
                if text and not text.startswith("    "):
                    break
                shown.append(text[4:])
            yield arguments, "\n".join(shown).strip()


def damage(path):
    data = bytearray(walk.read_stream(os.path.join(ROOT, "traces", "none-idle-10.0.mig.zst")))
    footer = data.index(b"\x7e\0\0\0\x03", data.index(b"globalstate"))
    data[footer + 4] = 2
    with open(path, "wb") as file:
        file.write(data)


def prints(arguments, shown):
    with tempfile.TemporaryDirectory() as folder:
        damage(os.path.join(folder, DAMAGED))
        argv = [os.path.join(ROOT, a) if a.startswith(FOLDERS) else a for a in arguments]
        done = subprocess.run([MIGBENCH, *argv], cwd=folder, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)
    if done.stdout.replace("\u00a0", " ").strip() != shown:
        raise Fail(f"the README shows\n{shown}\nand the program prints\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    tap.main((f"/readme/{' '.join(arguments)}", prints, arguments, shown)
             for arguments, shown in examples())
