# SPDX-License-Identifier: Apache-2.0
"""Scripted guests: writes whose effect on the stream does not depend on timing.

Pages are filled with one stated byte. During pass 1 only pages are written that the cursor has passed
(ram.remaining says so); during pass n >= 2 only pages that are not in that pass's dirty set. Either way
a written page is sent in pass n + 1, with the contents it has by then.

One more condition makes the order exact. After a pass the cursor rests behind the last page sent, or at the end of
RAM, depending on when the source last looked; the next search is circular from there. So the next
set lies wholly before that page: then both places give ascending order.
"""

HEAD = 60     # pages with contents at the beginning of the first block
TAIL = 60     # and at the end of the last one


def runs(pages):
    """[[first, count]...] of a list of page numbers."""
    out = []
    for page in sorted(pages):
        if out and sum(out[-1]) == page:
            out[-1][1] += 1
        else:
            out.append([page, 1])
    return out


def fills(block, contents):
    """{page: byte} as a list of fills."""
    out = []
    for page in sorted(contents):
        last = out[-1] if out else None
        if last and last["byte"] == contents[page] and last["first_page"] + last["pages"] == page:
            last["pages"] += 1
        else:
            out.append({"block": block, "first_page": page, "pages": 1, "byte": contents[page]})
    return out


def idle(block, pages):
    """Initial contents of an idle guest: a few runs, one page alone, the last page."""
    contents = {p: 1 + p % 250 for p in range(0, 7)}
    contents.update({p: 0x5a for p in range(16, 24)})
    contents[31] = 0xff
    contents[pages - 1] = 0x81
    return {"initial": fills(block, contents), "passes": []}


def scripted(blocks):
    """blocks: [(name, pages)...] of writable RAM in stream order, the first with 128 pages or more."""
    first, last = blocks[0][0], blocks[-1]
    tail = range(last[1] - TAIL, last[1])
    initial = fills(first, {p: 1 + p for p in range(HEAD)}) + \
        fills(last[0], {p: 0x80 + p % 64 for p in tail})
    zeroed = list(range(4, 56, 10))
    passes = []
    # Pass 1: even pages. Some contents change, some become zero, some zeros get contents.
    wrote = {p: 0 if p in zeroed else 0x40 + p for p in range(0, HEAD, 2)}
    wrote.update({p: 0xa1 for p in range(62, 100, 2)})
    passes.append([(first, wrote)])
    # Pass 2: odd pages.
    wrote = {p: 0x11 + p for p in range(1, 75, 2)}
    passes.append([(first, wrote)])
    # Pass 3: even pages again. What became zero gets contents, what got contents becomes zero.
    wrote = {p: 0xb0 + p // 10 for p in zeroed}
    wrote.update({p: 0x77 for p in range(8, 60, 2) if p not in zeroed})
    wrote.update({p: 0 for p in range(62, 72, 2)})
    passes.append([(first, wrote)])
    # Pass 4: odd pages again, some of them to zero for good.
    wrote = {p: 0 if p % 16 == 1 else 0x22 for p in range(1, 61, 2)}
    passes.append([(first, wrote)])
    if len(blocks) > 1:
        passes[0].append((last[0], {p: 0xc0 + p for p in range(4, 20, 2)}))
        passes[1].append((last[0], {p: 0xd0 for p in range(5, 19, 2)}))
        passes[2].append((last[0], {p: 0 for p in range(4, 16, 4)}))
        passes[3].append((last[0], {5: 0, 7: 0xe7}))
    script = {"initial": initial, "passes": []}
    for number, pieces in enumerate(passes):
        writes = []
        for block, contents in pieces:
            writes += fills(block, contents)
        script["passes"].append({"after_pass": number, "remaining_below": 0, "writes": writes})
    script["tail"] = {"block": last[0], "first_page": tail[0]}
    return script


def expected_order(script, order, known):
    """What the source has to send: [(block, page, "normal"|"zero")...] over all passes.

    order: [(block, pages)...] of all blocks; known: contents of pages that the script doesn't fill, as a
    set of (block, page) that are not zero.
    """
    state = {}
    for fill in script["initial"]:
        for p in range(fill["first_page"], fill["first_page"] + fill["pages"]):
            state[(fill["block"], p)] = fill["byte"]
    place = {block: i for i, (block, _) in enumerate(order)}

    def kind(block, page):
        if (block, page) in state:
            return "normal" if state[(block, page)] else "zero"
        return "normal" if (block, page) in known else "zero"
    out = [(block, page, kind(block, page)) for block, pages in order for page in range(pages)]
    for step in script["passes"]:
        touched = set()
        for fill in step["writes"]:
            for p in range(fill["first_page"], fill["first_page"] + fill["pages"]):
                state[(fill["block"], p)] = fill["byte"]
                touched.add((fill["block"], p))
        out += [(b, p, kind(b, p)) for b, p in sorted(touched, key=lambda t: (place[t[0]], t[1]))]
    return out
