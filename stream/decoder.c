/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder's driver: window, payload, strings, diagnosis.
 *
 * Model: the parse function of the current state sees a cursor over all bytes at hand. Usually
 * these are the caller's own bytes and nothing is copied. When a record straddles two feeds its
 * first bytes are kept in the stash, bytes of the next feed are appended in growing steps until the
 * record is complete, and what it did not use is given back to the feed.
 *
 * Limits: the stash holds at most one record, or a device body of MIG_LIMIT_BODY bytes whose
 * footer is being searched.
 */
#include "stream/decoder.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "stream/decoder-internal.h"

#define STASH_STEP 512u

static MigParse first_state(MigChannel channel)
{
    static const MigParse states[] = {
        [MIG_CHANNEL_MAIN] = mig_parse_header,    [MIG_CHANNEL_RECOVERY] = mig_parse_item,
        [MIG_CHANNEL_RETURN_PATH] = mig_parse_rp, [MIG_CHANNEL_MULTIFD] = mig_parse_multifd_init,
        [MIG_CHANNEL_PREEMPT] = mig_parse_ram,
    };
    return states[channel];
}

static MigDecoder *decoder_new(const MigDecoderOptions *options, MigShared *shared)
{
    MigDecoder *d = calloc(1, sizeof(*d));
    if (!d) {
        return NULL;
    }
    if (options) {
        d->opt = *options;
    }
    d->shared = shared;
    d->pos = d->opt.start;
    d->block = UINT32_MAX;
    d->label = "header";
    d->label_index = MIG_NO_INDEX;
    d->parse = first_state(d->opt.channel);
    return d;
}

MigDecoder *mig_decoder_new(const MigDecoderOptions *options)
{
    MigShared *shared = calloc(1, sizeof(*shared));
    MigDecoder *d = shared ? decoder_new(options, shared) : NULL;
    if (!d) {
        free(shared);
        return NULL;
    }
    d->owns_shared = true;
    shared->page_size = d->opt.page_size ? d->opt.page_size : 4096;
    /* Every version that can recover writes footers. */
    shared->footers = d->opt.footers == MIG_AUTO ? d->opt.channel == MIG_CHANNEL_RECOVERY
                                                 : d->opt.footers == MIG_YES;
    return d;
}

MigDecoder *mig_decoder_new_child(const MigDecoder *main, MigChannel channel)
{
    MigDecoderOptions options = main->opt;
    options.channel = channel;
    options.start = 0;
    return decoder_new(&options, main->shared);
}

static void shared_free(MigShared *s)
{
    for (uint32_t i = 0; i < s->section_count; i++) {
        free((char *)s->sections[i].idstr.text);
    }
    for (uint32_t i = 0; i < s->block_count; i++) {
        free((char *)s->blocks[i].name.text);
    }
    free(s->sections);
    free(s->blocks);
    free((char *)s->machine.text);
    free(s);
}

void mig_decoder_free(MigDecoder *d)
{
    if (!d) {
        return;
    }
    if (d->owns_shared) {
        shared_free(d->shared);
    }
    free(d->stash);
    free(d->text);
    free(d->words);
    free(d);
}

/* ---- strings and arrays of one record ---- */

MigStr mig_decoder_keep(MigDecoder *d, MigStr s)
{
    /* The whole text of a record fits the first allocation: its strings must not move. */
    if (!d->text) {
        d->text_cap = MIG_LIMIT_CAPABILITIES * (MIG_LIMIT_NAME + 1u) + MIG_LIMIT_MACHINE_NAME + 1u;
        d->text = malloc(d->text_cap);
    }
    if (!d->text || d->text_cap - d->text_len <= s.len) {
        return (MigStr){ 0 };
    }
    char *copy = d->text + d->text_len;
    if (s.len) {
        memcpy(copy, s.text, s.len);
    }
    copy[s.len] = '\0';
    d->text_len += s.len + 1u;
    return (MigStr){ copy, s.len };
}

uint64_t *mig_decoder_words(MigDecoder *d, size_t n)
{
    if (n > d->words_cap) {
        uint64_t *words = realloc(d->words, n * sizeof(*words));
        if (!words) {
            return NULL;
        }
        d->words = words;
        d->words_cap = n;
    }
    return d->words;
}

/* ---- diagnosis and paths ---- */

void mig_decoder_label(MigDecoder *d, const char *label, uint32_t index)
{
    d->label = label;
    d->label_index = index;
}

/* Machine and block names come from strangers: a path shows them without surprises. */
static size_t append_name(char *buf, size_t cap, size_t at, MigStr s)
{
    for (uint32_t i = 0; i < s.len && at + 1 < cap; i++) {
        char ch = s.text[i];
        buf[at++] = ch > ' ' && ch < 0x7f ? ch : '?';
    }
    return at;
}

static size_t append_text(char *buf, size_t cap, size_t at, const char *text)
{
    return append_name(buf, cap, at, (MigStr){ text, (uint32_t)strlen(text) });
}

static size_t append_index(char *buf, size_t cap, size_t at, uint32_t index)
{
    char text[16];
    if (index == MIG_NO_INDEX) {
        return at;
    }
    snprintf(text, sizeof(text), "[%u]", index);
    return append_text(buf, cap, at, text);
}

void mig_decoder_path(const MigDecoder *d, char *buf, size_t cap)
{
    size_t at = 0;
    if (cap == 0) {
        return;
    }
    if (d->depth) {
        at = append_text(buf, cap, at, "package/");
    }
    if (d->in_section) {
        at = append_name(buf, cap, at, d->section.idstr);
        if (d->section.kind != MIG_ITEM_FULL) {
            at = append_text(buf, cap, at, "/");
            at = append_text(buf, cap, at, mig_item_name(d->section.kind));
        }
        at = append_index(buf, cap, at, d->part_index);
        if (d->label) {
            at = append_text(buf, cap, at, "/");
        }
    }
    if (d->label) {
        at = append_text(buf, cap, at, d->label);
        at = append_index(buf, cap, at, d->label_index);
    }
    buf[at] = '\0';
}

MigStep mig_decoder_fail(MigDecoder *d, size_t at, MigFault fault, const char *found,
                         const char *expected, ...)
{
    MigDiagnosis *g = &d->diagnosis;
    va_list args;

    g->fault = fault;
    g->offset = d->pos + at;
    mig_decoder_path(d, g->path, sizeof(g->path));
    snprintf(g->found, sizeof(g->found), "%s", found);
    va_start(args, expected);
    vsnprintf(g->expected, sizeof(g->expected), expected, args);
    va_end(args);
    return MIG_STEP_BAD;
}

/* ---- window ---- */

void mig_decoder_feed(MigDecoder *d, const void *data, size_t n)
{
    assert(d->in_len == 0 && !d->eof);
    d->in = data;
    d->in_len = n;
    d->stash_lent = 0;
}

void mig_decoder_feed_eof(MigDecoder *d)
{
    d->eof = true;
}

static bool stash_append(MigDecoder *d, size_t n)
{
    if (d->stash_cap - d->stash_len < n) {
        size_t cap = d->stash_cap ? d->stash_cap : 4096;
        while (cap - d->stash_len < n) {
            cap *= 2;
        }
        uint8_t *stash = realloc(d->stash, cap);
        if (!stash) {
            return false;
        }
        d->stash = stash;
        d->stash_cap = cap;
    }
    memcpy(d->stash + d->stash_len, d->in, n);
    d->stash_len += n;
    d->stash_lent += n;
    d->in += n;
    d->in_len -= n;
    return true;
}

static MigCursor window(const MigDecoder *d)
{
    MigCursor c = { .data = d->stash_len ? d->stash : d->in,
                    .n = d->stash_len ? d->stash_len : d->in_len };
    if (d->depth && c.n > d->package_left) {
        c.n = (size_t)d->package_left;
    }
    return c;
}

/* Accounts for |n| bytes of the channel that have gone by. */
static void advance(MigDecoder *d, uint64_t n)
{
    d->pos += n;
    if (d->depth) {
        d->package_left -= n;
    }
}

/* Drops the first |n| bytes of the window. */
static void consume(MigDecoder *d, size_t n)
{
    advance(d, n);
    if (d->stash_len == 0) {
        d->in += n;
        d->in_len -= n;
        return;
    }
    size_t left = d->stash_len - n;
    if (left <= d->stash_lent) { /* the rest still stands in the feed: give it back */
        d->in -= left;
        d->in_len += left;
        d->stash_len = 0;
        d->stash_lent = 0;
        return;
    }
    memmove(d->stash, d->stash + n, left);
    d->stash_len = left;
}

/* Lets the window grow; false when everything that was fed is in it. */
static bool window_grow(MigDecoder *d, bool *exhausted)
{
    if (d->in_len == 0) {
        d->stash_lent = 0;
        return false;
    }
    size_t step = d->stash_len < STASH_STEP ? STASH_STEP : d->stash_len;
    bool had_stash = d->stash_len > 0;
    if (!had_stash || step > d->in_len) {
        step = d->in_len;
    }
    if (!stash_append(d, step)) {
        *exhausted = true;
        return false;
    }
    if (!had_stash) { /* the cursor has seen all of this already */
        d->stash_lent = 0;
        return false;
    }
    return true;
}

/* ---- payload ---- */

void mig_decoder_payload_into(MigDecoder *d, void *dst)
{
    d->payload_dst = dst;
}

/* |n|, or less where the package ends before. */
static uint64_t within_package(const MigDecoder *d, uint64_t n)
{
    return d->depth && n > d->package_left ? d->package_left : n;
}

uint64_t mig_decoder_skippable(const MigDecoder *d)
{
    if (d->stash_len || d->in_len || d->final != MIG_STEP_RECORD) {
        return 0;
    }
    return within_package(d, d->payload_dst ? d->gap_left : d->gap_left + d->payload_left);
}

/* Accounts for |n| bytes of gap and payload that have gone by. */
static void payload_advance(MigDecoder *d, uint64_t n)
{
    uint64_t gap = n < d->gap_left ? n : d->gap_left;
    d->gap_left -= gap;
    d->payload_left -= n - gap;
}

void mig_decoder_skipped(MigDecoder *d, uint64_t n)
{
    assert(n <= mig_decoder_skippable(d));
    payload_advance(d, n);
    advance(d, n);
}

size_t mig_decoder_direct(const MigDecoder *d, void **dst)
{
    if (d->stash_len || d->in_len || d->gap_left || !d->payload_dst) {
        return 0;
    }
    *dst = d->payload_dst;
    uint64_t n = within_package(d, d->payload_left);
    return n < SIZE_MAX ? (size_t)n : SIZE_MAX;
}

void mig_decoder_filled(MigDecoder *d, size_t n)
{
    assert(n <= d->payload_left && d->payload_dst);
    d->payload_dst += n;
    d->payload_left -= n;
    advance(d, n);
}

/* Moves what the window has of the payload; true when the payload is complete. */
static bool payload_drain(MigDecoder *d)
{
    while (d->gap_left + d->payload_left > 0) {
        MigCursor c = window(d);
        uint64_t left = d->gap_left ? d->gap_left : d->payload_left;
        size_t n = c.n < left ? c.n : (size_t)left;
        if (n == 0) {
            return false;
        }
        if (!d->gap_left && d->payload_dst) {
            memcpy(d->payload_dst, c.data, n);
            d->payload_dst += n;
        }
        payload_advance(d, n);
        consume(d, n);
    }
    return true;
}

/* ---- the loop ---- */

static MigStatus final_status(const MigDecoder *d)
{
    return d->final == MIG_STEP_END ? MIG_STATUS_END : MIG_STATUS_BAD;
}

static MigStatus stop(MigDecoder *d, MigStep how)
{
    d->final = how;
    if (how == MIG_STEP_END) {
        d->trailing += d->stash_len + d->in_len;
        d->stash_len = 0;
        d->in_len = 0;
    }
    return final_status(d);
}

static MigStatus fail(MigDecoder *d, size_t at, MigFault fault, const char *expected)
{
    mig_decoder_fail(d, at, fault, "end of stream", "%s", expected);
    return stop(d, MIG_STEP_BAD);
}

static MigStatus fail_package(MigDecoder *d, const char *expected)
{
    mig_decoder_fail(d, (size_t)d->package_left, MIG_FAULT_PACKAGE_END, "end of the package", "%s",
                     expected);
    return stop(d, MIG_STEP_BAD);
}

static MigStatus payload_more(MigDecoder *d)
{
    if (d->depth && d->package_left == 0) {
        return fail_package(d, "the rest of the payload");
    }
    if (!d->eof) {
        return MIG_STATUS_MORE;
    }
    char expected[64];
    snprintf(expected, sizeof(expected), "%llu more bytes of payload",
             (unsigned long long)(d->gap_left + d->payload_left));
    return fail(d, 0, MIG_FAULT_TRUNCATED, expected);
}

static void package_end(MigDecoder *d, MigRecord *r)
{
    *r = (MigRecord){ .type = MIG_REC_PACKAGE_END, .depth = d->depth, .offset = d->pos };
    d->in_section = false;
    mig_decoder_label(d, "end", MIG_NO_INDEX);
    d->depth = 0;
    d->parse = d->checkpoints ? mig_parse_colo : mig_parse_item;
}

static void emit(MigDecoder *d, MigRecord *r, const MigCursor *c, uint8_t depth)
{
    r->depth = depth;
    r->offset = d->pos;
    r->wire = (uint32_t)c->at;
    d->payload_left = r->payload;
    consume(d, c->at);
    if (d->package_opens) {
        d->package_opens = false;
        d->depth = 1;
        d->package_left = d->package_length;
    }
}

static MigStatus came_short(MigDecoder *d, const MigCursor *c, bool *retry)
{
    bool exhausted = false;

    *retry = false;
    if (d->depth && c->n == d->package_left) {
        return fail_package(d, "the rest of an item");
    }
    if (window_grow(d, &exhausted)) {
        *retry = true;
        return MIG_STATUS_MORE;
    }
    if (exhausted) {
        return fail(d, 0, MIG_FAULT_TRUNCATED, "memory to keep the record in");
    }
    if (!d->eof) {
        return MIG_STATUS_MORE;
    }
    return fail(d, c->n, MIG_FAULT_TRUNCATED, c->n ? "the rest of this" : "more bytes");
}

MigStatus mig_decoder_next(MigDecoder *d, MigRecord *r)
{
    if (d->final != MIG_STEP_RECORD) {
        return stop(d, d->final);
    }
    if (d->gap_left + d->payload_left > 0 || d->payload_dst) {
        if (!payload_drain(d)) {
            return payload_more(d);
        }
        if (d->payload_dst) {
            d->payload_dst = NULL;
            return MIG_STATUS_PAYLOAD;
        }
    }
    for (;;) {
        if (d->depth && d->package_left == 0 && d->parse == mig_parse_item) {
            package_end(d, r);
            return MIG_STATUS_RECORD;
        }
        MigCursor c = window(d);
        uint8_t depth = d->depth;
        bool retry;
        d->text_len = 0;
        MigStep step = d->parse(d, &c, r);
        switch (step) {
        case MIG_STEP_RECORD:
            emit(d, r, &c, depth);
            return MIG_STATUS_RECORD;
        case MIG_STEP_AGAIN:
            consume(d, c.at);
            break;
        case MIG_STEP_MORE: {
            MigStatus s = came_short(d, &c, &retry);
            if (!retry) {
                return s;
            }
            break;
        }
        case MIG_STEP_END:
        case MIG_STEP_BAD:
            return stop(d, step);
        }
    }
}

/* ---- what the stream has told ---- */

uint64_t mig_decoder_trailing(const MigDecoder *d)
{
    return d->trailing;
}

uint64_t mig_decoder_offset(const MigDecoder *d)
{
    return d->pos;
}

const MigDiagnosis *mig_decoder_diagnosis(const MigDecoder *d)
{
    return &d->diagnosis;
}

MigStr mig_decoder_machine(const MigDecoder *d)
{
    return d->shared->machine;
}

bool mig_decoder_footers(const MigDecoder *d)
{
    return d->shared->footers;
}

uint32_t mig_decoder_page_size(const MigDecoder *d)
{
    return d->shared->page_size;
}

uint32_t mig_decoder_block_count(const MigDecoder *d)
{
    return d->shared->block_count;
}

const MigRecordRamBlock *mig_decoder_block(const MigDecoder *d, uint32_t index)
{
    return index < d->shared->block_count ? &d->shared->blocks[index] : NULL;
}
