/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rule catalogue. A rule is a row of a constant table that stands beside the code which checks
 * it; a group is such a table with its checks:
 *
 *     catalogue -> group (framing, section, device, command, ram, multifd, ...)
 *                    +- rules[]      what must hold, who says so, what QEMU does otherwise
 *                    +- faults[]     which fault of the decoder breaks which rule
 *                    +- record()     looks at every record with a small state of its own
 *                    +- finish()     the stream has ended as it should
 *
 * An id is LAYER-NOUN-PROPERTY, is never changed and never used again for something else.
 */
#ifndef MIG_CONFORMANCE_RULES_RULE_H
#define MIG_CONFORMANCE_RULES_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream/decoder.h"
#include "stream/record.h"
#include "stream/status.h"

typedef enum MigLevel {
    MIG_LEVEL_MUST,   /* a destination can't load it, or loads something else than was saved */
    MIG_LEVEL_SHOULD, /* no source of QEMU's writes it, though destinations accept it */
    MIG_LEVEL_CANON,  /* only the bytes differ from what QEMU writes */
    MIG_LEVEL_INFO,
} MigLevel;

typedef enum MigAuthority {
    MIG_AUTHORITY_DOC,      /* QEMU's documentation */
    MIG_AUTHORITY_LOADER,   /* a destination refuses it */
    MIG_AUTHORITY_WRITER,   /* every source writes it so */
    MIG_AUTHORITY_OBSERVED, /* seen in streams, not proved; never MUST */
    MIG_AUTHORITY_OURS,     /* a bound of this program */
} MigAuthority;

/* What a QEMU destination is predicted to do with a stream that breaks the rule. */
typedef enum MigReaction {
    MIG_REACTION_REJECTS,
    MIG_REACTION_COMPLAINS, /* loads it, and prints a message */
    MIG_REACTION_SILENT,    /* loads it */
    MIG_REACTION_CRASHES,
    MIG_REACTION_VARIES, /* by version, see `why` */
    MIG_REACTION_CANNOT_SEE,
} MigReaction;

typedef struct MigRule {
    const char *id, *title;
    MigLevel level;
    MigAuthority authority;
    MigReaction reaction;
    const char *source;    /* where docs/format says it; the QEMU function that shows it */
    const char *since;     /* machine types (see `axis` in docs/rules): NULL from the beginning */
    const char *until;     /* the last one; NULL: still so */
    const char *why;       /* what goes wrong otherwise */
    const char *killed_by; /* damage of tests/unit/test-damage.c that breaks it; NULL: see docs */
} MigRule;

typedef struct MigFaultRule {
    MigFault fault;
    unsigned rule; /* index in the group's rules */
} MigFaultRule;

typedef struct MigCheck MigCheck;

typedef struct MigRuleGroup {
    const char *layer;
    const MigRule *rules;
    unsigned rule_count;
    const MigFaultRule *faults;
    unsigned fault_count;
    size_t state_size;
    uint32_t channels; /* MIG_ON() of the kinds of channels that it sees; 0: main */
    uint64_t wanted;   /* MIG_WANT() of the record types that record() is called for */
    void (*record)(MigCheck *check, void *state, const MigRecord *r);
    /*
     * For a record of which record() said mig_check_want_payload(). Groups see each other's: each
     * looks at the type first.
     */
    void (*payload)(MigCheck *check, void *state, const MigRecord *r, const uint8_t *data);
    void (*finish)(MigCheck *check, void *state, uint64_t end);
    void (*clear)(void *state); /* frees what the state holds */
} MigRuleGroup;

#define MIG_WANT(symbol) (UINT64_C(1) << MIG_REC_##symbol)
#define MIG_WANT_ALL     UINT64_MAX
#define MIG_ON(symbol)   (UINT32_C(1) << MIG_CHANNEL_##symbol)

_Static_assert(MIG_REC_COUNT <= 64, "record types fit a mask");

extern const MigRuleGroup mig_rules_framing;
extern const MigRuleGroup mig_rules_vmdesc;
extern const MigRuleGroup mig_rules_section;
extern const MigRuleGroup mig_rules_device;
extern const MigRuleGroup mig_rules_command;
extern const MigRuleGroup mig_rules_ram;
extern const MigRuleGroup mig_rules_page;
extern const MigRuleGroup mig_rules_multifd;
extern const MigRuleGroup mig_rules_multifd_sync;
extern const MigRuleGroup mig_rules_mapped;
extern const MigRuleGroup mig_rules_return_path;
extern const MigRuleGroup mig_rules_postcopy;
extern const MigRuleGroup mig_rules_recovery;
extern const MigRuleGroup mig_rules_iterable;
extern const MigRuleGroup mig_rules_writer;

/* All groups, ended by NULL, in the order in which they see a record. */
extern const MigRuleGroup *const mig_catalogue[];

unsigned mig_catalogue_rule_count(void);
/* NULL when there is none with that id. */
const MigRule *mig_catalogue_find(const char *id);
/* The rule that a fault breaks; NULL for MIG_FAULT_NONE and for limits of what can be known. */
const MigRule *mig_catalogue_fault(MigFault fault);

const char *mig_level_name(MigLevel level);
const char *mig_authority_name(MigAuthority authority);
const char *mig_reaction_name(MigReaction reaction);

#endif
