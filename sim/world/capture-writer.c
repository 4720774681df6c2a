/* SPDX-License-Identifier: Apache-2.0 */
/* pcapng blocks in this machine's byte order, which their reader finds out. */
#include "sim/world/capture-writer.h"

#include <glib.h>
#include <string.h>

#define BLOCK_SECTION   0x0a0d0d0au
#define BLOCK_INTERFACE 1u
#define BLOCK_PACKET    6u
#define BYTE_ORDER_MARK 0x1a2b3c4du
#define LINKTYPE_USER0  147u
#define OPTION_NAME     2u
#define OPTION_TSRESOL  9u
#define NANOSECONDS     9u

static void put32(GByteArray *b, guint32 v)
{
    g_byte_array_append(b, (const guint8 *)&v, sizeof(v));
}

static void put16(GByteArray *b, guint16 v)
{
    g_byte_array_append(b, (const guint8 *)&v, sizeof(v));
}

/* Bytes, and zeros up to a multiple of four. */
static void put_padded(GByteArray *b, const void *data, size_t n)
{
    static const guint8 zeros[4];
    if (n) {
        g_byte_array_append(b, data, (guint)n);
    }
    g_byte_array_append(b, zeros, (guint)(-n & 3u));
}

static GByteArray *block_new(guint32 type)
{
    GByteArray *b = g_byte_array_new();
    put32(b, type);
    put32(b, 0);
    return b;
}

/* Fills in the length and writes the block. */
static bool block_write(FILE *out, GByteArray *b)
{
    guint32 length = b->len + 4;
    put32(b, length);
    memcpy(b->data + 4, &length, sizeof(length));
    return fwrite(b->data, 1, b->len, out) == b->len;
}

bool mig_capture_write_head(FILE *out)
{
    g_autoptr(GByteArray) b = block_new(BLOCK_SECTION);
    put32(b, BYTE_ORDER_MARK);
    put16(b, 1); /* version 1.0 */
    put16(b, 0);
    put32(b, G_MAXUINT32); /* the section's length isn't said */
    put32(b, G_MAXUINT32);
    return block_write(out, b);
}

bool mig_capture_write_channel(FILE *out, const char *name)
{
    static const guint8 resolution = NANOSECONDS;
    g_autoptr(GByteArray) b = block_new(BLOCK_INTERFACE);
    size_t n = MIN(strlen(name), 255);

    put16(b, LINKTYPE_USER0);
    put16(b, 0);
    put32(b, 0); /* no limit to a packet */
    put16(b, OPTION_NAME);
    put16(b, (guint16)n);
    put_padded(b, name, n);
    put16(b, OPTION_TSRESOL);
    put16(b, 1);
    put_padded(b, &resolution, 1);
    put32(b, 0); /* end of options */
    return block_write(out, b);
}

static bool write_packet(FILE *out, unsigned channel, uint64_t ns, const uint8_t *data, size_t n)
{
    g_autoptr(GByteArray) b = block_new(BLOCK_PACKET);

    put32(b, channel);
    put32(b, (guint32)(ns >> 32));
    put32(b, (guint32)ns);
    put32(b, (guint32)n);
    put32(b, (guint32)n);
    put_padded(b, data, n);
    return block_write(out, b);
}

bool mig_capture_write_chunk(FILE *out, unsigned channel, uint64_t ns, const void *data, size_t n)
{
    const uint8_t *at = data;

    do {
        size_t step = MIN(n, MIG_CAPTURE_PACKET);
        if (!write_packet(out, channel, ns, at, step)) {
            return false;
        }
        at += step;
        n -= step;
    } while (n);
    return true;
}
