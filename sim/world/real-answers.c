/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The return path of a precopy migration, see real-answers.h. Legal are a PONG for each PING, in
 * any order, SWITCHOVER_ACK where somebody waits for it, and one SHUT: with a verdict of 0 only
 * when everything was sent.
 *
 * Limits: postcopy's requests, bitmaps and acknowledgements are refused as unexpected.
 */
#include "sim/world/real-answers.h"

#define MESSAGES_MAX 1024u /* not taken yet: more pongs than any source sends pings */

struct MigAnswers {
    MigDecoder *decoder;
    GArray *pings;   /* uint32_t: sent, not answered */
    GQueue messages; /* MigRecord *, owned */
    uint64_t count;
    bool ended, shut;
    void (*acknowledged)(void *opaque); /* or NULL */
    void *opaque;
    char *error;
};

MigAnswers *mig_answers_new(void)
{
    MigDecoderOptions options = { .channel = MIG_CHANNEL_RETURN_PATH };
    MigAnswers *a = g_new0(MigAnswers, 1);
    a->decoder = mig_decoder_new(&options);
    a->pings = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_queue_init(&a->messages);
    return a;
}

void mig_answers_free(MigAnswers *a)
{
    if (a) {
        mig_decoder_free(a->decoder);
        g_array_unref(a->pings);
        g_queue_clear_full(&a->messages, g_free);
        g_free(a->error);
        g_free(a);
    }
}

void mig_answers_pinged(MigAnswers *a, uint32_t value)
{
    g_array_append_val(a->pings, value);
}

void mig_answers_ended(MigAnswers *a)
{
    a->ended = true;
}

static bool fail(MigAnswers *a, char *error)
{
    g_free(a->error);
    a->error = error;
    return false;
}

static bool check_pong(MigAnswers *a, uint32_t value)
{
    for (guint i = 0; i < a->pings->len; i++) {
        if (g_array_index(a->pings, uint32_t, i) == value) {
            g_array_remove_index(a->pings, i);
            return true;
        }
    }
    return fail(a, g_strdup_printf("return path: the destination answers ping %u, which was not "
                                   "sent or was answered before",
                                   value));
}

static bool check_shut(MigAnswers *a, uint32_t value)
{
    a->shut = true;
    if (a->ended) {
        return true; /* the engine judges */
    }
    if (value) {
        return fail(a, g_strdup_printf("Sibling indicated error %u", value));
    }
    return fail(a, g_strdup("return path: the destination says that it is done, before the end of "
                            "the stream was sent"));
}

static bool check(MigAnswers *a, const MigRecordRp *rp)
{
    if (rp->type == MIG_RP_PONG) {
        return check_pong(a, rp->value);
    }
    if (rp->type == MIG_RP_SHUT) {
        return check_shut(a, rp->value);
    }
    return fail(a, g_strdup_printf("return path: the destination sends '%s', which a precopy "
                                   "migration never has",
                                   mig_rp_name(rp->type)));
}

void mig_answers_on_ack(MigAnswers *a, void (*acknowledged)(void *opaque), void *opaque)
{
    a->acknowledged = acknowledged;
    a->opaque = opaque;
}

static bool add(MigAnswers *a, const MigRecord *r)
{
    a->count++;
    if (r->rp.type == MIG_RP_SWITCHOVER_ACK && a->acknowledged) {
        a->acknowledged(a->opaque); /* as often as it comes: 11.1 may have one per device */
        return true;
    }
    if (!check(a, &r->rp)) {
        return false;
    }
    g_assert(g_queue_get_length(&a->messages) < MESSAGES_MAX); /* every pong needs its ping */
    g_queue_push_tail(&a->messages, g_memdup2(r, sizeof(*r)));
    return true;
}

static bool fail_bad(MigAnswers *a)
{
    const MigDiagnosis *d = mig_decoder_diagnosis(a->decoder);
    return fail(a, g_strdup_printf("return path: byte %" G_GUINT64_FORMAT ": expected %s, found %s",
                                   d->offset, d->expected, d->found));
}

bool mig_answers_feed(MigAnswers *a, const void *data, size_t n)
{
    if (a->error || a->shut) {
        return !a->error; /* what stands behind SHUT is nobody's business */
    }
    mig_decoder_feed(a->decoder, data, n);
    for (;;) {
        MigRecord r = { 0 };
        switch (mig_decoder_next(a->decoder, &r)) {
        case MIG_STATUS_RECORD:
            if (!add(a, &r)) {
                return false;
            }
            break;
        case MIG_STATUS_BAD:
            return fail_bad(a);
        case MIG_STATUS_PAYLOAD:
            break;
        case MIG_STATUS_MORE:
        case MIG_STATUS_END:
            return true;
        }
        if (a->shut) {
            return true;
        }
    }
}

bool mig_answers_eof(MigAnswers *a)
{
    if (a->error || a->shut) {
        return !a->error;
    }
    return fail(a, g_strdup("return path: the destination closed it before it said how the "
                            "migration ended"));
}

bool mig_answers_done(const MigAnswers *a)
{
    return a->shut || a->error;
}

const char *mig_answers_error(const MigAnswers *a)
{
    return a->error;
}

bool mig_answers_take(MigAnswers *a, MigRecord *message)
{
    g_autofree MigRecord *r = g_queue_pop_head(&a->messages);
    if (r) {
        *message = *r;
    }
    return r != NULL;
}

uint64_t mig_answers_count(const MigAnswers *a)
{
    return a->count;
}
