/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a recording says of its guest, in numbers: round by round, as text and as JSON.
 *
 *     {"rounds": [{"round", "time-ns", "span-ns", "normal", "zero", "xbzrle", "compressed",
 *                  "bytes", "bytes-per-second", "sent-again", "unchanged", "dirty-pages-rate"}],
 *      "blocks": [{"name", "pages", "sent", "sent-again", "unchanged"}],
 *      "heat-map": [as sim/report/heat.h has it, one per block that sent anything]}
 *
 * "unchanged" are fake dirty pages: sent again with the content that they had, where that can be
 * seen (plain and zero pages). The dirty rate is pages sent again per second since the round
 * before. A stream without times has null for every time and rate, and no heat map.
 */
#ifndef MIG_SIM_FIT_PASSES_H
#define MIG_SIM_FIT_PASSES_H

#include <json-c/json.h>

#include "sim/fit/sends.h"

typedef struct MigSentCounts {
    uint64_t kinds[MIG_SENT_KINDS];
    uint64_t bytes, again, same;
} MigSentCounts;

typedef struct MigRound {
    int64_t from, to; /* ns: of its first page, of the next round's */
    bool final;       /* the guest stood still */
    MigSentCounts counts;
} MigRound;

/* MigRound by number; owned by the caller. */
GArray *mig_rounds(const MigSends *s);

/* Free with json_object_put(). */
json_object *mig_passes_to_json(const MigSends *s);
void mig_passes_to_text(const MigSends *s, GString *out);

#endif
