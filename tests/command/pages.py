#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pages in a real browser: they draw what they should, fetch nothing and complain about nothing. TAP.

Screenshots are kept in the build folder, below screenshots/.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import browser  # noqa: E402
import tap  # noqa: E402

MIGBENCH, TRACES, SOURCE = (os.environ[k] for k in ("MIGBENCH", "TRACES", "SOURCE_ROOT"))
EXAMPLES = os.path.join(SOURCE, "docs", "examples")
SCREENSHOTS = os.path.join(os.environ["BUILD_ROOT"], "screenshots")

# The canvases that hold more than one colour, by the heading above them.
DRAWN = """
[...document.querySelectorAll('canvas')].map((canvas) => {
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const colours = new Set();
  for (let i = 0; i < pixels.length; i += 4) {
    colours.add((pixels[i] << 24 | pixels[i + 1] << 16 | pixels[i + 2] << 8 | pixels[i + 3]) >>> 0);
  }
  return [canvas.closest('figure').querySelector('h3').textContent, colours.size];
})
"""
TEXT = "document.body.innerText"


def migbench(*arguments, statuses=(0,)):
    done = subprocess.run([MIGBENCH, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode not in statuses:
        raise tap.Fail(f"migbench {' '.join(arguments)}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def expect(condition, what):
    if not condition:
        raise tap.Fail(what)


def look(web, path, name, charts, words, dark=False):
    """Opens the page, checks it, and leaves a screenshot."""
    page = browser.Page(web, path, dark)
    drawn = dict(page.value(DRAWN))
    expect(set(charts) <= set(drawn), f"charts: expected {charts}, found {sorted(drawn)}")
    for title, colours in drawn.items():
        expect(colours > 2, f"nothing is drawn in '{title}'")
    text = page.value(TEXT)
    for word in words:
        expect(word in text, f"'{word}' is not on the page")
    expect(page.value("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the window")
    os.makedirs(SCREENSHOTS, exist_ok=True)
    page.screenshot(os.path.join(SCREENSHOTS, name + ".png"))
    expect(not web.complaints, "\n".join(web.complaints))
    return page


def report(folder, name, *more):
    path = os.path.join(folder, name + ".html")
    migbench("sim", os.path.join(EXAMPLES, name + ".json"), "--report", path, *more, statuses=(0, 1))
    return path


OVER_TIME = ["Remaining", "Bandwidth", "Dirty pages"]


def precopy(web, folder):
    path = report(folder, "never-converges", "--set", "capabilities.auto-converge=true", "--accounting")
    look(web, path, "report", OVER_TIME + ["Passes", "CPU throttle", "Pages sent: ram"],
         ["query-migrate", "cpu-throttle-percentage", "never-converges.json"])


def dark_and_paper(web, folder):
    page = look(web, report(folder, "demo"), "report-dark", OVER_TIME, ["demo.json"], dark=True)
    light = browser.Page(web, os.path.join(folder, "demo.html")).value("getComputedStyle(document.body).color")
    expect(light != page.value("getComputedStyle(document.body).color"), "dark and light have the same ink")
    paper = os.path.join(folder, "demo.pdf")
    page.pdf(paper)
    expect(os.path.getsize(paper) > 20000, "the printed page is empty")


def postcopy(web, folder):
    look(web, report(folder, "postcopy"), "report-postcopy", OVER_TIME + ["Fault latency"], ["fault-latency-ns"])


def zoom(web, folder):
    """Dragging over a chart shows that part in all charts over time; a double click shows all again."""
    page = browser.Page(web, report(folder, "demo"))
    # Charts take their size from the page some frames behind its load.
    box = page.value("""new Promise((done) => {
        let before = '';
        const look = () => {
            const r = document.querySelector('canvas').getBoundingClientRect();
            const box = [r.left, r.top, r.width, r.height];
            if (r.width > 0 && String(box) === before) {
                done(box);
            } else {
                before = String(box);
                setTimeout(look, 100);
            }
        };
        look();
    })""")
    spans = "JSON.stringify(timeline.map((g) => [g().scales.x.min, g().scales.x.max]))"
    whole = page.value(spans)
    y = box[1] + box[3] / 2

    def mouse(kind, share, clicks=1):
        page.call("Input.dispatchMouseEvent", type=kind, x=box[0] + box[2] * share, y=y, button="left",
                  clickCount=clicks)

    mouse("mousePressed", 0.3)
    mouse("mouseReleased", 0.6)
    page.value("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))")
    parts = {tuple(span) for span in json.loads(page.value(spans))}
    expect(len(parts) == 1, f"the charts show different parts: {parts}")
    expect(parts != {tuple(s) for s in json.loads(whole)}, "dragging changed nothing")
    for clicks in (1, 2):
        mouse("mousePressed", 0.5, clicks)
        mouse("mouseReleased", 0.5, clicks)
    expect(page.value(spans) == whole, "a double click does not show all again")
    expect(not web.complaints, "\n".join(web.complaints))


def sweep(web, folder):
    rows, path = os.path.join(folder, "rows.ndjson"), os.path.join(folder, "sweep.html")
    migbench("sweep", os.path.join(EXAMPLES, "sweep-demo.json"), "-j", "2", "-o", rows, "--report", path)
    page = look(web, path, "sweep", ["Response", "Pareto front"], ["completed", "Parameters"])
    # Every choice of every control draws without a complaint.
    page.value("""for (const select of document.querySelectorAll('select')) {
        for (const option of [...select.options].slice(0, 12)) {
            select.value = option.value;
            select.dispatchEvent(new Event('change'));
        }
    }""")
    expect(not web.complaints, "\n".join(web.complaints))
    again = os.path.join(folder, "again.html")
    migbench("sweep", "report", rows, "-o", again)
    with open(path, "rb") as one, open(again, "rb") as other:
        expect(one.read() == other.read(), "sweep report makes another page than sweep --report")


def front(web, folder):
    """The front of rows that are made up, by another way to find it."""
    points = [(3, 9), (1, 10), (2, 10), (4, 4), (6, 4), (5, 3), (9, 1), (9, 2), (1, 12)]
    rows, path = os.path.join(folder, "made.ndjson"), os.path.join(folder, "made.html")
    head = {"schema": "migbench-sweep-rows-1", "spec": "0" * 16, "build": "0" * 16, "version": "0", "cells": 9}
    with open(rows, "w", encoding="utf-8") as file:
        print(json.dumps(head), file=file)
        for i, (total, down) in enumerate(points):
            metrics = {"query-migrate.total-time": total, "query-migrate.downtime": down}
            print(json.dumps({"index": i, "cell": "0", "replicate": 0, "seed": 1, "build": "0" * 16,
                              "params": {"link.bandwidth": f"{i + 1}Gbit/s"}, "status": "completed", "outcome": None,
                              "fine": True, "digest": "0", "metrics": metrics}), file=file)
        print(json.dumps({"end": True, "rows": len(points)}), file=file)
    migbench("sweep", "report", rows, "-o", path)
    page = look(web, path, "sweep-front", ["Pareto front"], ["Gbit/s"])
    found = page.value("drawn[1].chart().data.datasets[0].data.map((p) => p.row)")
    wanted = [i for i, (x, y) in enumerate(points)
              if not any((a <= x and b <= y) and (a < x or b < y) for a, b in points)]
    expect(sorted(found) == wanted, f"front: expected {wanted}, found {sorted(found)}")


def report_of_files(web, folder):
    """migbench report makes the same pages of what was kept."""
    kept, direct = os.path.join(folder, "kept.json"), os.path.join(folder, "direct.html")
    again = os.path.join(folder, "again.html")
    migbench("sim", os.path.join(EXAMPLES, "demo.json"), "--result", kept, "--report", direct)
    migbench("report", kept, "-o", again)
    look(web, again, "report-kept", OVER_TIME, ["query-migrate", "demo.json"])
    with open(direct, "rb") as one, open(again, "rb") as other:
        expect(one.read().replace(b"<title>demo.json", b"<title>kept.json") == other.read(), "the pages differ")
    rows = os.path.join(folder, "rows.ndjson")
    migbench("report", rows, "-o", again)
    look(web, again, "sweep-kept", ["Response", "Pareto front"], ["Parameters"])


def runs(web, folder):
    """How repeated runs spread: a page of its own, also of what was kept."""
    path, kept, again = (os.path.join(folder, n) for n in ("runs.html", "runs.json", "runs-again.html"))
    migbench("sim", os.path.join(EXAMPLES, "demo.json"), "--runs", "30", "--report", path, "--result", kept)
    look(web, path, "report-runs", ["Downtime", "Total time", "Transferred"],
         ["demo.json", "p50", "30 of 30", "do not converge", "exceed downtime-limit"])
    migbench("report", kept, "-o", again)
    look(web, again, "report-runs-kept", ["Downtime"], ["runs.json", "p95"])


def matrix(web, folder):
    """One cell of the matrix, where there is a QEMU to take part in it."""
    out = os.path.join(folder, "matrix")
    cells = [c for c in migbench("matrix", "--list", statuses=(0, 4)).splitlines()
             if c.startswith("qemu-7.2/qemu-7.2/none/") and c.endswith("/idle/none")]
    if not cells:
        raise tap.Skip("there is no QEMU 7.2")
    migbench("matrix", "-o", out, "--no-sanity", "--only", cells[0], statuses=(0, 1, 3))
    look(web, os.path.join(out, "matrix.html"), "matrix", [], ["matrix", "qemu-7.2"])


def plots(_, folder):
    """gnuplot draws what it can; without gnuplot, or with another ending, it is said so before the run."""
    demo = os.path.join(EXAMPLES, "demo.json")
    said = migbench("sim", demo, "--plot", os.path.join(folder, "x.gif"), statuses=(2,))
    expect(".svg, .pdf or .png" in said, said)
    done = subprocess.run([MIGBENCH, "sim", demo, "--plot", "x.svg"], env=dict(os.environ, PATH=folder), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder)
    expect(done.returncode == 4 and "gnuplot" in done.stdout, done.stdout)
    if not shutil.which("gnuplot"):
        raise tap.Skip("gnuplot is not installed")
    for ending, begin in ((".svg", b"<?xml"), (".pdf", b"%PDF"), (".png", b"\x89PNG")):
        path = os.path.join(folder, "it's a plot" + ending)
        migbench("sim", demo, "--plot", path)
        with open(path, "rb") as file:
            data = file.read()
        expect(data.startswith(begin) and len(data) > 5000, f"{path}: {len(data)} bytes, {data[:20]}")


def timeline(_, folder):
    """Slices on one track don't overlap, counters count, and faults are there."""
    path = os.path.join(folder, "timeline.json")
    migbench("sim", os.path.join(EXAMPLES, "postcopy.json"), "--timeline", path)
    with open(path, encoding="utf-8") as file:
        trace = json.load(file)
    events, tracks = trace["traceEvents"], {}
    for e in events:
        expect(e["ph"] in "XCMi" and {"pid", "tid", "name"} <= set(e), f"no trace event: {e}")
        if e["ph"] == "X":
            tracks.setdefault((e["pid"], e["tid"]), []).append((e["ts"], e["ts"] + e["dur"], e["name"]))
    for track, slices in tracks.items():
        slices.sort()
        for one, other in zip(slices, slices[1:]):
            expect(one[1] <= other[0] + 0.0005, f"slices of {track} overlap: {one}, {other}")
    found = {e["name"] for e in events}
    wanted = {"pass 1", "postcopy-active", "sync", "pages", "stop", "devices", "fault", "stopped", "remaining"}
    expect(wanted <= found, f"missing: {wanted - found}")
    expect(trace["otherData"]["left-out"] == 0, "slices are left out")


def judged(web, folder):
    """check's page, of a good and a damaged stream."""
    path, damaged = os.path.join(folder, "check.html"), os.path.join(folder, "damaged.mig")
    good = os.path.join(TRACES, "none-idle-7.2.mig.zst")
    data = subprocess.run(["zstd", "-dcq", good], check=True, stdout=subprocess.PIPE).stdout
    with open(damaged, "wb") as file:
        file.write(data[:-100])
    migbench("check", "--format", "html", "-o", path, good, damaged, statuses=(1, 3))
    look(web, path, "check", [], ["migbench check", "damaged.mig", "Findings"])


def hostile_names(web, folder):
    """Names of files and scenarios can't break out of their places."""
    nasty = os.path.join(folder, "a<script>alert(1)<!--&.json")
    with open(os.path.join(EXAMPLES, "demo.json"), encoding="utf-8") as file:
        scenario = json.load(file)
    scenario["description"] = "</script><script>console.log('out')</script><!--"
    with open(nasty, "w", encoding="utf-8") as file:
        json.dump(scenario, file)
    path = os.path.join(folder, "nasty.html")
    migbench("sim", nasty, "--report", path)
    look(web, path, "report-nasty", OVER_TIME, ["</script><script>", "a<script>alert(1)"])


def main():
    if not browser.find():
        print("1..0 # SKIP there is no Chromium")
        return 77
    runner = tap.Tap()
    with tempfile.TemporaryDirectory() as folder, browser.Browser() as web:
        for test in (precopy, dark_and_paper, postcopy, zoom, sweep, front, report_of_files, judged, hostile_names,
                     matrix, plots, timeline, runs):
            runner.run("/pages/" + test.__name__.replace("_", "-"), test, web, folder)
    return runner.done()


if __name__ == "__main__":
    sys.exit(main())
