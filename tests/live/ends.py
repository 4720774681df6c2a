# SPDX-License-Identifier: Apache-2.0
"""The two ends of a live migration, for tests: our program in the background, and how to connect it
with a peer over each transport.

A transport is (our URI, the peer's URI, descriptors for us, descriptors for the peer, two-way).
"""
import json
import os
import socket
import subprocess

import peer
import walk

MIB = 1 << 20
TWO_WAY = ("tcp", "unix", "fd")  # transports that can have a return path


class Program:
    """Our program, running. Dies with its `with` block."""

    def __init__(self, *arguments, fds=(), env=None):
        self.arguments = arguments
        self.process = subprocess.Popen([peer.MIGBENCH, *arguments], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        pass_fds=fds, env=env)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def listening(self):
        """Waits until it listens; returns the address."""
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            raise peer.Fail(f"{self.arguments[0]}: {line}{self.process.communicate()[0]}")
        return line.split(" ", 2)[2].strip()

    def finish(self, status=0):
        """Waits for its end; returns what it printed."""
        try:
            out = self.process.communicate(timeout=peer.PATIENCE)[0]
        except subprocess.TimeoutExpired:
            raise peer.Fail(f"migbench {self.arguments[0]} hangs") from None
        if self.process.returncode != status:
            raise peer.Fail(f"migbench {' '.join(self.arguments)}: exit status "
                            f"{self.process.returncode}, expected {status}\n{out}")
        return out


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Wire:
    """What connects two ends: the URIs `source` and `dest`. Closes its descriptors in the end."""

    def __init__(self, kind, folder):
        self.kind, self.sockets = kind, []
        path = os.path.join(folder, f"wire-{kind}")
        if os.path.exists(path):
            os.unlink(path)
        if kind == "tcp":
            self.source = self.dest = f"tcp:127.0.0.1:{free_port()}"
        elif kind == "unix":
            self.source = self.dest = f"unix:{path}"
        elif kind == "exec":
            os.mkfifo(path)
            self.source, self.dest = f"exec:cat > {path}", f"exec:cat {path}"
        elif kind == "fd":
            self.sockets = socket.socketpair()
            self.source, self.dest = (f"fd:{s.fileno()}" for s in self.sockets)
        else:
            self.source = f"file:{path}"
            self.dest = f"file:{path}"
        self.path = path

    @property
    def source_fds(self):
        return [s.fileno() for s in self.sockets[:1]]

    @property
    def dest_fds(self):
        return [s.fileno() for s in self.sockets[1:]]

    def migrate(self, qemu, monitor):
        """Has |qemu| migrate to us. It takes a descriptor only by name, from a monitor that is a
        socket: the one at |monitor|, if need be."""
        if self.kind != "fd":
            qemu.qmp("migrate", uri=self.source)
            return
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(monitor)
            lines = control.makefile("rw")
            lines.readline()
            for command in ("qmp_capabilities", None, "migrate"):
                if command is None:
                    message = {"execute": "getfd", "arguments": {"fdname": "wire"}}
                    socket.send_fds(control, [json.dumps(message).encode()], [self.sockets[0].fileno()])
                else:
                    message = {"execute": command}
                    if command == "migrate":
                        message["arguments"] = {"uri": "fd:wire"}
                    lines.write(json.dumps(message))
                    lines.flush()
                answer = {"event": 1}
                while "event" in answer:
                    answer = json.loads(lines.readline())
                if "return" not in answer:
                    raise peer.Fail(f"{command}: {answer}")

    def handed_over(self):
        for s in self.sockets:
            s.close()
        self.sockets = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.handed_over()
        if os.path.exists(self.path):
            os.unlink(self.path)


def scenario(version, machine, blocks, capabilities, parameters=None):
    """Blocks: [(name, bytes)]. Half of each is random; a few pages are rewritten and blanked all
    the time, until enough passes have been made and the downtime is raised."""
    ram = [{"name": name, "size": size,
            "content": [{"offset": 0, "length": size // 2, "kind": "random"}]}
           for name, size in blocks]
    workload = [{"block": name, "offset": size // 4, "length": "1M", "pattern": "random",
                 "rate": 20000, "pace": "clock", "write": write}
                for name, size in blocks for write in ("page", "zero", "counter")]
    return {"schema": "migbench-scenario-1", "qemu": version, "seed": 20,
            "guest": {"machine": machine, "ram": ram, "workload": workload},
            "capabilities": {name: True for name in capabilities},
            "parameters": {"downtime-limit": 1, "max-bandwidth": 25000000} | (parameters or {}),
            "events": [{"after-pass": 6, "do": "migrate-set-parameters",
                        "arguments": {"downtime-limit": 300}}],
            "limit": "60s"}


def save(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file)
    return path


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def expect_no_leak(result, lent=0):
    """|lent| descriptors were handed to it, which it closes."""
    wire = result["x-transport"]
    if wire["descriptors-after"] != wire["descriptors-before"] - lent:
        raise peer.Fail(f"descriptors: {wire['descriptors-before']} before, "
                        f"{wire['descriptors-after']} after")


def expect_pages_turned(stream, blocks):
    """In each block a page was sent full, then zero, then full again."""
    walker = walk.Walker(stream).walk()
    history = {}  # of each page, without what repeats
    for block, page, kind in walker.page_order:
        sent = history.setdefault((block, page), [])
        if not sent or sent[-1] != (kind == "zero"):
            sent.append(kind == "zero")
    for name, _ in blocks:
        turns = [h for (block, _), h in history.items() if block == name]
        if not any(h[n:n + 3] == [False, True, False] for h in turns for n in range(len(h))):
            raise peer.Fail(f"no page of '{name}' turned zero and back")
