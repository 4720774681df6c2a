/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The XBZRLE decoder: one walk over the runs, with or without a page to write to.
 *
 * Every length is checked against what is left of the delta and of the page before a byte moves.
 * It accepts what QEMU's receiver accepts and nothing more.
 */
#include <string.h>

#include "stream/xbzrle.h"

static const struct {
    const char *name;
    const char *text;
} faults[MIG_XBZRLE_FAULT_COUNT] = {
    [MIG_XBZRLE_OK] = { "none", "no fault" },
    [MIG_XBZRLE_DELTA_TOO_LONG] = { "delta-too-long", "the delta is longer than a page" },
    [MIG_XBZRLE_LENGTH_TRUNCATED] = { "length-truncated", "the delta ends inside a run length" },
    [MIG_XBZRLE_LENGTH_TOO_WIDE] = { "length-too-wide", "a run length of more than two bytes" },
    [MIG_XBZRLE_ZRUN_EMPTY] = { "zrun-empty", "an unchanged run of 0 bytes after the first" },
    [MIG_XBZRLE_ZRUN_PAST_PAGE] = { "zrun-past-page", "an unchanged run past the page's end" },
    [MIG_XBZRLE_ZRUN_TRAILING] = { "zrun-trailing", "an unchanged run with nothing behind it" },
    [MIG_XBZRLE_NZRUN_EMPTY] = { "nzrun-empty", "a changed run of 0 bytes" },
    [MIG_XBZRLE_NZRUN_PAST_PAGE] = { "nzrun-past-page", "a changed run past the page's end" },
    [MIG_XBZRLE_NZRUN_PAST_DELTA] = { "nzrun-past-delta", "a changed run without all its bytes" },
};

const char *mig_xbzrle_fault_name(MigXbzrleFault fault)
{
    return (unsigned)fault < MIG_XBZRLE_FAULT_COUNT ? faults[fault].name : "unknown";
}

const char *mig_xbzrle_fault_text(MigXbzrleFault fault)
{
    return (unsigned)fault < MIG_XBZRLE_FAULT_COUNT ? faults[fault].text : "unknown fault";
}

typedef struct Reader {
    const uint8_t *delta;
    size_t n;
    size_t at;
    uint32_t notes;
} Reader;

/* Reads one length; on a fault the position stays at its first byte. */
static MigXbzrleFault read_length(Reader *r, size_t *length)
{
    uint8_t low, high;

    if (r->at >= r->n) {
        return MIG_XBZRLE_LENGTH_TRUNCATED;
    }
    low = r->delta[r->at];
    if (low < 0x80) {
        *length = low;
        r->at += 1;
        return MIG_XBZRLE_OK;
    }
    if (r->at + 1 >= r->n) {
        return MIG_XBZRLE_LENGTH_TRUNCATED;
    }
    high = r->delta[r->at + 1];
    if (high & 0x80) {
        return MIG_XBZRLE_LENGTH_TOO_WIDE;
    }
    if (high == 0) {
        r->notes |= MIG_XBZRLE_NOTE_WIDE_LENGTH;
    }
    *length = (size_t)(low & 0x7f) | (size_t)high << 7;
    r->at += 2;
    return MIG_XBZRLE_OK;
}

static bool same_byte_somewhere(const uint8_t *a, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a[i] == b[i]) {
            return true;
        }
    }
    return false;
}

static MigXbzrleFault read_zrun(Reader *r, MigXbzrleInfo *info, size_t page_size)
{
    size_t start = r->at, length;
    MigXbzrleFault fault = read_length(r, &length);

    if (fault) {
        return fault;
    }
    if (length == 0 && start != 0) {
        fault = MIG_XBZRLE_ZRUN_EMPTY;
    } else if (length > page_size - info->end) {
        fault = MIG_XBZRLE_ZRUN_PAST_PAGE;
    } else if (r->at == r->n) {
        fault = MIG_XBZRLE_ZRUN_TRAILING;
    } else {
        info->end += length;
        return MIG_XBZRLE_OK;
    }
    r->at = start;
    return fault;
}

static MigXbzrleFault read_nzrun(Reader *r, MigXbzrleInfo *info, size_t page_size, size_t *length)
{
    size_t start = r->at;
    MigXbzrleFault fault = read_length(r, length);

    if (fault) {
        return fault;
    }
    if (*length > r->n - r->at) {
        return MIG_XBZRLE_NZRUN_PAST_DELTA;
    }
    if (*length == 0) {
        fault = MIG_XBZRLE_NZRUN_EMPTY;
    } else if (*length > page_size - info->end) {
        fault = MIG_XBZRLE_NZRUN_PAST_PAGE;
    } else {
        return MIG_XBZRLE_OK;
    }
    r->at = start;
    return fault;
}

/* Most runs are short, and a call costs more than they do. */
static inline void put_data(uint8_t *to, const uint8_t *from, size_t n)
{
    if (n > 8) {
        memcpy(to, from, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = from[i];
    }
}

/* page may be NULL: then nothing is written. */
static MigXbzrleFault walk(const uint8_t *delta, size_t n, uint8_t *page, size_t page_size,
                           MigXbzrleInfo *info, bool compare)
{
    Reader r = { .delta = delta, .n = n };

    *info = (MigXbzrleInfo){ .notes = n == 0 ? MIG_XBZRLE_NOTE_EMPTY : 0 };
    if (n > page_size) {
        info->fault = MIG_XBZRLE_DELTA_TOO_LONG;
        return info->fault;
    }
    while (r.at < n) {
        size_t length = 0;

        info->fault = read_zrun(&r, info, page_size);
        if (!info->fault) {
            info->fault = read_nzrun(&r, info, page_size, &length);
        }
        if (info->fault) {
            break;
        }
        if (page) {
            if (compare && same_byte_somewhere(page + info->end, delta + r.at, length)) {
                r.notes |= MIG_XBZRLE_NOTE_SAME_BYTE;
            }
            put_data(page + info->end, delta + r.at, length);
        }
        r.at += length;
        info->end += length;
        info->written += (uint32_t)length;
        info->runs++;
    }
    info->at = r.at;
    info->notes |= r.notes;
    return info->fault;
}

MigXbzrleFault mig_xbzrle_decode(const uint8_t *delta, size_t n, uint8_t *page, size_t page_size,
                                 MigXbzrleInfo *info)
{
    MigXbzrleInfo unused;

    return walk(delta, n, page, page_size, info ? info : &unused, info != NULL);
}

MigXbzrleFault mig_xbzrle_check(const uint8_t *delta, size_t n, size_t page_size,
                                MigXbzrleInfo *info)
{
    MigXbzrleInfo unused;

    return walk(delta, n, NULL, page_size, info ? info : &unused, false);
}
