#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `meson install` leaves: manual pages, completion, the library for a client of 30 lines, data. TAP."""
import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import tap  # noqa: E402

SOURCE, BUILD, TRACES = (os.environ[k] for k in ("SOURCE_ROOT", "BUILD_ROOT", "TRACES"))
CC, SANITIZE = shlex.split(os.environ["CC"]), os.environ["SANITIZE"]
RUNTIME = ([] if SANITIZE == "none" else ["-fsanitize=" + SANITIZE]) \
    + (["--coverage"] if os.environ["COVERAGE"] == "true" else [])
CLIENT = os.path.join(SOURCE, "docs", "examples", "count.c")
OPTION = re.compile(r"^  (?:-\w, )?--([\w-]+)", re.M)


def need(program):
    found = shutil.which(program)
    if not found:
        raise tap.Skip(f"{program} is not installed")
    return found


def run(*argv, env=None, **more):
    done = subprocess.run(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=dict(os.environ, **(env or {})), **more)
    if done.returncode:
        raise tap.Fail(f"{' '.join(argv)}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def same(what, wanted, found):
    if wanted != found:
        raise tap.Fail(f"{what}: expected {wanted}, found {found}")


class Prefix:
    """Everything, installed below a scratch folder."""

    def __init__(self, folder):
        self.root = os.path.join(folder, "root")
        run(need("meson"), "install", "-C", BUILD, "--no-rebuild", "--destdir", self.root)
        self.program = self.one("bin/migbench")
        self.lib = os.path.dirname(self.one("libmigstream.so"))
        self.folder = folder

    def all(self, pattern):
        return sorted(glob.glob(os.path.join(self.root, "**", pattern), recursive=True))

    def one(self, pattern):
        found = self.all(pattern)
        if len(found) != 1:
            raise tap.Fail(f"{pattern} was installed {len(found)} times: {found}")
        return found[0]

    def commands(self):
        block = run(self.program, "--help").partition("Commands:\n")[2].partition("\n\n")[0]
        return [line.split()[0] for line in block.splitlines()]


def manual_pages(prefix):
    """Each command has one, which man shows, with every option that --help has."""
    need("man")
    pages = prefix.all("man1/*.1")
    if not pages:
        raise tap.Skip("built without rst2man (python3-docutils)")
    same("pages", sorted(["migbench.1"] + [f"migbench-{c}.1" for c in prefix.commands()]),
         [os.path.basename(p) for p in pages])
    plain = {"MANPAGER": "cat", "PAGER": "cat", "MANWIDTH": "120", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""}
    for page in pages:
        shown = run("man", "--warnings", "-l", page, env=plain)
        for chapter in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS"):
            if not re.search(f"^{chapter}$", shown, re.M):
                raise tap.Fail(f"{page}: there is no chapter {chapter}\n{shown[:2000]}")
        command = os.path.basename(page)[:-2].partition("-")[2]
        for option in OPTION.findall(run(prefix.program, command, "--help")) if command else ():
            if not option.startswith("help") and "--" + option not in shown:
                raise tap.Fail(f"{page} does not say --{option}")
    found = run("man", "migbench", env=dict(plain, MANPATH=os.path.dirname(os.path.dirname(pages[0]))))
    for command in prefix.commands():
        if f"migbench-{command}(1)" not in found:
            raise tap.Fail(f"man migbench does not list {command}")
    return [f"{len(pages)} pages"]


def candidates(prefix, *words):
    """What bash offers for the last of |words|."""
    script = (f"source {shlex.quote(prefix.one('completions/migbench'))}; shift; COMP_WORDS=(\"$@\"); "
              "COMP_CWORD=$(($# - 1)); _migbench; printf '%s\\n' \"${COMPREPLY[@]}\"")
    out = run(need("bash"), "--norc", "-c", script, "bash", "x", *words, cwd=prefix.folder)
    return sorted(line for line in out.splitlines() if line)


def completion(prefix):
    with open(os.path.join(prefix.folder, "scenario.json"), "w", encoding="utf-8"):
        pass
    offered = candidates(prefix, "migbench", "")
    same("commands", sorted(prefix.commands() + ["--help", "--version"]), offered)
    for command in prefix.commands():
        offered = set(candidates(prefix, "migbench", command, "--"))
        wanted = {"--" + o for o in OPTION.findall(run(prefix.program, command, "--help"))}
        same("options of " + command, {o for o in wanted if not o.startswith("--help")} | {"--help"}, offered)
    same("a file", ["scenario.json"], candidates(prefix, "migbench", "sim", "sc"))
    same("a file behind an option", ["scenario.json"], candidates(prefix, "migbench", "sim", "--result", "sc"))
    formats = ["html", "junit", "ndjson", "tap", "text"]
    same("words", formats, [w for w in candidates(prefix, "migbench", "check", "--format", "") if w in formats])
    same("a word behind =", ["junit"], candidates(prefix, "migbench", "check", "--format", "=", "j"))
    same("words of sweep", ["merge", "missing"], candidates(prefix, "migbench", "sweep", "m"))
    same("options of a word", ["--fraction"], candidates(prefix, "migbench", "sweep", "verify", "--f"))


def client(prefix):
    """pkg-config finds the library, and 30 lines of C count a stream's pages with it."""
    with open(CLIENT, encoding="utf-8") as file:
        same("at most 30 lines", True, len(file.readlines()) <= 30)
    env = {"PKG_CONFIG_SYSROOT_DIR": prefix.root, "PKG_CONFIG_PATH": os.path.dirname(prefix.one("libmigstream.pc")),
           "LD_LIBRARY_PATH": prefix.lib}
    flags = shlex.split(run(need("pkg-config"), "--cflags", "--libs", "libmigstream", env=env))
    program, stream = os.path.join(prefix.folder, "count"), os.path.join(prefix.folder, "stream")
    run(*CC, "-Wall", "-Wextra", "-Werror", CLIENT, "-o", program, *flags, *RUNTIME)
    with open(stream, "wb") as file:
        subprocess.run([need("zstd"), "-dcq", os.path.join(TRACES, "none-idle-7.2.mig.zst")], stdout=file, check=True)
    said = run(prefix.program, "inspect", "--summary", stream)
    normal, zero = re.search(r"ram\s+(\d+) normal\s+(\d+) zero", said).groups()
    same("the client's counts", f"normal {normal} zero {zero}\n", run(program, stream, env=env))
    return [" ".join(flags)]


def program_and_data(prefix):
    example = prefix.one("share/migbench/examples/demo.json")
    if "completed" not in run(prefix.program, "sim", example):
        raise tap.Fail("the installed program does not simulate the installed example")
    for folder in ("examples", "schemas"):
        wanted = {n for n in os.listdir(os.path.join(SOURCE, "docs", folder)) if not n.endswith(".c")}
        found = {os.path.basename(p) for p in prefix.all(f"share/migbench/{folder}/*")}
        same(folder, wanted, found)


def main():
    with tempfile.TemporaryDirectory() as folder:
        try:
            prefix = Prefix(folder)
        except tap.Skip as reason:
            print(f"1..0 # SKIP {reason}")
            return 77
        runner = tap.Tap()
        for test in (manual_pages, completion, client, program_and_data):
            runner.run("/install/" + test.__name__.replace("_", "-"), test, prefix)
        return runner.done()


if __name__ == "__main__":
    sys.exit(main())
