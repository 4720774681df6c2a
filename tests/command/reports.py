#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reports of check from outside: every format from one log, aborted runs, expectation files."""
import html.parser
import json
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

MIGBENCH = os.environ["MIGBENCH"]
TRACES = os.environ["TRACES"]
sys.path.insert(0, os.path.join(TRACES, "gen"))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tap  # noqa: E402
import walk  # noqa: E402

NASTY = "a <b>&\"'# \\ \x01\xff"
FORMATS = ("text", "ndjson", "tap", "junit", "html")


def run(*arguments, data=None):
    return subprocess.run([MIGBENCH, *arguments], input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)


class Folder:
    """One conformant stream, one cut short, one with a byte behind it, one that isn't there."""

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory()
        data = walk.read_stream(os.path.join(TRACES, "none-stopped-7.2.mig.zst"))
        self.good = self.file("good", data)
        self.cut = self.file(NASTY, data[:-20])
        self.tail = self.file("tail", data + b"x")
        self.absent = os.path.join(self.temporary.name, "absent")
        return self

    def file(self, name, data):
        path = os.path.join(self.temporary.name, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def __exit__(self, *_):
        self.temporary.cleanup()


def log_lines(folder):
    result = run("check", "--format", "ndjson", folder.good, folder.cut, folder.tail)
    return result.stdout.splitlines(keepends=True)


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def reports_are_rendered_from_the_log():
    with Folder() as folder:
        files = [folder.good, folder.cut, folder.tail]
        log = folder.file("log", b"".join(log_lines(folder)))
        for form in FORMATS:
            direct = run("check", "--format", form, *files)
            again = run("report", log, "--format", form)
            one, two = direct.stdout, again.stdout
            if form in ("ndjson", "html"):  # the arguments of the run stand in them
                one, two = (re.sub(rb"--format,? ?\w+", b"", text) for text in (one, two))
            expect(one == two, form)
            expect(direct.returncode == again.returncode == 1, form)


def the_log_says_what_ran():
    with Folder() as folder:
        lines = [json.loads(line) for line in log_lines(folder)]
    run_line, end = lines[0], lines[-1]
    rules = run("rules").stdout.splitlines()
    expect(run_line["version"] and re.fullmatch("[0-9a-f]{16}", run_line["catalogue"]), "header")
    expect(run_line["rules"] == len(rules) and run_line["subjects"] == 3, "numbers")
    expect(end == {"type": "end", "complete": True, "subjects": 3, "conformant": 1,
                   "nonconformant": 2, "inconclusive": 0, "errors": 0, "findings": 2}, "end")
    for line in lines:
        if line["type"] == "subject":
            expect(len(line["results"]) == len(rules), "results")
            expect(all(rule in line["reasons"] for rule, verdict in line["results"].items()
                       if verdict in ("not-applicable", "inconclusive")), "reasons")


def junit_counts_and_schema():
    with Folder() as folder:
        result = run("check", "--format", "junit", folder.good, folder.cut, folder.tail,
                     folder.absent)
    root = ElementTree.fromstring(result.stdout)
    expect(root.tag == "testsuites" and [s.tag for s in root] == ["testsuite"] * 4, "suites")
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in root:
        cases = list(suite)
        counted = {"tests": len(cases), "failures": len(suite.findall("testcase/failure")),
                   "errors": len(suite.findall("testcase/error")),
                   "skipped": len(suite.findall("testcase/skipped"))}
        expect(all(int(suite.get(key)) == n for key, n in counted.items()), "counts")
        expect(all(c.tag == "testcase" and c.get("name") and c.get("classname") for c in cases),
               "cases")
        expect(len({c.get("name") for c in cases}) == len(cases), "names are unique")
        expect(all(len(c) <= 1 for c in cases), "one outcome for each case")
        for key, n in counted.items():
            totals[key] += n
    expect(all(int(root.get(key)) == n for key, n in totals.items()), "totals")
    failed = [c.get("name") for c in root[1] if c.find("failure") is not None]
    expect(failed == ["STREAM-END-PRESENT", "verdict"], "failures of the cut stream")
    expect(root[3].find("testcase/error") is not None, "the file that isn't there")
    expect(root[0].find("testcase/failure") is None and root[0].find("testcase/skipped") is not None,
           "the good stream")


def tap_is_a_plan_with_points():
    with Folder() as folder:
        text = run("check", "--format", "tap", folder.good, folder.cut).stdout.decode()
    lines = text.splitlines()
    points = [line for line in lines if re.match(r"(not )?ok\b", line)]
    expect(lines[0] == "TAP version 13" and lines[-1] == f"1..{len(points)}", "plan")
    expect(sum("# SKIP not-applicable" in line for line in points) > 0, "not applicable")
    expect([line.split(": ")[-1] for line in points if line.startswith("not ok")]
           == ["STREAM-END-PRESENT", "nonconformant"], "failures")
    expect(all(line.count(" # ") <= 1 for line in points), "a name begins no directive")


class Page(html.parser.HTMLParser):
    VOID = {"meta", "br", "hr", "img", "link"}

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.tags = [], [], [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        values = dict(attributes)
        self.ids.append(values.get("id"))
        self.links += [values[k] for k in ("href", "src") if k in values]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        expect(self.open.pop() == tag, f"</{tag}>")


def html_is_one_file():
    with Folder() as folder:
        text = run("check", "--format", "html", folder.good, folder.cut,
                   folder.tail).stdout.decode()
    page = Page()
    page.feed(text)
    expect(not page.open, "every element is closed")
    expect(not page.tags & {"script", "img", "link", "b"}, "nothing is loaded, nothing slips in")
    expect(page.links and all(link[0] == "#" and link[1:] in page.ids for link in page.links),
           "links stay inside")
    expect(text.count("[78]") == 1 and "STREAM-TRAILING-NONE" in text, "hex of the finding")


def aborted_runs_say_so():
    words = {"text": b"ABORTED", "tap": b"Bail out!", "junit": b"<error type=\"aborted\"",
             "html": b"ABORTED"}
    with Folder() as folder:
        lines = log_lines(folder)
        for n in range(1, len(lines)):
            log = folder.file("log", b"".join(lines[:n]) + lines[n][:9])
            for form, word in words.items():
                result = run("report", log, "--format", form)
                expect(result.returncode == 3 and word in result.stdout, f"{form}, {n} lines")
                expect(form != "tap" or b"\n1.." not in result.stdout, "no plan")
        expect(run("report", folder.file("log", b"")).returncode == 3, "nothing at all")
        for bad in (b"hello\n", b"[]\n", b'{"type":"end"}\n', b"".join(lines) + lines[0],
                    b'{"schema":"migbench-result-1",'):
            expect(run("report", folder.file("log", bad)).returncode == 2, bad[:20])


def expectations_both_ways():
    with Folder() as folder:
        known = os.path.join(folder.temporary.name, "known")

        def check(text, *files):
            with open(known, "w", encoding="utf-8") as file:
                file.write(text)
            result = run("check", "--format", "ndjson", "--expect", known, *files)
            outcomes = sorted(json.loads(line)["outcome"] for line in result.stdout.splitlines()
                              if json.loads(line)["type"] == "expectation")
            return result.returncode, outcomes

        entry = "STREAM-TRAILING-NONE tail warn docs/x.md # 1 more bytes\n"
        expect(check(entry, folder.tail, folder.good) == (0, ["expected"]), "expected")
        expect(check("", folder.tail) == (1, ["unexpected"]), "unexpected")
        expect(check(entry.replace("tail", "*"), folder.tail, folder.good)
               == (1, ["expected", "xpass"]), "xpass")
        expect(check(entry.replace("1 more", "2 more"), folder.tail) == (1, ["changed"]), "reason")
        expect(check(entry.replace("warn", "fail"), folder.tail) == (1, ["changed"]), "verdict")
        expect(check("NO-SUCH-RULE x fail docs/x.md # y\n" + entry, folder.tail)
               == (1, ["expected", "stale"]), "no such rule")
        expect(check("RAM-HOOK-ABSENT tail fail docs/x.md # *\n" + entry, folder.tail)[0] == 1,
               "another rule")
        expect(check(entry, folder.good) == (0, []), "the subject did not run")
        for bad in (entry.replace("docs/x.md", "-"), entry.replace("docs/x.md ", ""),
                    entry + entry, entry.replace("#", ""), entry.replace("warn", "pass"),
                    entry + entry.replace("STREAM", "SECTION")):
            expect(check(bad, folder.tail)[0] == 2, bad)


def expectations_are_updated():
    with Folder() as folder:
        known = os.path.join(folder.temporary.name, "known")
        files = [folder.tail, folder.good, folder.cut]
        update = ("check", "--expect", known, "--update", *files)
        expect(run(*update).returncode == 1, "references are missing")
        text = open(known, encoding="utf-8").read()
        expect(text.count(" - # ") == 2 and "%20" in text, text)
        with open(known, "w", encoding="utf-8") as file:
            file.write(text.replace(" - # ", " docs/x.md#y # ")
                       + "VMDESC-SECTION-PRESENT other warn docs/x.md # keep\n")
        expect(run(*update).returncode == 0, "references are kept")
        text = open(known, encoding="utf-8").read()
        expect(text.count("docs/x.md#y") == 2 and "# keep" in text, text)
        expect(run("check", "--expect", known, *files).returncode == 0, "and they hold")
        expect(run("check", "--update", folder.good).returncode == 2, "which file?")


TESTS = [value for name, value in list(globals().items())
         if callable(value) and value.__module__ == __name__ and not isinstance(value, type)
         and name not in ("run", "log_lines", "expect")]

tap.main(tap.named("/reports", TESTS))
