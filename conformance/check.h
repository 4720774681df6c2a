/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judging one migration, recorded as one stream or as several channels: records go by, rules look
 * at them, verdicts only worsen.
 *
 *     none < not-applicable < pass < inconclusive < warn < fail < error
 *
 * Checking goes on behind a finding of a rule. A fault of the decoder ends it: what can't be
 * decoded can't be judged, and every rule that had not found anything by then is inconclusive.
 */
#ifndef MIG_CONFORMANCE_CHECK_H
#define MIG_CONFORMANCE_CHECK_H

#include <glib.h>

#include "conformance/rules/rule.h"
#include "sim/world/recording.h"
#include "stream/version.h"

typedef enum MigVerdict {
    MIG_VERDICT_NONE,
    MIG_VERDICT_NOT_APPLICABLE,
    MIG_VERDICT_PASS,
    MIG_VERDICT_INCONCLUSIVE,
    MIG_VERDICT_WARN,
    MIG_VERDICT_FAIL,
    MIG_VERDICT_ERROR,
} MigVerdict;

/* Which levels count, and how much: lenient MUST; interop (default) SHOULD too, as warnings; strict
 * SHOULD too; canonical everything. */
typedef enum MigProfile {
    MIG_PROFILE_LENIENT,
    MIG_PROFILE_INTEROP,
    MIG_PROFILE_STRICT,
    MIG_PROFILE_CANONICAL,
    MIG_PROFILE_COUNT,
} MigProfile;

#define MIG_HEX_CONTEXT       16u /* bytes shown before and behind the place */
#define MIG_FINDINGS_PER_RULE 16u /* that are kept; the others are counted */

typedef struct MigFinding {
    const MigRule *rule;
    MigVerdict verdict; /* WARN or FAIL, by the profile */
    const char *channel;
    uint64_t
        offset; /* of the first byte that is wrong (or the stream's end, where one is missing) */
    char *path, *expected, *found;
    GBytes *context; /* NULL where the input can't seek */
    uint64_t context_offset;
} MigFinding;

typedef struct MigRuleResult {
    const MigRule *rule;
    MigVerdict verdict;
    const char *reason; /* of not-applicable and inconclusive; static */
    uint32_t findings;  /* all of them */
} MigRuleResult;

/* What rules know in common of the stream so far. */
typedef struct MigFacts {
    bool configured;
    MigVersion machine_version; /* of a versioned machine type, else 0 */
    bool bare;                  /* machine none */
    bool modern;                /* unversioned and configured: as the newest, whatever the binary */
    bool advised, discarded, listening; /* postcopy */
    bool advised_ram;                   /* of RAM, too: else only of dirty bitmaps */
    bool ignore_shared, mapped_ram;
    bool vmdesc; /* a VMDESCRIPTION has gone by */
    uint32_t page_size;
    uint32_t sections;     /* started iterables that have not ended */
    bool ended;            /* an iterable has ended */
    bool switchover;       /* SWITCHOVER_START has gone by */
    bool repeated;         /* a page was sent twice */
    bool running;          /* POSTCOPY_RUN has gone by */
    bool opened;           /* OPEN_RETURN_PATH has gone by */
    uint32_t eos, flushes; /* RAM bodies and MULTIFD_FLUSH records of the main channel */
    bool multifd;          /* there is a multifd channel */
    bool return_path;      /* there is a recording of the return path */
    bool preempt;          /* there is a preempt channel */
    bool broken;           /* a channel broke and another took its place */
    bool colo;             /* checkpoints */
} MigFacts;

struct MigCheck {
    MigProfile profile;
    const MigEra *writer; /* whose stream it is to be, set by the caller; NULL: anybody's */
    MigFacts facts;
    GArray *findings;       /* MigFinding */
    MigRuleResult *results; /* one per rule, in the order of the catalogue */
    unsigned result_count;
    bool stopped;              /* the decoder gave up */
    MigDiagnosis diagnosis;    /* why, when it did */
    char *hint;                /* what to try then, or NULL */
    uint64_t end;              /* bytes judged of the last main channel */
    MigRecording *recording;   /* while running */
    const MigDecoder *main;    /* while running: of the main channel, for what it has told */
    const MigDecoder *decoder; /* while running: of the current channel, for paths */
    unsigned channel;          /* the current one */
    MigChannel kind;
    bool several;     /* channels may be more than one */
    GPtrArray *names; /* of channels, that findings point to */
    void **states;
    bool want_payload;
    const char *path; /* instead of the current record's, while a rule looks back */
    /* Sees each record behind the rules; NULL: nobody does. */
    void (*observe)(void *observer, MigCheck *check, const MigRecord *r);
    void *observer;
};

MigCheck *mig_check_new(MigProfile profile);
void mig_check_free(MigCheck *check);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigCheck, mig_check_free)

/* Reads the recording to its end. False: the input failed, *error says why. */
bool mig_check_recording(MigCheck *check, MigRecording *recording, GError **error);
/* The same for a stream that is open. */
bool mig_check_run(MigCheck *check, MigStreamReader *reader, GError **error);

/* Over all rules: fail, warn, inconclusive or pass. */
MigVerdict mig_check_verdict(const MigCheck *check);

/* ---- for rules ---- */

/* |found_format| like printf. The path is that of the current record. */
void mig_check_find(MigCheck *check, const MigRule *rule, uint64_t offset, const char *expected,
                    const char *found_format, ...) G_GNUC_PRINTF(5, 6);
/* A finding about another channel than the current one. */
void mig_check_find_in(MigCheck *check, const MigRule *rule, unsigned channel, uint64_t offset,
                       const char *expected, const char *found_format, ...) G_GNUC_PRINTF(6, 7);
void mig_check_not_applicable(MigCheck *check, const MigRule *rule, const char *reason);
void mig_check_inconclusive(MigCheck *check, const MigRule *rule, const char *reason);
/* Has the payload of the current record brought to the groups' payload(). */
void mig_check_want_payload(MigCheck *check);
/* The block of the main channel's list with that name; UINT32_MAX: there is none. */
uint32_t mig_check_block(const MigCheck *check, MigStr name);
uint32_t mig_check_packet_block(const MigCheck *check, const MigRecordMultifd *packet);
MigRuleResult *mig_check_result(MigCheck *check, const MigRule *rule);

const char *mig_verdict_name(MigVerdict verdict);
const char *mig_profile_name(MigProfile profile);
/* False: no such profile. */
bool mig_profile_parse(const char *text, MigProfile *profile);

#endif
