/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Big-endian reading and writing with bounds.
 *
 * A cursor over too few bytes does not fail: it remembers that it came up short and yields zeros,
 * so that a parser can read a whole record in a row and look once, at the end, whether it had it
 * all. A sink over too little room likewise goes on counting.
 */
#ifndef MIG_STREAM_BYTES_H
#define MIG_STREAM_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "stream/record.h"

static inline uint16_t mig_load_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t mig_load_be32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap32(v);
}

static inline uint64_t mig_load_be64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return __builtin_bswap64(v);
}

static inline void mig_store_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void mig_store_be32(uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof(v));
}

static inline void mig_store_be64(uint8_t *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof(v));
}

typedef struct MigCursor {
    const uint8_t *data;
    size_t n;
    size_t at;
    bool came_short;
} MigCursor;

/* The next |n| bytes, or NULL (and the cursor has come up short). */
static inline const uint8_t *mig_take(MigCursor *c, size_t n)
{
    if (c->came_short || c->n - c->at < n) {
        c->came_short = true;
        return NULL;
    }
    const uint8_t *p = c->data + c->at;
    c->at += n;
    return p;
}

static inline uint8_t mig_take_u8(MigCursor *c)
{
    const uint8_t *p = mig_take(c, 1);
    return p ? *p : 0;
}

static inline uint16_t mig_take_be16(MigCursor *c)
{
    const uint8_t *p = mig_take(c, 2);
    return p ? mig_load_be16(p) : 0;
}

static inline uint32_t mig_take_be32(MigCursor *c)
{
    const uint8_t *p = mig_take(c, 4);
    return p ? mig_load_be32(p) : 0;
}

static inline uint64_t mig_take_be64(MigCursor *c)
{
    const uint8_t *p = mig_take(c, 8);
    return p ? mig_load_be64(p) : 0;
}

/* A cstr: the text points into the cursor's bytes and has no NUL. */
static inline MigStr mig_take_cstr(MigCursor *c)
{
    MigStr s = { .len = mig_take_u8(c) };
    s.text = (const char *)mig_take(c, s.len);
    return s;
}

typedef struct MigSink {
    uint8_t *out;
    size_t cap;
    size_t at; /* may run past cap: then the bytes beyond it were not written */
} MigSink;

static inline void mig_put(MigSink *s, const void *p, size_t n)
{
    if (n && s->at <= s->cap && s->cap - s->at >= n) {
        memcpy(s->out + s->at, p, n);
    }
    s->at += n;
}

static inline void mig_put_u8(MigSink *s, uint8_t v)
{
    mig_put(s, &v, 1);
}

static inline void mig_put_be16(MigSink *s, uint16_t v)
{
    uint8_t b[2];
    mig_store_be16(b, v);
    mig_put(s, b, sizeof(b));
}

static inline void mig_put_be32(MigSink *s, uint32_t v)
{
    uint8_t b[4];
    mig_store_be32(b, v);
    mig_put(s, b, sizeof(b));
}

static inline void mig_put_be64(MigSink *s, uint64_t v)
{
    uint8_t b[8];
    mig_store_be64(b, v);
    mig_put(s, b, sizeof(b));
}

static inline void mig_put_cstr(MigSink *s, MigStr str)
{
    mig_put_u8(s, (uint8_t)str.len);
    mig_put(s, str.text, (uint8_t)str.len);
}

#endif
