#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the linker's version script of libmigstream: what the public headers declare, and nothing else.

    exports.py HEADER...            the script
    exports.py --names HEADER...    the names alone, one per line
"""
import re
import sys

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
# A declaration at the beginning of a line: no macro, no member of a struct, no code that is indented.
FUNCTION = re.compile(r"^(?!static|typedef|#)[A-Za-z_][\w \t*]*?\b(mig_\w+)\(", re.M)
VARIABLE = re.compile(r"^extern [^;(]*?\b(mig_\w+)(?:\[[^]]*\])*;", re.M)


def names(paths):
    found = set()
    for path in paths:
        with open(path, encoding="utf-8") as f:
            text = COMMENT.sub("", f.read())
        found.update(FUNCTION.findall(text))
        found.update(VARIABLE.findall(text))
    return sorted(found)


def main(argv):
    if argv[:1] == ["--names"]:
        print("\n".join(names(argv[1:])))
        return
    print("{\nglobal:")
    for name in names(argv):
        print(f"    {name};")
    print("local:\n    *;\n};")


if __name__ == "__main__":
    main(sys.argv[1:])
