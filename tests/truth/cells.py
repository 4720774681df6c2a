# SPDX-License-Identifier: Apache-2.0
"""The matrix of the truth runs: which guests migrate over which links with which settings.

A cell is a function of its name, set/half/family/link/feature, so that rows of measured runs need the
name only. There are two sets. A migration of the set `brief` takes about a second, ten windows of
QEMU's rate limit, so that one window more or less is a tenth of it, and its guest's memory is a memfd, whose zero pages
are dear. One of the set `long` takes 5 to 15 seconds, and its memory is anonymous, as most guests' is.
Families and links are in two halves: constants may be fitted on `tune`, and what is reported comes from
`report`, which has other families and other links.
"""
import collections

MIB = 1 << 20
CATCH_UP_MS = 50
ALL = ("5.2", "7.2", "10.0", "11.1")

# memory: the backend; limit: seconds, and a run that has not ended by then is one that does not converge
Set = collections.namedtuple("Set", "ram memory fill limit tune report")
# What a name says, as data: what the guest writes, the link, and what QEMU is told.
Cell = collections.namedtuple("Cell", "set regions link capabilities parameters versions")


def region(mib_at, mib, pattern, rate, write="counter", **more):
    return {"offset": mib_at * MIB, "length": mib * MIB, "pattern": pattern, "rate": rate,
            "pace": "clock", "catch-up-ms": CATCH_UP_MS, "write": write, "seed": 1, **more}


def fill(mib):
    return {"offset": 16 * MIB, "length": mib * MIB, "kind": "random", "seed": 7}


# What the guest writes.
FAMILIES = {
    "idle": [],
    "sequential": [region(96, 32, "sequential", 4000)],
    "random-small": [region(96, 4, "random", 2000)],
    "once": [region(96, 64, "once", 8000)],
    "rush": [region(96, 48, "sequential", 14000, pace="cpu")],
    "random": [region(96, 64, "random", 5000)],
    "hot-cold": [region(96, 96, "hot-cold", 6000, hot={"share": 90, "size": 10})],
    "pages": [region(96, 24, "random", 3000, "page")],
    "periodic": [region(96, 16, "periodic", 8000, **{"period-ms": 1500})],
    "two": [region(96, 8, "sequential", 3000), region(128, 48, "random", 1500, seed=2)],
    "busy": [region(96, 64, "random", 16000, pace="cpu")],
}
# max-bandwidth in bytes/s over a unix socket; or a token bucket, in bit/s, on a veth pair.
LINKS = {
    "unix-64m": {"max-bandwidth": 64 * MIB},
    "unix-32m": {"max-bandwidth": 32 * MIB},
    "unix-96m": {"max-bandwidth": 96 * MIB},
    "unix-24m": {"max-bandwidth": 24 * MIB},
    "tbf-300mbit": {"rate": 300_000_000, "max-bandwidth": 1 << 40},
    "tbf-600mbit": {"rate": 600_000_000, "max-bandwidth": 1 << 40},
    "unix-40m": {"max-bandwidth": 40 * MIB},
    "unix-48m": {"max-bandwidth": 48 * MIB},
    "tbf-250mbit": {"rate": 250_000_000, "max-bandwidth": 1 << 40},
    "tbf-400mbit": {"rate": 400_000_000, "max-bandwidth": 1 << 40},
}
FEATURES = {
    "plain": ({}, {"downtime-limit": 100}),
    "limit-20": ({}, {"downtime-limit": 20}),
    "auto-converge": ({"auto-converge": True}, {"downtime-limit": 50}),
    "xbzrle": ({"xbzrle": True}, {"downtime-limit": 100}),
    "multifd": ({"multifd": True}, {"downtime-limit": 100, "multifd-channels": 2}),
    "multifd-zstd": ({"multifd": True}, {"downtime-limit": 100, "multifd-channels": 2,
                                         "multifd-compression": "zstd"}),
    "postcopy": ({"postcopy-ram": True}, {"downtime-limit": 100}),  # from POSTCOPY_MS on, at the link's rate
    "dirty-limit": ({"dirty-limit": True}, {"downtime-limit": 100, "vcpu-dirty-limit": 5}),
}
POSTCOPY_MS = 4500  # migrate-start-postcopy, in or behind the first pass of the set `long`
BRIEF_FEATURES = ("plain", "limit-20", "auto-converge", "xbzrle", "multifd")
VERSIONS = {"dirty-limit": ("10.0", "11.1"),  # since 8.1
            "multifd-zstd": ("7.2", "10.0", "11.1")}  # Debian's 5.2 is built without


def product(families, links):
    """All with the first link, and plain with the others."""
    return [f"{family}/{link}/{feature}" for family in families for link in links
            for feature in BRIEF_FEATURES
            if feature == "plain" or link == links[0] and FAMILIES[family]]


def plain(families, link):
    return [f"{family}/{link}/plain" for family in families]


def with_features(family, link, *features):
    return [f"{family}/{link}/{feature}" for feature in features]


SETS = {
    "brief": Set(256 * MIB, "memfd", fill(64), 20,
                 product(("idle", "sequential", "random-small", "once"),
                         ("unix-64m", "unix-32m", "tbf-300mbit")),
                 product(("random", "hot-cold", "pages", "periodic", "two"),
                         ("unix-96m", "unix-24m", "tbf-600mbit"))),
    "long": Set(512 * MIB, "ram", fill(192), 20,
                plain(("idle", "sequential", "once"), "unix-40m")
                + plain(("sequential", "random-small"), "tbf-250mbit")
                + with_features("sequential", "unix-40m", "xbzrle", "multifd", "multifd-zstd", "postcopy")
                + with_features("rush", "unix-40m", "auto-converge"),
                plain(("random", "hot-cold", "pages", "periodic", "two"), "unix-48m")
                + plain(("random", "two"), "tbf-400mbit")
                + with_features("random", "unix-48m", "limit-20", "xbzrle", "multifd", "multifd-zstd",
                                "postcopy")
                + with_features("busy", "unix-48m", "plain", "auto-converge", "postcopy", "dirty-limit")),
}


def cells(of="brief"):
    """Names of all in a set."""
    return [f"{of}/{half}/{name}" for half in ("tune", "report") for name in getattr(SETS[of], half)]


def parts(name):
    """The Cell of that name."""
    of, _, family, link, feature = name.split("/")
    capabilities, parameters = FEATURES[feature]
    bandwidth = LINKS[link]["max-bandwidth"]
    return Cell(SETS[of], FAMILIES[family], LINKS[link], capabilities,
                {**parameters, "max-bandwidth": bandwidth,
                 **({"max-postcopy-bandwidth": bandwidth} if "postcopy-ram" in capabilities else {})},
                VERSIONS.get(feature, ALL))
