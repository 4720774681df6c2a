# SPDX-License-Identifier: Apache-2.0
"""walk.py's counterpart for the channels that are not the main one: multifd and the return path."""
import struct
import subprocess
import zlib

import walk

RETURN_MESSAGES = {1: "SHUT", 2: "PONG", 3: "REQ_PAGES_ID", 4: "REQ_PAGES", 5: "RECV_BITMAP",
                   6: "RESUME_ACK", 7: "SWITCHOVER_ACK"}


def walk_return(data):
    """Counts the messages of a return path. COLO's words after SHUT are the caller's business."""
    at, counts, messages = 0, {}, []
    while at < len(data):
        kind, length = struct.unpack_from(">HH", data, at)
        if kind not in RETURN_MESSAGES:
            raise walk.Bad(f"return path, offset {at}: message {kind}")
        payload = data[at + 4:at + 4 + length]
        at += 4 + length
        name = RETURN_MESSAGES[kind]
        counts[name] = counts.get(name, 0) + 1
        messages.append((name, payload.hex()))
        if name == "RECV_BITMAP":
            at += 8 + struct.unpack_from(">Q", data, at)[0] + 8
    if at != len(data):
        raise walk.Bad(f"return path: ends inside a message at {at}")
    return counts, messages


def zstd_prefix(data):
    """What a zstd frame that never ends holds so far."""
    return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout


def walk_multifd(data, page_size=walk.PAGE):
    """Counts, and the pages of one multifd channel: [(round, block, page, contents or None)...]."""
    magic, version = struct.unpack_from(">II", data)
    if (magic, version) != (0x11223344, 1):
        raise walk.Bad("multifd: no initial packet")
    count = 524288 // page_size
    stats = {"bytes": len(data), "id": data[24], "packets": 0, "sync": 0, "normal": 0, "zero": 0,
             "payload": 0, "methods": []}
    at, rounds, pages, jobs, whole = 64, 0, [], [], b""
    inflate = zlib.decompressobj()
    while at < len(data):
        (magic, version, flags, alloc, normal, size, number, zero, _, _, _, _, name) = \
            struct.unpack_from(">IIIIIIQIIQQQ256s", data, at)
        if (magic, version) != (0x11223344, 1) or normal + zero > count:
            raise walk.Bad(f"multifd, offset {at}: packet header")
        offsets = struct.unpack_from(f">{count}Q", data, at + 320)
        at += 320 + 8 * count
        stats["packets"] += 1
        stats["normal"] += normal
        stats["zero"] += zero
        name = name.split(b"\0")[0].decode()
        method = {0: "none", 2: "zlib", 4: "zstd"}[flags & 0x3e]
        if normal:
            payload = data[at:at + size]
            at += size
            stats["payload"] += size
            if method not in stats["methods"]:
                stats["methods"].append(method)
            if method == "zlib":
                payload = inflate.decompress(payload)
            elif method == "zstd":
                whole += payload
            jobs.append((rounds, name, [o // page_size for o in offsets[:normal]], payload, method))
        for o in offsets[normal:normal + zero]:
            pages.append((rounds, name, o // page_size, None))
        if flags & 1:
            stats["sync"] += 1
            rounds += 1
    plain, used = zstd_prefix(whole) if whole else b"", 0
    for job_round, name, numbers, payload, method in jobs:
        if method == "zstd":
            payload = plain[used:used + len(numbers) * page_size]
            used += len(payload)
        if len(payload) != len(numbers) * page_size:
            raise walk.Bad(f"multifd: a payload of {len(payload)} bytes for {len(numbers)} pages")
        for i, page in enumerate(numbers):
            pages.append((job_round, name, page, bytes(payload[i * page_size:(i + 1) * page_size])))
    return stats, sorted(pages, key=lambda p: p[0])
