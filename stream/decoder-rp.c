/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The return path (destination to source) as source_return_path_thread() reads it, and the raw
 * words that COLO puts on both halves of the transport.
 *
 * With COLO both halves go on with be32 words when the first migration is over. All words are below
 * 65536 and no framed message has type 0, so the first half-word tells them apart.
 */
#include <inttypes.h>
#include <stdio.h>

#include "stream/decoder-internal.h"

static const int lengths[] = {
#define X(symbol, number, name, length) [number] = length,
    MIG_RP_MESSAGES(X)
#undef X
};
#define MESSAGE_COUNT (sizeof(lengths) / sizeof(lengths[0]))

#define HEAD_BYTES 4u

static MigStep bad_length(MigDecoder *d, uint16_t len, const char *expected)
{
    char found[32];
    snprintf(found, sizeof(found), "%u bytes of payload", len);
    return mig_decoder_fail(d, 2, MIG_FAULT_RP_LENGTH, found, "%s", expected);
}

static MigStep check_head(MigDecoder *d, const MigRecordRp *rp)
{
    char text[64];

    if (rp->type == 0 || rp->type >= MESSAGE_COUNT) {
        snprintf(text, sizeof(text), "type %u", rp->type);
        return mig_decoder_fail(d, 0, MIG_FAULT_RP_TYPE, text, "a message type from 1 to %zu",
                                MESSAGE_COUNT - 1);
    }
    if (lengths[rp->type] >= 0 && rp->length != lengths[rp->type]) {
        snprintf(text, sizeof(text), "%d bytes for %s", lengths[rp->type], mig_rp_name(rp->type));
        return bad_length(d, rp->length, text);
    }
    if (rp->length > MIG_LIMIT_RP_PAYLOAD) {
        return bad_length(d, rp->length, "at most 512 bytes");
    }
    return MIG_STEP_RECORD;
}

static MigStep parse_tail(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    char found[32];
    uint64_t mark = mig_take_be64(c);

    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (mark != MIG_RP_BITMAP_END) {
        snprintf(found, sizeof(found), "%016" PRIx64, mark);
        return mig_decoder_fail(d, 0, MIG_FAULT_RP_BITMAP, found, "the end mark %016llx",
                                MIG_RP_BITMAP_END);
    }
    d->parse = mig_parse_rp;
    return MIG_STEP_AGAIN;
}

static MigStep take_name(MigDecoder *d, MigCursor *c, const MigRecordRp *rp, MigStr *name)
{
    *name = mig_take_cstr(c);
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (c->at - HEAD_BYTES != rp->length) {
        return bad_length(d, rp->length, "exactly a counted block name behind the other fields");
    }
    *name = mig_decoder_keep(d, *name);
    return MIG_STEP_RECORD;
}

static MigStep parse_bitmap(MigDecoder *d, MigCursor *c, MigRecord *r, MigRecordRp *rp)
{
    char found[48];
    MigStep step = take_name(d, c, rp, &rp->bitmap.name);
    if (step != MIG_STEP_RECORD) {
        return step;
    }
    uint64_t size = mig_take_be64(c);
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (size % 8 != 0 || size > MIG_LIMIT_BITMAP) {
        snprintf(found, sizeof(found), "%" PRIu64 " bytes", size);
        return mig_decoder_fail(d, c->at - 8, MIG_FAULT_RP_BITMAP, found,
                                "a multiple of 8 bytes, at most %u", MIG_LIMIT_BITMAP);
    }
    rp->bitmap.size = size;
    r->payload = size;
    d->parse = parse_tail;
    return MIG_STEP_RECORD;
}

static MigStep parse_payload(MigDecoder *d, MigCursor *c, MigRecord *r, MigRecordRp *rp)
{
    switch (rp->type) {
    case MIG_RP_SHUT:
    case MIG_RP_PONG:
    case MIG_RP_RESUME_ACK:
        rp->value = mig_take_be32(c);
        return MIG_STEP_RECORD;
    case MIG_RP_REQ_PAGES:
    case MIG_RP_REQ_PAGES_ID:
        rp->request.start = mig_take_be64(c);
        rp->request.length = mig_take_be32(c);
        return rp->type == MIG_RP_REQ_PAGES ? MIG_STEP_RECORD
                                            : take_name(d, c, rp, &rp->request.name);
    case MIG_RP_RECV_BITMAP:
        return parse_bitmap(d, c, r, rp);
    default:
        return MIG_STEP_RECORD;
    }
}

MigStep mig_parse_rp(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    MigRecordRp rp = { 0 };

    if (c->n == 0 && d->eof) {
        return MIG_STEP_END;
    }
    mig_decoder_label(d, "message", d->messages);
    rp.type = mig_take_be16(c);
    rp.length = mig_take_be16(c);
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (rp.type == 0 && (d->shared->ended || d->shared->colo)) {
        d->parse = mig_parse_colo;
        c->at = 0;
        return MIG_STEP_AGAIN;
    }
    if (check_head(d, &rp) == MIG_STEP_BAD) {
        return MIG_STEP_BAD;
    }
    *r = (MigRecord){ .type = MIG_REC_RP };
    MigStep step = parse_payload(d, c, r, &rp);
    if (step != MIG_STEP_RECORD || c->came_short) {
        return step == MIG_STEP_BAD ? step : MIG_STEP_MORE;
    }
    d->messages++;
    r->rp = rp;
    return MIG_STEP_RECORD;
}

/* ---- COLO ---- */

#define COLO_VMSTATE_LIMIT (1ull << 40)

/*
 * Between checkpoints: a word, and what it announces. VMSTATE_SEND: items up to an EOF.
 * VMSTATE_SIZE: a package of items with an EOF of their own.
 */
MigStep mig_parse_colo(MigDecoder *d, MigCursor *c, MigRecord *r)
{
    char found[48];

    if (c->n == 0 && d->eof) {
        return MIG_STEP_END;
    }
    d->in_section = false;
    mig_decoder_label(d, "colo", d->messages);
    uint32_t message = mig_take_be32(c);
    if (c->came_short) {
        return MIG_STEP_MORE;
    }
    if (message >= MIG_COLO_COUNT) {
        snprintf(found, sizeof(found), "%" PRIu32, message);
        return mig_decoder_fail(d, 0, MIG_FAULT_COLO_MESSAGE, found, "a message from 0 to 6");
    }
    *r = (MigRecord){ .type = MIG_REC_COLO, .colo = { .message = message } };
    if (message == MIG_COLO_VMSTATE_SIZE) {
        r->colo.size = mig_take_be64(c);
        if (c->came_short) {
            return MIG_STEP_MORE;
        }
        if (r->colo.size > COLO_VMSTATE_LIMIT) {
            snprintf(found, sizeof(found), "%" PRIu64 " bytes", r->colo.size);
            return mig_decoder_fail(d, 4, MIG_FAULT_COLO_MESSAGE, found, "at most %llu bytes",
                                    COLO_VMSTATE_LIMIT);
        }
        d->package_opens = true;
        d->package_length = r->colo.size;
        d->parse = mig_parse_item;
    } else if (message == MIG_COLO_VMSTATE_SEND) {
        d->parse = mig_parse_item;
    }
    d->messages++;
    return MIG_STEP_RECORD;
}
