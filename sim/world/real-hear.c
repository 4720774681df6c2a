/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The return path in the real world of a source: bytes that came go to whoever judges them, which
 * is real-answers.h in precopy and the engine where it may come to postcopy.
 */
#include "sim/world/real-internal.h"

bool mig_real_is_heard(const MigReal *r)
{
    const MigRealChannel *c = mig_real_channel_of(r, 0);
    bool wanted = r->answers || (r->postcopy && r->config.answers);
    return wanted && c && c->transport && mig_transport_has_return(c->transport);
}

static bool has_heard_all(const MigReal *r)
{
    return r->postcopy ? mig_real_postcopy_done(r->postcopy) : mig_answers_done(r->answers);
}

static void hear_bytes(MigReal *r, const void *bytes, size_t n)
{
    if (r->postcopy) {
        mig_real_postcopy_feed(r, bytes, n);
    } else {
        mig_answers_feed(r->answers, bytes, n);
    }
}

static void hear_end(MigReal *r)
{
    if (r->postcopy) {
        mig_real_postcopy_eof(r);
    } else {
        mig_answers_eof(r->answers);
    }
}

bool mig_real_hear(MigReal *r)
{
    uint8_t bytes[1024];
    struct iovec v = { bytes, sizeof(bytes) };
    g_autoptr(GError) error = NULL;
    bool said = false;
    int64_t n = 1;
    while (n > 0 && mig_real_is_heard(r) && !has_heard_all(r)) {
        n = mig_transport_read(mig_real_channel_of(r, 0)->transport, &v, 1, &error);
        said = said || n > 0;
        if (n == MIG_IO_ERROR) {
            mig_real_die(r, error->message);
        } else if (n == 0) {
            hear_end(r);
        } else if (n > 0) {
            hear_bytes(r, bytes, (size_t)n);
        }
    }
    if (r->postcopy) {
        r->counts.answers = mig_real_postcopy_count(r->postcopy);
        return said;
    }
    if (r->answers && mig_answers_error(r->answers)) {
        mig_real_die(r, mig_answers_error(r->answers));
    }
    r->counts.answers = r->answers ? mig_answers_count(r->answers) : 0;
    return said;
}

void mig_real_attend(MigReal *r)
{
    if (r->urgent) {
        mig_real_urgent_let(r);
    } else {
        mig_real_hear(r);
    }
}

void mig_real_sleep(MigReal *r, const MigOp *op, MigOutcome *out)
{
    if (r->postcopy) {
        mig_real_postcopy_forget(r->postcopy);
        out->interrupt = mig_real_wait(r, NULL, MIG_WAIT_URGENT, op->until) ? MIG_INTERRUPT_URGENT
                                                                            : MIG_UNINTERRUPTED;
    } else {
        mig_real_wait(r, NULL, 0, op->until);
    }
}

void mig_real_wait_return(MigReal *r, MigOutcome *out)
{
    if (r->postcopy) {
        mig_real_postcopy_forget(r->postcopy);
        mig_real_wait(r, NULL, MIG_WAIT_MESSAGE, MIG_FOREVER);
        return;
    }
    while (!mig_answers_take(r->answers, &r->message)) {
        if (!mig_real_wait(r, mig_real_channel_of(r, 0), MIG_WAIT_READ, MIG_FOREVER)) {
            return; /* dead */
        }
        mig_real_hear(r);
    }
    out->record = &r->message;
}
