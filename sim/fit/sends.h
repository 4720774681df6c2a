/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every page that a recorded migration sent: which, when, how, and whether it was another by then.
 * What everything here is computed from: statistics per pass (passes.h) and the guest that must
 * have been behind them (fit.h).
 *
 *     recording --records--> MigSends: sends in the order of their bytes, cut into rounds
 *
 * A round is one walk of the source through its memory in rising order. QEMU doesn't say on the
 * wire when it synchronises its bitmap; it does so between two sections, a little before the walk
 * begins anew. What is
 * sent while the guest stands still is the last round.
 */
#ifndef MIG_SIM_FIT_SENDS_H
#define MIG_SIM_FIT_SENDS_H

#include "sim/world/recording.h"

#define MIG_SENDS_MAX (256u << 20) /* pages that are kept; behind them a recording is refused */

typedef enum MigSentKind {
    MIG_SENT_NORMAL,
    MIG_SENT_ZERO,
    MIG_SENT_XBZRLE,
    MIG_SENT_COMPRESSED,
    MIG_SENT_KINDS
} MigSentKind;

#define MIG_CHANGED_UNKNOWN UINT16_MAX

typedef struct MigSent {
    int64_t at;    /* ns since the first byte; 0 in a stream without times */
    uint64_t page; /* of the block */
    uint32_t block;
    uint32_t round;
    uint32_t part;    /* of RAM's sections, of MigSends.parts */
    uint32_t bytes;   /* on the wire: record, payload, its share of a packet */
    uint16_t changed; /* bytes that differ from when it was sent last; of a sample of pages */
    uint8_t kind;     /* MigSentKind */
    bool again, same; /* was sent before; and (as far as can be seen) with this content */
    bool final;       /* while the guest stood still */
} MigSent;

typedef struct MigSendsBlock {
    char *name;
    uint64_t pages, size; /* size: bytes */
} MigSendsBlock;

typedef struct MigSends {
    GArray *blocks; /* MigSendsBlock, in the order of the list */
    GArray *sends;  /* MigSent */
    GArray *parts;  /* int64_t: ns, when each section of RAM began */
    char *machine;  /* NULL: not told */
    uint32_t page_size;
    uint32_t rounds;
    unsigned channels;                /* of multifd */
    bool timed;                       /* the recording has times */
    bool completed;                   /* the stream came to its end */
    bool postcopy;                    /* it ran on at the destination before it was there */
    bool compressed;                  /* multifd packets are: their pages count as normal ones */
    int64_t end;                      /* ns: of the last byte from the source */
    int64_t stopped;                  /* ns: RAM's last section began; -1: it never did */
    uint64_t bytes;                   /* from the source, all channels */
    uint64_t device_bytes;            /* of device sections */
    uint64_t sampled, sampled_packed; /* bytes of some pages, and of them compressed */
    bool is_cut;                      /* the recording is, which |cut| says */
    MigDiagnosis cut;
} MigSends;

/* Reads |recording| to its end or to what can't be decoded. NULL and *error. */
MigSends *mig_sends_read(MigRecording *recording, GError **error);
void mig_sends_free(MigSends *s); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigSends, mig_sends_free)

static inline const MigSent *mig_sends_at(const MigSends *s, guint i)
{
    return &g_array_index(s->sends, MigSent, i);
}

#endif
