#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a C array of a file: embed.py FILE NAME OUT.c"""
import sys

with open(sys.argv[1], "rb") as source:
    data = source.read()
lines = [", ".join(str(byte) for byte in data[i:i + 24]) for i in range(0, len(data), 24)]
with open(sys.argv[3], "w", encoding="utf-8") as out:
    out.write(f"/* SPDX-License-Identifier: Apache-2.0 */\n/* Made from {sys.argv[1].rpartition('/')[2]}. */\n"
              f"#include \"sim/guest/kvm-program.h\"\n\n"
              f"const unsigned char {sys.argv[2]}[{len(data)}] = {{\n    "
              + ",\n    ".join(lines) + "\n};\n")
