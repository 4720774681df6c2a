/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postcopy on the real clock, see real-postcopy.h.
 *
 * Model. QEMU's source has a thread for the return path. Here there is one where it sends pages by
 * itself (real-urgent.h). Where the main channel's thread does, it looks there, too: in front of
 * each page of background (a system call of some hundred ns), at each flush and wherever it waits.
 *
 * Limits. Without that thread a request is not seen while one write is in the kernel (at most 64
 * vectors, 128 KiB).
 */
#include "sim/world/real-postcopy.h"

#include <string.h>

#include "sim/world/real-internal.h"
#include "stream/limits.h"

struct MigRealPostcopy {
    MigSource *source;
    MigDecoder *decoder;
    MigRecord message; /* whose payload is under way */
    char name[256];    /* of its block */
    uint8_t *payload;
    uint64_t count, others;
    bool heard, urgent, shut;
};

static MigDecoder *new_decoder(void)
{
    MigDecoderOptions options = { .channel = MIG_CHANNEL_RETURN_PATH };
    return mig_decoder_new(&options);
}

MigRealPostcopy *mig_real_postcopy_new(MigSource *source)
{
    MigRealPostcopy *p = g_new0(MigRealPostcopy, 1);
    p->source = source;
    p->decoder = new_decoder();
    return p;
}

void mig_real_postcopy_free(MigRealPostcopy *p)
{
    if (p) {
        mig_decoder_free(p->decoder);
        g_free(p->payload);
        g_free(p);
    }
}

bool mig_real_postcopy_done(const MigRealPostcopy *p)
{
    return p->shut;
}

bool mig_real_postcopy_heard(const MigRealPostcopy *p)
{
    return p->heard;
}

bool mig_real_postcopy_urgent(const MigRealPostcopy *p)
{
    return p->urgent;
}

void mig_real_postcopy_forget(MigRealPostcopy *p)
{
    p->heard = p->urgent = false;
}

uint64_t mig_real_postcopy_count(const MigRealPostcopy *p)
{
    return p->count;
}

uint64_t mig_real_postcopy_others(const MigRealPostcopy *p)
{
    return p->others;
}

/* Messages --------------------------------------------------------------------------------- */

static void tell(MigReal *r, const MigRecord *message, const void *payload)
{
    MigRealPostcopy *p = r->postcopy;
    MigMessageEffect effect = mig_source_message(p->source, message, payload);
    bool urgent = effect == MIG_MESSAGE_URGENT;
    p->count++;
    p->others += !urgent;
    p->urgent = p->urgent || urgent;
    p->heard = p->heard || !urgent;
    p->shut = p->shut || message->rp.type == MIG_RP_SHUT;
    if (effect == MIG_MESSAGE_BAD) {
        mig_real_shutdown(r, "return path: the destination sent what it may not send now");
    }
}

static void take(MigReal *r, const MigRecord *record)
{
    MigRealPostcopy *p = r->postcopy;
    if (record->payload == 0) {
        tell(r, record, NULL);
        return;
    }
    g_free(p->payload);
    p->payload = record->payload <= MIG_LIMIT_BITMAP ? g_try_malloc(record->payload) : NULL;
    p->message = *record;
    memcpy(p->name, record->rp.bitmap.name.text, record->rp.bitmap.name.len);
    p->message.rp.bitmap.name.text = p->name;
    if (p->payload) {
        mig_decoder_payload_into(p->decoder, p->payload);
    } else {
        mig_real_shutdown(r, "return path: no memory for a bitmap of that length");
    }
}

static void fail_bad(MigReal *r)
{
    const MigDiagnosis *d = mig_decoder_diagnosis(r->postcopy->decoder);
    g_autofree char *error =
        g_strdup_printf("return path: byte %" G_GUINT64_FORMAT ": expected %s, found %s", d->offset,
                        d->expected, d->found);
    mig_real_shutdown(r, error);
}

void mig_real_postcopy_feed(MigReal *r, const void *data, size_t n)
{
    MigRealPostcopy *p = r->postcopy;
    MigStatus status = MIG_STATUS_RECORD;
    mig_decoder_feed(p->decoder, data, n);
    while (!p->shut && !r->error && status != MIG_STATUS_MORE) {
        MigRecord record = { 0 };
        status = mig_decoder_next(p->decoder, &record);
        if (status == MIG_STATUS_RECORD) {
            take(r, &record);
        } else if (status == MIG_STATUS_PAYLOAD) {
            tell(r, &p->message, p->payload);
        } else if (status == MIG_STATUS_BAD) {
            fail_bad(r);
        }
    }
}

void mig_real_postcopy_eof(MigReal *r)
{
    if (!r->postcopy->shut) {
        mig_real_shutdown(r, "return path: the destination closed it before it said how the "
                             "migration ended");
    }
}

/* Broken lines ------------------------------------------------------------------------------- */

void mig_real_postcopy_drop(MigReal *r)
{
    MigRealPostcopy *p = r->postcopy;
    mig_real_urgent_end(r);
    mig_real_multifd_end(r);
    for (guint i = 0; i < r->channels->len; i++) {
        MigRealChannel *c = g_ptr_array_index(r->channels, i);
        if (c) {
            r->gone.writes += c->writes;
            r->gone.bytes += c->bytes;
            mig_real_channel_die(c, "dropped");
            g_free(mig_real_channel_close(c)); /* what a broken line has to say is known */
            mig_real_channel_free(c);
            g_ptr_array_index(r->channels, i) = NULL;
        }
    }
    g_clear_pointer(&r->error, g_free);
    mig_decoder_free(p->decoder);
    p->decoder = new_decoder();
    p->shut = false;
    mig_real_postcopy_forget(p);
}
