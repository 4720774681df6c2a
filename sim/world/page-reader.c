/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading pages, see page-reader.h. Model: the engine is fed what came in its order, headers as
 * bytes and pages as "it is there". The first header that is not the guessed one, or a page that
 * the engine wants elsewhere, ends that: what came behind it is put in order in a buffer, the pages
 * that it had been put to by mistake become zero again, and the engine is fed the buffer.
 *
 * After a wrong guess the next reads guess less, or not at all for a while; right ones bring the
 * depth back.
 */
#include "sim/world/page-reader.h"

#include <string.h>

#define HEADER       8u
#define DEPTH        64u /* pages guessed at most: what a unix socket holds */
#define BUFFER_BYTES (256u << 10)
#define PATIENCE_MAX 64u /* reads without a guess */

struct MigPageReader {
    MigDest *dest;
    uint8_t *buffer, *spill;
    size_t begun;             /* bytes of the next header that the engine has */
    bool between;             /* it has exactly a page, and nothing behind it */
    uint32_t depth;           /* pages to guess */
    uint32_t waits, patience; /* reads to be made without guessing; the next time as many */

    /* Of the read under way: a rest, then headers and pages in turn. */
    struct iovec v[2 * DEPTH + 1];
    uint32_t guessed;
    uint8_t headers[DEPTH][HEADER], expected[DEPTH][HEADER];
};

MigPageReader *mig_page_reader_new(MigDest *dest)
{
    MigPageReader *r = g_new0(MigPageReader, 1);
    r->dest = dest;
    r->buffer = g_malloc(BUFFER_BYTES);
    r->spill = g_malloc(sizeof(r->headers) + DEPTH * 65536); /* the largest page */
    r->depth = DEPTH;
    r->patience = 1;
    return r;
}

void mig_page_reader_free(MigPageReader *r)
{
    if (r) {
        g_free(r->buffer);
        g_free(r->spill);
        g_free(r);
    }
}

/* Pages ------------------------------------------------------------------------------------ */

/* Puts guesses behind the rest in v[0]. */
static void guess(MigPageReader *r, uint32_t page_size)
{
    struct iovec *v = r->v + 1;
    r->guessed = 0;
    for (uint32_t i = 0; i < r->depth; i++) {
        uint8_t *page = mig_dest_guess(r->dest, i + 1, r->expected[i]);
        if (!page) {
            break;
        }
        size_t begun = i == 0 ? r->begun : 0;
        memcpy(r->headers[i], r->expected[i], begun); /* it was as expected so far */
        *v++ = (struct iovec){ r->headers[i] + begun, HEADER - begun };
        *v++ = (struct iovec){ page, page_size };
        r->guessed++;
    }
}

/* |n| bytes came that do not belong to vector |from| and those behind it: as they came. */
static bool put_right(MigPageReader *r, uint32_t from, size_t n)
{
    size_t done = 0;
    for (uint32_t i = from; done < n; i++) {
        size_t part = MIN(r->v[i].iov_len, n - done);
        memcpy(r->spill + done, r->v[i].iov_base, part);
        if (i % 2 == 0) { /* a page: nothing had come there */
            memset(r->v[i].iov_base, 0, part);
        }
        done += part;
    }
    r->begun = 0;
    r->between = false;
    r->depth = MAX(r->depth / 2, 4);
    r->waits = r->patience;
    r->patience = MIN(r->patience * 2, PATIENCE_MAX);
    return mig_dest_feed(r->dest, r->spill, n);
}

/* Whether the |n| bytes in the vector of guess |i|'s header are the ones that were guessed. */
static bool is_right(const MigPageReader *r, uint32_t i, size_t n)
{
    const struct iovec *v = &r->v[1 + 2 * i];
    return memcmp(v->iov_base, r->expected[i] + HEADER - v->iov_len, n) == 0;
}

/* The engine is given the header; the page it belongs to is to be where it was put. */
static bool feed_header(MigPageReader *r, uint32_t i)
{
    const struct iovec *v = &r->v[1 + 2 * i];
    return mig_dest_feed(r->dest, v->iov_base, v->iov_len);
}

static bool is_at(const MigPageReader *r, const struct iovec *page)
{
    void *wanted = NULL;
    return mig_dest_direct(r->dest, &wanted) >= page->iov_len && wanted == page->iov_base;
}

/* Hands over |n| bytes that lie in the guessed vectors. */
static bool take_guessed(MigPageReader *r, size_t n)
{
    for (uint32_t i = 0; n > 0; i++) {
        uint32_t at = 1 + 2 * i;
        size_t head = MIN(r->v[at].iov_len, n);
        if (!is_right(r, i, head)) {
            return put_right(r, at, n);
        }
        if (head < r->v[at].iov_len) {
            r->begun = HEADER - r->v[at].iov_len + head;
            r->between = false;
            return mig_dest_feed(r->dest, r->v[at].iov_base, head);
        }
        n -= head;
        r->begun = 0;
        if (!feed_header(r, i)) {
            return false;
        }
        size_t page = MIN(r->v[at + 1].iov_len, n);
        if (n > 0 && !is_at(r, &r->v[at + 1])) {
            return put_right(r, at + 1, n);
        }
        if (page > 0 && !mig_dest_filled(r->dest, page)) {
            return false;
        }
        n -= page;
        r->between = page == r->v[at + 1].iov_len;
    }
    r->depth = MIN(r->depth * 2, DEPTH);
    r->patience = 1;
    return true;
}

/* Reading ---------------------------------------------------------------------------------- */

static bool may_guess(MigPageReader *r, size_t rest)
{
    if (r->waits > 0) {
        r->waits--;
        return false;
    }
    return rest > 0 || r->begun > 0 || r->between;
}

int64_t mig_page_reader_read(MigPageReader *r, MigTransport *t, GError **error)
{
    void *rest = NULL;
    size_t direct = mig_dest_direct(r->dest, &rest);
    r->v[0] = (struct iovec){ rest, direct };
    r->guessed = 0;
    if (may_guess(r, direct)) {
        guess(r, mig_dest_page_size(r->dest));
    }
    uint32_t first = direct ? 0 : 1, count = 1 + 2 * r->guessed;
    if (!r->guessed) {
        r->v[1] = (struct iovec){ r->buffer, BUFFER_BYTES };
        count = 2;
    }
    int64_t n = mig_transport_read(t, r->v + first, (int)(count - first), error);
    if (n <= 0) {
        return n;
    }
    size_t placed = MIN((size_t)n, direct), others = (size_t)n - placed;
    r->between = direct > 0 && placed == direct;
    if (placed > 0 && !mig_dest_filled(r->dest, placed)) {
        return n;
    }
    if (others > 0 && r->guessed) {
        take_guessed(r, others);
    } else if (others > 0) {
        r->begun = 0;
        r->between = false;
        mig_dest_feed(r->dest, r->buffer, others);
    }
    return n;
}
