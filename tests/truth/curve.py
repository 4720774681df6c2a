# SPDX-License-Identifier: Apache-2.0
"""How many different pages the guest of a cell writes in a span of time: what a perfect
calc-dirty-rate would have told the published models, from the workload's definition."""

PAGE = 4096
SPANS_MS = (125, 250, 375, 500, 750, 1000, 1500, 2000, 3000, 4000, 6000, 8000, 10000, 15000, 20000)


def unique(region, ms):
    """Different pages of a region that are written in |ms| from any moment on."""
    pages, writes = region["length"] // PAGE, region["rate"] * ms / 1000
    if region["pattern"] == "random":
        return spread(pages, writes)
    if region["pattern"] == "hot-cold":
        share, hot = region["hot"]["share"] / 100, pages * region["hot"]["size"] // 100
        cold_writes = (1 - share) * writes
        # The others go anywhere in it all, the hot pages included.
        return (spread(pages, cold_writes) * (pages - hot) / pages
                + spread(hot, writes * share + cold_writes * hot / pages))
    if region["pattern"] == "periodic":
        # A round at its rate, then rest until the period is over: on average, from any moment on.
        return min(pages, pages * ms / region["period-ms"])
    return min(pages, writes)


def spread(pages, writes):
    return pages * (1 - (1 - 1 / pages) ** writes) if pages else 0


def points(regions):
    return [(ms, sum(unique(r, ms) for r in regions)) for ms in SPANS_MS]


def pages_ever(regions, ms):
    """Pages that are not zero any more |ms| after the guest began."""
    return sum(round(unique(r, ms)) for r in regions)
