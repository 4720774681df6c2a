#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks each QEMU for combinations of features that it may refuse, and prints what it answers.

Prints a Markdown table, the one in traces/README.md.
"""
import sys

import qemu

COMBINATIONS = [
    (["x-ignore-shared", "postcopy-ram"], {}), (["xbzrle", "multifd"], {}), (["compress"], {}),
    (["xbzrle", "compress"], {}), (["compress", "multifd"], {}), (["multifd", "postcopy-ram"], {}),
    (["background-snapshot"], {}), (["background-snapshot", "postcopy-ram"], {}),
    (["background-snapshot", "xbzrle"], {}), (["postcopy-preempt"], {}),
    (["postcopy-ram", "postcopy-preempt"], {}), (["postcopy-ram", "postcopy-preempt", "multifd"], {}),
    (["mapped-ram"], {}), (["mapped-ram", "xbzrle"], {}), (["mapped-ram", "postcopy-ram"], {}),
    (["switchover-ack"], {}), (["switchover-ack", "return-path"], {}), (["x-colo"], {}), (["block"], {}),
    ([], {"multifd-compression": "zstd"}), ([], {"multifd-compression": "qpl"}),
    ([], {"zero-page-detection": "multifd"}),
]
ARGV = ["-M", "none", "-m", "1M", "-nodefaults", "-no-user-config", "-display", "none"]


def ask(path, capabilities, parameters):
    with qemu.Qemu(path, ARGV) as q:
        try:
            q.set_capabilities(capabilities)
            q.set_parameters(parameters)
        except qemu.QemuError as e:
            return str(e).split(": ", 2)[2]
    return None


def main():
    print("| what | version | what QEMU says |\n|---|---|---|")
    refused = []    # (version, capabilities): nothing that contains these is asked again
    for capabilities, parameters in COMBINATIONS:
        what = " + ".join([f"`{c}`" for c in capabilities] +
                          [f"`{k}={v}`" for k, v in parameters.items()])
        answers = {}
        for version, (_, path) in sorted(qemu.peers().items(), key=lambda p: float(p[0])):
            if any(v == version and set(c) <= set(capabilities) for v, c in refused):
                continue
            answer = ask(path, capabilities, parameters)
            if answer:
                if capabilities and "requires" not in answer:
                    refused.append((version, capabilities))
                answers.setdefault(answer, []).append(version)
        for answer, versions in answers.items():
            print(f"| {what} | {', '.join(versions)} | {answer} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
