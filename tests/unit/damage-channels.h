/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damage to recordings of several channels, and to files: as tests/unit/damage.h, for one channel
 * of a recording.
 */
#ifndef MIG_TESTS_UNIT_DAMAGE_CHANNELS_H
#define MIG_TESTS_UNIT_DAMAGE_CHANNELS_H

#include "conformance/check.h"
#include "tests/unit/recordings.h"

typedef struct MigChannelDamage {
    const char *name, *base, *rule;
    const char *channel;
    MigRecordType type;
    int nth;  /* -1: the last */
    bool end; /* delta counts from behind the record and its payload */
    int delta;
    int cut;         /* bytes removed there; CUT_RECORD: the record, CUT_PAYLOAD: with payload */
    const char *hex; /* put there instead */
    int expect;      /* offset of the finding from that place; AT_END, ANYWHERE */
    const char *found_in; /* channel of the finding, NULL: the same */
    const char *also;     /* other rules that it breaks, separated by blanks */
    MigProfile profile;   /* 0 (lenient) stands for strict */
    void (*custom)(MigTestRecording *t, uint64_t *expected);
} MigChannelDamage;

#define CUT_PAYLOAD (-1)
#define AT_END      (1 << 30)
#define ANYWHERE    ((1 << 30) + 1)

/* Each ended by a row without a name. */
extern const MigChannelDamage mig_channel_damages[];
extern const MigChannelDamage mig_other_damages[];

#endif
