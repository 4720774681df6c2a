/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Would QEMU of a version load it, and why not? A loader stands beside a check: it sees each record
 * that the rules see, and in the end their findings, and answers as that version's destination
 * does.
 *
 *     records  --> what depends on the version alone (commands, flags, features, section versions)
 * -+ findings --> mig_loader_reactions[]: what that version does where a rule is broken -+-> causes
 *     decoder stopped without either --> unknown -+
 *
 * The cause that the destination meets first decides. The destination is one of the machine type
 * and the RAM of the stream, with the capabilities that the stream needs where the version has
 * them.
 *
 * Limits: what depends on the destination's own configuration (its UUID, its disks, its block
 * names) can't be known from a stream. A reason is a class, not QEMU's wording.
 */
#ifndef MIG_CONFORMANCE_LOADER_LOADER_H
#define MIG_CONFORMANCE_LOADER_LOADER_H

#include "conformance/check.h"

/* What becomes of a load, from good to bad. */
typedef enum MigLoad {
    MIG_LOAD_ACCEPTS,
    MIG_LOAD_COMPLAINS, /* loads it, and prints a message */
    MIG_LOAD_UNKNOWN,
    MIG_LOAD_REJECTS,
    MIG_LOAD_HANGS, /* waits for what never comes */
    MIG_LOAD_CRASHES,
    MIG_LOAD_COUNT
} MigLoad;

/* Why. The names are those of docs/cross-version.md. */
#define MIG_LOAD_REASONS(X)                                                       \
    X(NONE, "", "")                                                               \
    X(MACHINE, "machine", "a machine type that it does not have, or another one") \
    X(CAPABILITY, "capability", "a capability that it does not have")             \
    X(HEADER, "header", "no stream that it reads")                                \
    X(CONFIGURATION, "configuration", "the configuration section")                \
    X(ITEM, "item", "a byte that begins no item")                                 \
    X(SECTION, "section", "a section that it does not know")                      \
    X(VERSION, "version", "a version of a section that it does not know")         \
    X(FOOTER, "footer", "a section's footer")                                     \
    X(COMMAND, "command", "a command")                                            \
    X(POSTCOPY, "postcopy", "a command of postcopy")                              \
    X(FLAGS, "flags", "a RAM record's flags")                                     \
    X(BLOCK, "block", "a RAM block's name")                                       \
    X(SIZE, "size", "a RAM block's size")                                         \
    X(OFFSET, "offset", "a page behind its block")                                \
    X(ZERO, "zero", "a zero page that is not zero")                               \
    X(XBZRLE, "xbzrle", "a delta")                                                \
    X(COMPRESS, "compress", "a compressed page")                                  \
    X(MAPPED, "mapped-ram", "a file of mapped RAM")                               \
    X(MULTIFD, "multifd", "a channel of multifd")                                 \
    X(DEVICE, "device", "a device's state")                                       \
    X(VMDESC, "vmdesc", "the description at the end")                             \
    X(LINE, "line", "a line that broke and was replaced")                         \
    X(END, "end", "the stream ends too early")                                    \
    X(DESYNC, "desync", "what follows is read as something else")

typedef enum MigLoadReason {
#define X(symbol, name, text) MIG_REASON_##symbol,
    MIG_LOAD_REASONS(X)
#undef X
        MIG_REASON_COUNT
} MigLoadReason;

const char *mig_load_name(MigLoad load); /* "accepts", "rejects"... */
const char *mig_load_reason_name(MigLoadReason reason);
const char *mig_load_reason_text(MigLoadReason reason);

/* ---- data ---- */

/* What binaries do where a rule is broken: since <= version < until (0: for ever). Where several
 * rows of a rule fit, the first is it; where none does it is accepted. */
typedef struct MigLoadReaction {
    const char *rule;
    MigVersion since, until;
    MigLoad load;
    MigLoadReason reason;
} MigLoadReaction;

extern const MigLoadReaction mig_loader_reactions[]; /* ended by a row without a rule */

/* NULL: that version loads it without a word. */
const MigLoadReaction *mig_loader_reaction(MigVersion version, const char *rule);

/* Machine types that a binary has: from |oldest| to its own version. */
typedef struct MigLoadFamily {
    const char *prefix; /* "pc-i440fx-" */
    MigVersion since, until, oldest;
} MigLoadFamily;

/* False: the binary has no such machine type. Types without a version it always has. */
bool mig_loader_has_machine(MigVersion version, const char *machine);

/* A capability of the destination, or a value of a parameter, and the binaries that have it. */
typedef struct MigLoadFeature {
    const char *name;
    MigVersion since, until;
} MigLoadFeature;

bool mig_loader_has_feature(MigVersion version, const char *name);

/* Versions of sections that a binary loads. */
typedef struct MigLoadDevice {
    const char *idstr;
    MigVersion since, until;
    uint32_t oldest, newest;
} MigLoadDevice;

/* NULL: nothing is said of it, so it is as in the stream. */
const MigLoadDevice *mig_loader_device(MigVersion version, MigStr idstr);

/* Whether a machine of that type has a section: of machine `none` we know, of others we don't. */
typedef enum MigLoadKnown {
    MIG_LOAD_KNOWN_NOT,
    MIG_LOAD_KNOWN_MAYBE,
    MIG_LOAD_KNOWN_YES,
} MigLoadKnown;

MigLoadKnown mig_loader_section(const char *machine, MigStr idstr, uint32_t instance);

/* ---- a loader ---- */

typedef struct MigLoadCause {
    MigLoad load;
    MigLoadReason reason;
    const MigRule *rule;   /* NULL: none is broken, the version is another */
    const char *channel;   /* belongs to the check */
    uint64_t offset, rank; /* rank: in which order causes are met */
    char *path, *expected, *found;
} MigLoadCause;

typedef struct MigLoader {
    MigVersion version;
    char *machine;      /* of the destination; NULL: the stream's */
    MigEra era;         /* of the version and the stream's machine type, once that is known */
    GArray *causes;     /* MigLoadCause, as found */
    bool unseen;        /* what stops our reading doesn't stop the destination's */
    bool ended;         /* END_OF_STREAM has gone by: the rest decides nothing */
    uint64_t end;       /* its offset */
    uint64_t colo_at;   /* offset of ENABLE_COLO; 0: none */
    MigLoadCause worst; /* of mig_loader_answer(); borrows from causes */
    uint32_t methods;   /* of multifd: compression bits seen */
    uint32_t channels;  /* kinds seen */
    uint32_t validated; /* capabilities of the configuration's first list */
    char *config;       /* the stream's machine name */
} MigLoader;

/* |machine|: the destination's machine type; NULL: that of the stream. */
MigLoader *mig_loader_new(MigVersion version, const char *machine);
void mig_loader_free(MigLoader *loader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigLoader, mig_loader_free)

/* Before the check's run. The check's profile must be strict or canonical. */
void mig_loader_attach(MigLoader *loader, MigCheck *check);
/* Behind it. The answer belongs to the loader. */
const MigLoadCause *mig_loader_answer(MigLoader *loader, const MigCheck *check);

#endif
