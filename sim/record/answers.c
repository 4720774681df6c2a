/* SPDX-License-Identifier: Apache-2.0 */
/* Answers compared with recorded ones, see answers.h. */
#include "sim/record/answers.h"

#include <string.h>

#include "stream/decoder.h"

#define PONG        "pong "
#define WAITING_MAX 65536u /* messages that one side is ahead: a stranger can't make it grow */

typedef struct Side {
    MigDecoder *decoder;
    GQueue messages; /* char *, not compared yet */
    guint64 requests;
    gboolean ended; /* SHUT: nobody reads what stands behind it */
} Side;

struct MigExpected {
    Side recorded, said;
    guint64 compared;
    char *error;
};

static void side_init(Side *s)
{
    MigDecoderOptions options = { .channel = MIG_CHANNEL_RETURN_PATH };
    s->decoder = mig_decoder_new(&options);
    g_queue_init(&s->messages);
}

static void side_clear(Side *s)
{
    mig_decoder_free(s->decoder);
    g_queue_clear_full(&s->messages, g_free);
}

MigExpected *mig_expected_new(void)
{
    MigExpected *e = g_new0(MigExpected, 1);
    side_init(&e->recorded);
    side_init(&e->said);
    return e;
}

void mig_expected_free(MigExpected *e)
{
    if (e) {
        side_clear(&e->recorded);
        side_clear(&e->said);
        g_free(e->error);
        g_free(e);
    }
}

static gboolean fail(MigExpected *e, char *error)
{
    g_free(e->error);
    e->error = error;
    return FALSE;
}

/* What is compared of a message; NULL: nothing is. */
static char *describe(const MigRecordRp *rp)
{
    switch (rp->type) {
    case MIG_RP_REQ_PAGES:
    case MIG_RP_REQ_PAGES_ID:
        return NULL;
    case MIG_RP_RECV_BITMAP:
        return g_strdup_printf("%s of %.*s", mig_rp_name(rp->type), (int)rp->bitmap.name.len,
                               rp->bitmap.name.text);
    case MIG_RP_SWITCHOVER_ACK:
        return g_strdup(mig_rp_name(rp->type));
    default:
        return g_strdup_printf("%s %u", mig_rp_name(rp->type), rp->value);
    }
}

/* Two threads of a destination answer pings: their order is nothing to rely on. */
static void match_pongs(MigExpected *e)
{
    for (GList *i = e->said.messages.head, *next; i; i = next) {
        GList *same = NULL;
        next = i->next;
        if (g_str_has_prefix(i->data, PONG)) {
            same = g_queue_find_custom(&e->recorded.messages, i->data, (GCompareFunc)strcmp);
        }
        if (same) {
            g_free(same->data);
            g_free(i->data);
            g_queue_delete_link(&e->recorded.messages, same);
            g_queue_delete_link(&e->said.messages, i);
            e->compared++;
        }
    }
}

/* The first message that is no PONG, or NULL. */
static GList *first_other(Side *s)
{
    GList *i = s->messages.head;
    while (i && g_str_has_prefix(i->data, PONG)) {
        i = i->next;
    }
    return i;
}

static char *take(Side *s, GList *link)
{
    char *text = link->data;
    g_queue_delete_link(&s->messages, link);
    return text;
}

static gboolean compare(MigExpected *e)
{
    GList *recorded, *said;
    match_pongs(e);
    while ((recorded = first_other(&e->recorded)) && (said = first_other(&e->said))) {
        g_autofree char *want = take(&e->recorded, recorded);
        g_autofree char *got = take(&e->said, said);
        e->compared++;
        if (g_strcmp0(want, got) != 0) {
            return fail(e, g_strdup_printf("the return path: message %" G_GUINT64_FORMAT
                                           ": expected %s, as recorded, found %s",
                                           e->compared, want, got));
        }
    }
    if (e->said.messages.length > WAITING_MAX) {
        return fail(e, g_strdup("the return path: far more messages than were recorded"));
    }
    return TRUE;
}

static gboolean add(MigExpected *e, Side *s, const void *data, gsize n, const char *whose)
{
    if (s->ended) {
        return TRUE;
    }
    mig_decoder_feed(s->decoder, data, n);
    for (;;) {
        MigRecord r = { 0 };
        switch (mig_decoder_next(s->decoder, &r)) {
        case MIG_STATUS_RECORD: {
            char *text = describe(&r.rp);
            s->requests += !text;
            if (text) {
                g_queue_push_tail(&s->messages, text);
            }
            break;
        }
        case MIG_STATUS_BAD: {
            const MigDiagnosis *d = mig_decoder_diagnosis(s->decoder);
            return fail(e, g_strdup_printf("the %sreturn path: byte %" G_GUINT64_FORMAT
                                           ": expected %s, found %s",
                                           whose, d->offset, d->expected, d->found));
        }
        case MIG_STATUS_PAYLOAD:
            break;
        case MIG_STATUS_END:
            s->ended = TRUE;
            return compare(e);
        case MIG_STATUS_MORE:
            return compare(e);
        }
    }
}

gboolean mig_expected_recorded(MigExpected *e, const void *data, gsize n)
{
    return !e->error && add(e, &e->recorded, data, n, "recorded ");
}

gboolean mig_expected_said(MigExpected *e, const void *data, gsize n)
{
    return !e->error && add(e, &e->said, data, n, "");
}

guint mig_expected_missing(const MigExpected *e)
{
    return e->recorded.messages.length;
}

char *mig_expected_next(const MigExpected *e)
{
    return g_strdup(g_queue_peek_head((GQueue *)&e->recorded.messages));
}

const char *mig_expected_left(const MigExpected *e)
{
    return g_queue_peek_head((GQueue *)&e->said.messages);
}

guint64 mig_expected_requests(const MigExpected *e, gboolean said)
{
    return said ? e->said.requests : e->recorded.requests;
}

const char *mig_expected_error(const MigExpected *e)
{
    return e->error;
}
