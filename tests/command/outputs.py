#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What commands write: no device or link is replaced, no input lost, and what could not be written is said."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402
from tap import Fail  # noqa: E402

MIGBENCH, ROOT, TRACES = (os.environ[name] for name in ("MIGBENCH", "SOURCE_ROOT", "TRACES"))
SCENARIO = os.path.join(ROOT, "docs", "examples", "two-blocks.json")
SWEEP = os.path.join(ROOT, "docs", "examples", "sweep-demo.json")
STREAM = os.path.join(TRACES, "none-idle-10.0.mig.zst")

# Arguments that write OUT.
WRITERS = {
    "sim-result": ["sim", "--accounting", SCENARIO, "--result", "OUT"],
    "sim-stream": ["sim", SCENARIO, "--stream", "OUT"],
    "sim-timeline": ["sim", "--accounting", SCENARIO, "--timeline", "OUT"],
    "sim-report": ["sim", "--accounting", SCENARIO, "--report", "OUT"],
    "sim-runs": ["sim", SCENARIO, "--runs", "2", "--result", "OUT"],
    "sim-dump": ["sim", SCENARIO, "--dump", "more=OUT"],
    "check": ["check", STREAM, "-o", "OUT"],
    "recode": ["recode", STREAM, "-o", "OUT"],
    "scrub": ["scrub", STREAM, "--key", "k", "-o", "OUT"],
    "expand": ["sweep", "expand", SWEEP, "-o", "OUT"],
}

# Arguments that would lose IN (a copy of the file beside the name).
LOSERS = {
    "sim-result": (SCENARIO, ["sim", "IN", "--result", "IN"]),
    "sim-other-spelling": (SCENARIO, ["sim", "IN", "--stream", "../FOLDER/IN"]),
    "sim-two-outputs": (SCENARIO, ["sim", "IN", "--result", "new", "--timeline", "./new"]),
    "check": (STREAM, ["check", "IN", "-o", "IN"]),
    "extract": (STREAM, ["extract", "IN", "--block", "m0", "-o", "IN"]),
    "recode": (STREAM, ["recode", "IN", "-o", "IN"]),
    "scrub": (STREAM, ["scrub", "IN", "-o", "IN"]),
    "scrub-offset": (STREAM, ["scrub", "file:IN,offset=0", "-o", "./IN"]),
    "report": (SCENARIO, ["report", "IN", "-o", "IN"]),
    "sweep-report": (SWEEP, ["sweep", "IN", "-o", "new", "--report", "new"]),
    "sweep-spec": (SWEEP, ["sweep", "IN", "--resume", "-o", "IN"]),
    "csv": (SWEEP, ["sweep", "csv", "IN", "-o", "IN"]),
    "import": (STREAM, ["record", "--import", "IN", "-o", "IN"]),
    "source": (SCENARIO, ["source", "--scenario", "IN", "--uri", "unix:nobody", "--result", "IN"]),
}


# Arguments that write OUT while they wait for standard input.
WAITERS = {
    "check": ["check", "-", "-o", "OUT"],
    "extract": ["extract", "-", "--block", "m0", "-o", "OUT"],
    "recode": ["recode", "-", "-o", "OUT"],
    "scrub": ["scrub", "-", "-o", "OUT"],
}


def run(arguments, folder, **more):
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.run([MIGBENCH, *arguments], cwd=folder, check=False, timeout=250, **more)


def written(arguments, folder):
    """What |arguments| write to a file of its own."""
    done = run([a.replace("OUT", "file") for a in arguments], folder)
    path = os.path.join(folder, "file")
    if done.returncode != 0 and not os.path.exists(path):
        raise Fail(done.stderr.decode())
    with open(path, "rb") as file:
        return file.read()


def same(name, got, wanted):
    """Names of files and times are in some reports."""
    if len(got) < len(wanted) - 100 or got[:16] != wanted[:16]:
        raise Fail(f"{name}: {len(got)} bytes for {len(wanted)}")


def keeps_fifo(name, arguments):
    with tempfile.TemporaryDirectory() as folder:
        wanted, got = written(arguments, folder), []
        path = os.path.join(folder, "fifo")
        os.mkfifo(path)

        def read():
            with open(path, "rb") as file:
                got.append(file.read())

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        done = run([a.replace("OUT", "fifo") for a in arguments], folder)
        if done.returncode == 4 or not os.path.exists(path) or os.path.isfile(path):
            raise Fail(f"exit status {done.returncode}, a FIFO no more\n{done.stderr.decode()}")
        reader.join(60)
        same(name, got[0], wanted)


def keeps_link(name, arguments):
    with tempfile.TemporaryDirectory() as folder:
        wanted, target = written(arguments, folder), os.path.join(folder, "target")
        with open(target, "w", encoding="ascii") as file:
            file.write("old")
        link = os.path.join(folder, "link")
        os.symlink("target", link)
        run([a.replace("OUT", "link") for a in arguments], folder)
        if not os.path.islink(link):
            raise Fail("the link was replaced")
        with open(target, "rb") as file:
            same(name, file.read(), wanted)


def refuses_folder(_name, arguments):
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "there"))
        done = run([a.replace("OUT", "there") for a in arguments], folder)
        if done.returncode != 4 or b"there: Is a directory" not in done.stderr:
            raise Fail(f"exit status {done.returncode}: {done.stderr.decode()}")
        if os.listdir(folder) != ["there"]:
            raise Fail(f"left behind: {os.listdir(folder)}")


def leaves_nothing(number, arguments):
    """Ended by a signal in the middle of its work: by that signal, and what it wrote is gone."""
    with tempfile.TemporaryDirectory() as folder:
        stream = written(["recode", STREAM, "-o", "OUT"], folder)
        os.unlink(os.path.join(folder, "file"))
        # nohup's children ignore a signal, and so does whom they start.
        with subprocess.Popen([MIGBENCH, *(a.replace("OUT", "file") for a in arguments)], cwd=folder,
                              stdin=subprocess.PIPE,
                              preexec_fn=lambda: signal.signal(number, signal.SIG_DFL)) as process:
            process.stdin.write(stream[:20000])
            process.stdin.flush()
            while not os.listdir(folder) and process.poll() is None:
                time.sleep(0.01)
            process.send_signal(number)
            status = process.wait(60)
        if status != -number or os.listdir(folder):
            raise Fail(f"exit status {status}, left behind: {os.listdir(folder)}")


def loses_nothing(original, arguments):
    with tempfile.TemporaryDirectory() as folder:
        path, base = os.path.join(folder, "in"), os.path.basename(folder)
        with open(original, "rb") as file:
            before = file.read()
        with open(path, "wb") as file:
            file.write(before)
        done = run([a.replace("FOLDER", base).replace("IN", "in") for a in arguments], folder)
        with open(path, "rb") as file:
            after = file.read()
        if done.returncode != 2 or b"are the same file" not in done.stderr or after != before:
            raise Fail(f"exit status {done.returncode}, {len(after)} bytes for {len(before)}: {done.stderr.decode()}")
        if os.listdir(folder) != ["in"]:
            raise Fail(f"left behind: {os.listdir(folder)}")


def says_full(arguments):
    if not os.path.exists("/dev/full"):
        raise tap.Skip("no /dev/full")
    with open("/dev/full", "wb") as full:
        done = run(arguments, ROOT, stdout=full)
    if done.returncode != 4 or b"cannot write standard output" not in done.stderr:
        raise Fail(f"exit status {done.returncode}: {done.stderr.decode()}")


def closed_stdout():
    """Not a word of the summary is in the file that would be descriptor 1."""
    with tempfile.TemporaryDirectory() as folder:
        done = run(["sim", "--accounting", SCENARIO, "--result", "r.json"], folder, stdout=None,
                   preexec_fn=lambda: os.close(1))
        with open(os.path.join(folder, "r.json"), encoding="utf-8") as file:
            json.load(file)
        if done.returncode != 4 or b"cannot write standard output" not in done.stderr:
            raise Fail(f"exit status {done.returncode}: {done.stderr.decode()}")


def plain_locale():
    """Text is UTF-8 where the environment says nothing."""
    with tempfile.TemporaryDirectory() as folder:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG"))}
        done = run(["sim", "--accounting", SCENARIO, "--set", "description=Grün", "--result", "r.json"],
                   folder, env={**env, "LC_ALL": "C"})
        if done.returncode != 0:
            raise Fail(done.stderr.decode())
        with open(os.path.join(folder, "r.json"), encoding="utf-8") as file:
            if json.load(file)["description"] != "Grün":
                raise Fail("the description is another")


def results_to_stdout():
    """A result on standard output is alone there."""
    for arguments in (["sim", "--accounting", SCENARIO], ["sim", SCENARIO, "--runs", "2"],
                      ["source", "--scenario", SCENARIO, "--uri", "exec:cat >/dev/null"]):
        for name in ("-", "/dev/stdout"):
            done = run([*arguments, "--result", name], ROOT)
            json.loads(done.stdout)
            if done.returncode != 0 or not done.stderr:
                raise Fail(f"{arguments[0]}: exit status {done.returncode}: {done.stderr.decode()}")
    both = run(["sim", SCENARIO, "--result", "-", "--stream", "-"], ROOT)
    if both.returncode != 2 or both.stdout:
        raise Fail("two outputs went to standard output")


def other_names():
    """Names of files that are no UTF-8 are taken, and the JSON that names them is UTF-8."""
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(os.fsencode(folder), b"n\xff.json")
        with open(SCENARIO, "rb") as file, open(name, "wb") as copy:
            copy.write(file.read())
        done = run(["sim", "--accounting", name, "--result", b"r\xfe.json"], folder)
        if done.returncode != 0:
            raise Fail(done.stderr.decode(errors="replace"))
        with open(os.path.join(os.fsencode(folder), b"r\xfe.json"), encoding="utf-8") as file:
            json.load(file)


def tests():
    for name, arguments in WRITERS.items():
        yield f"/outputs/keeps-fifo/{name}", keeps_fifo, name, arguments
        yield f"/outputs/keeps-link/{name}", keeps_link, name, arguments
        yield f"/outputs/refuses-folder/{name}", refuses_folder, name, arguments
    for name, arguments in WAITERS.items():
        yield f"/outputs/leaves-nothing/{name}", leaves_nothing, signal.SIGINT, arguments
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        yield f"/outputs/leaves-nothing/{number.name}", leaves_nothing, number, WAITERS["recode"]
    for name, (original, arguments) in LOSERS.items():
        yield f"/outputs/loses-nothing/{name}", loses_nothing, original, arguments
    for arguments in (["rules"], ["inspect", STREAM], ["check", STREAM], ["diff", STREAM, STREAM],
                      ["sim", "--accounting", SCENARIO], ["--version"]):
        yield f"/outputs/says-full/{arguments[0].strip('-')}", says_full, arguments
    yield "/outputs/closed-stdout", closed_stdout
    yield "/outputs/plain-locale", plain_locale
    yield "/outputs/other-names", other_names
    yield "/outputs/results-to-stdout", results_to_stdout


if __name__ == "__main__":
    tap.main(tests())
