#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Manual pages and bash completion, made when the program is built, from what it says about itself.

    commands.py MIGBENCH list                          the names of its commands
    commands.py MIGBENCH completion                    the script for bash
    commands.py MIGBENCH page COMMAND FOLDER VERSION   a page (reStructuredText)

Options come out of --help, that is, out of the option tables of the commands; FOLDER/COMMAND.rst holds
the prose (description, examples), and a command without such a file gets a page of --help alone.
"""
import os
import re
import shlex
import subprocess
import sys
import textwrap

# "  -o, --output=OUT      where to write": indentation, short, long, argument, text.
OPTION = re.compile(r"^  (?:-(\w), )?--([\w-]+)(?:=(\S+(?: \S+)*?))?(?:\s{2,}(.*))?$")
WORDS = re.compile(r"Words: ([a-z, ()\n]+)[;.]")
# Names of arguments that stand for files and folders.
FILES = {"FILE", "OUT", "IN", "A", "B", "LOG", "SCENARIO", "SPEC", "ROWS", "TRACE", "MANIFEST", "HOST", "BLOCK=FILE",
         "PATH", "SOCKET", "RESULT", "RECORDING"}
FOLDERS = {"DIR", "FOLDER"}


class Option:
    def __init__(self, match):
        self.short, self.long, self.argument, text = match.groups()
        self.text = text or ""

    def names(self):
        return ([f"-{self.short}"] if self.short else []) + [f"--{self.long}"]

    def choices(self):
        """The words that it takes, when its argument says so: text|ndjson."""
        words = (self.argument or "").split("|")
        return words if len(words) > 1 and all(re.fullmatch(r"[a-z][a-z0-9-]*", w) for w in words) else []

    def is_file(self):
        return self.argument in FILES


class Command:
    """What one --help says."""

    def __init__(self, program, path, summary):
        self.path, self.summary = path, summary
        done = subprocess.run([program, *path, "--help"], text=True, stdout=subprocess.PIPE, check=True,
                              env=dict(os.environ, LC_ALL="C.UTF-8", ASAN_OPTIONS="detect_leaks=0"))
        self.usage, self.options, self.prose = "", [], []
        self.read(done.stdout)

    def read(self, text):
        in_options = False
        for line in text.splitlines():
            match = OPTION.match(line)
            if line.startswith("  ") and not self.usage:
                self.usage = line.strip()
            elif re.match(r"^(\w[\w ]* )?Options:$", line):
                in_options = True
            elif in_options and match:
                self.options.append(Option(match))
            elif in_options and line.startswith("      ") and self.options:
                self.options[-1].text += " " + line.strip()
            elif line and line not in ("Usage:",):
                in_options = False
                self.prose.append(line)
        self.options = [o for o in self.options if not o.long.startswith("help")]

    def words(self):
        """Subcommands."""
        match = WORDS.search("\n".join(self.prose))
        listed = re.sub(r"\([^)]*\)", "", match.group(1)) if match else ""
        return [w.strip() for w in listed.replace("\n", " ").split(",") if w.strip()]


def names(program):
    """(name, summary) of every command."""
    text = subprocess.run([program, "--help"], text=True, stdout=subprocess.PIPE, check=True).stdout
    for line in text.partition("Commands:\n")[2].partition("\n\n")[0].splitlines():
        name, _, summary = line.strip().partition(" ")
        yield name, summary.strip()


def commands(program, only=None):
    """Every command (or one), with its subcommands behind it."""
    for name, summary in names(program):
        if only in (None, name):
            command = Command(program, [name], summary)
            yield command
            for word in command.words():
                yield Command(program, [name, word], "")


# Completion -------------------------------------------------------------------------------------
HEAD = """\
# SPDX-License-Identifier: Apache-2.0
# bash completion for migbench, made from its option tables.

_migbench_options() {
    case $1 in
"""

MIDDLE = """\
    esac
}

# What stands behind an option: prints words, or "<file>", "<folder>", "<any>", or nothing (a flag).
_migbench_argument() {
    case "$1 $2" in
"""

TAIL = """\
    esac
}

_migbench_files() {
    local IFS=$'\\n'
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen "$1" -- "$2")
}

_migbench() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} argument
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "@COMMANDS@ --help --version" -- "$word")
        return
    fi
    if [ "$word" = = ]; then # --option=: bash makes words of it
        word=
    elif [ "$before" = = ]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case "$command ${COMP_WORDS[2]}" in
    @WORDS@) [ "$COMP_CWORD" -gt 2 ] && command="$command ${COMP_WORDS[2]}" ;;
    esac
    argument=$(_migbench_argument "$command" "$before")
    case $argument in
    '<file>') _migbench_files -f "$word" ;;
    '<folder>') _migbench_files -d "$word" ;;
    '<any>') ;;
    ?*) mapfile -t COMPREPLY < <(compgen -W "$argument" -- "$word") ;;
    *)
        if [[ $word == -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$(_migbench_options "$command")" -- "$word")
        else
            _migbench_files -f "$word"
            if [ "$COMP_CWORD" -eq 2 ]; then
                mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$(_migbench_words "$command")" -- "$word")
            fi
        fi
        ;;
    esac
}

complete -F _migbench migbench
"""


def expected(option):
    if option.choices():
        return " ".join(option.choices())
    return "<file>" if option.is_file() else "<folder>" if option.argument in FOLDERS else "<any>"


def completion(program):
    every = list(commands(program))
    out = [HEAD]
    for c in every:
        names = " ".join(n for o in c.options for n in o.names())
        out.append(f"    {shlex.quote(' '.join(c.path))}) echo {shlex.quote((names + ' --help').strip())} ;;\n")
    out.append(MIDDLE)
    for c in every:
        for o in c.options:
            if o.argument:
                patterns = "|".join(shlex.quote(f"{' '.join(c.path)} {n}") for n in o.names())
                out.append(f"    {patterns}) echo {shlex.quote(expected(o))} ;;\n")
    groups = [c for c in every if c.words()]
    words = "".join(f"    {c.path[0]}) echo {shlex.quote(' '.join(c.words()))} ;;\n" for c in groups)
    tail = TAIL.replace("_migbench_files() {",
                        "_migbench_words() {\n    case $1 in\n" + words + "    esac\n}\n\n_migbench_files() {", 1)
    tail = tail.replace("@COMMANDS@", " ".join(c.path[0] for c in every if len(c.path) == 1))
    tail = tail.replace("@WORDS@", "|".join(f"'{c.path[0]} {w}'" for c in groups for w in c.words()) or "''")
    out.append(tail)
    return "".join(out)


# Pages ------------------------------------------------------------------------------------------
def plain(text):
    """Text as reStructuredText that means only itself."""
    return re.sub(r"([\\*`|_])", r"\\\1", text)


def title(text, line):
    return f"{text}\n{line * len(text)}\n\n"


def options_text(command):
    out = []
    for o in command.options:
        names = ", ".join(f"**{n}**" for n in o.names())
        argument = f" *{plain(o.argument)}*" if o.argument else ""
        out.append(f"{names}{argument}\n" + textwrap.indent(plain(o.text) or "-", "    ") + "\n")
    return "\n".join(out) + "\n"


def synopsis(command):
    """The usage line; [OPTION...] is glib's."""
    return "**" + " ".join(["migbench", *command.path]) + "** " + plain(
        command.usage.partition("[OPTION")[2].partition("]")[2].strip() or "") + " [*option*...]\n\n"


def body(folder, name, command):
    path = os.path.join(folder, name + ".rst")
    if not os.path.exists(path):
        return title("DESCRIPTION", "=") + "\n".join("| " + plain(line) for line in command.prose) + "\n\n"
    with open(path, encoding="utf-8") as file:
        return "".join(line for line in file if not line.startswith(".. SPDX")) + "\n"


def page(program, name, folder, version):
    if name == "migbench":
        with open(os.path.join(folder, "migbench.rst"), encoding="utf-8") as file:
            rows = "\n".join(f"**migbench-{command}**\\ (1)\n    {plain(summary)}\n"
                             for command, summary in names(program))
            return file.read().replace("@COMMANDS@", rows).replace("@VERSION@", version)
    command, *words = commands(program, name)
    head = title(f"migbench-{name}", "=") + title(command.summary, "-")
    fields = f":Manual section: 1\n:Manual group: migbench\n:Version: migbench {version}\n\n"
    out = head + fields + title("SYNOPSIS", "=") + synopsis(command) + body(folder, name, command)
    out += title("OPTIONS", "=") + (options_text(command) or "None.\n\n")
    for word in words:
        out += title(" ".join(word.path), "-") + options_text(word)
    out += title("EXIT STATUS", "=") + (
        "0 fine; 1 a finding, or a migration that did not complete; 2 a bad command line or input; "
        "3 something that applies did not run; 4 the environment failed.\n\n")
    return out + title("SEE ALSO", "=") + "**migbench**\\ (1)\n"


def main():
    program, what, *rest = sys.argv[1:]
    if what == "list":
        print("\n".join(name for name, _ in names(program)))
    elif what == "completion":
        print(completion(program), end="")
    else:
        print(page(program, *rest), end="")


if __name__ == "__main__":
    main()
