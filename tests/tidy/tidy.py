#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of the tree itself: who may include whom, licence lines, shape and size of files.

Looks at the files that git would commit (the whole folder where there is no git). Prints TAP; every
finding names its file and line.
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.environ.get("SOURCE_ROOT") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

TOP = {"meson.build", "meson_options.txt", "migbench.c", "run", "README.md", "LICENSE", ".ci",
       "stream", "sim", "conformance", "traces", "tests", "docs",
       ".clang-format", ".gitignore", ".gitattributes"}

# Rooms of which files of a room may include headers, itself apart. The longest prefix counts.
MAY_INCLUDE = {
    "stream": (),
    "sim/engine": ("stream",),
    "sim/guest": ("stream", "sim/engine/memory.h", "sim/world/prng.h"),
    "sim/guest/program": (),
    "sim/world": ("stream", "sim/engine", "sim/guest"),
    "sim": ("stream",),
    "conformance": ("stream", "sim"),
    "migbench.c": ("stream", "sim", "conformance"),
    "tests": ("stream", "sim", "conformance", "traces"),
    "traces": (),
    "docs": (),
}

# The guest's own program runs without an operating system and is built from its folder alone.
OWN_FOLDER = "sim/guest/program"

# Of the headers in <>, those that a room must not see: how their names begin.
SYSTEM = (r"sys/|netinet/|arpa/|linux/|gio|netdb\.h|poll\.h|time\.h|unistd\.h|fcntl\.h|dirent\.h"
          r"|signal\.h|pthread\.h|threads\.h|math\.h")
FORBIDDEN = {
    "stream": SYSTEM + r"|glib|gobject",
    "sim/engine": SYSTEM + r"|json|stdio\.h",
    "sim/world": r"math\.h",
    "sim/guest": r"math\.h",
}

# Words of C that a room must not say (comments and strings apart).
FORBIDDEN_CALLS = {
    "stream": r"\b(printf|fprintf|fopen|fread|fwrite|exit|rand|time|clock_gettime)\s*\("
              r"|\b(float|double)\b",
    "sim/engine": r"\b(printf|fprintf|fopen|exit|rand|time|clock_gettime|g_get_monotonic_time"
                  r"|g_get_real_time|g_random_\w+|g_usleep)\s*\(",
}

# Files that may have more than 600 lines, each with its reason.
LONG_FILES = {
    "LICENSE": "the licence",
    "docs/rules.md": "written by migbench rules --format markdown",
    "traces/gen/walk.py": "the second opinion on the format is one file that shares nothing",
}
MAX_LINES = 600
MAX_COLUMNS_C, MAX_COLUMNS_SCRIPT = 100, 120

NO_SPDX = (".json", ".zst", ".xz", ".golden", ".bin", ".mig", ".svg")
SPDX = "SPDX-License-Identifier: Apache-2.0"
PROGRAMS = (".py", ".sh", ".build")
NO_TEXT = (".zst", ".xz", ".bin", ".mig", ".gz")

# A path that exists on one machine only, or an address that installs something from one place.
# Written in two halves so that this file passes its own test.
MACHINE = re.compile("|".join((
    "/ho" + r"me/\w", "/ro" + r"ot/\w", "/Us" + r"ers/\w", "/wo" + r"rk/\w", "/tm" + r"p/w/",
    r"https?://[^\s/]*(?:deb" + r"ian\.org|ubu" + r"ntu\.com|py" + r"pi\.|np" + r"mjs|crat"
    + r"es\.io|pro" + r"xy\.|mir" + r"ror)")))


def files():
    """Paths relative to the root, of everything that git tracks or would."""
    if shutil.which("git") and os.path.exists(os.path.join(ROOT, ".git")):
        # The tree may belong to another user than the one that tests it.
        out = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-co", "-z",
                              "--exclude-standard"], cwd=ROOT, stdout=subprocess.PIPE,
                             check=True).stdout
        names = [n for n in out.decode().split("\0") if n]
    else:
        names = []
        for folder, folders, inside in os.walk(ROOT):
            folders[:] = [f for f in folders if f != "__pycache__" and f != ".git"
                          and not (folder == ROOT and f.startswith("build"))]
            names += [os.path.relpath(os.path.join(folder, f), ROOT) for f in inside]
    return sorted(n for n in names if os.path.isfile(os.path.join(ROOT, n)))


def text(name):
    with open(os.path.join(ROOT, name), encoding="utf-8", errors="replace") as file:
        return file.read()


def lines(name):
    return list(enumerate(text(name).splitlines(), 1))


def is_c(name):
    return name.endswith((".c", ".h"))


def room_of(name, table):
    """The longest key of |table| that is |name| or a folder above it."""
    rooms = [room for room in table if name == room or name.startswith(room + "/")]
    return max(rooms, key=len, default=None)


def code_only(source):
    """|source| with comments and strings blanked out, line numbers kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, source,
                  flags=re.S)


# The tests: each yields its findings ------------------------------------------------------------
def includes_point_one_way(names):
    """stream <- sim <- conformance"""
    for name in filter(is_c, names):
        room = room_of(name, MAY_INCLUDE)
        if room is None:
            yield f"{name}: in no room"
            continue
        for number, line in lines(name):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not match:
                continue
            target = match.group(1)
            if room == OWN_FOLDER and f"{room}/{target}" in names:
                continue
            if "/" not in target or target.startswith("."):
                yield f"{name}:{number}: '{target}' is to be named from the top of the tree"
                continue
            owner = room_of(target, MAY_INCLUDE)
            allowed = (room,) + MAY_INCLUDE[room]
            fine = any(target == a or target.startswith(a + "/") for a in allowed)
            if owner is None or not fine:
                yield f"{name}:{number}: {room} must not know '{target}'"


def system_headers_of_rooms(names):
    for name in filter(is_c, names):
        room = room_of(name, FORBIDDEN)
        if room is None:
            continue
        for number, line in lines(name):
            match = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
            if match and re.match(FORBIDDEN[room], match.group(1)):
                yield f"{name}:{number}: {room} must not know <{match.group(1)}>"


def calls_of_rooms(names):
    for name in filter(is_c, names):
        room = room_of(name, FORBIDDEN_CALLS)
        if room is None:
            continue
        for number, line in enumerate(code_only(text(name)).splitlines(), 1):
            match = re.search(FORBIDDEN_CALLS[room], line)
            if match and not line.lstrip().startswith("#"):
                yield f"{name}:{number}: {room} must not use '{match.group(0).strip('(')}'"


def top_level(names):
    for entry in sorted({n.split("/")[0] for n in names} - TOP):
        yield f"{entry}: nothing else belongs at the top of the tree"


def licence_lines(names):
    for name in names:
        if name == "LICENSE" or name.endswith(NO_SPDX) or name.startswith("tests/fuzz/corpus/"):
            continue
        head = text(name).splitlines()[:2]
        if not any(SPDX in line for line in head):
            yield f"{name}:1: expected '{SPDX}'"


def file_lengths(names):
    for name in names:
        if name.endswith(NO_TEXT) or name.endswith(".json") or name in LONG_FILES \
                or name.startswith("tests/fuzz/corpus/"):
            continue
        count = len(text(name).splitlines())
        if count > MAX_LINES:
            yield f"{name}: {count} lines; at most {MAX_LINES}, or a reason in {__file__}"
    for name in LONG_FILES:
        if name not in names:
            yield f"{name}: has a reason to be long, but is gone"


def line_shape(names):
    for name in names:
        if not (is_c(name) or name.endswith(PROGRAMS) or name in ("run", ".ci/run")):
            continue
        limit = MAX_COLUMNS_C if is_c(name) else MAX_COLUMNS_SCRIPT
        for number, line in lines(name):
            if len(line) > limit:
                yield f"{name}:{number}: {len(line)} columns; at most {limit}"
            if line != line.rstrip():
                yield f"{name}:{number}: blanks at the end"
            if "\t" in line:
                yield f"{name}:{number}: a tabulator"
        if text(name) and not text(name).endswith("\n"):
            yield f"{name}: the last line has no end"


def no_machine_in_the_tree(names):
    for name in names:
        if name.endswith(NO_TEXT) or name == "LICENSE" or name.startswith("tests/fuzz/corpus/"):
            continue
        for number, line in lines(name):
            match = MACHINE.search(line)
            if match:
                yield f"{name}:{number}: '{match.group(0)}' is of one machine only"


def traces_are_small(names):
    total = sum(os.path.getsize(os.path.join(ROOT, n)) for n in names if n.startswith("traces/"))
    if total > 8 << 20:
        yield f"traces: {total} bytes in all; at most {8 << 20}"


def clang_format(names):
    tool = shutil.which("clang-format")
    if not tool:
        raise LookupError("clang-format is not installed")
    sources = [n for n in names if is_c(n)]
    done = subprocess.run([tool, "--dry-run", "-Werror", *sources], cwd=ROOT, text=True,
                          stderr=subprocess.PIPE)
    for line in done.stderr.splitlines():
        if "error:" in line:
            yield line
    if done.returncode and "error:" not in done.stderr:
        yield f"clang-format: exit status {done.returncode}: {done.stderr.strip()}"


TESTS = (
    ("includes/one-way", includes_point_one_way),
    ("includes/system-headers", system_headers_of_rooms),
    ("calls/by-room", calls_of_rooms),
    ("top-level", top_level),
    ("licence-lines", licence_lines),
    ("file-lengths", file_lengths),
    ("line-shape", line_shape),
    ("no-machine", no_machine_in_the_tree),
    ("traces-small", traces_are_small),
    ("clang-format", clang_format),
)


def main():
    names = files()
    print(f"1..{len(TESTS)}")
    failed = 0
    for number, (title, test) in enumerate(TESTS, 1):
        try:
            findings = list(test(names))
        except LookupError as reason:
            print(f"ok {number} - tidy/{title} # SKIP {reason}")
            continue
        failed += bool(findings)
        for finding in findings[:40]:
            print(f"# {finding}")
        print(f"{'not ok' if findings else 'ok'} {number} - tidy/{title}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
