/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel of the real world, see real-channel.h. Model: bytes leave exactly when QEMU's stream
 * object would flush (outbuf.h), the headers from one 32 KiB buffer and the pages from where they
 * are, in one writev of at most 64 vectors. A dead channel takes everything and sends nothing.
 */
#include "sim/world/real-channel.h"

#include <string.h>

#include "stream/encoder.h"

MigRealChannel *mig_real_channel_new(uint32_t number)
{
    MigRealChannel *c = g_new0(MigRealChannel, 1);
    c->number = number;
    c->copied = g_malloc(MIG_OUTBUF_BYTES);
    c->encoded = g_malloc(MIG_ENCODED_MAX);
    return c;
}

void mig_real_channel_free(MigRealChannel *c)
{
    if (c) {
        mig_real_channel_die(c, "it is not needed any more");
        g_free(mig_real_channel_close(c));
        g_free(c->copied);
        g_free(c->encoded);
        g_free(c->error);
        g_free(c);
    }
}

void mig_real_channel_die(MigRealChannel *c, const char *error)
{
    if (!c->error) {
        c->error = g_strdup(error);
    }
}

/* Drops |n| bytes from the front of the vectors. */
static void consume(struct iovec **v, int *count, uint64_t n)
{
    while (*count > 0 && n >= (*v)->iov_len) {
        n -= (*v)->iov_len;
        (*v)++;
        (*count)--;
    }
    if (n > 0) {
        (*v)->iov_base = (uint8_t *)(*v)->iov_base + n;
        (*v)->iov_len -= n;
    }
}

static int64_t write_some(MigRealChannel *c, const struct iovec *v, int count, GError **error)
{
    if (c->slow) {
        c->slow(c->opaque, true);
    }
    int64_t n = mig_transport_write(c->transport, v, MIN(count, MIG_TRANSPORT_VECTORS), error);
    if (c->slow) {
        c->slow(c->opaque, false);
    }
    return n;
}

bool mig_real_channel_write(MigRealChannel *c, struct iovec *v, int count)
{
    while (count > 0 && !c->error && c->transport) {
        g_autoptr(GError) error = NULL;
        int64_t n = write_some(c, v, count, &error);
        if (n == MIG_IO_AGAIN) {
            c->full(c->opaque, c);
        } else if (n == MIG_IO_ERROR) {
            if (c->broken) {
                c->broken(c->opaque, c);
            }
            mig_real_channel_die(c, error->message);
        } else {
            c->writes++;
            c->bytes += (uint64_t)n;
            consume(&v, &count, (uint64_t)n);
        }
    }
    return count == 0;
}

/* The outbuf has flushed. */
static void write_out(MigRealChannel *c)
{
    mig_real_channel_write(c, c->vectors, c->vector_count);
    c->vector_count = 0;
}

static void add_vector(MigRealChannel *c, const void *at, size_t n)
{
    struct iovec *last = c->vector_count ? &c->vectors[c->vector_count - 1] : NULL;
    if (last && (uint8_t *)last->iov_base + last->iov_len == at) {
        last->iov_len += n;
        return;
    }
    c->vectors[c->vector_count++] = (struct iovec){ (void *)(uintptr_t)at, n };
}

/* In the portions in which the outbuf may flush behind it. */
void mig_real_channel_put_piece(MigRealChannel *c, const uint8_t *data, size_t n)
{
    while (n > 0) {
        size_t room = MIG_OUTBUF_BYTES - c->outbuf.copied, part = MIN(n, room);
        uint8_t *at = c->copied + c->outbuf.copied;
        memcpy(at, data, part);
        add_vector(c, at, part);
        if (mig_outbuf_put_piece(&c->outbuf, part)) {
            write_out(c);
        }
        data += part;
        n -= part;
    }
}

void mig_real_channel_put(MigRealChannel *c, const uint8_t *data, size_t n)
{
    mig_real_channel_put_piece(c, data, MIN(n, 1));
    mig_real_channel_put_piece(c, data + MIN(n, 1), n - MIN(n, 1));
}

void mig_real_channel_put_page(MigRealChannel *c, const uint8_t *page, size_t n)
{
    add_vector(c, page, n);
    if (mig_outbuf_put_page(&c->outbuf, n)) {
        write_out(c);
    }
}

void mig_real_channel_flush(MigRealChannel *c)
{
    mig_outbuf_flush(&c->outbuf);
    write_out(c);
}

char *mig_real_channel_close(MigRealChannel *c)
{
    g_autoptr(GError) error = NULL;
    MigTransport *t = g_steal_pointer(&c->transport);
    if (!t) {
        return NULL;
    }
    if (c->error) {
        mig_transport_shutdown(t);
    }
    return mig_transport_close(t, &error) ? NULL : g_strdup(error->message);
}
