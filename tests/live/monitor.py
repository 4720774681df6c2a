#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The monitor of a source answers as real QEMU does: one script goes to both, and what they say is
compared (transcript.py says what of it). Each goes to `sim` on its virtual clock, and to `source`,
which migrates into the same commands as QEMU."""
import json
import sys

import peer
from transcript import FAST, Both, exact

# The scripts -------------------------------------------------------------------------------------

def negotiate(both):
    both.run("query-status")
    both.run("no-such-command")
    both.run("qmp_capabilities", x=1)
    both.run("qmp_capabilities", enable=["no-such-capability"])
    both.run("qmp_capabilities")
    both.run("qmp_capabilities")


SHAPES = """
{"execute": "nope", "id": {"a": [1, null, 1.5, "x"]}}
{"execute": "query-status", "id": 7}
{"execute": "query-status", "bad": 1, "id": 8}
{"execute": "query-status", "arguments": {"x": 1}, "id": 9}
{"execute": "query-status", "arguments": [], "id": null}
{"execute": 5, "id": 3}
{"arguments": {}}
{"id": "alone"}
5
"x"
[1]
null
garbage
{"execute": "query-status",}
{"execute": "query-status", "execute": "query-status"}
]
{"execute": "query-status", "id": "after the errors"}
"""

REFUSED = [
    ("migrate", {}), ("migrate", {"uri": 5}), ("migrate", {"nope": 1, "uri": "exec:cat"}),
    ("migrate", {"uri": "exec:cat", "resume": True}), ("migrate", {"uri": "exec:cat", "blk": 1}),
    ("migrate", {"channels": []}), ("migrate", {"channels": 5}),
    ("migrate-incoming", {}), ("migrate-incoming", {"uri": "tcp:127.0.0.1:0"}),
    ("migrate_cancel", {}), ("migrate_cancel", {"x": 1}),
    ("migrate-continue", {}), ("migrate-continue", {"state": "bogus"}),
    ("migrate-continue", {"state": "pre-switchover"}), ("migrate-continue", {"state": 1}),
    ("migrate-start-postcopy", {}), ("migrate-pause", {}),
    ("migrate-recover", {}), ("migrate-recover", {"uri": "tcp:127.0.0.1:0"}),
    ("migrate-set-capabilities", {}), ("migrate-set-capabilities", {"capabilities": {}}),
    ("migrate-set-capabilities", {"capabilities": []}),
    ("migrate-set-capabilities", {"capabilities": [5]}),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "foo", "state": True}]}),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "events"}]}),
    ("migrate-set-capabilities", {"capabilities": [{"state": True}]}),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": 1}]}),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": True, "x": 1}]}),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "postcopy-ram", "state": True},
                                                   {"capability": "x-ignore-shared",
                                                    "state": True}]}),
    ("pmemsave", {}), ("pmemsave", {"val": "0", "size": 1, "filename": "x"}),
    ("pmemsave", {"val": 0, "size": 4096, "filename": "/nonexistent/x"}),
    ("human-monitor-command", {}), ("human-monitor-command", {"command-line": 5}),
    ("quit", {"x": 1}), ("stop", {"x": 1}),
    # What versions have or lack.
    ("migrate_set_speed", {}), ("migrate_set_speed", {"value": 33554432}),
    ("migrate_set_downtime", {"value": 0.25}), ("migrate-set-cache-size", {"value": 1048576}),
    ("migrate-set-cache-size", {"value": 5000}),
]

# (Not in it: multifd-zlib-level, of which 5.2 and 7.2 take any value and use none.)
PARAMETERS = [
    {}, {"bogus": 5}, {"downtime-limit": 2000001}, {"downtime-limit": -1}, {"downtime-limit": 1.5},
    {"downtime-limit": "5"}, {"downtime-limit": None}, {"downtime-limit": 250},
    {"max-bandwidth": -1}, {"max-bandwidth": 1 << 63}, {"max-bandwidth": 1 << 20},
    {"multifd-channels": 0}, {"multifd-channels": 4}, {"multifd-compression": "foo"},
    {"multifd-compression": 5}, {"multifd-compression": "zlib"},
    {"tls-creds": None}, {"tls-creds": 5}, {"tls-creds": "foo"}, {"tls-creds": ""},
    {"xbzrle-cache-size": 5000}, {"xbzrle-cache-size": 2048}, {"xbzrle-cache-size": 1 << 20},
    {"max-cpu-throttle": 5}, {"cpu-throttle-initial": 0}, {"cpu-throttle-tailslow": 1},
    {"cpu-throttle-tailslow": True}, {"throttle-trigger-threshold": 101},
    {"announce-max": 100001}, {"announce-step": 0}, {"announce-step": 20},
    {"downtime-limit": 7, "multifd-channels": 0}, {"downtime-limit": 8, "bogus": 0},
    {"compress-level": 2}, {"direct-io": True}, {"zero-page-detection": "none"},
    {"avail-switchover-bandwidth": 1000}, {"vcpu-dirty-limit": 0}, {"mode": "nope"},
    {"max-postcopy-bandwidth": 5}, {"block-incremental": True}, {"x-checkpoint-delay": 10},
]

HMP = ["", "nope", "migrate", "migrate -z foo:1", "migrate_set_capability foo on",
       "migrate_set_capability events maybe", "migrate_set_capability events on extra",
       "migrate_set_capability events on", "migrate_set_capability events off",
       "migrate_set_parameter max-bandwidth 64", "migrate_set_parameter max-bandwidth 64k",
       "migrate_set_parameter downtime-limit foo", "migrate_set_parameter downtime-limit 333",
       "migrate_set_parameter foo 5", "migrate_set_parameter cpu-throttle-tailslow on",
       "migrate_set_parameter multifd-compression zlib", "migrate_set_speed 32",
       "migrate_set_downtime 0.5", "migrate_continue pre-switchover", "migrate_continue bogus",
       "migrate_pause", "migrate_recover tcp:127.0.0.1:0", "migrate_incoming tcp:127.0.0.1:0",
       "migrate_start_postcopy", "migrate_cancel", "info migrate_capabilities",
       "info migrate_parameters", "info status", "stop", "stop", "info status", "cont", "cont"]


def answers(both):
    negotiate(both)
    for line in SHAPES.strip().splitlines():
        both.say(line)
    both.run("query-migrate", exact)
    both.run("query-status", exact)
    both.run("query-migrate-capabilities", exact)
    both.run("query-migrate-parameters", exact)
    for command, arguments in REFUSED:
        both.say(json.dumps({"execute": command, "arguments": arguments}))
    for parameters in PARAMETERS:
        both.say(json.dumps({"execute": "migrate-set-parameters", "arguments": parameters}))
    both.run("query-migrate-parameters", exact)
    for line in HMP:
        both.hmp(line)
    both.run("query-migrate-parameters", exact)
    both.run("query-migrate-capabilities", exact)
    expect_known_commands(both)
    both.run("quit")


def expect_known_commands(both):
    """What we have (x-... apart), that version has, too."""
    names = [{c["name"] for c in side.say('{"execute": "query-commands"}')[-1]["return"]}
             for side in both.sides]
    more = sorted(name for name in names[1] - names[0] if not name.startswith("x-"))
    if more:
        raise peer.Fail(f"QEMU has no {', '.join(more)}")


def completes(both):
    negotiate(both)
    both.capability("events")
    both.migrate()
    both.wait("active")
    both.run("query-migrate")
    both.run("query-status")
    both.run("migrate", uri="exec:cat >/dev/null")
    both.capability("return-path")
    both.run("migrate-continue", state="device")
    both.run("migrate-start-postcopy")
    both.run("migrate-pause")
    both.hmp("info migrate")
    both.run("migrate-set-parameters", max_bandwidth=FAST)
    both.wait("completed")
    both.run("query-migrate")
    both.run("query-status")
    both.hmp("info migrate")
    both.run("migrate_cancel")
    both.run("cont")
    both.run("query-status")
    both.hmp("migrate -d exec:cat>/dev/null")
    both.wait("completed")
    both.run("quit")


def cancelled(both):
    negotiate(both)
    both.capability("events")
    both.migrate()
    both.wait("active")
    both.run("migrate_cancel")
    both.wait("cancelled")
    both.run("query-migrate")
    both.run("query-status")
    both.run("migrate_cancel")
    both.migrate(bandwidth=FAST)
    both.wait("completed")
    both.run("query-migrate")


def pauses(both):
    negotiate(both)
    both.capability("events")
    both.capability("pause-before-switchover")
    both.migrate(bandwidth=FAST)
    both.wait("pre-switchover")
    both.run("query-migrate")
    both.run("query-status")
    both.run("cont")
    both.run("stop")
    both.run("migrate-continue", state="device")
    both.run("migrate-continue", state="pre-switchover")
    both.wait("completed")
    both.run("query-migrate")
    both.run("query-status")
    both.run("cont")


def cancelled_in_pause(both):
    """QEMU wakes its thread before it changes the status, so that the thread may be the faster one:
    then it was not cancelled in the pause."""
    negotiate(both)
    both.capability("events")
    both.capability("pause-before-switchover")
    both.migrate(bandwidth=FAST)
    both.wait("pre-switchover")
    both.run("migrate_cancel")
    both.wait("cancelled")
    if any('"device"' in line for line in both.sides[0].events):
        raise peer.Skip("QEMU went on to device before it cancelled, a race of its own")
    both.run("query-migrate")
    both.run("query-status")


def stopped_guest(both):
    negotiate(both)
    both.capability("events")
    both.run("stop")
    both.migrate(bandwidth=FAST)
    both.wait("completed")
    both.run("query-status")
    both.run("query-migrate")
    both.run("cont")


def stopped_meanwhile(both):
    negotiate(both)
    both.capability("events")
    both.migrate()
    both.wait("active")
    both.run("stop")
    both.run("query-status")
    both.run("migrate_cancel")
    both.wait("cancelled")
    both.run("query-status")
    both.run("cont")


def fails(both):
    """The reader goes away after a megabyte; our link is cut."""
    negotiate(both)
    both.capability("events")
    both.migrate(uri="exec:head -c 1000000 >/dev/null")
    both.wait("active")
    both.sides[1].cut()
    both.wait("failed")
    both.run("query-migrate")
    both.run("query-status")
    both.migrate(bandwidth=FAST)
    both.wait("completed")


RATES = [
    {}, {"calc-time": 0}, {"calc-time": 61}, {"calc-time": -1}, {"calc-time": "x"},
    {"calc-time": 1.5}, {"calc-time": 1, "x": 1}, {"calc-time": 1, "sample-pages": 127},
    {"calc-time": 1, "sample-pages": 16385}, {"calc-time": 1, "mode": "foo"},
    {"calc-time": 49, "calc-time-unit": "millisecond"},
    {"calc-time": 60001, "calc-time-unit": "millisecond"}, {"calc-time": 1, "calc-time-unit": "x"},
]


def dirty_rate(both):
    """(7.2 crashes when it is asked for another mode without KVM.)"""
    negotiate(both)
    both.run("query-dirty-rate")
    both.run("query-dirty-rate", calc_time_unit="millisecond")
    both.run("query-dirty-rate", x=1)
    for arguments in RATES:
        both.say(json.dumps({"execute": "calc-dirty-rate", "arguments": arguments}))
    both.run("calc-dirty-rate", calc_time=1)
    both.measured()
    both.run("query-dirty-rate")
    if both.version >= (8, 2):
        both.run("calc-dirty-rate", calc_time=1, mode="dirty-ring")
        both.run("calc-dirty-rate", calc_time=1, mode="dirty-bitmap", sample_pages=512)
        for arguments in ({"calc-time": 100, "sample-pages": 1024},
                          {"calc-time": 100, "mode": "dirty-bitmap"}):
            both.run("calc-dirty-rate", calc_time_unit="millisecond",
                     **{k.replace("-", "_"): v for k, v in arguments.items()})
            both.measured()
            both.run("query-dirty-rate", exact_mode, calc_time_unit="millisecond")
            both.run("query-dirty-rate", exact_mode)


def exact_mode(value):
    """Of query-dirty-rate: numbers are measured, words have to be the same."""
    return {key: "number" if key in ("dirty-rate", "start-time", "calc-time") else value[key]
            for key in sorted(value)}


SCRIPTS = {"answers": answers, "completes": completes, "cancelled": cancelled, "pauses": pauses,
           "cancelled-in-pause": cancelled_in_pause, "stopped-guest": stopped_guest,
           "stopped-meanwhile": stopped_meanwhile, "fails": fails, "dirty-rate": dirty_rate}


def alike(command, version, script, space):
    peer.path_of(version)
    with Both(command, version, space) as both:
        SCRIPTS[script](both)
        return both.verdict()


def main():
    tap = peer.Tap()
    with peer.Workspace() as space:
        for version in peer.VERSIONS:
            for script in SCRIPTS:
                for command in ("sim", "source"):
                    tap.run(f"/live/monitor/{command}/{script}/{version}", alike, command, version,
                            script, space)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
