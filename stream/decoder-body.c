/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of devices: where do they end? Their length is not on the wire. In this order:
 *
 *   1. a layout that is known here, when what follows it agrees;
 *   2. the VMDESCRIPTION, when the caller could look ahead (options.body_size);
 *   3. the first footer of this section that is followed by something which can be an item. The
 *      check reads the whole header of that item, so that a wrong guess needs some ten bytes of
 *      device state that look like a footer, a type and a printable name in a row.
 *   4. in the eras without footers: the first bytes that are the whole header of a later FULL
 * section, or the EOF byte that ends the stream;
 *   5. else: inconclusive.
 *
 * The body itself is opaque: one BODY record whose payload it is.
 */
#include <stdio.h>

#include "stream/decoder-internal.h"

#define FOOTER_BYTES 5u

void mig_body_open_device(MigDecoder *d)
{
    d->parse = mig_parse_body;
}

/* ---- 1. known layouts ---- */

static const struct {
    const char *idstr;
    uint32_t version;
    uint32_t length;
} layouts[] = {
    { "timer", 2, 24 },
    { "globalstate", 1, 104 },
};

/* True when the window says that the body of |n| bytes is followed by its footer. */
static bool footer_at(const MigDecoder *d, const MigCursor *c, size_t n)
{
    return c->n >= n + FOOTER_BYTES && c->data[n] == MIG_ITEM_FOOTER &&
           mig_load_be32(c->data + n + 1) == d->section.id;
}

static size_t known_length(const MigDecoder *d)
{
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
        if (layouts[i].version == d->section.version &&
            mig_str_equal(d->section.idstr, mig_str(layouts[i].idstr))) {
            return layouts[i].length;
        }
    }
    return 0;
}

/* MIG_STEP_AGAIN: not known, or it has subsections: ask the next one. */
static MigStep by_layout(MigDecoder *d, MigCursor *c, uint64_t *length)
{
    size_t n = known_length(d);
    if (n == 0) {
        return MIG_STEP_AGAIN;
    }
    size_t behind = d->shared->footers ? FOOTER_BYTES : 1;
    if (c->n < n + behind && !d->eof && !(d->depth && c->n == d->package_left)) {
        return MIG_STEP_MORE;
    }
    *length = n;
    if (d->shared->footers) {
        return footer_at(d, c, n) ? MIG_STEP_RECORD : MIG_STEP_AGAIN;
    }
    return c->n > n && c->data[n] != MIG_ITEM_SUBSECTION ? MIG_STEP_RECORD : MIG_STEP_AGAIN;
}

/* ---- 3. the footer ---- */

typedef enum Guess {
    GUESS_NO,
    GUESS_YES,
    GUESS_UNDECIDED,
} Guess;

static Guess printable_header(const uint8_t *p, size_t n)
{
    size_t len = n > 5 ? p[5] : 1;
    if (len == 0) {
        return GUESS_NO;
    }
    for (size_t i = 6; i < n && i < 6 + len; i++) {
        if (p[i] < ' ' || p[i] > '~') {
            return GUESS_NO;
        }
    }
    return n >= 6 + len ? GUESS_YES : GUESS_UNDECIDED;
}

static Guess started_section(const MigDecoder *d, const uint8_t *p, size_t n)
{
    if (n < 5) {
        return GUESS_UNDECIDED;
    }
    return mig_shared_section(d->shared, mig_load_be32(p + 1)) ? GUESS_YES : GUESS_NO;
}

static Guess command_header(const uint8_t *p, size_t n)
{
    if (n < 3) {
        return GUESS_UNDECIDED;
    }
    return mig_command_name(mig_load_be16(p + 1)) ? GUESS_YES : GUESS_NO;
}

static Guess end_of_stream(const uint8_t *p, size_t n, bool last)
{
    static const uint8_t vmdesc_head[] = { MIG_ITEM_EOF, MIG_ITEM_VMDESCRIPTION };
    if (n < 7) {
        size_t known = n < sizeof(vmdesc_head) ? n : sizeof(vmdesc_head);
        if (memcmp(p, vmdesc_head, known) != 0) {
            return GUESS_NO;
        }
        return last ? (n == 1 ? GUESS_YES : GUESS_NO) : GUESS_UNDECIDED;
    }
    return p[1] == MIG_ITEM_VMDESCRIPTION && p[6] == '{' ? GUESS_YES : GUESS_NO;
}

/* Can the |n| bytes at |p| begin an item? |last|: nothing comes behind them. */
static Guess item_guess(const MigDecoder *d, const uint8_t *p, size_t n, bool last)
{
    if (n == 0) {
        return !last ? GUESS_UNDECIDED : d->depth ? GUESS_YES : GUESS_NO;
    }
    switch (p[0]) {
    case MIG_ITEM_EOF:
        return end_of_stream(p, n, last);
    case MIG_ITEM_START:
    case MIG_ITEM_FULL:
        return printable_header(p, n);
    case MIG_ITEM_PART:
    case MIG_ITEM_END:
        return started_section(d, p, n);
    case MIG_ITEM_COMMAND:
        return command_header(p, n);
    default:
        return GUESS_NO;
    }
}

static MigStep by_footer(MigDecoder *d, MigCursor *c, uint64_t *length)
{
    bool last = d->eof || (d->depth && c->n == d->package_left);

    for (size_t at = d->scanned; at < c->n; at++) {
        const uint8_t *p = memchr(c->data + at, MIG_ITEM_FOOTER, c->n - at);
        if (!p) {
            d->scanned = c->n;
            break;
        }
        at = (size_t)(p - c->data);
        d->scanned = at;
        if (c->n - at < FOOTER_BYTES) {
            break;
        }
        if (!footer_at(d, c, at)) {
            continue;
        }
        const uint8_t *next = p + FOOTER_BYTES;
        Guess guess = item_guess(d, next, c->n - at - FOOTER_BYTES, last);
        if (guess == GUESS_YES) {
            *length = at;
            return MIG_STEP_RECORD;
        }
        if (guess == GUESS_UNDECIDED && !last) {
            break;
        }
    }
    return last || c->n > MIG_LIMIT_BODY ? MIG_STEP_AGAIN : MIG_STEP_MORE;
}

/* ---- 4. the next header ---- */

#define ID_GAP 4096u /* between sections that follow each other: devices that were not saved */

/* Are the |n| bytes at |p| the header of a FULL section behind this one? */
static Guess full_header(const MigDecoder *d, const uint8_t *p, size_t n)
{
    if (n < 6) {
        return GUESS_UNDECIDED;
    }
    uint32_t id = mig_load_be32(p + 1);
    if (id <= d->section.id || id - d->section.id > ID_GAP || p[5] < 2) {
        return GUESS_NO;
    }
    Guess name = printable_header(p, n);
    size_t version_at = 6u + p[5] + 4u;
    if (name != GUESS_YES || n < version_at + 4) {
        return name == GUESS_NO ? GUESS_NO : GUESS_UNDECIDED;
    }
    return mig_load_be32(p + version_at) < 256 ? GUESS_YES : GUESS_NO;
}

static MigStep by_header(MigDecoder *d, MigCursor *c, uint64_t *length)
{
    bool last = d->eof || (d->depth && c->n == d->package_left);

    for (size_t at = d->scanned; at < c->n; at++) {
        const uint8_t *p = memchr(c->data + at, MIG_ITEM_FULL, c->n - at);
        if (!p) {
            d->scanned = c->n;
            break;
        }
        at = (size_t)(p - c->data);
        d->scanned = at;
        Guess guess = full_header(d, p, c->n - at);
        if (guess == GUESS_YES) {
            *length = at;
            return MIG_STEP_RECORD;
        }
        if (guess == GUESS_UNDECIDED && !last) {
            break;
        }
    }
    if (last && c->n > 0 && c->data[c->n - 1] == MIG_ITEM_EOF) {
        *length = c->n - 1;
        return MIG_STEP_RECORD;
    }
    return last || c->n > MIG_LIMIT_BODY ? MIG_STEP_AGAIN : MIG_STEP_MORE;
}

/* ---- the resolver ---- */

static MigStep body_record(MigDecoder *d, MigRecord *r, MigBodyHow how, uint64_t length)
{
    *r = (MigRecord){ .type = MIG_REC_BODY, .payload = length, .body = { how } };
    mig_decoder_label(d, "body", MIG_NO_INDEX);
    d->scanned = 0;
    mig_decoder_body_done(d);
    return MIG_STEP_RECORD;
}

static uint64_t described_length(const MigDecoder *d)
{
    if (!d->opt.body_size || d->section.kind != MIG_ITEM_FULL || d->depth) {
        return MIG_BODY_SIZE_UNKNOWN;
    }
    return d->opt.body_size(d->opt.opaque, d->section.idstr, d->section.instance, d->ordinal);
}

/*
 * Some descriptions are wrong (arrays of pointers with empty places, until 9.x): a body that can be
 * held is taken only when its footer follows.
 */
static MigStep by_description(MigDecoder *d, MigCursor *c, uint64_t *length)
{
    *length = described_length(d);
    if (*length == MIG_BODY_SIZE_UNKNOWN) {
        return MIG_STEP_AGAIN;
    }
    if (!d->shared->footers || *length > MIG_LIMIT_BODY) {
        return MIG_STEP_RECORD;
    }
    if (c->n < *length + FOOTER_BYTES) {
        return d->eof ? MIG_STEP_RECORD : MIG_STEP_MORE;
    }
    return footer_at(d, c, (size_t)*length) ? MIG_STEP_RECORD : MIG_STEP_AGAIN;
}

MigStep mig_parse_body(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    uint64_t length = 0;

    mig_decoder_label(d, "body", MIG_NO_INDEX);
    MigStep step = by_layout(d, c, &length);
    if (step == MIG_STEP_RECORD) {
        return body_record(d, r, MIG_BODY_LAYOUT, length);
    }
    if (step == MIG_STEP_MORE) {
        c->came_short = true;
        return MIG_STEP_MORE;
    }
    step = by_description(d, c, &length);
    if (step == MIG_STEP_RECORD) {
        return body_record(d, r, MIG_BODY_VMDESC, length);
    }
    if (step == MIG_STEP_MORE) {
        c->came_short = true;
        return MIG_STEP_MORE;
    }
    uint64_t told = length != MIG_BODY_SIZE_UNKNOWN ? length : known_length(d);
    step = d->shared->footers ? by_footer(d, c, &length) : by_header(d, c, &length);
    if (step == MIG_STEP_RECORD) {
        return body_record(d, r, d->shared->footers ? MIG_BODY_FOOTER : MIG_BODY_HEADER, length);
    }
    if (step == MIG_STEP_MORE) {
        c->came_short = true;
        return MIG_STEP_MORE;
    }
    if (told && d->shared->footers) { /* it is the footer that is wrong; its state says how */
        return body_record(d, r, MIG_BODY_VMDESC, told);
    }
    return mig_decoder_fail(d, 0, MIG_FAULT_BODY_UNRESOLVED,
                            d->shared->footers ? "no footer of this section"
                                               : "no header of a later section",
                            "a layout, a VMDESCRIPTION, a footer or a header that tells where the "
                            "body of %s ends",
                            d->section.idstr.text);
}
