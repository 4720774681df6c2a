/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contents of synthetic pages, see content.h.
 *
 * Limits: overlays of different kinds on one page cost a whole page of memory each; everything else
 * costs its 32 bytes.
 */
#include "sim/guest/content.h"

#include <glib.h>
#include <string.h>

#include "sim/world/prng.h"
#include "stream/zero.h"

static const char *const content_names[] = {
    [MIG_CONTENT_ZERO] = "zero", [MIG_CONTENT_RANDOM] = "random",
    [MIG_CONTENT_TEXT] = "text", [MIG_CONTENT_REPEATED] = "repeated",
    [MIG_CONTENT_FILE] = "file",
};

const char *mig_content_name(MigContentKind kind)
{
    return (size_t)kind < G_N_ELEMENTS(content_names) ? content_names[kind] : NULL;
}

static void put_word(uint8_t *out, uint64_t word)
{
    word = GUINT64_TO_LE(word);
    memcpy(out, &word, sizeof word);
}

static void fill_words(uint8_t *out, uint32_t n, uint64_t key, uint64_t first)
{
    for (uint32_t i = 0; i < n / 8; i++) {
        put_word(out + 8 * i, mig_prng_at(key, first + i));
    }
}

/* Sixteen letters, a space being one of them: four bits of entropy in eight. */
static void fill_text(uint8_t *out, uint32_t n, uint64_t key, uint64_t first)
{
    static const char letters[16] = "etaoins hrdlucmf";
    for (uint32_t i = 0; i < n / 16; i++) {
        uint64_t word = mig_prng_at(key, first + i);
        for (unsigned c = 0; c < 16; c++, word >>= 4) {
            out[16 * i + c] = (uint8_t)letters[word & 15];
        }
    }
}

static void fill_file(uint8_t *out, uint32_t n, const MigContent *c, uint64_t at)
{
    uint64_t there = at < c->bytes ? c->bytes - at : 0;
    size_t have = there < n ? (size_t)there : n;
    if (have > 0) {
        memcpy(out, c->data + at, have);
    }
    memset(out + have, 0, n - have);
}

#define ZERO_DIGITS 16u /* binary ones, of a share of zero pages */

/* Of zero pages: in 2^-16. */
static uint64_t share_of(unsigned percent)
{
    return percent >= 100 ? 1u << ZERO_DIGITS : (percent << ZERO_DIGITS) / 100;
}

/*
 * From the share's lowest binary digit that is one to its highest, each halves the share so far,
 * and a one adds a half: one random word per digit, and one alone for 50 %.
 */
static inline uint64_t zeros_of(uint64_t key, uint64_t word, uint64_t share)
{
    uint64_t zeros = share >> ZERO_DIGITS ? ~0ull : 0;
    for (unsigned d = share ? (unsigned)__builtin_ctzll(share) : ZERO_DIGITS; d < ZERO_DIGITS;
         d++) {
        uint64_t random = mig_prng_at(~key, word * ZERO_DIGITS + d);
        zeros = share >> d & 1 ? zeros | random : zeros & random;
    }
    return zeros;
}

uint64_t mig_content_zeros(uint64_t key, uint64_t word, unsigned percent)
{
    return zeros_of(key, word, share_of(percent));
}

bool mig_content_zero_words(const MigContent *c, uint64_t key, uint64_t word, unsigned n,
                            const uint64_t *masks, uint64_t *zeros)
{
    MigContentKind kind = c ? c->kind : MIG_CONTENT_ZERO;
    bool even = kind == MIG_CONTENT_ZERO || (kind == MIG_CONTENT_REPEATED && c->byte == 0);
    uint64_t share = even ? 1u << ZERO_DIGITS : share_of(c->zeros);
    for (unsigned i = 0; i < n; i++) {
        zeros[i] = masks[i] ? masks[i] & zeros_of(key, word + i, share) : 0;
    }
    return kind != MIG_CONTENT_FILE;
}

static bool is_left_zero(const MigPageOrigin *o)
{
    return o->content && o->content->zeros > 0 &&
           mig_content_zeros(o->key, o->page / 64, o->content->zeros) >> o->page % 64 & 1;
}

static MigContentKind kind_of(const MigPageOrigin *o)
{
    return o->content && !is_left_zero(o) ? o->content->kind : MIG_CONTENT_ZERO;
}

static void read_initial(const MigPageOrigin *o, uint8_t *out)
{
    switch (kind_of(o)) {
    case MIG_CONTENT_ZERO:
        memset(out, 0, o->page_size);
        break;
    case MIG_CONTENT_RANDOM:
        fill_words(out, o->page_size, o->key, o->page * (o->page_size / 8));
        break;
    case MIG_CONTENT_TEXT:
        fill_text(out, o->page_size, o->key, o->page * (o->page_size / 16));
        break;
    case MIG_CONTENT_REPEATED:
        memset(out, o->content->byte, o->page_size);
        break;
    case MIG_CONTENT_FILE:
        fill_file(out, o->page_size, o->content,
                  (o->page - o->content->first) * (uint64_t)o->page_size);
        break;
    }
}

static void add_bytes(uint8_t *out, uint32_t page_size, uint16_t n, uint64_t times)
{
    for (uint32_t i = 0; i < n; i++) {
        out[i * page_size / n] += (uint8_t)times;
    }
}

static void read_overlay(const MigPageState *s, uint32_t page_size, uint8_t *out)
{
    if (s->overlay == MIG_OVERLAY_COUNTER) {
        put_word(out, s->value);
    } else if (s->overlay == MIG_OVERLAY_BYTES) {
        add_bytes(out, page_size, s->n, s->value);
    }
}

void mig_content_read(const MigPageState *s, const MigPageOrigin *origin, uint8_t *out)
{
    switch (s ? s->base : MIG_PAGE_INITIAL) {
    case MIG_PAGE_INITIAL:
        read_initial(origin, out);
        break;
    case MIG_PAGE_FILL:
        memset(out, s->byte, origin->page_size);
        break;
    case MIG_PAGE_WORDS:
        fill_words(out, origin->page_size, s->key, 0);
        break;
    case MIG_PAGE_EXPLICIT:
        memcpy(out, s->bytes, origin->page_size);
        break;
    }
    if (s) {
        read_overlay(s, origin->page_size, out);
    }
}

void mig_content_release(MigPageState *s)
{
    if (s->base == MIG_PAGE_EXPLICIT) {
        g_free(s->bytes);
    }
    memset(s, 0, sizeof *s);
}

static void make_explicit(MigPageState *s, const MigPageOrigin *origin)
{
    uint8_t *bytes = g_malloc(origin->page_size);
    mig_content_read(s, origin, bytes);
    mig_content_release(s);
    s->base = MIG_PAGE_EXPLICIT;
    s->bytes = bytes;
}

/* Makes room for an overlay of this kind: one of another kind becomes part of the base. */
static void need_overlay(MigPageState *s, const MigPageOrigin *o, MigPageOverlay kind, uint16_t n)
{
    if (s->overlay != MIG_OVERLAY_NONE && (s->overlay != kind || s->n != n)) {
        make_explicit(s, o);
    }
    s->overlay = (uint8_t)kind;
    s->n = n;
}

void mig_content_write(MigPageState *s, const MigPageOrigin *origin, const MigWrite *w)
{
    switch (w->kind) {
    case MIG_WRITE_COUNTER:
        need_overlay(s, origin, MIG_OVERLAY_COUNTER, 0);
        s->value = w->number + 1;
        break;
    case MIG_WRITE_BYTES:
        need_overlay(s, origin, MIG_OVERLAY_BYTES, w->n);
        s->value++;
        break;
    case MIG_WRITE_PAGE:
        mig_content_release(s);
        s->base = MIG_PAGE_WORDS;
        s->key = mig_prng_at(w->key, w->number);
        break;
    case MIG_WRITE_FILL:
        mig_content_release(s);
        s->base = MIG_PAGE_FILL;
        s->byte = w->byte;
        break;
    }
}

/* Of a base of equal bytes with an overlay, and of nothing else: can be said without the bytes. */
static bool even_is_zero(uint8_t byte, const MigPageState *s, uint32_t page_size)
{
    if (!s || s->overlay == MIG_OVERLAY_NONE) {
        return byte == 0;
    }
    if (s->overlay == MIG_OVERLAY_COUNTER) {
        return byte == 0 && s->value == 0;
    }
    bool covers = s->n == page_size;
    return covers ? (uint8_t)(byte + s->value) == 0 : byte == 0 && (uint8_t)s->value == 0;
}

bool mig_content_is_zero(const MigPageState *s, const MigPageOrigin *origin)
{
    uint8_t base = s ? s->base : MIG_PAGE_INITIAL;
    MigContentKind kind = kind_of(origin);
    if (base == MIG_PAGE_FILL) {
        return even_is_zero(s->byte, s, origin->page_size);
    }
    if (base == MIG_PAGE_INITIAL && kind == MIG_CONTENT_ZERO) {
        return even_is_zero(0, s, origin->page_size);
    }
    if (base == MIG_PAGE_INITIAL && kind == MIG_CONTENT_REPEATED) {
        return even_is_zero(origin->content->byte, s, origin->page_size);
    }
    bool words =
        base == MIG_PAGE_WORDS ||
        (base == MIG_PAGE_INITIAL && (kind == MIG_CONTENT_RANDOM || kind == MIG_CONTENT_TEXT));
    if (words && (!s || s->overlay != MIG_OVERLAY_BYTES)) {
        return false; /* a page of at least 64 random words: a counter leaves 63 of them */
    }
    g_autofree uint8_t *bytes = g_malloc(origin->page_size);
    mig_content_read(s, origin, bytes);
    return mig_is_zero(bytes, origin->page_size);
}
