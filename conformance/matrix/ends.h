/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end of a cell: a peer that runs, behind QMP, whichever kind of peer it is. Our own ends are
 * `migbench source` and `migbench dest` of a scenario that is made for the cell.
 */
#ifndef MIG_CONFORMANCE_MATRIX_ENDS_H
#define MIG_CONFORMANCE_MATRIX_ENDS_H

#include <stdio.h>

#include "conformance/matrix/matrix.h"

typedef struct MigEnd {
    const MigPeer *peer;
    bool is_source;
    MigChild *child;
    MigPeerQmp *qmp;
    char *memory; /* file behind its memory, or that pmemsave has filled; NULL: not yet */
    gsize said;   /* how much it had said when the migration began */
    int qtest;    /* descriptor to write to its memory by; -1: none */
} MigEnd;

typedef struct MigEndPlace {
    const MigCell *cell;
    const char *folder;    /* of artefacts */
    const char *shared;    /* of sockets and memory */
    const char *same_file; /* the memory of the other end, where both are to map it; or NULL */
    const guint8 *image;   /* MIG_MATRIX_RAM bytes: a source's memory in the beginning */
    const MigEnd *other;   /* the one that runs already; NULL: none */
    FILE *transcript;
} MigEndPlace;

/* What memory holds in the beginning: half full, half zero. Owned by the caller. */
guint8 *mig_matrix_image(void);

/* Starts it and greets it. False and *error: what it said. */
bool mig_end_start(MigEnd *end, const MigEndPlace *place, bool is_source, GError **error);
void mig_end_clear(MigEnd *end);

/* The capabilities and parameters of the cell. False and *error: it says no. */
bool mig_end_set_up(MigEnd *end, const MigCell *cell, GError **error);
bool mig_end_set_number(MigEnd *end, const char *parameter, gint64 value, GError **error);
/* query-migrate; to be freed by json_object_put(). NULL and *error. */
json_object *mig_end_status(MigEnd *end, GError **error);
/* A command with one string. */
bool mig_end_say(MigEnd *end, const char *command, const char *key, const char *value,
                 GError **error);

/* Fills |pages| pages from page |first| on with a byte, as a device does. False: it is gone. */
bool mig_end_fill(MigEnd *end, guint64 first, guint64 pages, guint8 byte);

/* Its memory now: MIG_MATRIX_RAM bytes. NULL and *error. Owned by the caller. */
GBytes *mig_end_memory(MigEnd *end, const MigEndPlace *place, GError **error);

#endif
