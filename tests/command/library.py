#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libmigstream as others get it: installed, found by pkg-config, used from C, C++, Python and Rust. TAP."""
import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402
from tap import Fail, Skip  # noqa: E402

SOURCE, BUILD, TRACES = (os.environ[k] for k in ("SOURCE_ROOT", "BUILD_ROOT", "TRACES"))
CC = shlex.split(os.environ["CC"])
SANITIZE, COVERAGE = os.environ["SANITIZE"], os.environ["COVERAGE"] == "true"
CLIENT = os.path.join(SOURCE, "docs/examples/client.c")
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
# A program that links a library of such a build needs the same runtime.
RUNTIME = ([] if SANITIZE == "none" else ["-fsanitize=" + SANITIZE]) + (["--coverage"] if COVERAGE else [])
TRACE = "none-idle-7.2"


def run(*argv, **more):
    done = subprocess.run(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **more)
    if done.returncode:
        raise Fail(f"{' '.join(argv)}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def need(program):
    found = shutil.which(program)
    if not found:
        raise Skip(f"{program} is not installed")
    return found


class Installed:
    """The library in a scratch folder, and a stream to try it on."""

    def __init__(self, folder):
        self.folder = folder
        run(need("meson"), "install", "-C", BUILD, "--no-rebuild", "--destdir", os.path.join(folder, "root"),
            "--tags", "devel,runtime")
        self.pc = self.one("libmigstream.pc")
        self.include = os.path.dirname(self.one("libmigstream.h"))
        self.lib = os.path.dirname(self.one("libmigstream.so"))
        self.env = dict(os.environ, PKG_CONFIG_SYSROOT_DIR=os.path.join(folder, "root"),
                        PKG_CONFIG_PATH=os.path.dirname(self.pc), LD_LIBRARY_PATH=self.lib)
        self.stream = os.path.join(folder, "stream")
        with open(self.stream, "wb") as f:
            subprocess.run([need("zstd"), "-dcq", os.path.join(TRACES, TRACE + ".mig.zst")], stdout=f, check=True)
        # The order of records and their numbers, by the program that has the library in itself.
        out = run(os.environ["MIGBENCH"], "inspect", "--format", "ndjson", self.stream)
        self.records = re.findall(r'^{"type":"record","record":"([^"]*)"', out, re.M)
        if len(self.records) < 10:
            raise Fail(f"inspect shows {len(self.records)} records of {TRACE}")

    def one(self, name):
        found = glob.glob(os.path.join(self.folder, "root", "**", name), recursive=True)
        if len(found) != 1:
            raise Fail(f"{name} was installed {len(found)} times: {found}")
        return found[0]

    def flags(self, *options):
        return shlex.split(run(need("pkg-config"), *options, "libmigstream", env=self.env))

    def headers(self):
        return sorted(glob.glob(os.path.join(self.include, "**", "*.h"), recursive=True))

    def path(self, name):
        return os.path.join(self.folder, name)


def same(what, wanted, found):
    if wanted != found:
        raise Fail(f"{what}: expected {wanted}, found {found}")


def check_client(lib, program):
    out = run(program, lib.stream, env=lib.env)
    wanted = {name: lib.records.count(name) for name in lib.records}
    wanted["encoded differently"] = 0
    same("the client's counts", wanted, {k: int(v) for k, v in re.findall(r"^(.*) (\d+)$", out, re.M)})


def test_c(lib):
    program = lib.path("client-c")
    run(*CC, "-std=c11", "-pedantic", *WARNINGS, CLIENT, "-o", program, *lib.flags("--cflags", "--libs"), *RUNTIME)
    check_client(lib, program)


def test_cxx(lib):
    own = "clang++" if "clang" in os.path.basename(CC[-1]) else "g++"
    found = [c for c in ([own] if RUNTIME else ["g++", "clang++"]) if shutil.which(c)]
    if not found:
        raise Skip("there is no C++ compiler")
    for cxx in found:
        program = lib.path("client-" + cxx)
        run(cxx, "-x", "c++", "-std=c++11", *WARNINGS, CLIENT, "-o", program, *lib.flags("--cflags", "--libs"),
            *RUNTIME)
        check_client(lib, program)


def test_static(lib):
    program = lib.path("client-static")
    flags = lib.flags("--static", "--cflags", "--libs")
    flags = ["-l:libmigstream.a" if f == "-lmigstream" else f for f in flags]
    run(*CC, *WARNINGS, CLIENT, "-o", program, *flags, *RUNTIME)
    if "migstream" in run(need("readelf"), "-d", program):
        raise Fail("the program still wants the shared library")
    check_client(lib, program)


def test_damaged(lib):
    """The same answer as migbench's about a stream that is cut off."""
    program = lib.path("client-c")
    if not os.path.exists(program):
        raise Skip("the C client was not built")
    with open(lib.stream, "rb") as f:
        data = f.read()
    with open(lib.path("cut"), "wb") as f:
        f.write(data[:len(data) // 2])
    done = subprocess.run([program, lib.path("cut")], text=True, stdout=subprocess.PIPE, env=lib.env, check=False)
    same("exit status", 1, done.returncode)
    if not re.search(r"^offset \d+, \S+: expected .*, found end of stream$", done.stdout, re.M):
        raise Fail(f"no diagnosis of a cut stream:\n{done.stdout}")


def test_headers_alone(lib):
    """Each header can be included alone and twice, and brings in nothing but the standard library's."""
    same("headers", True, len(lib.headers()) > 10)
    for header in lib.headers():
        name = os.path.relpath(header, lib.include)
        code = f'#include "{name}"\n#include "{name}"\nint main(void) {{ return 0; }}\n'
        run(*CC, "-std=c11", "-pedantic", *WARNINGS, "-fsyntax-only", "-x", "c", "-", *lib.flags("--cflags"),
            input=code)
        with open(header, encoding="utf-8") as f:
            for included in re.findall(r'^\s*#\s*include\s*([<"].*[>"])', f.read(), re.M):
                if included not in ("<stdbool.h>", "<stddef.h>", "<stdint.h>", "<string.h>") and \
                        not os.path.exists(os.path.join(lib.include, included.strip('"'))):
                    raise Fail(f"{name} includes {included}, which is not installed and not of the C library")


def test_umbrella(lib):
    with open(os.path.join(lib.include, "libmigstream.h"), encoding="utf-8") as f:
        included = set(re.findall(r'#include "(.*)"', f.read()))
    same("headers in libmigstream.h", {os.path.relpath(h, lib.include) for h in lib.headers()}, included
         | {"libmigstream.h"})


def test_no_internals(lib):
    for name in (os.path.basename(h) for h in lib.headers()):
        if "internal" in name or name in ("bytes.h", "json-scan.h"):
            raise Fail(f"{name} is installed")


def test_symbols(lib):
    shared = os.path.join(lib.lib, "libmigstream.so")
    out = run(need("nm"), "-D", "--defined-only", shared)
    found = {line.split()[-1] for line in out.splitlines()}
    declared = set(run(sys.executable, os.path.join(SOURCE, "stream/exports.py"), "--names",
                       *lib.headers()).split())
    same("no other prefix than mig_ is declared", [], sorted(n for n in declared if not n.startswith("mig_")))
    same("declared, but not in the library", [], sorted(declared - found))
    same("in the library, but not declared", [], sorted(found - declared))


def test_archive_symbols(lib):
    out = run(need("nm"), "-g", "--defined-only", os.path.join(lib.lib, "libmigstream.a"))
    names = {line.split()[-1] for line in out.splitlines() if len(line.split()) == 3}
    if SANITIZE != "none" or COVERAGE:
        names = {n for n in names if not n.startswith(("__asan", "__odr_asan", "__ubsan", "__gcov"))}
    same("symbols without mig_", [], sorted(n for n in names if not n.startswith("mig_")))
    same("symbols at all", True, len(names) > 50)


def test_soname(lib):
    version = run(need("pkg-config"), "--modversion", "libmigstream", env=lib.env).strip()
    major, minor, _ = version.split(".")
    wanted = f"libmigstream.so.{'0.' + minor if major == '0' else major}"
    found = re.search(r"SONAME.*\[(.*)\]", run(need("readelf"), "-d", os.path.join(lib.lib, "libmigstream.so")))
    same("soname", wanted, found and found.group(1))
    with open(os.path.join(SOURCE, "docs/library.md"), encoding="utf-8") as f:
        same("soname in docs/library.md", {wanted}, set(re.findall(r"libmigstream\.so\.[\d.]*\d", f.read())))


def example(language):
    with open(os.path.join(SOURCE, "docs/library.md"), encoding="utf-8") as f:
        return re.search(rf"```{language}\n(.*?)```", f.read(), re.S).group(1)


def test_python(lib):
    if SANITIZE != "none":
        raise Skip("Python can't load a library that is built with sanitizers")
    out = run(sys.executable, "-c", example("python"), lib.stream, env=lib.env)
    same("records", lib.records, out.split())


def test_rust(lib):
    rustc = need("rustc")
    if RUNTIME:
        raise Skip("rustc would need the runtime of sanitizers or coverage")
    source, program = lib.path("main.rs"), lib.path("client-rust")
    with open(source, "w", encoding="utf-8") as f:
        f.write(example("rust"))
    run(rustc, "-L", lib.lib, "-o", program, source, cwd=lib.folder)
    same("records", lib.records, run(program, lib.stream, env=lib.env).split())


TESTS = (("c11-pedantic", test_c), ("c++", test_cxx), ("static", test_static), ("damaged", test_damaged),
         ("headers/alone", test_headers_alone), ("headers/umbrella", test_umbrella),
         ("headers/no-internals", test_no_internals), ("symbols/shared", test_symbols),
         ("symbols/archive", test_archive_symbols), ("soname", test_soname), ("python", test_python),
         ("rust", test_rust))


def main():
    with tempfile.TemporaryDirectory(prefix="migbench-library-") as folder:
        try:
            lib = Installed(folder)
        except Skip as reason:
            print(f"1..0 # SKIP {reason}")
            return
        tap.main(("library/" + name, test, lib) for name, test in TESTS)


if __name__ == "__main__":
    main()
