/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns what goes by on connections into named channels: names a connection as soon as its first
 * bytes allow it, and tells a tap of channels and chunks in the order in which they came.
 */
#ifndef MIG_SIM_RECORD_TELLER_H
#define MIG_SIM_RECORD_TELLER_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct MigTap {
    void *opaque;
    /* A channel was found out; they are numbered from 0. False: it can't be taken. */
    bool (*channel)(void *opaque, unsigned channel, const char *name);
    /* |ns|: since 1970, when the bytes came in. False: they can't be taken. */
    bool (*chunk)(void *opaque, unsigned channel, uint64_t ns, const void *data, size_t n);
} MigTap;

typedef struct MigTeller {
    MigTap tap;
    unsigned channels; /* told so far */
} MigTeller;

/* One connection. */
typedef struct MigTold {
    GByteArray *head; /* first bytes from the source, until there is a name */
    guint64 head_ns;
    char *name;
    gboolean first; /* of its generation */
    guint generation;
    int channel[2]; /* of the tap, by direction; -1: not told yet */
} MigTold;

typedef enum MigDirection { MIG_FORWARD, MIG_BACK } MigDirection;

void mig_told_init(MigTold *c, gboolean first, guint generation);
void mig_told_clear(MigTold *c);

/* |n| bytes came at |ns|. False when the tap refuses. */
bool mig_teller_heard(MigTeller *t, MigTold *c, MigDirection direction, uint64_t ns,
                      const void *data, size_t n);

#endif
