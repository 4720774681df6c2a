# SPDX-License-Identifier: Apache-2.0
"""The matrix of the truth runs: which guests migrate over which links with which settings.

A cell is a function of its name, so that rows of measured runs need the name only. Families and
links are in two halves: constants may be fitted on TUNE, and what is reported comes from REPORT, which
has other families and other links.
"""
MIB = 1 << 20
RAM = 256 * MIB
RANDOM_FILL = {"offset": 16 * MIB, "length": 64 * MIB, "kind": "random", "seed": 7}
CATCH_UP_MS = 50


def region(mib_at, mib, pattern, rate, write="counter", **more):
    return {"offset": mib_at * MIB, "length": mib * MIB, "pattern": pattern, "rate": rate,
            "pace": "clock", "catch-up-ms": CATCH_UP_MS, "write": write, "seed": 1, **more}


# What the guest writes.
FAMILIES = {
    "idle": [],
    "sequential": [region(96, 32, "sequential", 4000)],
    "random-small": [region(96, 4, "random", 2000)],
    "once": [region(96, 64, "once", 8000)],
    "random": [region(96, 64, "random", 5000)],
    "hot-cold": [region(96, 96, "hot-cold", 6000, hot={"share": 90, "size": 10})],
    "pages": [region(96, 24, "random", 3000, "page")],
    "periodic": [region(96, 16, "periodic", 8000, **{"period-ms": 1500})],
    "two": [region(96, 8, "sequential", 3000), region(128, 48, "random", 1500, seed=2)],
}
# max-bandwidth in bytes/s over a unix socket; or a token bucket, in bit/s, on a veth pair.
LINKS = {
    "unix-64m": {"max-bandwidth": 64 * MIB},
    "unix-32m": {"max-bandwidth": 32 * MIB},
    "unix-96m": {"max-bandwidth": 96 * MIB},
    "unix-24m": {"max-bandwidth": 24 * MIB},
    "tbf-300mbit": {"rate": 300_000_000, "max-bandwidth": 1 << 40},
    "tbf-600mbit": {"rate": 600_000_000, "max-bandwidth": 1 << 40},
}
FEATURES = {
    "plain": ({}, {"downtime-limit": 100}),
    "limit-20": ({}, {"downtime-limit": 20}),
    "auto-converge": ({"auto-converge": True}, {"downtime-limit": 50}),
    "xbzrle": ({"xbzrle": True}, {"downtime-limit": 100}),
    "multifd": ({"multifd": True}, {"downtime-limit": 100, "multifd-channels": 2}),
}
TUNE = {"families": ("idle", "sequential", "random-small", "once"),
        "links": ("unix-64m", "unix-32m", "tbf-300mbit")}
REPORT = {"families": ("random", "hot-cold", "pages", "periodic", "two"),
          "links": ("unix-96m", "unix-24m", "tbf-600mbit")}
LIMIT_S = 20  # a run that has not ended by then counts as one that does not converge


def cells():
    """Names of all: half/family/link/feature."""
    for half, of in (("tune", TUNE), ("report", REPORT)):
        for family in of["families"]:
            for link in of["links"]:
                for feature in FEATURES:
                    if feature == "plain" or link == of["links"][0] and FAMILIES[family]:
                        yield f"{half}/{family}/{link}/{feature}"


def parts(name):
    """(regions, link, capabilities, parameters) of a cell."""
    _, family, link, feature = name.split("/")
    capabilities, parameters = FEATURES[feature]
    link = LINKS[link]
    return (FAMILIES[family], link, capabilities,
            {**parameters, "max-bandwidth": link["max-bandwidth"]})
