# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, driven through the DevTools protocol over a pair of pipes (standard library only)."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find():
    """The path of a Chromium, or None."""
    return next((p for p in map(shutil.which, PROGRAMS) if p), None)


class BrowserError(Exception):
    pass


class Browser:
    """One browser, for use with `with`. `complaints` collects what pages print and throw, and every request
    for something that isn't the page."""

    def __init__(self, patience=120):
        self.patience, self.number, self.buffer = patience, 0, b""
        self.complaints, self.events = [], []

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="migbench-browser-")
        ours, theirs = os.pipe(), os.pipe()  # to the browser: its descriptor 3; from it: 4

        def prepare():
            for wanted, fd in ((3, os.dup(ours[0])), (4, os.dup(theirs[1]))):
                os.dup2(fd, wanted)

        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen(
            [find(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--remote-debugging-pipe", "--no-first-run", "--disable-extensions", "--disable-background-networking",
             "--disable-component-update", "--force-color-profile=srgb", "--user-data-dir=" + self.folder,
             "about:blank"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, preexec_fn=prepare,
            close_fds=False, env=dict(os.environ, HOME=self.folder))
        os.close(ours[0])
        os.close(theirs[1])
        self.to, self.fro = ours[1], theirs[0]
        return self

    def __exit__(self, *_):
        os.close(self.to)
        os.close(self.fro)
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # Messages: JSON, each ended by a zero byte --------------------------------------------------
    def message(self, until):
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.fro], [], [], max(0, until - time.monotonic()))
            data = os.read(self.fro, 1 << 20) if ready else None
            if not data:
                with open(self.log.name, errors="replace") as log:
                    raise BrowserError(("it has ended:\n" if ready else "no answer:\n") + log.read()[-2000:])
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(line)

    def call(self, method, session=None, **parameters):
        """Does it and returns the result; events on the way are kept."""
        self.number += 1
        request = {"id": self.number, "method": method, "params": parameters}
        if session:
            request["sessionId"] = session
        os.write(self.to, json.dumps(request).encode() + b"\0")
        until = time.monotonic() + self.patience
        while True:
            answer = self.message(until)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.note(answer)

    def wait(self, method):
        until = time.monotonic() + self.patience
        while not any(e["method"] == method for e in self.events):
            self.note(self.message(until))

    def note(self, event):
        method, p = event.get("method"), event.get("params", {})
        self.events.append(event)
        if method == "Runtime.exceptionThrown":
            details = p["exceptionDetails"]
            self.complaints.append("exception: " + details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(f"console: {p['type']}: " + " ".join(str(a.get("value")) for a in p["args"]))
        elif method == "Log.entryAdded":
            self.complaints.append(f"log: {p['entry']['level']}: {p['entry']['text']}")
        elif method == "Network.requestWillBeSent" and p["request"]["url"] != self.address \
                and not p["request"]["url"].startswith("data:"):
            self.complaints.append("request: " + p["request"]["url"])


class Page:
    """A file, opened in |browser|; dark: with the dark colour scheme."""

    def __init__(self, browser, path, dark=False, width=1280, height=1600):
        self.browser = browser
        browser.address, browser.complaints, browser.events = "file://" + os.path.abspath(path), [], []
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=False)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Page.navigate", url=browser.address)
        browser.wait("Page.loadEventFired")

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def value(self, expression):
        """What the JavaScript |expression| is."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise BrowserError(result["exceptionDetails"].get("exception", {}).get("description", expression))
        return result["result"].get("value")

    def save(self, method, path, **parameters):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call(method, **parameters)["data"]))

    def screenshot(self, path):
        self.save("Page.captureScreenshot", path, format="png", captureBeyondViewport=True)

    def pdf(self, path):
        self.save("Page.printToPDF", path, printBackground=True)
