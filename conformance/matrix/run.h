/* SPDX-License-Identifier: Apache-2.0 */
/* A cell under way; shared by the files run.c, connect.c and drive.c. */
#ifndef MIG_CONFORMANCE_MATRIX_RUN_H
#define MIG_CONFORMANCE_MATRIX_RUN_H

#include "conformance/matrix/ends.h"

#define MIG_MATRIX_LIMIT_MS 20000 /* a migration that takes longer counts as hanging */

typedef struct MigMatrixRun {
    const MigCell *cell;
    MigCellRun *r;
    char *shared; /* folder of sockets and memory */
    FILE *transcript;
    MigEndPlace place;
    MigEnd source, destination;
    MigChild *relay;        /* NULL: through a file */
    unsigned relay_sockets; /* while nobody is connected */
    char *source_uri, *destination_uri, *again_uri;
    char *file;    /* what goes through a file, where both ends see it; later the recording */
    guint8 *image; /* what the source's memory is to hold; where only we write to it */
    const volatile bool *stop;

    /* of the workload and the driver */
    unsigned phase;
    guint64 since;                                   /* pass in which the phase began */
    bool unsure;                                     /* whether the last fill came before the end */
    bool eased, post, hurried, recovered, cancelled; /* done */
    gint64 tried;                                    /* to resume, us */
} MigMatrixRun;

/* connect.c: the way between the ends. False: r->words, and inconclusive or refused. */
bool mig_matrix_connect(MigMatrixRun *m);
/* Has the destination read the file that the source has written. */
bool mig_matrix_load_file(MigMatrixRun *m);
/* The relay's file is complete. */
void mig_matrix_disconnect(MigMatrixRun *m);
/* After a break: the destination listens at another place, and the source comes again. */
bool mig_matrix_listen_again(MigMatrixRun *m);
bool mig_matrix_resume(MigMatrixRun *m);
bool mig_matrix_is_file(const MigCell *cell);

/* drive.c: from `migrate` to the end of both. */
void mig_matrix_drive(MigMatrixRun *m);

/* An end said no, or could not be asked. Takes |error| over; returns false. */
bool mig_matrix_no(MigMatrixRun *m, const char *who, GError *error);

#endif
