# SPDX-License-Identifier: Apache-2.0
"""Runs a QEMU for the trace scripts: QMP over its standard input and output, qtest over a socket."""
import json
import os
import re
import select
import socket
import subprocess
import time

RUNDIR = os.environ.get("MIGBENCH_RUNDIR", "/tmp/migbench-run")
HERE = os.path.dirname(os.path.abspath(__file__))


class QemuError(Exception):
    pass


_peers = None


def peers():
    """{version as "major.minor": (full version, path)} of the emulators that peers.sh knows."""
    global _peers
    if _peers is None:
        _peers = {}
        out = subprocess.run([os.path.join(HERE, "peers.sh"), "list"], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
        for line in out.splitlines():
            version, path = line.split(" ", 1)
            _peers.setdefault(".".join(version.split(".")[:2]), (version, path))
    return _peers


def package_version(path):
    """Debian's version of the package, as the emulator itself prints it."""
    out = subprocess.run([path, "--version"], check=True, text=True, stdout=subprocess.PIPE).stdout
    found = re.search(r"\(Debian ([^)]*)\)", out)
    return found.group(1) if found else ""


class Qemu:
    def __init__(self, path, argv, qtest=False, name="qemu", pass_fds=()):
        os.makedirs(RUNDIR, exist_ok=True)
        self.name = name
        self.buffer = b""
        self.events = []
        self.qtest_socket = None
        argv = list(argv)
        listener = None
        if qtest:
            sock = os.path.join(RUNDIR, f"qtest-{os.getpid()}-{id(self)}.sock")
            if os.path.exists(sock):
                os.unlink(sock)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(sock)
            listener.listen(1)
            argv += ["-qtest", f"unix:{sock}", "-qtest-log", "/dev/null"]
        self.log = open(os.path.join(RUNDIR, f"{name}-{os.getpid()}.log"), "w+b")
        self.process = subprocess.Popen([path] + argv + ["-qmp", "stdio"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, pass_fds=pass_fds)
        if listener:
            listener.settimeout(20)
            self.qtest_socket, _ = listener.accept()
            listener.close()
            os.unlink(sock)
        self.receive(lambda m: "QMP" in m)
        self.qmp("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.stop()

    def error_text(self):
        self.log.flush()
        with open(self.log.name, "rb") as f:
            return f.read().decode(errors="replace").strip()

    # QMP -----------------------------------------------------------------
    def receive(self, wanted, timeout=60):
        end = time.monotonic() + timeout
        while True:
            while b"\n" in self.buffer:
                line, self.buffer = self.buffer.split(b"\n", 1)
                if b"{" not in line:  # the progress of an incoming block migration goes here, too
                    continue
                message = json.loads(line[line.index(b"{"):])
                if wanted(message):
                    return message
                if "event" in message:
                    self.events.append(message)
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise QemuError(f"{self.name}: no answer within {timeout} s; {self.error_text()}")
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                raise QemuError(f"{self.name}: ended; {self.error_text()}")
            self.buffer += piece

    def qmp(self, command, timeout=60, **arguments):
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        message = {"execute": command}
        if arguments:
            message["arguments"] = arguments
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()
        answer = self.receive(lambda m: "return" in m or "error" in m, timeout)
        if "error" in answer:
            raise QemuError(f"{self.name}: {command}: {answer['error']['desc']}")
        return answer["return"]

    def status(self):
        return self.qmp("query-migrate")

    def wait_status(self, wanted, timeout=120, poll=0.01, bad=("failed", "cancelled")):
        end = time.monotonic() + timeout
        while True:
            answer = self.status()
            status = answer.get("status")
            if status in wanted:
                return answer
            if status in bad:
                raise QemuError(f"{self.name}: migration {status}: {answer.get('error-desc', '')} "
                                f"{self.error_text()}")
            if time.monotonic() > end:
                raise QemuError(f"{self.name}: still {status} after {timeout} s")
            time.sleep(poll)

    def set_capabilities(self, names, state=True):
        if names:
            self.qmp("migrate-set-capabilities",
                     capabilities=[{"capability": n, "state": state} for n in names])

    def set_parameters(self, parameters):
        if parameters:
            self.qmp("migrate-set-parameters", **parameters)

    # qtest ---------------------------------------------------------------
    def qtest(self, line):
        self.qtest_socket.sendall(line.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            piece = self.qtest_socket.recv(4096)
            if not piece:
                raise QemuError(f"{self.name}: qtest ended; {self.error_text()}")
            answer += piece
        if not answer.startswith(b"OK"):
            raise QemuError(f"{self.name}: qtest '{line}': {answer.decode().strip()}")
        return answer.decode().strip()

    def fill(self, address, length, byte):
        self.qtest(f"memset {address:#x} {length:#x} {byte:#x}")

    # end -----------------------------------------------------------------
    def stop(self):
        if self.process.poll() is None:
            try:
                self.qmp("quit", timeout=5)
                self.process.wait(10)
            except (QemuError, OSError, subprocess.TimeoutExpired, ValueError):
                self.process.kill()
        self.process.wait()
        for f in (self.process.stdin, self.process.stdout, self.log):
            try:
                f.close()
            except OSError:
                pass
        if self.qtest_socket:
            self.qtest_socket.close()
        try:
            os.unlink(self.log.name)
        except OSError:
            pass
